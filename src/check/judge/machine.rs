//! Remarks about the machine that checks: what it could not see says nothing about the server.

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::chain::Trust;
use crate::check::finding::Finding;
use crate::check::observe::tls::Trouble;
use crate::dns::{FailureKind, Outcome};

pub(super) const RULES: &[Rule] = &[family, roots, network, cut];

fn family(case: &Case<'_>) -> Vec<Finding> {
    let federation = case.seen.connections.iter().map(|seen| &seen.version);
    let well_known = case.seen.well_known.iter().filter_map(|visit| visit.last());
    let mut addresses: Vec<_> = federation
        .chain(well_known)
        .filter(|fetched| matches!(fetched.answer, Err(Trouble::NoRoute(_))))
        .map(|fetched| fetched.address)
        .collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return Vec::new();
    }
    let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let what = if addresses.iter().all(|address| address.is_ipv6()) { "no route to IPv6" } else { "no route" };
    let detail = format!("{what} from here; not looked at: {}", list.join(", "));
    vec![case.finding(Code::CheckFamily, case.server, detail)]
}

fn roots(case: &Case<'_>) -> Vec<Finding> {
    let blind = case.chains().iter().any(|seen| seen.chain.trust == Trust::NoRoots);
    let detail = "no certificate could be verified: this machine has no trust roots";
    blind.then(|| case.finding(Code::CheckRoots, case.server, detail)).into_iter().collect()
}

fn network(case: &Case<'_>) -> Vec<Finding> {
    if case.name_server {
        return Vec::new();
    }
    let missed =
        |name: String, failure: &crate::dns::Failure| (failure.kind == FailureKind::NoNameServer).then_some(name);
    let hosts = case.seen.located.iter().filter_map(|host| match &host.dns.as_ref()?.outcome {
        Outcome::Failed(failure) => missed(host.target.host.to_string(), failure),
        Outcome::Found(_) | Outcome::NoRecords => None,
    });
    let records = case.seen.srv.iter().filter_map(|srv| match &srv.answer.outcome {
        Outcome::Failed(failure) => missed(srv.name.clone(), failure),
        Outcome::Found(_) | Outcome::NoRecords => None,
    });
    let mut names: Vec<_> = hosts.chain(records).collect();
    names.dedup();
    if names.is_empty() {
        return Vec::new();
    }
    // In a closed network a hosts file may be all there is.
    let detail = format!("no name server to ask about {}", names.join(", "));
    vec![case.finding(Code::CheckNetwork, case.server, detail).info_if(case.policy.private)]
}

fn cut(case: &Case<'_>) -> Vec<Finding> {
    let mut left = case.seen.pending.clone();
    left.extend(case.seen.client_pending.then(|| "the documents for clients".to_owned()));
    let proving = case.seen.loopback.as_ref().is_some_and(|loopback| loopback.pending);
    left.extend(proving.then(|| "the loop-back proof".to_owned()));
    if left.is_empty() {
        return Vec::new();
    }
    vec![case.finding(Code::CheckCut, case.server, format!("not finished: {}", left.join(", ")))]
}
