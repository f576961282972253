//! Facts in, findings out. Each rule is a small pure function over a [`Case`]; the files group
//! them by subject, in the order in which a person would look.

mod apex;
mod around;
mod bodies;
mod browser;
mod caa;
mod certificate;
mod client;
mod connection;
mod contact;
mod cors;
mod dns;
mod exposure;
mod keys;
mod login;
mod loop_back;
mod machine;
mod name;
mod own;
mod paths;
mod requests;
mod routes;
mod rtc;
mod tls;
mod well_known;

use super::catalogue::Code;
use super::chain::{Chain, Policy};
use super::finding::Finding;
use super::observe::Observation;
use super::own::Own;
use super::pins::Pins;
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
    /// Whether this machine has trust roots of its own.
    pub(super) system_roots: bool,
    /// Now.
    pub(super) now: Timestamp,
    /// The keys that the server published at earlier checks, where somebody kept them.
    pub(super) pinned: Option<&'a Pins>,
    /// What was seen.
    pub(super) seen: &'a Observation,
    /// What was seen from inside, of an own server.
    pub(super) own: Option<&'a Own>,
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
            let chain = connection.chain()?;
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
        caa::RULES,
        well_known::RULES,
        around::RULES,
        client::RULES,
        browser::RULES,
        rtc::RULES,
        login::RULES,
        contact::RULES,
        connection::RULES,
        tls::RULES,
        certificate::RULES,
        keys::RULES,
        requests::RULES,
        paths::RULES,
        bodies::RULES,
        cors::RULES,
        exposure::RULES,
        own::RULES,
        routes::RULES,
        loop_back::RULES,
        machine::RULES,
    ];
    let findings = rules.into_iter().flatten().flat_map(|rule| rule(case));
    let mut findings: Vec<_> = findings.map(|finding| apex::advise(case, finding)).collect();
    loop_back::soften(case, &mut findings);
    findings.sort_by(|a, b| (b.severity, a.id).cmp(&(a.severity, b.id)));
    findings
}

#[cfg(test)]
mod tests;
