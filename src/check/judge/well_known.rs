//! Rules about the delegation document.

use super::certificate::reasons;
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::chain::Policy;
use crate::check::finding::{Finding, Severity};
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::tls::Trouble;
use crate::check::observe::well_known::{Hop, Visit};
use crate::matrix::well_known::{InvalidServerDocument, parse_server_document};
use crate::matrix::{Host, ServerName};
use std::collections::BTreeMap;

pub(super) const RULES: &[Rule] =
    &[reach, tls, status, document, port, size, content_type, redirect, cache, split, delegates_to_itself];

/// tuwunel reads 12,288 bytes of the document.
const SMALL: usize = 12_288;
/// Bounds between which peers clamp the lifetime of the document, in seconds.
const CACHE: std::ops::RangeInclusive<u64> = 300..=172_800;
/// More redirects than this are a sign of two systems fighting.
const FEW_HOPS: usize = 3;

/// The host of the server name, as far as it was asked for the document.
fn host(case: &Case<'_>) -> Option<Host> {
    ServerName::parse(case.server).ok().map(|name| name.host().clone())
}

/// One finding for each visit that `detail` has something to say about.
fn each(case: &Case<'_>, code: Code, detail: impl Fn(&Visit) -> Option<String>) -> Vec<Finding> {
    let host = host(case).map(|host| host.to_string()).unwrap_or_default();
    let visits = case.seen.well_known.iter();
    visits.filter_map(|v| Some(case.finding(code, v.address, detail(v)?).for_host(&host))).collect()
}

/// The final answer, where redirects led to one.
fn answer(visit: &Visit) -> Option<&HttpAnswer> {
    visit.last().filter(|_| visit.stopped.is_none())?.answer.as_ref().ok()
}

/// The final answer, if it is the document.
fn served(visit: &Visit) -> Option<&HttpAnswer> {
    answer(visit).filter(|answer| answer.status == 200)
}

fn reach(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::WkServerReach, |visit| {
        let hop = visit.hops.last()?;
        let trouble = hop.fetched.answer.as_ref().err()?;
        // Said once for the machine (check.family), by dns.public or wk.server.redirect, by wk.server.size.
        let elsewhere = matches!(trouble, Trouble::NoRoute(_) | Trouble::Guarded(_) | Trouble::TooLarge(_));
        (!elsewhere).then(|| format!("{}: {trouble}", hop.url))
    })
}

fn tls(case: &Case<'_>) -> Vec<Finding> {
    let host = host(case).map(|host| host.to_string()).unwrap_or_default();
    let mut findings = Vec::new();
    for visit in &case.seen.well_known {
        let refused = |hop: &&Hop| hop.fetched.tls.as_ref().is_some_and(|tls| !tls.chain.accepted(Policy::PUBLIC));
        let Some((hop, chain)) =
            visit.hops.iter().find(refused).and_then(|h| Some((h, &h.fetched.tls.as_ref()?.chain)))
        else {
            continue;
        };
        let expected = hop.url.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let why = reasons(case, chain, expected).into_iter().map(|(_, detail)| detail).collect::<Vec<_>>().join("; ");
        let finding = case.finding(Code::WkServerTls, hop.fetched.address, why).for_host(&host);
        findings.push(finding.info_if(chain.accepted(case.policy)));
    }
    findings
}

fn status(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::WkServerStatus, |visit| {
        let answer = answer(visit).filter(|answer| answer.status != 200 && answer.status != 404)?;
        let kind = answer.media_type().map(|kind| format!(" ({kind})")).unwrap_or_default();
        Some(format!("status {}{kind}: peers go on without the delegation", answer.status))
    })
}

fn document(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (code, wanted) in [(Code::WkServerJson, 0), (Code::WkServerField, 1), (Code::WkServerValue, 2)] {
        findings.extend(each(case, code, |visit| {
            let error = parse_server_document(&served(visit)?.body).err()?;
            let kind = match error {
                InvalidServerDocument::NotAnObject => 0,
                InvalidServerDocument::NoField => 1,
                InvalidServerDocument::Value { .. } => 2,
            };
            (kind == wanted).then(|| format!("{error}; peers go on without the delegation"))
        }));
    }
    findings
}

/// The values served, with the address of the first that serves them.
fn values(case: &Case<'_>) -> BTreeMap<String, std::net::SocketAddr> {
    let mut values = BTreeMap::new();
    for visit in &case.seen.well_known {
        if let Some(Ok(name)) = served(visit).map(|answer| parse_server_document(&answer.body)) {
            values.entry(name.as_str().to_owned()).or_insert(visit.address);
        }
    }
    values
}

