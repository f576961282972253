//! Rules about reaching the federation addresses: TCP, and HTTP as a protocol.

use super::tls::alpn_trouble;
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::lifetime::http_date;
use crate::check::observe::federation::Connection;
use crate::check::observe::http::{Fetched, HttpAnswer};
use crate::check::observe::tls::Trouble;
use crate::matrix::version::ServerVersion;

pub(super) const RULES: &[Rule] = &[connect, version, not_found, retry, skew];

/// Signatures and caches tolerate about this much, in seconds.
const SKEW: i64 = 60;

/// One finding for each connection that `detail` has something to say about.
pub(super) fn each(case: &Case<'_>, code: Code, detail: impl Fn(&Connection) -> Option<String>) -> Vec<Finding> {
    let connections = case.seen.connections.iter();
    connections.filter_map(|seen| Some(at(case, code, seen, detail(seen)?))).collect()
}

fn at(case: &Case<'_>, code: Code, connection: &Connection, detail: String) -> Finding {
    // The `Host` header is also what stands in the URL that curl has to be given.
    let http = matches!(code, Code::FedVersion | Code::FedKeys | Code::FedUnsigned);
    let plan = case.seen.plan.as_ref();
    let host = plan.map(|plan| if http { plan.host_header.clone() } else { plan.certificate_name.to_string() });
    case.finding(code, connection.address, detail).for_host(host.unwrap_or_default())
}

/// "…, twice" where a second try failed as well.
pub(super) fn tries(fetched: &Fetched, trouble: &Trouble) -> String {
    match fetched.first_try {
        Some(_) => format!("{trouble} (tried twice)"),
        None => trouble.to_string(),
    }
}

fn connect(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TcpConnect, |seen| match &seen.version.answer {
        // The first is not the server's fault, and check.family speaks of it; dns.public speaks of the second.
        Err(Trouble::NoRoute(_) | Trouble::Guarded(_)) => None,
        Err(trouble) if trouble.before_tls() => Some(tries(&seen.version, trouble)),
        _ => None,
    })
}

/// What is wrong with an answer that should be 200 and JSON, before its content is looked at.
pub(super) fn not_json(answer: &HttpAnswer) -> Option<String> {
    if (300..400).contains(&answer.status) {
        let location = answer.header("location").unwrap_or("nowhere");
        return Some(format!("status {}, a redirect to {location}, which peers do not follow", answer.status));
    }
    if answer.status != 200 {
        return Some(format!(
            "status {}{}",
            answer.status,
            answer.errcode().map(|c| format!(" {c}")).unwrap_or_default()
        ));
    }
    match answer.media_type() {
        Some(kind) if kind == "application/json" => None,
        Some(kind) => Some(format!("sent as {kind}, not application/json")),
        None => Some("sent without a Content-Type".to_owned()),
    }
}

fn version(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedVersion, |seen| match &seen.version.answer {
        // The layers below have their own findings.
        Err(trouble) if trouble.before_tls() || trouble.in_tls() => None,
        Err(_) if alpn_trouble(seen).is_some() => None,
        Err(trouble) => Some(tries(&seen.version, trouble)),
        Ok(answer) => not_json(answer).or_else(|| Some(ServerVersion::parse(&answer.body).err()?.to_string())),
    })
}

fn not_found(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedNotFound, |seen| {
        let answer = seen.more.as_ref()?.unknown.answer.as_ref().ok()?;
        let code = answer.errcode();
        if answer.status == 404 && code.as_deref() == Some("M_UNRECOGNIZED") {
            return None;
        }
        let code = code.map_or_else(|| "without an errcode".to_owned(), |code| format!("with {code}"));
        Some(format!("an unknown endpoint is answered {} {code}", answer.status))
    })
}

fn retry(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = each(case, Code::Retry, |seen| {
        let mut shaky = seen.exchanges().filter(|(_, fetched)| fetched.answer.is_ok());
        let (path, trouble) = shaky.find_map(|(path, fetched)| Some((path, fetched.first_try.as_ref()?)))?;
        Some(format!("{path}: the first try failed: {trouble}"))
    });
    findings.extend(each(case, Code::Retry, |seen| {
        let mut shaky = seen.requests()?.replies().filter(|(_, reply)| reply.answer.is_ok());
        let (path, trouble) = shaky.find_map(|(path, reply)| Some((path, reply.first_try.as_ref()?)))?;
        Some(format!("{path}: the first try failed: {trouble}"))
    }));
    for visit in &case.seen.well_known {
        let shaky = visit.hops.iter().filter(|hop| hop.fetched.answer.is_ok());
        let mut shaky = shaky.filter_map(|hop| Some((hop, hop.fetched.first_try.as_ref()?)));
        if let Some((hop, trouble)) = shaky.next() {
            let detail = format!("{}: the first try failed: {trouble}", hop.url);
            findings.push(case.finding(Code::Retry, visit.address, detail));
        }
    }
    findings
}

fn skew(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TimeSkew, |seen| {
        let (date, received) = seen.exchanges().find_map(|(_, fetched)| {
            let answer = fetched.answer.as_ref().ok()?;
            Some((http_date(answer.header("date")?)?, answer.received))
        })?;
        let off = date.since(received);
        let word = if off > 0 { "ahead of" } else { "behind" };
        (off.abs() > SKEW).then(|| format!("its clock is {} s {word} this machine's", off.abs()))
    })
}
