//! Facts in, findings out. Each rule is a small pure function over a [`Case`]; the files group
//! them by subject, in the order in which a person would look.

mod certificate;
mod client;
mod connection;
mod dns;
mod keys;
mod loop_back;
mod machine;
mod name;
mod well_known;

use super::catalogue::Code;
use super::chain::{Chain, Policy};
use super::finding::Finding;
use super::observe::Observation;
use crate::clock::Timestamp;
use crate::matrix::Host;
use std::fmt;

pub(super) use keys::document as keys_document;
pub(super) use name::grammar;

/// What is judged: the facts, and what they are to be held against.
#[derive(Debug)]
pub(super) struct Case<'a> {
    /// The server name as given.
    pub(super) server: &'a str,
    /// Whose certificates are expected; in a closed network, address ranges are no failures either.
    pub(super) policy: Policy,
    /// Whether there is a name server to ask.
    pub(super) name_server: bool,
    /// Now.
    pub(super) now: Timestamp,
    /// What was seen.
    pub(super) seen: &'a Observation,
}

/// A rule: what it finds.
type Rule = fn(&Case<'_>) -> Vec<Finding>;

impl Case<'_> {
    fn finding(&self, code: Code, subject: impl fmt::Display, detail: impl Into<String>) -> Finding {
        Finding::new(code, self.server, subject, detail)
    }

    /// Every chain seen, with the name it should cover and where it was presented.
    fn chains(&self) -> Vec<Presented<'_>> {
        let well_known = self.seen.well_known.iter().flat_map(|visit| visit.hops.first());
        let well_known = well_known.filter_map(|hop| {
            let host = self.seen.located.iter().find(|l| l.role == super::observe::dns::Role::WellKnown)?;
            let chain = &hop.fetched.tls.as_ref()?.chain;
            Some(Presented {
                place: hop.fetched.address.to_string(),
                host: &host.target.host,
                chain,
                federation: false,
            })
        });
        let federation = self.seen.connections.iter().filter_map(|connection| {
            let host = &self.seen.plan.as_ref()?.certificate_name;
            let chain = &connection.handshake()?.chain;
            Some(Presented { place: connection.address.to_string(), host, chain, federation: true })
        });
        federation.chain(well_known).collect()
    }
}

/// A chain, and where it was seen.
struct Presented<'a> {
    place: String,
    host: &'a Host,
    chain: &'a Chain,
    federation: bool,
}

/// Applies every rule; the worst findings come first, otherwise the order of the catalogue holds.
pub(super) fn judge(case: &Case<'_>) -> Vec<Finding> {
    let rules = [
        name::RULES,
        dns::RULES,
        well_known::RULES,
        client::RULES,
        connection::RULES,
        certificate::RULES,
        keys::RULES,
        loop_back::RULES,
        machine::RULES,
    ];
    let mut findings: Vec<_> = rules.into_iter().flatten().flat_map(|rule| rule(case)).collect();
    loop_back::soften(case, &mut findings);
    findings.sort_by(|a, b| (b.severity, a.id).cmp(&(a.severity, b.id)));
    findings
}

#[cfg(test)]
mod tests;