fn port(case: &Case<'_>) -> Vec<Finding> {
    let values = values(case);
    let without = values.keys().filter(|value| ServerName::parse(value).is_ok_and(|name| name.port().is_none()));
    without
        .map(|value| case.finding(Code::WkServerPort, value, format!("\"m.server\": \"{value}\" has no port")))
        .collect()
}

fn size(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = each(case, Code::WkServerSize, |visit| {
        let length = served(visit)?.body.len();
        (length >= SMALL).then(|| format!("the document has {length} bytes"))
    });
    // What is longer than peers read was not read to its end here either.
    let refused = each(case, Code::WkServerSize, |visit| match &visit.last()?.answer {
        Err(trouble @ Trouble::TooLarge(_)) => Some(trouble.to_string()),
        _ => None,
    });
    findings.extend(refused.into_iter().map(|finding| finding.at(Severity::Fail)));
    findings
}

fn content_type(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::WkServerCtype, |visit| {
        let answer = served(visit).filter(|answer| parse_server_document(&answer.body).is_ok())?;
        match answer.media_type() {
            Some(kind) if kind == "application/json" => None,
            Some(kind) => Some(format!("sent as {kind}")),
            None => Some("sent without a Content-Type".to_owned()),
        }
    })
}

fn redirect(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::WkServerRedirect, |visit| {
        let hops = visit.hops.len().saturating_sub(1);
        let status = |hop: &Hop| hop.fetched.answer.as_ref().map(|answer| answer.status).unwrap_or_default();
        let fault = match (&visit.stopped, visit.last().map(|last| &last.answer)) {
            (Some(stop), _) => stop.to_string(),
            (None, Some(Err(trouble @ Trouble::Guarded(_)))) if hops > 0 => format!("the last redirect was {trouble}"),
            _ if visit.hops.iter().any(|hop| status(hop) == 308) => {
                "redirected with 308, which older peers do not follow".to_owned()
            }
            _ if hops > FEW_HOPS => format!("{hops} redirects"),
            _ => return None,
        };
        Some(format!("{fault}: {}", hop_list(visit)))
    })
}

/// Every request with what came: `https://a.org/x 301, https://b.org/x 200`.
pub(super) fn hop_list(visit: &Visit) -> String {
    let hops = visit.hops.iter().map(|hop| match &hop.fetched.answer {
        Ok(answer) => format!("{} {}", hop.url, answer.status),
        Err(_) => format!("{} no answer", hop.url),
    });
    hops.collect::<Vec<_>>().join(", ")
}

fn cache(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::WkServerCache, |visit| {
        let control = served(visit)?.header("cache-control")?.to_ascii_lowercase();
        let directives: Vec<_> = control.split(',').map(str::trim).collect();
        if directives.contains(&"no-store") {
            return Some("Cache-Control says no-store: peers ask again every 5 minutes".to_owned());
        }
        let age = directives.iter().find_map(|directive| directive.strip_prefix("max-age="))?;
        match age.trim_matches('"').parse::<u64>() {
            Ok(age) if CACHE.contains(&age) => None,
            Ok(age) => Some(format!("max-age is {age} s")),
            Err(_) => Some(format!("max-age is {age:?}")),
        }
    })
}

fn split(case: &Case<'_>) -> Vec<Finding> {
    // Addresses that do not answer are spoken of in wk.server.reach.
    let says = |visit: &Visit| match (&visit.stopped, answer(visit)) {
        (Some(_), _) => Some((None, "a broken redirect".to_owned())),
        (None, None) => None,
        (None, Some(answer)) => match parse_server_document(&answer.body) {
            Ok(name) if answer.status == 200 => Some((Some(name.as_str().to_owned()), name.as_str().to_owned())),
            _ => Some((None, format!("no delegation (status {})", answer.status))),
        },
    };
    let said: Vec<_> = case.seen.well_known.iter().filter_map(|visit| Some((visit.address, says(visit)?))).collect();
    // Peers make the same of every answer that is no delegation.
    let mut delegations = said.iter().map(|(_, (delegation, _))| delegation);
    let first = delegations.next();
    if delegations.all(|other| Some(other) == first) {
        return Vec::new();
    }
    let detail = said.iter().map(|(address, (_, what))| format!("{} says {what}", address.ip())).collect::<Vec<_>>();
    let host = host(case).map(|host| host.to_string()).unwrap_or_default();
    vec![case.finding(Code::WkServerSplit, &host, detail.join(", ")).for_host(&host)]
}

fn delegates_to_itself(case: &Case<'_>) -> Vec<Finding> {
    let values = values(case);
    let own = values.keys().filter(|value| value.eq_ignore_ascii_case(case.server));
    own.map(|value| case.finding(Code::WkServerSelf, value, "\"m.server\" is the server name itself, without a port"))
        .collect()
}
