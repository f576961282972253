//! Remarks about the machine that checks: what it could not see says nothing about the server.

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::federation::Connection;
use crate::check::observe::tls::Trouble;
use crate::dns::{FailureKind, Outcome};
use std::net::SocketAddr;

pub(super) const RULES: &[Rule] = &[family, guard, roots, network, cut];

/// The addresses on peers' way where it ended like this.
fn ended(case: &Case<'_>, how: fn(&Trouble) -> bool) -> Vec<SocketAddr> {
    let federation = case.seen.connections.iter().map(|seen| &seen.version);
    let well_known = case.seen.well_known.iter().filter_map(|visit| visit.last());
    let ended = federation.chain(well_known).filter(|fetched| fetched.answer.as_ref().is_err_and(how));
    let mut addresses: Vec<_> = ended.map(|fetched| fetched.address).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

fn guard(case: &Case<'_>) -> Vec<Finding> {
    let list: Vec<_> =
        ended(case, |trouble| matches!(trouble, Trouble::Guarded(_))).iter().map(ToString::to_string).collect();
    let detail = format!("only public addresses are connected to; not looked at: {}", list.join(", "));
    (!list.is_empty()).then(|| case.finding(Code::CheckGuard, case.server, detail)).into_iter().collect()
}

fn family(case: &Case<'_>) -> Vec<Finding> {
    let addresses = ended(case, |trouble| matches!(trouble, Trouble::NoRoute(_)));
    if addresses.is_empty() {
        return Vec::new();
    }
    let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let what = if addresses.iter().all(|address| address.is_ipv6()) { "no route to IPv6" } else { "no route" };
    let detail = format!("{what} from here; not looked at: {}", list.join(", "));
    vec![case.finding(Code::CheckFamily, case.server, detail)]
}

fn roots(case: &Case<'_>) -> Vec<Finding> {
    // Where the caller named roots, that is whom the caller means to trust.
    let blind = !case.system_roots && !case.policy.roots_given && !case.chains().is_empty();
    let detail = "this machine has no trust roots: chains were held against Mozilla's list alone";
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
    left.extend(case.own.is_some_and(|own| own.looking).then(|| "the homeserver's side".to_owned()));
    left.extend(case.seen.client_pending.then(|| "the documents for clients".to_owned()));
    left.extend(case.seen.around.pending.iter().map(ToString::to_string));
    // Where no handshake comes about, other findings say so, and more time is no help.
    let shaken = |seen: &&Connection| {
        seen.more.as_ref().is_some_and(|more| !more.keys.answer.as_ref().is_err_and(Trouble::in_tls))
    };
    let unfinished = case.seen.connections.iter().filter(|seen| seen.requests().is_some_and(|seen| !seen.finished));
    let unfinished = unfinished.filter(shaken);
    left.extend(
        unfinished.map(|seen| format!("some requests to {}, which answers slowly or wants fewer", seen.address)),
    );
    let proving = case.seen.loopback.as_ref().is_some_and(|loopback| loopback.pending);
    left.extend(proving.then(|| "the loop-back proof".to_owned()));
    if left.is_empty() {
        return Vec::new();
    }
    vec![case.finding(Code::CheckCut, case.server, format!("not finished: {}", left.join(", ")))]
}
