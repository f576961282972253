//! Rules about names, addresses and SRV records.

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::discovery::{SRV_CURRENT, SRV_DEPRECATED, Step};
use crate::check::finding::{Finding, Severity};
use crate::check::observe::dns::{Located, Role, SrvSeen};
use crate::dns::{Addresses, FailureKind, Outcome, Source, SrvRecord};
use crate::matrix::Host;
use crate::net::range::not_public;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) const RULES: &[Rule] =
    &[resolve, family, public, slow, srv_legacy, srv_conflict, srv_cname, srv_dot, srv_target];

/// A name server slower than this makes peers wait in every discovery.
const SLOW: Duration = Duration::from_secs(3);

/// Records named in a finding; a zone may have hundreds.
const SHOWN: usize = 5;

fn found(located: &Located) -> Option<&Addresses> {
    match &located.dns.as_ref()?.outcome {
        Outcome::Found(addresses) => Some(addresses),
        Outcome::NoRecords | Outcome::Failed(_) => None,
    }
}

fn by_srv(case: &Case<'_>) -> bool {
    let step = case.seen.plan.as_ref().map(|plan| plan.step);
    matches!(step, Some(Step::Srv | Step::SrvDeprecated | Step::DelegatedSrv | Step::DelegatedSrvDeprecated))
}

fn no_address(located: &Located) -> Option<&'static str> {
    match &located.dns.as_ref()?.outcome {
        Outcome::NoRecords => Some("has no A and no AAAA record"),
        Outcome::Failed(failure) if failure.kind == FailureKind::ServFail => {
            Some("cannot be resolved: the name servers answer SERVFAIL")
        }
        Outcome::Found(_) | Outcome::Failed(_) => None,
    }
}

fn resolve(case: &Case<'_>) -> Vec<Finding> {
    let hosts = case.seen.located(Role::Federation).filter(|_| !by_srv(case));
    hosts
        .filter_map(|host| {
            let detail = no_address(host)?;
            let name = &host.target.host;
            Some(case.finding(Code::DnsResolve, name, format!("{name} {detail}")).for_host(name))
        })
        .collect()
}

fn srv_target(case: &Case<'_>) -> Vec<Finding> {
    let hosts = case.seen.located(Role::Federation).filter(|_| by_srv(case));
    hosts
        .filter_map(|host| {
            let detail = no_address(host)?;
            let name = &host.target.host;
            let detail = format!("SRV leads to {}, which {detail}", host.target);
            Some(case.finding(Code::DnsSrvTarget, name, detail).for_host(name))
        })
        .collect()
}

fn families(addresses: &Addresses) -> (bool, bool) {
    (!addresses.v4.is_empty(), !addresses.v6.is_empty())
}

fn family(case: &Case<'_>) -> Vec<Finding> {
    let known = |role| {
        // A family whose lookup failed is not a missing one.
        let hosts = case.seen.located(role).filter_map(|host| Some((&host.target.host, found(host)?)));
        hosts.filter(|(_, found)| found.source == Source::Dns && found.trouble.is_none())
    };
    let delegated = case.seen.plan.as_ref().is_some_and(|plan| plan.step.number().starts_with('3'));
    let well_known = known(Role::WellKnown).next().filter(|_| delegated);
    let mut said: Vec<(&Host, String)> = Vec::new();
    for (host, addresses) in known(Role::Federation) {
        let (v4, v6) = families(addresses);
        if !v4 {
            said.push((host, format!("{host} has AAAA records only: peers without IPv6 cannot reach it")));
        }
        match well_known.map(|(host, addresses)| (host, families(addresses))) {
            Some((document, (false, _))) => {
                said.push((
                    document,
                    format!("{document} has AAAA records only: peers without IPv6 miss the delegation"),
                ));
            }
            Some((document, (_, false))) if v6 => {
                said.push((document, format!("{document} has A records only, {host} has AAAA records as well")));
            }
            Some((document, (_, true))) if v4 && !v6 => {
                said.push((
                    host,
                    format!("{host} has A records only, the well-known host {document} has AAAA records as well"),
                ));
            }
            _ => {}
        }
    }
    let mut findings: Vec<Finding> = Vec::new();
    for (host, detail) in said {
        // One host may have both parts.
        if !findings.iter().any(|finding| finding.subject == host.to_string()) {
            let finding = case.finding(Code::DnsFamily, host, detail).for_host(host);
            findings.push(finding.info_if(case.policy.private));
        }
    }
    findings
}

