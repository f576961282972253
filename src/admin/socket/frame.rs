//! One line of an answer.

use serde::{Deserialize, Serialize};

/// The longest line that a client takes, in bytes. Lines are sentences; this bounds what a stranger on
/// the other end may have it keep.
pub(super) const LONGEST: usize = 64 * 1024;

/// A line: an object with one key.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Frame {
    /// For people.
    Line(String),
    /// Why the request was refused.
    Error(String),
    /// The exit status; nothing comes after it.
    Exit(u8),
}

impl Frame {
    /// As it is sent, with its line end.
    pub(super) fn render(&self) -> String {
        format!("{}\n", serde_json::json!(self))
    }
}
