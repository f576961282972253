//! What came of the proof at one address: facts, small enough to be handed to another process.

use super::hop::Hop;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// One address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopSeen {
    /// The address asked.
    pub address: SocketAddr,
    /// What came of it.
    pub outcome: Outcome,
    /// Who stands in between, where somebody gives himself away.
    pub hop: Option<Hop>,
    /// Whether something worked at the second try only.
    pub again: bool,
    /// What the last idle minute came to, if there was one.
    pub idle: Option<Idle>,
}

/// Where the requests went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// To this process.
    Ours {
        /// What was not as it was sent; nothing is the proof.
        changes: Vec<Change>,
        /// Where TLS ends.
        ends: Ends,
        /// The address this machine asked from.
        source: IpAddr,
        /// The address that the listener saw.
        peer: IpAddr,
        /// The address that requests are counted under.
        client: IpAddr,
    },
    /// To somebody else, who has a certificate for the name or whom no NAT explains; what he
    /// answered, in words.
    Other(String),
    /// Nobody knows.
    Unknown {
        /// What happened, in words.
        why: String,
        /// Whether this machine stands behind NAT towards that address. Then its own public address
        /// may be out of its reach, and so whatever was seen there is no evidence.
        nat: bool,
    },
}

/// What a part of a request became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which part.
    pub item: Item,
    /// How it changed.
    pub how: How,
    /// The same in words, with what was sent and what arrived.
    pub detail: String,
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Path and query, byte for byte.
    Target,
    /// The `Host` line names another host.
    Host,
    /// The `Host` line has another port, or another case.
    HostPort,
    /// `PUT`.
    Method,
    /// The name of the program that asks.
    Agent,
    /// One line of `Authorization: X-Matrix`, as every peer sends.
    Authorization,
    /// Two lines, as a peer with two keys may send.
    Authorizations,
    /// Lines by which a client may lie about its address.
    Forwarding,
    /// The scheme that the homeserver is told.
    Scheme,
    /// A long header line.
    Header,
    /// The body.
    Body,
}

/// How a part changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It arrived as something else.
    Altered,
    /// A request with it did not arrive, and one without it did.
    Refused,
}

/// Where TLS ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// In this process: the same certificate, name and protocol on both sides.
    Here,
    /// Before it; how that is known, in words.
    Before(String),
}

/// An idle minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// When it ended.
    pub at: Timestamp,
    /// How it ended.
    pub end: IdleEnd,
}

/// How an idle minute ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdleEnd {
    /// The answer came after this many seconds of silence.
    Answered(u64),
    /// The request arrived, and something ended it before its answer.
    Cut {
        /// After how many seconds.
        after: u64,
        /// What came instead, in words.
        with: String,
    },
}

impl LoopSeen {
    /// One of which nothing is known.
    pub(super) fn unknown(address: SocketAddr, why: impl Into<String>, nat: bool) -> Self {
        Self { address, outcome: Outcome::Unknown { why: why.into(), nat }, hop: None, again: false, idle: None }
    }

    /// Whether everything arrived as it was sent.
    pub fn is_proven(&self) -> bool {
        matches!(&self.outcome, Outcome::Ours { changes, .. } if changes.is_empty())
    }

    /// Whether nothing that was seen at this address is evidence against the server.
    pub fn is_hidden_by_nat(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown { nat: true, .. })
    }
}