fn public(case: &Case<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for host in case.seen.located.iter().filter(|host| !host.overridden) {
        let from_file = found(host).is_some_and(|addresses| addresses.source != Source::Dns);
        for address in &host.addresses {
            let Some(range) = not_public(address.ip()) else { continue };
            let name = &host.target.host;
            let mut detail = format!("{name} is at {}, {range}", address.ip());
            if from_file {
                detail.push_str(" (from this machine's hosts file, which peers do not see)");
            }
            // The hosts file of the machine that checks says nothing about what peers resolve.
            let finding = case.finding(Code::DnsPublic, address.ip(), detail).for_host(name);
            let finding = finding.info_if(case.policy.private || from_file);
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    findings
}

fn slow(case: &Case<'_>) -> Vec<Finding> {
    let hosts = case.seen.located.iter().filter_map(|host| {
        let answer = host.dns.as_ref()?;
        let name = host.target.host.to_string();
        let failure = match &answer.outcome {
            Outcome::Found(addresses) => addresses.trouble.as_ref(),
            Outcome::Failed(failure) => Some(failure),
            Outcome::NoRecords => None,
        };
        Some((name.clone(), name, answer.took, failure))
    });
    let records = case.seen.srv.iter().map(|srv| {
        let failure = match &srv.answer.outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Found(_) | Outcome::NoRecords => None,
        };
        (srv.name.clone(), host_of(&srv.name).to_owned(), srv.answer.took, failure)
    });
    let mut findings: Vec<Finding> = Vec::new();
    for (name, host, took, failure) in hosts.chain(records) {
        let detail = match failure {
            // Said once for the machine, not for every name.
            Some(failure) if failure.kind == FailureKind::NoNameServer => continue,
            // dns.dnssec speaks of it.
            Some(_) if case.seen.around.bogus.contains(&name) => continue,
            Some(failure) if failure.kind == FailureKind::ServFail => {
                format!("{failure} for {name}, with validation and without: it cannot reach the servers of the zone")
            }
            Some(failure) => format!("{name} could not be resolved: {failure}"),
            None if took > SLOW => format!("the answer for {name} took {:.1} s", took.as_secs_f32()),
            None => continue,
        };
        let finding = case.finding(Code::DnsTimeout, name, detail).for_host(host);
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings
}

/// The host in the name of a service record.
pub(super) fn host_of(name: &str) -> &str {
    let rest = name.strip_prefix(SRV_CURRENT).or_else(|| name.strip_prefix(SRV_DEPRECATED));
    rest.map_or(name, |rest| rest.trim_start_matches('.'))
}

fn records(srv: &SrvSeen) -> &[SrvRecord] {
    match &srv.answer.outcome {
        Outcome::Found(records) => records,
        Outcome::NoRecords | Outcome::Failed(_) => &[],
    }
}

/// Host, records of the current name, records of the deprecated name.
fn both<'a>(case: &'a Case<'_>) -> impl Iterator<Item = (&'a str, &'a SrvSeen, &'a SrvSeen)> {
    let current = case.seen.srv.iter().filter(|srv| srv.name.starts_with(SRV_CURRENT));
    current.filter_map(|current| {
        let host = host_of(&current.name);
        let old = case.seen.srv.iter().find(|srv| srv.name != current.name && host_of(&srv.name) == host)?;
        Some((host, current, old))
    })
}

fn srv_legacy(case: &Case<'_>) -> Vec<Finding> {
    let only_old = both(case)
        .filter(|(_, current, old)| matches!(current.answer.outcome, Outcome::NoRecords) && !records(old).is_empty());
    only_old
        .map(|(host, _, old)| {
            let detail = format!("there is {} and no {SRV_CURRENT}.{host}", old.name);
            case.finding(Code::DnsSrvLegacy, &old.name, detail).for_host(host)
        })
        .collect()
}

/// Where records lead.
fn ends(srv: &SrvSeen) -> BTreeSet<(&str, u16)> {
    records(srv).iter().map(|record| (record.target.as_str(), record.port)).collect()
}

/// The same in a line.
pub(super) fn places(srv: &SrvSeen) -> String {
    let mut places: Vec<_> = records(srv).iter().map(|r| format!("{}:{}", r.target, r.port)).collect();
    places.sort();
    let more = places.len().saturating_sub(SHOWN);
    places.truncate(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", places.join(", "))
}

fn srv_conflict(case: &Case<'_>) -> Vec<Finding> {
    both(case)
        .filter(|(_, current, old)| !records(current).is_empty() && !records(old).is_empty())
        .filter(|(_, current, old)| ends(current) != ends(old))
        .map(|(host, current, old)| {
            let detail = format!("{} says {}, {} says {}", current.name, places(current), old.name, places(old));
            case.finding(Code::DnsSrvConflict, host, detail).for_host(host)
        })
        .collect()
}

fn srv_cname(case: &Case<'_>) -> Vec<Finding> {
    let hosts = case.seen.located(Role::Federation).filter(|_| by_srv(case));
    hosts
        .filter_map(|host| {
            let canonical = found(host)?.canonical.as_ref()?;
            let name = &host.target.host;
            let detail = format!("the SRV target {name} is an alias of {canonical}");
            Some(case.finding(Code::DnsSrvCname, name, detail).for_host(canonical))
        })
        .collect()
}

fn srv_dot(case: &Case<'_>) -> Vec<Finding> {
    let used = case.seen.plan.as_ref().map(|plan| plan.step);
    let dots = case.seen.srv.iter().filter(|srv| records(srv).iter().any(|record| record.target == "."));
    dots.map(|srv| {
        let deprecated = srv.name.starts_with(SRV_DEPRECATED);
        let decides = match used {
            Some(Step::Srv | Step::DelegatedSrv) => !deprecated,
            Some(Step::SrvDeprecated | Step::DelegatedSrvDeprecated) => deprecated,
            _ => false,
        };
        let detail = format!("{} has the target \".\": no such service", srv.name);
        let finding = case.finding(Code::DnsSrvDot, &srv.name, detail);
        // A record that does not decide only misleads older peers.
        if decides { finding } else { finding.at(Severity::Warn) }
    })
    .collect()
}
