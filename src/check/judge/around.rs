//! Rules about what stands beside the way that peers go.

use super::certificate::reasons;
use super::dns::{host_of, places};
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::discovery::{SRV_CURRENT, SRV_DEPRECATED};
use crate::check::finding::{Finding, Severity};
use crate::check::observe::dns::Role;
use crate::check::observe::http::{Fetched, HttpAnswer};
use crate::check::observe::tls::{Stage, Trouble};
use crate::dns::Outcome;
use crate::matrix::ServerName;
use crate::matrix::well_known::parse_server_document;
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) const RULES: &[Rule] = &[dnssec, srv_unused, fallback, agents, limit];

/// Names that tell what software is there are short; the rest is noise.
const SOFTWARE: usize = 40;

fn dnssec(case: &Case<'_>) -> Vec<Finding> {
    let names = case.seen.around.bogus.iter();
    let finding = |name: &String| {
        let detail = format!(
            "the name server refuses its own answer about {name} (SERVFAIL), and gives it when told not to validate: \
             the signatures are wrong or out of date"
        );
        let unused = case.seen.around.shadowed.iter().any(|srv| srv.name == *name);
        case.finding(Code::DnsDnssec, name, detail).for_host(host_of(name)).info_if(unused)
    };
    names.map(finding).collect()
}

fn srv_unused(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let why = case.seen.plan.as_ref().map(|plan| plan.step.meaning()).unwrap_or_default();
    for srv in &case.seen.around.shadowed {
        let host = host_of(&srv.name);
        match &srv.answer.outcome {
            Outcome::Found(_) => {
                let detail = format!("{} says {}, which does not count: {why}", srv.name, places(srv));
                findings.push(case.finding(Code::DnsSrvUnused, &srv.name, detail).for_host(host));
            }
            Outcome::Failed(failure) if case.name_server && !case.seen.around.bogus.contains(&srv.name) => {
                let detail = format!(
                    "{} could not be resolved: {failure}; only peers that miss the delegation ask for it, and then fail",
                    srv.name
                );
                findings.push(case.finding(Code::DnsTimeout, &srv.name, detail).for_host(host).at(Severity::Info));
            }
            Outcome::Failed(_) | Outcome::NoRecords => {}
        }
    }
    // The same is told of both spellings; one finding for each host is enough.
    let same = |finding: &Finding| (finding.id, finding.subject.strip_prefix(SRV_DEPRECATED).map(str::to_owned));
    let current: BTreeSet<_> = findings
        .iter()
        .filter_map(|finding| Some((finding.id, Some(finding.subject.strip_prefix(SRV_CURRENT)?.to_owned()))))
        .collect();
    findings.retain(|finding| finding.id != Code::DnsTimeout || !current.contains(&same(finding)));
    findings
}

/// What is wrong with port 8448 of an address, for peers that have missed the delegation.
fn unusable(case: &Case<'_>, seen: &Fetched, host: &str) -> Option<String> {
    match &seen.answer {
        Err(Trouble::Timeout(Stage::Connect, limit)) => {
            Some(format!("nothing answers, not even a refusal within {} s", limit.as_secs_f32()))
        }
        // Refused at once, or not to be seen from here.
        Err(trouble) if trouble.before_tls() => None,
        Err(trouble) => Some(format!("the port is open, but {trouble}")),
        Ok(answer) => {
            let chain = &seen.tls.as_ref()?.chain;
            if !chain.accepted(case.policy) {
                let why = reasons(case, chain, host).into_iter().map(|(_, detail)| detail).collect::<Vec<_>>();
                return Some(format!("the port is open, but {}", why.join("; ")));
            }
            let status = answer.status;
            (status != 200).then(|| format!("/_matrix/federation/v1/version is answered with status {status}"))
        }
    }
}

fn fallback(case: &Case<'_>) -> Vec<Finding> {
    let host = ServerName::parse(case.server).map(|name| name.host().to_string()).unwrap_or_default();
    let addresses = |role| -> BTreeSet<IpAddr> {
        case.seen.located(role).flat_map(|located| &located.addresses).map(|address| address.ip()).collect()
    };
    // Where the server name is hosted elsewhere, its ports are not the operator's to open.
    let elsewhere = addresses(Role::WellKnown).is_disjoint(&addresses(Role::Federation));
    let seen = case.seen.around.fallback.iter();
    let finding = |fetched: &Fetched| {
        let detail = unusable(case, fetched, &host)?;
        let detail = format!("{detail}; peers that miss the delegation come here");
        Some(case.finding(Code::WkFallback, fetched.address, detail).for_host(&host).info_if(elsewhere))
    };
    seen.filter_map(finding).collect()
}

/// What a peer makes of an answer, and the same in words.
fn heard(answer: &Result<HttpAnswer, Trouble>) -> (String, String) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(trouble) => return ("nothing".to_owned(), trouble.to_string()),
    };
    let made = match answer.status {
        200 => parse_server_document(&answer.body).map(|name| name.as_str().to_owned()).unwrap_or_default(),
        300..=399 => answer.header("location").unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let kind = answer.media_type().map(|kind| format!(" ({kind})")).unwrap_or_default();
    let software = answer.header("server").map(|name| name.chars().take(SOFTWARE).collect::<String>());
    let software = software.map(|name| format!(" from {name}")).unwrap_or_default();
    (format!("{} {made}", answer.status), format!("{}{kind}{software}", answer.status))
}

fn agents(case: &Case<'_>) -> Vec<Finding> {
    let agents = &case.seen.around.agents;
    let Some(address) = agents.first().map(|agent| agent.fetched.address) else {
        return Vec::new();
    };
    let first = case.seen.well_known.iter().find(|visit| visit.address == address).and_then(|visit| visit.hops.first());
    let own = first.map(|hop| ("vestibule", &hop.fetched.answer));
    let all = own.into_iter().chain(agents.iter().map(|agent| (agent.name, &agent.fetched.answer)));
    let said: Vec<_> = all.map(|(name, answer)| (name, heard(answer))).collect();
    let kinds: BTreeSet<_> = said.iter().map(|(_, (made, _))| made).collect();
    if kinds.len() < 2 {
        return Vec::new();
    }
    let list: Vec<_> = said.iter().map(|(name, (_, words))| format!("{name} gets {words}")).collect();
    let host = ServerName::parse(case.server).map(|name| name.host().to_string()).unwrap_or_default();
    vec![case.finding(Code::WkServerBot, address, list.join(", ")).for_host(host)]
}

fn limit(case: &Case<'_>) -> Vec<Finding> {
    let left = case.seen.left_out;
    let detail = format!("{left} SRV targets or addresses more than are looked at");
    let host = case.seen.plan.as_ref().map(|plan| plan.certificate_name.to_string()).unwrap_or_default();
    (left > 0).then(|| case.finding(Code::CheckLimit, case.server, detail).for_host(host)).into_iter().collect()
}
