//! What was seen, before anybody judges it.

use crate::config::Challenge;
use crate::dns::{Addresses, CaaSet, Outcome};
use crate::matrix::HostPattern;
use crate::net::listen::Role;
use crate::probe::Reach;
use std::net::SocketAddr;

/// Everything that was seen, and what is wanted.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    pub(super) names: Vec<NameFacts>,
    /// What failed, in words.
    pub(super) state: Result<(), String>,
    /// The candidates.
    pub(super) challenges: &'a [Challenge],
    pub(super) ca_identities: &'a [String],
    pub(super) account_uri: Option<&'a str>,
}

/// What was seen of one name.
#[derive(Clone, Debug)]
pub(super) struct NameFacts {
    pub(super) name: HostPattern,
    pub(super) wildcard: bool,
    pub(super) lookup: Lookup,
    pub(super) ways: Vec<Way>,
    /// `None` for an address.
    pub(super) caa: Option<Outcome<CaaSet>>,
}

/// Where a name leads.
#[derive(Clone, Debug)]
pub(super) enum Lookup {
    /// No challenge type of the candidates connects to it.
    NotNeeded,
    /// It is an address.
    Literal,
    /// What DNS says.
    Dns(Outcome<Addresses>),
    /// What the hosts file says, and what DNS said, which was not this.
    HostsFile(Addresses, Box<Outcome<Addresses>>),
}

/// One address and port that a CA may connect to.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) challenge: Challenge,
    /// The listener that should answer there.
    pub(super) role: Role,
    pub(super) address: SocketAddr,
    /// Whether the address is this machine's.
    pub(super) own: bool,
    /// Whether the CA would see this same address: it is one of the public Internet, and not from the
    /// hosts file. Behind a private one there may be another view of DNS, and a router that forwards
    /// to another port.
    pub(super) public: bool,
    /// Whether the listener has this port, on whatever address. If it has not, a firewall of this
    /// machine may redirect what comes from outside, and nothing that comes from inside.
    pub(super) listened: bool,
    pub(super) reach: Reach,
}

impl Way {
    /// Whether a CA certainly meets what was met here. Towards its own public address a machine is in
    /// the same place as anybody else.
    fn certain(&self) -> bool {
        self.own && self.public
    }

    /// Another program certainly answers the CA.
    pub(super) fn certainly_other(&self) -> bool {
        self.certain() && matches!(self.reach, Reach::Other(_))
    }

    /// Nobody certainly answers the CA.
    pub(super) fn certainly_refused(&self) -> bool {
        self.certain() && self.listened && self.reach == Reach::Refused
    }
}
