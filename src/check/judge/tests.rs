//! Each rule against facts that differ from a healthy server's in one respect.

use super::*;
use crate::check::chain::{Policy, TrustSets, TrustedBy};
use crate::check::discovery::{Discovery, Next, Query, Reply, Target};
use crate::check::finding::Severity;
use crate::check::observe::announced::Announced;
use crate::check::observe::around::Agent;
use crate::check::observe::browser::BrowserSeen;
use crate::check::observe::caa::CaaSeen;
use crate::check::observe::client_api::{ClientSeen, Homeserver};
use crate::check::observe::dns::{Located, Role, SrvSeen};
use crate::check::observe::exposure::Exposure;
use crate::check::observe::federation::{Connection, More};
use crate::check::observe::habits::{Agreed, Habits};
use crate::check::observe::http::{Fetched, HttpAnswer};
use crate::check::observe::http2::Http2Seen;
use crate::check::observe::login::Login;
use crate::check::observe::requests::Requests;
use crate::check::observe::rtc::Focus;
use crate::check::observe::session::Replied;
use crate::check::observe::tls::{Handshake, Stage, Trouble};
use crate::check::observe::well_known::{Hop, Stop, Visit};
use crate::dns::{Addresses, Answer, CaaRecord, CaaSet, Failure, FailureKind, Outcome, SrvRecord};
use crate::matrix::ServerName;
use crate::matrix::keys::SigningKey;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

pub(super) const NOW: Timestamp = Timestamp(1_769_000_000);
const DAY: i64 = 86_400;
const A: &str = "198.41.0.4:443";
const B: &str = "199.9.14.201:443";

/// A self-signed leaf that is its own root: the judge only sees that it verified.
fn handshake(names: &[&str]) -> Handshake {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 4, 1));
    let leaf = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(leaf.clone()).unwrap();
    let roots = TrustSets::of(roots.clone(), roots);
    let chain = Chain::examine(&[leaf], &Host::parse("m.ex.org").unwrap(), &roots, NOW);
    assert!(chain.accepted(Policy::PUBLIC), "{chain:?}");
    let mut chain = chain;
    chain.certificates[0].scts = 2;
    Handshake { version: "TLSv1.3".to_owned(), cipher: String::new(), alpn: None, stapled: false, chain }
}

pub(super) static GOOD: LazyLock<Handshake> = LazyLock::new(|| handshake(&["m.ex.org", "ex.org"]));
pub(super) static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate("a").unwrap());

pub(super) fn answer(status: u16, headers: &[(&'static str, &'static str)], body: impl Into<Bytes>) -> HttpAnswer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    HttpAnswer { status, headers: map, body: body.into(), received: NOW }
}

pub(super) const JSON: &[(&str, &str)] = &[("content-type", "application/json"), ("access-control-allow-origin", "*")];

fn fetched(address: &str, answer: HttpAnswer) -> Fetched {
    let address = address.parse().unwrap();
    Fetched { address, tls: Some(GOOD.clone()), answer: Ok(answer), first_try: None }
}

fn visit(address: &str, answer: HttpAnswer) -> Visit {
    let hop = Hop { url: "https://ex.org/.well-known/matrix/server".to_owned(), fetched: fetched(address, answer) };
    Visit { address: address.parse().unwrap(), hops: vec![hop], stopped: None }
}

fn found(v4: &[&str], v6: &[&str]) -> Addresses {
    Addresses {
        v4: v4.iter().map(|a| a.parse().unwrap()).collect(),
        v6: v6.iter().map(|a| a.parse().unwrap()).collect(),
        ..Addresses::default()
    }
}

fn located(role: Role, host: &str, outcome: Outcome<Addresses>) -> Located {
    let addresses = match &outcome {
        Outcome::Found(found) => found.all().map(|address| SocketAddr::new(address, 443)).collect(),
        _ => Vec::new(),
    };
    let target = Target { host: Host::parse(host).unwrap(), port: 443 };
    let dns = Some(Answer { outcome, took: Duration::from_millis(20) });
    Located { role, target, overridden: false, dns, addresses }
}

