//! Colours, or none.

use super::text::wrap;
use crate::check::finding::Severity;
use crate::check::report::Verdict;

/// The narrowest and the widest text: what is narrower tears commands apart, what is wider is hard
/// to read.
const NARROWEST: usize = 60;
const WIDEST: usize = 100;

/// What the reader's terminal is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    colour: bool,
    width: usize,
}

impl Look {
    /// Plain text of 80 columns, for everything that is no terminal.
    pub const PLAIN: Self = Self { colour: false, width: 80 };

    /// For a terminal with `columns` columns: 60 to 100 of them are used.
    pub fn new(colour: bool, columns: usize) -> Self {
        Self { colour, width: columns.clamp(NARROWEST, WIDEST) }
    }

    /// Columns to fill.
    pub fn width(self) -> usize {
        self.width
    }

    /// `text` between the escapes of `code` (ECMA-48 SGR). Only the eight colours that every
    /// terminal's theme has adjusted to its background are used.
    fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(in crate::check) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// The word of a severity, as a badge: yellow text alone cannot be read on white.
    pub(in crate::check) fn severity(self, severity: Severity) -> String {
        let code = match severity {
            Severity::Fail => "1;37;41",
            Severity::Warn => "30;43",
            Severity::Info => "30;46",
        };
        self.with(code, severity.as_str())
    }

    pub(super) fn verdict(self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Federates => "30;42",
            Verdict::Degraded | Verdict::Unknown => "30;43",
            Verdict::Fails => "1;37;41",
        };
        self.with(code, text)
    }

    /// Breaks `text` that begins at column `at`, with a margin of `indent` for the lines after.
    pub(in crate::check) fn wrap(self, text: &str, at: usize, indent: usize) -> String {
        wrap(text, at, indent, self.width)
    }
}
