//! Where the server is: the delegation document and DNS.

use super::Message;
use crate::check::Examined;
use crate::check::discovery::{SRV_DEPRECATED, Step};
use crate::check::observe::Observation;
use crate::check::observe::dns::{Located, Role, SrvSeen};
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::well_known::Visit;
use crate::dns::{FailureKind, Outcome};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The delegation document.
#[derive(Debug, Default, Serialize)]
pub(super) struct WellKnownReport {
    #[serde(rename = "m.server")]
    server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    result: String,
    /// Seconds since the epoch; 0 where the answer does not say.
    #[serde(rename = "CacheExpiresAt")]
    cache_expires_at: i64,
}

/// What DNS says.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DnsResult {
    #[serde(rename = "SRVSkipped")]
    srv_skipped: bool,
    #[serde(rename = "SRVCName")]
    srv_cname: String,
    #[serde(rename = "SRVRecords")]
    srv_records: Option<Vec<Srv>>,
    #[serde(rename = "SRVError")]
    srv_error: Option<Message>,
    hosts: Option<BTreeMap<String, Host>>,
    addrs: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Srv {
    target: String,
    port: u16,
    priority: u16,
    weight: u16,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Host {
    #[serde(rename = "CName")]
    cname: String,
    addrs: Option<Vec<String>>,
    error: Option<Message>,
}

impl DnsResult {
    /// Whether there is nothing to connect to.
    pub(super) fn is_empty(&self) -> bool {
        self.addrs.as_ref().is_none_or(Vec::is_empty)
    }
}

/// What the document says, and the name to go on with, valid or not.
pub(super) fn well_known(examined: &Examined) -> (WellKnownReport, Option<String>) {
    let failed = |result: String| (WellKnownReport { result, ..WellKnownReport::default() }, None);
    // The client takes the first address that answers.
    let visits = &examined.seen.well_known;
    let answering = |visit: &&Visit| visit.last().is_some_and(|last| last.answer.is_ok());
    let Some(visit) = visits.iter().find(answering).or_else(|| visits.first()) else {
        return failed("No .well-known found".to_owned());
    };
    if let Some(stopped) = &visit.stopped {
        return failed(stopped.to_string());
    }
    let distrusted = visit.hops.iter().find_map(|hop| {
        let tls = hop.fetched.tls.as_ref()?;
        if tls.chain.accepted(examined.policy) { None } else { super::connection::verified(&tls.chain).err() }
    });
    if let Some(error) = distrusted {
        let host = visit.hops.first().and_then(|hop| hop.url.strip_prefix("https://")?.split('/').next());
        return failed(error.replace("{host}", host.unwrap_or_default()));
    }
    match visit.last().map(|last| &last.answer) {
        None => failed("No .well-known found".to_owned()),
        Some(Err(trouble)) => failed(trouble.to_string()),
        Some(Ok(answer)) if answer.status != 200 => failed("No .well-known found".to_owned()),
        Some(Ok(answer)) => match serde_json::from_slice::<Value>(&answer.body) {
            Err(error) => failed(error.to_string()),
            Ok(Value::Object(document)) => match document.get("m.server") {
                Some(Value::String(server)) if !server.is_empty() => {
                    let (server, cache_expires_at) = (server.clone(), expiry(answer));
                    (WellKnownReport { server: server.clone(), result: String::new(), cache_expires_at }, Some(server))
                }
                None | Some(Value::Null | Value::String(_)) => {
                    failed("No m.server key found in well-known response".to_owned())
                }
                Some(_) => failed("m.server is not a string".to_owned()),
            },
            Ok(_) => failed("the answer is not a JSON object".to_owned()),
        },
    }
}

/// Until when the answer may be kept: `max-age` before `Expires` (RFC 9111, 5.3).
fn expiry(answer: &HttpAnswer) -> i64 {
    let directives = answer.header("cache-control").unwrap_or_default().split(',');
    let mut ages = directives.filter_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.parse::<i64>().ok())?
    });
    let expires = || {
        let time = httpdate::parse_http_date(answer.header("expires")?).ok()?;
        i64::try_from(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs()).ok()
    };
    ages.next_back().map(|age| answer.received.plus(age).0).or_else(expires).unwrap_or(0)
}

/// What DNS says of `host`, which may have a port.
pub(super) fn dns(seen: &Observation, host: &str) -> DnsResult {
    let skipped = host.contains(':');
    // The tester asks for the old service name only.
    let old = |srv: &&SrvSeen| srv.name.starts_with(&format!("{SRV_DEPRECATED}.")) && !skipped;
    let srv = seen.srv.iter().find(old);
    let found = srv.and_then(|srv| match &srv.answer.outcome {
        Outcome::Found(records) => Some(records),
        Outcome::NoRecords | Outcome::Failed(_) => None,
    });
    let error = srv.and_then(|srv| {
        let why = match &srv.answer.outcome {
            Outcome::Found(_) => return None,
            Outcome::NoRecords => "no such host",
            Outcome::Failed(failure) if failure.kind == FailureKind::Timeout => "i/o timeout",
            Outcome::Failed(_) => "server misbehaving",
        };
        Some(Message::from(format!("lookup {}: {why}", srv.name)))
    });
    let records = found.map(|records| {
        let record = |r: &crate::dns::SrvRecord| Srv {
            target: absolute(&r.target),
            port: r.port,
            priority: r.priority,
            weight: r.weight,
        };
        records.iter().map(record).collect()
    });
    let by_srv = seen.plan.as_ref().is_some_and(|plan| {
        matches!(plan.step, Step::Srv | Step::SrvDeprecated | Step::DelegatedSrv | Step::DelegatedSrvDeprecated)
    });
    let located = || seen.located(Role::Federation);
    let hosts = located().map(|located| {
        let name = located.target.host.to_string();
        (if by_srv { absolute(&name) } else { name }, self::host(located))
    });
    let addrs: Vec<_> = located().flat_map(|located| located.addresses.iter().map(ToString::to_string)).collect();
    DnsResult {
        srv_skipped: skipped,
        srv_cname: found.and(srv).map(|srv| absolute(&srv.name)).unwrap_or_default(),
        srv_records: records,
        srv_error: error,
        hosts: Some(hosts.collect()),
        addrs: (!addrs.is_empty()).then_some(addrs),
    }
}

fn host(located: &Located) -> Host {
    let name = located.target.host.dns();
    let canonical = located.dns.as_ref().and_then(|answer| match &answer.outcome {
        Outcome::Found(found) => found.canonical.clone(),
        Outcome::NoRecords | Outcome::Failed(_) => None,
    });
    let cname = canonical.or_else(|| name.map(str::to_owned)).map(|name| absolute(&name)).unwrap_or_default();
    let error = located.dns.as_ref().and_then(|answer| match &answer.outcome {
        Outcome::Found(_) => None,
        Outcome::NoRecords => Some(format!("lookup {}: no such host", located.target.host)),
        Outcome::Failed(failure) => Some(format!("lookup {}: {failure}", located.target.host)),
    });
    let addrs: Vec<_> = located.addresses.iter().map(|address| address.ip().to_string()).collect();
    Host { cname, addrs: (!addrs.is_empty()).then_some(addrs), error: error.map(Message::from) }
}

/// A name as Go's resolver gives it, with the dot of the root.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}