fn connection(address: &str) -> Connection {
    let keys = KEY.document("ex.org", (NOW.0 + DAY) * 1000).unwrap().to_string();
    Connection {
        target: Target { host: Host::parse("m.ex.org").unwrap(), port: 443 },
        address: address.parse().unwrap(),
        version: fetched(address, answer(200, JSON, r#"{"server":{}}"#)),
        more: Some(More {
            keys: fetched(address, answer(200, JSON, keys)),
            unknown: fetched(address, answer(404, JSON, r#"{"errcode":"M_UNRECOGNIZED"}"#)),
            only_12: Ok(GOOD.clone()),
            only_13: Ok(GOOD.clone()),
            habits: Habits { no_sni: Some(Ok(GOOD.clone())), wrong_sni: Ok(GOOD.clone()), old: Agreed::default() },
            outdated: None,
            requests: Some(Box::new(requests())),
        }),
    }
}

pub(super) fn reply(answer: HttpAnswer) -> Replied {
    Replied { answer: Ok(answer), first_try: None }
}

/// What homeservers say to whom they do not know.
pub(super) fn refusal(status: u16, code: &str) -> Replied {
    reply(answer(status, JSON, format!(r#"{{"errcode":"{code}"}}"#)))
}

fn requests() -> Requests {
    let refused = || Some(refusal(401, "M_UNAUTHORIZED"));
    let unknown = || Some(refusal(404, "M_UNRECOGNIZED"));
    let version = || answer(200, JSON, r#"{"server":{}}"#);
    let exposure = Exposure { admin: unknown(), metrics: unknown(), replication: unknown(), mas: unknown() };
    let http2 =
        Http2Seen { spoken: true, answers: vec![Ok(version()), refused().unwrap().answer.map_err(|e| e.to_string())] };
    Requests {
        unsigned: refused(),
        plain: refused(),
        slash: refused(),
        characters: refused(),
        each_character: Vec::new(),
        decoded: unknown(),
        double_slash: unknown(),
        dot_segment: unknown(),
        put: Some(refusal(405, "M_UNRECOGNIZED")),
        hosts: vec![("m.ex.org".to_owned(), reply(version())), ("M.EX.ORG:443".to_owned(), reply(version()))],
        agents: vec![reply(version()), reply(version())],
        exposure,
        signed: None,
        http2,
        transaction: Some(announced(13_107_200, 100)),
        finished: true,
    }
}

pub(super) fn announced(length: u64, status: u16) -> Announced {
    Announced { length, status: Some(status), server: Some("nginx".to_owned()), json: false }
}

const OPTIONS: &[(&str, &str)] = &[
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    ("access-control-allow-headers", "X-Requested-With, Content-Type, Authorization, Date"),
];

fn browser() -> BrowserSeen {
    BrowserSeen {
        base_url: "https://m.ex.org".to_owned(),
        versions: Some(reply(answer(200, JSON, r#"{"versions":[]}"#))),
        preflight: Some(reply(answer(204, OPTIONS, ""))),
        error: Some(refusal(401, "M_MISSING_TOKEN")),
        media: Some(announced(50 * 1024 * 1024, 100)),
        exposure: Exposure::default(),
    }
}

pub(super) fn plan(delegate: Option<&str>, srv: Option<(&str, &str)>) -> crate::check::discovery::Plan {
    let mut discovery = Discovery::new(&ServerName::parse("ex.org").unwrap());
    loop {
        let query = match discovery.next() {
            Next::Done(plan) => return plan,
            Next::Ask(query) => query,
        };
        discovery = discovery.reply(match query {
            Query::WellKnown(_) => Reply::WellKnown(delegate.map(|name| ServerName::parse(name).unwrap())),
            Query::Srv(name) => {
                let matching = srv.filter(|(service, _)| name.starts_with(service));
                Reply::Srv(matching.iter().map(|(_, target)| record(target)).collect())
            }
        });
    }
}

fn record(target: &str) -> SrvRecord {
    SrvRecord { priority: 1, weight: 1, port: 8448, target: target.to_owned() }
}

fn srv(name: &str, targets: &[&str]) -> SrvSeen {
    let records: Vec<_> = targets.iter().map(|target| record(target)).collect();
    let outcome = if records.is_empty() { Outcome::NoRecords } else { Outcome::Found(records) };
    SrvSeen { name: name.to_owned(), answer: Answer { outcome, took: Duration::ZERO } }
}

const DELEGATION: &str = r#"{"m.server":"m.ex.org:443"}"#;

pub(super) fn healthy() -> Observation {
    let both = || Outcome::Found(found(&["198.41.0.4", "199.9.14.201"], &["2001:503:ba3e::2:30"]));
    Observation {
        located: vec![located(Role::WellKnown, "ex.org", both()), located(Role::Federation, "m.ex.org", both())],
        well_known: vec![visit(A, answer(200, JSON, DELEGATION)), visit(B, answer(200, JSON, DELEGATION))],
        plan: Some(plan(Some("m.ex.org:443"), None)),
        connections: vec![connection(A), connection(B)],
        client: Some(ClientSeen {
            document: visit(A, answer(200, JSON, r#"{"m.homeserver":{"base_url":"https://m.ex.org/"}}"#)),
            homeserver: Some(Homeserver {
                base_url: "https://m.ex.org/".to_owned(),
                versions: Ok(fetched(A, answer(200, JSON, r#"{"versions":["v1.11"]}"#))),
                auth_metadata: [(); 2].map(|()| fetched(A, answer(404, JSON, "{}"))).to_vec(),
            }),
            support: visit(A, answer(200, JSON, r#"{"support_page":"https://ex.org/"}"#)),
            policy: visit(A, answer(404, JSON, "")),
            rtc: Vec::new(),
            login: None,
        }),
        browser: Some(browser()),
        ..Observation::default()
    }
}

/// What tests judge: a public network in order, seen so.
pub(super) fn case(seen: &Observation) -> Case<'_> {
    Case {
        server: "ex.org",
        policy: Policy::PUBLIC,
        name_server: true,
        system_roots: true,
        now: NOW,
        pinned: None,
        own: None,
        seen,
    }
}

pub(super) fn findings(seen: &Observation, private: bool) -> Vec<Finding> {
    let policy = Policy { private, roots_given: false };
    judge(&Case { policy, ..case(seen) })
}

/// `id` for a failure, `id?` for a warning, `id.` for a remark.
pub(super) fn told(findings: &[Finding]) -> String {
    let mark = |severity| match severity {
        Severity::Fail => "",
        Severity::Warn => "?",
        Severity::Info => ".",
    };
    findings.iter().map(|f| format!("{}{}", f.id.id(), mark(f.severity))).collect::<Vec<_>>().join(" ")
}

pub(super) type Change = fn(&mut Observation);

pub(super) fn table(rows: &[(&str, Change)]) {
    for (row, (expected, change)) in rows.iter().enumerate() {
        let mut seen = healthy();
        change(&mut seen);
        let findings = findings(&seen, false);
        assert_eq!(told(&findings), *expected, "row {row}: {findings:#?}");
        for finding in findings {
            for placeholder in ["{server}", "{subject}", "{host}"] {
                assert!(!finding.remedy.contains(placeholder), "{}", finding.remedy);
            }
        }
    }
}

#[test]
fn a_healthy_server_gives_no_finding() {
    table(&[("", |_| {})]);
}

#[test]
fn names() {
    let long = format!("{}.org", "a".repeat(240));
    for (name, expected) in [
        ("ex.org", ""),
        ("Ex.org", "name.case?"),
        (long.as_str(), "name.length?"),
        ("198.41.0.4", "name.ip."),
        ("[2001:DB8::1]:8448", "name.ip."),
        ("ex.org:8448", "name.port."),
    ] {
        let seen = Observation::default();
        let case = Case { server: name, ..case(&seen) };
        assert_eq!(told(&judge(&case)), expected, "{name}");
    }
}

#[test]
fn addresses_and_records() {
    fn failed(kind: FailureKind) -> Outcome<Addresses> {
        Outcome::Failed(Failure { kind, detail: "no answer".to_owned() })
    }
    table(&[
        ("dns.resolve", |s| s.located[1] = located(Role::Federation, "m.ex.org", Outcome::NoRecords)),
        ("dns.resolve dns.timeout?", |s| {
            s.located[1] = located(Role::Federation, "m.ex.org", failed(FailureKind::ServFail));
        }),
        ("dns.timeout?", |s| s.located[1] = located(Role::Federation, "m.ex.org", failed(FailureKind::Timeout))),
        ("dns.timeout?", |s| s.located[0].dns.as_mut().unwrap().took = Duration::from_secs(4)),
        ("dns.family?", |s| {
            s.located[1] = located(Role::Federation, "m.ex.org", Outcome::Found(found(&[], &["2001:503:ba3e::2:30"])));
        }),
        ("dns.family?", |s| {
            s.located[1] = located(Role::Federation, "m.ex.org", Outcome::Found(found(&["198.41.0.4"], &[])));
        }),
        ("", |s| {
            for host in &mut s.located {
                *host = located(host.role, "m.ex.org", Outcome::Found(found(&["198.41.0.4"], &[])));
            }
        }),
        ("dns.public dns.public", |s| {
            for host in &mut s.located {
                *host = located(host.role, "m.ex.org", Outcome::Found(found(&["10.0.0.1", "192.168.1.1"], &[])));
            }
        }),
        ("dns.public.", |s| {
            let file = Addresses { source: crate::dns::Source::HostsFile, ..found(&["127.0.1.1"], &[]) };
            s.located[1] = located(Role::Federation, "m.ex.org", Outcome::Found(file));
        }),
        ("", |s| {
            s.located[1].overridden = true;
            s.located[1].dns = None;
            s.located[1].addresses = vec!["127.0.0.1:8443".parse().unwrap()];
        }),
        ("dns.family?", |s| {
            s.located[0] = located(Role::WellKnown, "ex.org", Outcome::Found(found(&[], &["2001:503:ba3e::2:30"])));
        }),
        ("dns.family?", |s| {
            s.located[0] = located(Role::WellKnown, "ex.org", Outcome::Found(found(&["198.41.0.4"], &[])));
        }),
        ("", |s| {
            // Without a delegation nothing is missed where it would have been.
            s.located[0] = located(Role::WellKnown, "ex.org", Outcome::Found(found(&["198.41.0.4"], &[])));
            s.plan = Some(plan(None, Some(("_matrix-fed._tcp", "m.ex.org"))));
        }),
        ("dns.srv.legacy?", |s| {
            s.srv = vec![srv("_matrix-fed._tcp.ex.org", &[]), srv("_matrix._tcp.ex.org", &["m.ex.org"])];
        }),
        ("dns.srv.conflict?", |s| {
            s.srv = vec![srv("_matrix-fed._tcp.ex.org", &["a.org"]), srv("_matrix._tcp.ex.org", &["b.org"])];
        }),
        ("", |s| s.srv = vec![srv("_matrix-fed._tcp.ex.org", &["a.org"]), srv("_matrix._tcp.ex.org", &["a.org"])]),
        ("dns.srv.dot", |s| {
            s.srv = vec![srv("_matrix-fed._tcp.ex.org", &["."]), srv("_matrix._tcp.ex.org", &[])];
            s.plan = Some(plan(None, Some(("_matrix-fed._tcp", "."))));
        }),
        ("dns.srv.cname", |s| {
            s.plan = Some(plan(None, Some(("_matrix-fed._tcp", "m.ex.org"))));
            let Outcome::Found(found) = &mut s.located[1].dns.as_mut().unwrap().outcome else { panic!("not found") };
            found.canonical = Some("real.ex.org".to_owned());
        }),
        ("dns.srv.target", |s| {
            s.plan = Some(plan(None, Some(("_matrix-fed._tcp", "m.ex.org"))));
            s.located[1] = located(Role::Federation, "m.ex.org", Outcome::NoRecords);
        }),
    ]);
}

#[test]
fn names_that_do_not_validate_and_records_that_do_not_count() {
    fn failed(kind: FailureKind) -> Outcome<Addresses> {
        Outcome::Failed(Failure { kind, detail: "no answer".to_owned() })
    }
    fn lost() -> Outcome<Vec<SrvRecord>> {
        Outcome::Failed(Failure { kind: FailureKind::ServFail, detail: "SERVFAIL".to_owned() })
    }
    fn shadowed(seen: &mut Observation, outcome: Outcome<Vec<SrvRecord>>) {
        let one = |name: &str| {
            let answer = Answer { outcome: outcome.clone(), took: Duration::ZERO };
            SrvSeen { name: name.to_owned(), answer }
        };
        seen.around.shadowed = vec![one("_matrix-fed._tcp.ex.org"), one("_matrix._tcp.ex.org")];
    }
    table(&[
        ("dns.resolve dns.dnssec?", |s| {
            s.located[1] = located(Role::Federation, "m.ex.org", failed(FailureKind::ServFail));
            s.around.bogus = vec!["m.ex.org".to_owned()];
        }),
        ("dns.dnssec?", |s| {
            s.srv = vec![SrvSeen {
                answer: Answer { outcome: lost(), took: Duration::ZERO },
                ..srv("_matrix._tcp.ex.org", &[])
            }];
            s.around.bogus = vec!["_matrix._tcp.ex.org".to_owned()];
        }),
        ("dns.dnssec.", |s| {
            shadowed(s, lost());
            s.around.bogus = s.around.shadowed.iter().map(|srv| srv.name.clone()).take(1).collect();
            s.around.shadowed.truncate(1);
        }),
        ("dns.timeout.", |s| shadowed(s, lost())),
        ("dns.srv.unused. dns.srv.unused.", |s| shadowed(s, Outcome::Found(vec![record("old.ex.org")]))),
        ("", |s| shadowed(s, Outcome::NoRecords)),
        ("check.limit.", |s| s.left_out = 7),
    ]);
}

#[test]
fn the_delegation_document() {
    fn all(seen: &mut Observation, status: u16, headers: &[(&'static str, &'static str)], body: &str) {
        seen.well_known = [A, B].map(|a| visit(a, answer(status, headers, body.to_owned()))).to_vec();
        seen.well_known.truncate(1);
    }
    fn cached(seen: &mut Observation, value: &'static str) {
        all(seen, 200, &[("content-type", "application/json"), ("cache-control", value)], DELEGATION);
    }
    fn redirected(seen: &mut Observation, status: u16, hops: usize) {
        all(seen, 200, JSON, DELEGATION);
        let first = seen.well_known[0].hops[0].clone();
        for _ in 0..hops {
            let mut hop = first.clone();
            hop.fetched.answer = Ok(answer(status, &[("location", "/x")], ""));
            seen.well_known[0].hops.insert(0, hop);
        }
    }
    table(&[
        ("wk.server.reach?", |s| {
            s.well_known[1].hops[0].fetched.answer = Err(Trouble::Connect("connection refused".to_owned()));
        }),
        ("wk.server.tls", |s| {
            s.well_known[1].hops[0].fetched.tls.as_mut().unwrap().chain.covers_name = false;
        }),
        ("", |s| all(s, 404, JSON, "")),
        ("wk.server.status?", |s| all(s, 403, &[("content-type", "text/html")], "<html>")),
        ("wk.server.json", |s| all(s, 200, JSON, "<html>")),
        ("wk.server.field", |s| all(s, 200, JSON, r#"{"m.homeserver":{}}"#)),
        ("wk.server.value", |s| all(s, 200, JSON, r#"{"m.server":"m.ex.org/"}"#)),
        ("wk.server.port?", |s| all(s, 200, JSON, r#"{"m.server":"m.ex.org"}"#)),
        ("wk.server.port? wk.server.self.", |s| all(s, 200, JSON, r#"{"m.server":"ex.org"}"#)),
        ("wk.server.size?", |s| {
            let body = format!(r#"{{"m.server":"m.ex.org:443","x":"{}"}}"#, "x".repeat(13_000));
            all(s, 200, JSON, &body);
        }),
        ("wk.server.size", |s| s.well_known[1].hops[0].fetched.answer = Err(Trouble::TooLarge(51_200))),
        ("wk.server.ctype?", |s| all(s, 200, &[("content-type", "text/plain")], DELEGATION)),
        ("wk.server.ctype?", |s| all(s, 200, &[], DELEGATION)),
        ("", |s| all(s, 200, &[("content-type", "Application/JSON; charset=utf-8")], DELEGATION)),
        ("", |s| redirected(s, 302, 1)),
        ("wk.server.redirect?", |s| redirected(s, 308, 1)),
        ("wk.server.redirect?", |s| redirected(s, 302, 4)),
        ("wk.server.redirect?", |s| {
            redirected(s, 302, 1);
            s.well_known[0].stopped = Some(Stop::Loop("https://ex.org/".to_owned()));
        }),
        ("wk.server.redirect? check.guard.", |s| {
            redirected(s, 302, 1);
            s.well_known[0].hops[1].fetched.answer = Err(Trouble::Guarded("10.0.0.1 is a private range".to_owned()));
        }),
        ("", |s| cached(s, "public, max-age=3600")),
        ("wk.server.cache?", |s| cached(s, "no-store")),
        ("wk.server.cache?", |s| cached(s, "max-age=60")),
        ("wk.server.cache?", |s| cached(s, "max-age=31536000")),
        ("wk.server.split", |s| s.well_known[1] = visit(B, answer(200, JSON, r#"{"m.server":"x.org:443"}"#))),
        ("wk.server.split", |s| s.well_known[1] = visit(B, answer(404, JSON, ""))),
    ]);
}

fn homeserver(seen: &mut Observation) -> &mut Homeserver {
    seen.client.as_mut().unwrap().homeserver.as_mut().unwrap()
}

fn document(seen: &mut Observation, status: u16, body: &str) {
    seen.client.as_mut().unwrap().document = visit(A, answer(status, JSON, body.to_owned()));
}

#[test]
fn what_clients_find() {
    fn support(seen: &mut Observation, status: u16, body: &str) {
        seen.client.as_mut().unwrap().support = visit(A, answer(status, JSON, body.to_owned()));
    }
    fn versions(seen: &mut Observation, status: u16, body: &'static str) {
        homeserver(seen).versions = Ok(fetched(A, answer(status, JSON, body)));
    }
    table(&[
        ("", |s| document(s, 404, "")),
        ("wk.client.status?", |s| document(s, 500, "")),
        ("wk.client.json?", |s| document(s, 200, "<html>")),
        ("wk.client.json?", |s| document(s, 200, "[]")),
        ("wk.client.base_url?", |s| document(s, 200, "{}")),
        ("wk.client.base_url?", |s| {
            let stop = Stop::NotHttps("http://m.ex.org".to_owned());
            s.client.as_mut().unwrap().homeserver.as_mut().unwrap().versions = Err(stop);
        }),
        ("wk.client.versions?", |s| versions(s, 502, "")),
        ("wk.client.versions?", |s| versions(s, 200, "{}")),
        ("wk.client.identity?", |s| {
            document(s, 200, r#"{"m.homeserver":{"base_url":"https://m.ex.org/"},"m.identity_server":{}}"#);
        }),
        ("wk.client.identity?", |s| {
            let body =
                r#"{"m.homeserver":{"base_url":"https://m.ex.org/"},"m.identity_server":{"base_url":"vector.im"}}"#;
            document(s, 200, body);
        }),
        ("wk.client.msc3575.", |s| {
            let body =
                r#"{"m.homeserver":{"base_url":"https://m.ex.org/"},"org.matrix.msc3575.proxy":{"url":"https://s"}}"#;
            document(s, 200, body);
        }),
        ("wk.support.", |s| support(s, 404, "")),
        ("wk.support?", |s| support(s, 200, "{}")),
        ("wk.support?", |s| support(s, 200, r#"{"contacts":[{"role":"m.role.admin"}]}"#)),
    ]);
}

#[test]
fn what_browsers_may_read() {
    fn support_from(seen: &mut Observation, origin: &'static str, vary: &'static str) {
        let headers = [("access-control-allow-origin", origin), ("vary", vary)];
        let body = r#"{"support_page":"https://ex.org/"}"#;
        seen.client.as_mut().unwrap().support = visit(A, answer(200, &headers, body));
    }
    fn redirected(seen: &mut Observation, headers: &[(&'static str, &'static str)]) {
        let mut hop = seen.client.as_ref().unwrap().document.hops[0].clone();
        hop.fetched.answer = Ok(answer(302, headers, ""));
        seen.client.as_mut().unwrap().document.hops.insert(0, hop);
    }
    table(&[
        ("wk.client.cors?", |s| {
            let body = r#"{"m.homeserver":{"base_url":"https://m.ex.org/"}}"#;
            let twice = [JSON, &[("access-control-allow-origin", "*")]].concat();
            s.client.as_mut().unwrap().document = visit(A, answer(200, &twice, body));
        }),
        ("wk.client.cors?", |s| support_from(s, "https://client.example", "accept")),
        ("", |s| support_from(s, "https://client.example", "accept, Origin")),
        ("wk.client.redirect_cors?", |s| redirected(s, &[("location", "/x")])),
        ("", |s| redirected(s, &[("location", "/x"), ("access-control-allow-origin", "*")])),
        ("wk.client.cors? wk.policy?", |s| s.client.as_mut().unwrap().policy = visit(A, answer(200, &[], "<html>"))),
    ]);
}

#[test]
fn call_back_ends() {
    fn focus(seen: &mut Observation, health: Result<Fetched, Stop>) {
        seen.client.as_mut().unwrap().rtc = vec![Focus { url: "https://rtc.ex.org/jwt".to_owned(), health }];
    }
    table(&[
        ("wk.client.rtc?", |s| {
            let body = r#"{"m.homeserver":{"base_url":"https://m.ex.org/"},"org.matrix.msc4143.rtc_foci":{}}"#;
            document(s, 200, body);
        }),
        ("", |s| focus(s, Ok(fetched(A, answer(200, &[], ""))))),
        ("wk.client.rtc?", |s| focus(s, Ok(fetched(A, answer(502, &[], ""))))),
        ("wk.client.rtc?", |s| focus(s, Err(Stop::NotHttps("http://rtc.ex.org".to_owned())))),
        ("wk.client.rtc?", |s| {
            let mut seen = fetched(A, answer(200, &[], ""));
            seen.answer = Err(Trouble::Guarded("10.0.0.1 is a private range".to_owned()));
            focus(s, Ok(seen));
        }),
        ("wk.client.rtc?", |s| {
            let mut seen = fetched(A, answer(200, &[], ""));
            seen.tls = Some(handshake(&["m.ex.org", "rtc.ex.org"]));
            seen.tls.as_mut().unwrap().chain.covers_name = false;
            focus(s, Ok(seen));
        }),
    ]);
}

#[test]
fn the_chain_to_the_login() {
    const METADATA: &str = r#"{"issuer":"https://auth.ex.org/","code_challenge_methods_supported":["S256"]}"#;
    fn seen(seen: &mut Observation) -> (&mut Homeserver, &mut Login) {
        let client = seen.client.as_mut().unwrap();
        (client.homeserver.as_mut().unwrap(), client.login.as_mut().unwrap())
    }
    /// A server with a whole chain.
    fn whole(s: &mut Observation) {
        let client = s.client.as_mut().unwrap();
        let body = r#"{"m.homeserver":{"base_url":"https://m.ex.org/"},"org.matrix.msc2965.authentication":{"issuer":"https://auth.ex.org/"}}"#;
        client.document = visit(A, answer(200, JSON, body));
        client.homeserver.as_mut().unwrap().auth_metadata[0] = fetched(A, answer(200, JSON, METADATA));
        client.login = Some(Login {
            issuer: "https://auth.ex.org/".to_owned(),
            discovery: Ok(fetched(A, answer(200, JSON, METADATA))),
            keys: Some(("https://auth.ex.org/jwks".to_owned(), Ok(fetched(A, answer(200, JSON, r#"{"keys":[]}"#))))),
        });
    }
    let rows: &[(&str, &str, Change)] = &[
        ("", "", |_| {}),
        ("", "", |s| {
            // The unstable endpoint is enough, and so is none in the document.
            let (homeserver, _) = seen(s);
            homeserver.auth_metadata.swap(0, 1);
            let body = r#"{"m.homeserver":{"base_url":"https://m.ex.org/"}}"#;
            s.client.as_mut().unwrap().document = visit(A, answer(200, JSON, body));
        }),
        ("wk.client.auth?", "no metadata", |s| seen(s).0.auth_metadata[0].answer = Ok(answer(404, JSON, ""))),
        ("wk.client.auth?", "slash", |s| {
            let other = METADATA.replace("org/", "org");
            seen(s).0.auth_metadata[0].answer = Ok(answer(200, JSON, other));
        }),
        ("wk.client.auth?", "\"https://other.org\", not", |s| {
            let other = METADATA.replace("auth.ex.org/", "other.org");
            seen(s).0.auth_metadata[1].answer = Ok(answer(200, JSON, other));
        }),
        ("wk.client.auth?", "S256", |s| {
            seen(s).0.auth_metadata[0].answer = Ok(answer(200, JSON, METADATA.replace("S256", "plain")));
        }),
        ("wk.client.auth?", "no Access-Control", |s| {
            seen(s).0.auth_metadata[0].answer = Ok(answer(200, &[], METADATA));
        }),
        ("wk.client.auth?", "status 502", |s| seen(s).1.discovery = Ok(fetched(A, answer(502, JSON, "")))),
        ("wk.client.auth?", "JSON", |s| seen(s).1.discovery = Ok(fetched(A, answer(200, JSON, "<html>")))),
        ("wk.client.auth?", "slash", |s| {
            seen(s).1.discovery = Ok(fetched(A, answer(200, JSON, METADATA.replace("org/", "org"))));
        }),
        ("wk.client.auth?", "no Access-Control", |s| {
            seen(s).1.discovery = Ok(fetched(A, answer(200, &[], METADATA)));
        }),
        ("wk.client.auth?", "no address", |s| {
            seen(s).1.discovery = Err(Stop::NoAddress("auth.ex.org".to_owned()));
        }),
        ("wk.client.auth?", "no list", |s| {
            seen(s).1.keys.as_mut().unwrap().1 = Ok(fetched(A, answer(200, JSON, "{}")));
        }),
        ("wk.client.auth?", "status 404", |s| {
            seen(s).1.keys.as_mut().unwrap().1 = Ok(fetched(A, answer(404, JSON, "{}")));
        }),
    ];
    for (row, (expected, word, change)) in rows.iter().enumerate() {
        let mut seen = healthy();
        whole(&mut seen);
        change(&mut seen);
        let findings = findings(&seen, false);
        assert_eq!(told(&findings), *expected, "row {row}: {findings:#?}");
        assert!(findings.iter().all(|finding| finding.detail.contains(word)), "row {row}: {findings:#?}");
    }
}

#[test]
fn beside_the_way() {
    fn agents(seen: &mut Observation, answers: [HttpAnswer; 3]) {
        let names = crate::check::observe::around::AGENTS.into_iter();
        let agents = names.zip(answers).map(|(name, answer)| Agent { name, fetched: fetched(A, answer) });
        seen.around.agents = agents.collect();
    }
    fn port(seen: &mut Observation, outcome: Result<HttpAnswer, Trouble>) {
        let seen_there = Fetched { answer: outcome, ..fetched("198.41.0.4:8448", answer(200, JSON, "{}")) };
        seen.around.fallback = vec![seen_there];
    }
    fn good() -> HttpAnswer {
        answer(200, JSON, DELEGATION)
    }
    fn blocked() -> HttpAnswer {
        answer(403, &[("server", "cloudflare"), ("content-type", "text/html")], "<html>")
    }
    table(&[
        ("", |s| agents(s, [good(), good(), good()])),
        ("", |s| {
            for visit in &mut s.well_known {
                visit.hops[0].fetched.answer = Ok(answer(404, JSON, ""));
            }
            agents(s, [(); 3].map(|()| answer(404, &[], "another page")));
        }),
        ("wk.server.bot?", |s| agents(s, [good(), blocked(), good()])),
        ("wk.server.bot?", |s| agents(s, [blocked(), blocked(), blocked()])),
        ("wk.server.bot?", |s| agents(s, [good(), good(), answer(200, JSON, r#"{"m.server":"x.org:1"}"#)])),
        ("", |s| port(s, Ok(answer(200, JSON, r#"{"server":{}}"#)))),
        ("", |s| port(s, Err(Trouble::Connect("connection refused".to_owned())))),
        ("", |s| port(s, Err(Trouble::NoRoute("no route".to_owned())))),
        ("wk.fallback8448?", |s| port(s, Err(Trouble::Timeout(Stage::Connect, Duration::from_secs(5))))),
        ("wk.fallback8448?", |s| port(s, Err(Trouble::Handshake("not TLS".to_owned())))),
        ("wk.fallback8448?", |s| port(s, Ok(answer(404, JSON, "")))),
        ("wk.fallback8448?", |s| {
            port(s, Ok(answer(200, JSON, "")));
            s.around.fallback[0].tls.as_mut().unwrap().chain.covers_name = false;
        }),
        ("wk.fallback8448.", |s| {
            // The server name stands at another machine than the homeserver.
            s.located[0].addresses = vec!["192.5.5.241:443".parse().unwrap()];
            port(s, Err(Trouble::Timeout(Stage::Connect, Duration::from_secs(5))));
        }),
    ]);
    let mut seen = healthy();
    agents(&mut seen, [good(), blocked(), good()]);
    let detail = findings(&seen, false).remove(0).detail;
    assert!(detail.contains("Synapse/1.157.1 gets 200 (application/json), "), "{detail}");
    assert!(detail.contains("Go-http-client/1.1 gets 403 (text/html) from cloudflare"), "{detail}");
}

#[test]
fn certification_authorities() {
    fn set(records: &[(&str, &str)]) -> Outcome<CaaSet> {
        let records = records.iter().map(|(tag, value)| CaaRecord::new(0, tag, value.as_bytes())).collect();
        Outcome::Found(CaaSet { owner: "ex.org".to_owned(), records })
    }
    fn failed(kind: FailureKind) -> Outcome<CaaSet> {
        Outcome::Failed(Failure { kind, detail: "no answer".to_owned() })
    }
    const LE: &str = "C=US, O=Let's Encrypt, CN=R12";
    let rows = [
        (LE, false, Outcome::NoRecords, ""),
        (LE, false, set(&[("issue", "letsencrypt.org")]), ""),
        (LE, false, set(&[("issue", "letsencrypt.org; validationmethods=dns-01")]), ""),
        (LE, false, set(&[("issue", "letsencrypt.org; accounturi=https://a.test/1")]), ""),
        (LE, false, set(&[("issue", "pki.goog")]), "dns.caa?"),
        (LE, false, set(&[("issue", ";")]), "dns.caa?"),
        (LE, true, set(&[("issue", "letsencrypt.org"), ("issuewild", ";")]), "dns.caa?"),
        (LE, false, set(&[("issue", "letsencrypt.org"), ("issuewild", ";")]), ""),
        ("CN=Some CA, O=A Company", false, set(&[("issue", "pki.goog")]), ""),
        (LE, false, failed(FailureKind::ServFail), "dns.caa?"),
        (LE, false, failed(FailureKind::NoNameServer), ""),
        ("O=A Company", false, failed(FailureKind::ServFail), ""),
    ];
    for (issuer, wildcard, outcome, expected) in rows {
        let mut seen = healthy();
        let answer = Answer { outcome, took: Duration::ZERO };
        seen.caa = vec![CaaSeen { name: "ex.org".to_owned(), wildcard, issuer: issuer.to_owned(), answer }];
        let findings = findings(&seen, false);
        assert_eq!(told(&findings), expected, "{findings:#?}");
        if let [finding] = findings.as_slice() {
            let tag = if finding.subject.starts_with('*') { "issuewild" } else { "issue" };
            let exact = format!("add the record  ex.org. CAA 0 {tag} \"letsencrypt.org\"");
            assert!(finding.remedy == exact || finding.remedy.contains("dig ex.org CAA"), "{finding:#?}");
        }
    }
}

#[test]
fn connections() {
    fn more(seen: &mut Observation) -> &mut More {
        seen.connections[0].more.as_mut().unwrap()
    }
    fn broken(trouble: Trouble) -> impl Fn(&mut Observation) {
        move |seen| {
            seen.connections[0].version.answer = Err(trouble.clone());
            seen.connections[0].version.tls = None;
        }
    }
    table(&[
        ("tcp.connect", |s| {
            broken(Trouble::Connect("refused".to_owned()))(s);
            s.connections[0].more = None;
        }),
        ("check.family.", |s| {
            broken(Trouble::NoRoute("network unreachable".to_owned()))(s);
            s.connections[0].more = None;
        }),
        ("check.guard.", |s| {
            // Else, dns.public speaks of such addresses.
            broken(Trouble::Guarded("10.0.0.1 is a private range".to_owned()))(s);
            s.connections[0].more = None;
        }),
        ("tls.handshake", |s| {
            let trouble = Trouble::Handshake("eof".to_owned());
            broken(trouble.clone())(s);
            let more = more(s);
            (more.only_12, more.only_13) = (Err(trouble.clone()), Err(trouble.clone()));
            (more.keys.answer, more.keys.tls) = (Err(trouble.clone()), None);
            (more.unknown.answer, more.unknown.tls) = (Err(trouble), None);
        }),
        ("tls.alpn", |s| broken(Trouble::Handshake("no application protocol".to_owned()))(s)),
        ("tls.alpn", |s| more(s).keys.answer = Err(Trouble::Timeout(Stage::Handshake, Duration::from_secs(5)))),
        ("tls.v12?", |s| more(s).only_12 = Err(Trouble::Handshake("protocol version".to_owned()))),
        ("tls.v13?", |s| more(s).only_13 = Err(Trouble::Handshake("protocol version".to_owned()))),
        ("fed.version", |s| s.connections[0].version.answer = Err(Trouble::Exchange("closed".to_owned()))),
        ("fed.version", |s| s.connections[0].version.answer = Ok(answer(404, JSON, ""))),
        ("fed.version", |s| s.connections[0].version.answer = Ok(answer(301, JSON, ""))),
        ("fed.version", |s| s.connections[0].version.answer = Ok(answer(200, &[], r#"{"server":{}}"#))),
        ("fed.version", |s| s.connections[0].version.answer = Ok(answer(200, JSON, "{}"))),
        ("fed.404?", |s| more(s).unknown.answer = Ok(answer(404, &[], "<html>"))),
        ("fed.404?", |s| more(s).unknown.answer = Ok(answer(200, JSON, "{}"))),
        ("retry?", |s| more(s).keys.first_try = Some(Trouble::Connect("reset".to_owned()))),
        ("retry?", |s| s.well_known[0].hops[0].fetched.first_try = Some(Trouble::Connect("reset".to_owned()))),
        ("", |s| {
            s.connections[0].version.answer = Ok(answer(
                200,
                &[("content-type", "application/json"), ("date", "Wed, 21 Jan 2026 12:54:00 GMT")],
                r#"{"server":{}}"#,
            ));
        }),
        ("time.skew?", |s| {
            s.connections[0].version.answer = Ok(answer(
                200,
                &[("content-type", "application/json"), ("date", "Wed, 21 Jan 2026 12:58:00 GMT")],
                r#"{"server":{}}"#,
            ));
        }),
        ("check.cut?", |s| s.pending = vec!["198.41.0.4:443".to_owned()]),
    ]);
}

#[test]
fn certificates() {
    fn chain(seen: &mut Observation) -> &mut Chain {
        &mut seen.connections[0].version.tls.as_mut().unwrap().chain
    }
    use crate::check::chain::Trust;
    let rows: &[(&str, &str, Change)] = &[
        ("tls.selfsigned", "tls.selfsigned.", |s| chain(s).trust = Trust::SelfSigned),
        ("tls.untrusted", "tls.untrusted.", |s| chain(s).trust = Trust::UnknownRoot { issuer: "CN=X".to_owned() }),
        ("tls.chain", "tls.chain", |s| {
            chain(s).trust = Trust::Incomplete { issuer: "CN=X".to_owned(), issuer_published: true };
        }),
        ("tls.chain", "tls.untrusted.", |s| {
            chain(s).trust = Trust::Incomplete { issuer: "CN=X".to_owned(), issuer_published: false };
        }),
        ("tls.chain", "tls.chain", |s| chain(s).trust = Trust::Refused("bad signature".to_owned())),
        ("tls.roots", "tls.roots.", |s| chain(s).trusted_by = TrustedBy { system: true, ..TrustedBy::default() }),
        ("tls.roots?", "tls.roots.", |s| chain(s).trusted_by = TrustedBy { mozilla: true, ..TrustedBy::default() }),
        ("", "", |s| chain(s).trusted_by = TrustedBy { given: true, ..TrustedBy::default() }),
        ("tls.name", "tls.name", |s| chain(s).covers_name = false),
        ("tls.cnonly", "tls.cnonly", |s| {
            chain(s).covers_name = false;
            chain(s).certificates[0].names.clear();
            chain(s).certificates[0].subject = "CN=m.ex.org".to_owned();
            s.connections.truncate(1);
        }),
        ("tls.expired", "tls.expired", |s| chain(s).expired = vec![0]),
        ("tls.notyet", "tls.notyet", |s| chain(s).not_yet = vec![0]),
        ("tls.order?", "tls.order?", |s| chain(s).in_order = false),
        ("tls.extra.", "tls.extra.", |s| chain(s).extra = vec![0]),
        ("tls.expiring?", "tls.expiring?", |s| {
            let leaf = &mut chain(s).certificates[0];
            (leaf.not_before, leaf.not_after) = (NOW.plus(-77 * DAY), NOW.plus(13 * DAY));
        }),
        ("", "", |s| chain(s).certificates[0].not_after = NOW.plus(15 * DAY)),
        ("", "", |s| {
            // Six-day certificates are renewed with two days left.
            let leaf = &mut chain(s).certificates[0];
            (leaf.not_before, leaf.not_after) = (NOW.plus(-3 * DAY), NOW.plus(3 * DAY));
        }),
        ("tls.same?", "tls.same?", |s| *chain(s) = handshake(&["m.ex.org"]).chain),
        ("", "", |s| *chain(s) = handshake(&["m.ex.org", "ex.org"]).chain),
    ];
    for (row, (public, private, change)) in rows.iter().enumerate() {
        let mut seen = healthy();
        change(&mut seen);
        assert_eq!(told(&findings(&seen, false)), *public, "row {row}");
        assert_eq!(told(&findings(&seen, true)), *private, "row {row}, private");
    }
}

#[test]
fn keys() {
    fn keys(seen: &mut Observation, status: u16, body: String) {
        for connection in &mut seen.connections {
            connection.more.as_mut().unwrap().keys.answer = Ok(answer(status, JSON, body.clone()));
        }
        seen.connections.truncate(1);
    }
    fn document(left: i64) -> serde_json::Value {
        KEY.document("ex.org", NOW.0 * 1000 + left).unwrap()
    }
    table(&[
        ("fed.keys", |s| keys(s, 502, String::new())),
        ("fed.keys", |s| keys(s, 200, "{}".to_owned())),
        ("fed.keys.name", |s| keys(s, 200, KEY.document("Ex.org", (NOW.0 + DAY) * 1000).unwrap().to_string())),
        ("fed.keys.expired", |s| keys(s, 200, document(0).to_string())),
        ("fed.keys.soon?", |s| keys(s, 200, document(3_000_000).to_string())),
        ("", |s| keys(s, 200, document(3_600_000).to_string())),
        ("fed.keys.sig", |s| {
            let mut document = document(DAY * 1000);
            document["signatures"] = json!({});
            keys(s, 200, document.to_string());
        }),
        ("fed.keys.ed25519", |s| {
            let mut document = document(DAY * 1000);
            document["verify_keys"]["ed25519:a"]["key"] = json!("AAAA");
            keys(s, 200, document.to_string());
        }),
        ("fed.keys.same", |s| {
            let other = SigningKey::generate("a").unwrap().document("ex.org", (NOW.0 + DAY) * 1000).unwrap();
            s.connections[0].more.as_mut().unwrap().keys.answer = Ok(answer(200, JSON, other.to_string()));
        }),
    ]);
}

#[test]
fn without_a_name_server_nothing_is_held_against_the_server() {
    let failure = || Failure { kind: FailureKind::NoNameServer, detail: "none".to_owned() };
    let seen = Observation {
        located: vec![located(Role::Federation, "m.ex.org", Outcome::Failed(failure()))],
        ..Observation::default()
    };
    let case = Case { name_server: false, ..case(&seen) };
    assert_eq!(told(&judge(&case)), "check.network?");
}
