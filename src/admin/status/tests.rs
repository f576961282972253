//! The pages as a whole, over made-up facts.

use super::view::{
    CertificateView, HeldView, ListenerView, Moment, ProcessView, State, Summary, View, certificates, servers, summary,
    upstreams,
};
use super::*;
use crate::acme::ledger::{Budget, Hold};
use crate::acme::plan::{Reason, Step};
use crate::acme::status::{CaBudget, KeptStatus, Trouble};
use crate::acme::window::Window;
use crate::certs::{Certificate, Published, Store};
use crate::check::Code;
use crate::check::finding::Finding;
use crate::check::report::{Report, Verdict};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::net::connections::Connections;
use crate::net::listen::Role;
use crate::telemetry::origins::{Answered, Origins};
use crate::upstream::Commons;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// 2026-09-21 14:13:20 UTC.
const NOW: Timestamp = Timestamp(1_790_000_000);

const DAY: i64 = 86_400;

fn config() -> Arc<Config> {
    let text = r#"
        server_name = "example.com"
        public_host = "matrix.example.com"
        homeserver = "unix:/run/synapse/main.sock"
        [[upstream]]
        name = "sync"
        endpoints = ["http://127.0.0.1:8082"]
        serves = ["sync"]
        [acme]
        directory = "https://ca.test/dir"
        [check]
        status_check = true
    "#;
    Arc::new(Config::parse(text, Path::new("t.toml")).unwrap())
}

/// Valid from 2026-08-01 to 2026-10-30.
fn certificate(names: &[String]) -> Certificate {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    params.serial_number = Some(vec![1, 2, 3].into());
    (params.not_before, params.not_after) = (date_time_ymd(2026, 8, 1), date_time_ymd(2026, 10, 30));
    let pem = params.self_signed(&key).unwrap().pem();
    Certificate::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
}

fn report(verdict: Verdict, findings: Vec<Finding>) -> Report {
    let server_name = "example.com".to_owned();
    Report {
        server_name,
        verdict,
        private: false,
        findings,
        discovery: None,
        connections: Vec::new(),
        clients: None,
        homeserver: None,
        loopback: None,
        took_ms: 2_345,
    }
}

fn kept(config: &Config, well: bool) -> KeptStatus {
    let names = config.names.orders()[0].names.clone();
    let shown: Vec<_> = names.iter().map(ToString::to_string).collect();
    let at = NOW.plus(if well { 3 * DAY } else { 3_600 });
    KeptStatus {
        certificate: Some(certificate(&shown)),
        ca: Some("ca.test_dir".to_owned()),
        plan: Step { ca: 0, at, reason: Reason::Window, held_by: (!well).then_some(Hold::BackOff { failures: 3 }) },
        window: Some(Window {
            certificate: "x.y".to_owned(),
            start: NOW.plus(2 * DAY),
            end: NOW.plus(4 * DAY),
            chosen: NOW.plus(3 * DAY),
            explanation: None,
            named: NOW.plus(-DAY),
            ask_again: NOW.plus(3_600),
        }),
        last_failure: (!well).then(|| Trouble {
            at: NOW.plus(-1_800),
            kind: None,
            detail: "the CA could not connect to 192.0.2.7 port 443".to_owned(),
        }),
        budgets: vec![CaBudget {
            directory: "https://ca.test/dir".to_owned(),
            budget: Budget {
                certificates_left_this_week: 3,
                exempt_this_week: 0,
                failures_left_this_hour: if well { 2 } else { 0 },
                next_free: Some(NOW.plus(1_800)),
            },
        }],
        names,
        problems: Vec::new(),
    }
}

fn findings() -> Vec<Finding> {
    let of = |code, subject: &str, detail: &str| Finding::new(code, "example.com", subject, detail).for_host(subject);
    vec![
        of(Code::DnsResolve, "matrix.example.com", "no A and no AAAA record"),
        of(Code::DnsSrvLegacy, "example.com", "_matrix._tcp.example.com leads to matrix.example.com:8448"),
        of(Code::NameIp, "example.com", "<script>alert(\"no\")</script>"),
    ]
}

/// The view where all is well, where much is not, or where nothing is known yet (`None`).
fn view(well: Option<bool>) -> View {
    let config = config();
    let commons = Commons::new();
    let homeserver = commons.metrics_of(&config.servers[0].homeserver);
    for counter in [&homeserver.held, &homeserver.held, &homeserver.held, &homeserver.saved] {
        counter.count();
    }
    if well == Some(true) {
        homeserver.saved.count();
        homeserver.lost.count();
    }
    let checks = Checks::default();
    if let Some(well) = well {
        let (verdict, findings) = match well {
            true => (Verdict::Federates, findings().split_off(2)),
            false => (Verdict::Fails, findings()),
        };
        checks.ended(NOW.plus(-720), report(verdict, findings));
        checks.planned(NOW.plus(20_880));
    }
    let answered = BTreeMap::from([("example.com".to_owned(), Answered { hour: 41, day: 1_312 })]);
    let servers = servers(&config.servers, &checks, &answered);
    let kept = kept(&config, well != Some(false));
    let certificates = certificates(&config, &BTreeMap::new(), config.names.orders(), Ok(vec![kept]), NOW);
    let mut standings = commons.standings();
    if well == Some(false) {
        standings[0].up = false;
        let (since, why) = (Instant::now(), "connection refused".to_owned());
        standings[0].down = Some(crate::upstream::Down { since, why });
    }
    let upstreams = upstreams(&config, &standings, NOW);
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    View {
        now: Moment(NOW),
        summary: summary(&servers, &certificates, &upstreams),
        servers,
        certificates,
        upstreams,
        held: HeldView::sum(&standings),
        listeners: vec![
            ListenerView::new(Role::Https, address("[::]:443")),
            ListenerView::new(Role::Federation, address("192.0.2.1:8448")),
            ListenerView::new(Role::Status, address("[::1]:9464")),
        ],
        connections: 17,
        process: ProcessView {
            version: "0.0.0",
            phase: "ready",
            started: Moment(NOW.plus(-3 * DAY)),
            uptime_seconds: 3 * DAY,
            configured: Moment(NOW.plus(-3 * DAY)),
        },
    }
}

#[tokio::test]
async fn the_data_has_the_documented_shape() {
    insta::with_settings!({
        snapshot_path => "../../../tests/snapshots", prepend_module_to_snapshot => false, omit_expression => true
    }, {
        insta::assert_snapshot!("status-well", serde_json::to_string_pretty(&view(Some(true))).unwrap());
        insta::assert_snapshot!("status-failing", serde_json::to_string_pretty(&view(Some(false))).unwrap());
    });
}

#[tokio::test]
async fn the_page_says_first_whether_all_is_well_and_then_what_to_type() {
    for (well, headline, first) in [
        (Some(true), "All is well", None),
        (None, "The first check has not ended yet", None),
        (
            Some(false),
            "The homeserver does not answer",
            Some("curl --unix-socket /run/synapse/main.sock http://localhost/health"),
        ),
    ] {
        let page = page::overview(&view(well), None);
        assert!(page.contains(&format!("<h1>{headline}</h1>")), "{page}");
        let told = page.split("class=\"fix\">").nth(1).and_then(|rest| rest.split("</code>").next());
        match first {
            Some(_) => assert_eq!(told, first),
            None => assert!(!page.contains("What to do"), "{page}"),
        }
        assert!(!page.contains("<form"), "no form without a token");
        assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("http-equiv"), "{page}");
    }
    let failing = page::overview(&view(Some(false)), Some("t0ken"));
    for there in [
        "connection refused; 2 requests wait",
        "&lt;script&gt;",
        "value=\"t0ken\"",
        "add an A and an AAAA record for matrix.example.com",
        "0 of 2 failures this hour at ca.test",
        "back-off after 3 failures",
        "about 41 servers in the last hour",
    ] {
        assert!(failing.contains(there), "{there} is not in {failing}");
    }
}

#[test]
fn what_is_wrong_is_told_once_and_the_worst_first() {
    let problems = |certificates: &[CertificateView]| {
        let Summary { state, headline, problems } = summary(&[], certificates, &[]);
        let told = problems.into_iter().map(|problem| format!("{}: {}", problem.about, problem.fix));
        (state, headline, told.collect::<Vec<_>>())
    };
    let config = config();
    let at = |now: Timestamp| {
        let kept = KeptStatus { problems: Vec::new(), ..kept(&config, true) };
        certificates(&config, &BTreeMap::new(), &[], Ok(vec![kept]), now)
    };
    let until = Timestamp(1_793_318_400);
    let renew = "example.com, matrix.example.com: vestibule certs renew example.com".to_owned();
    for (left, state, headline) in [
        (20 * DAY, State::Good, "All is well"),
        (14 * DAY, State::Attention, "It works, with one thing to mend"),
        (5 * DAY, State::Bad, "A certificate is about to expire"),
        (-DAY, State::Bad, "A certificate has expired"),
    ] {
        let told = if state == State::Good { Vec::new() } else { vec![renew.clone()] };
        assert_eq!(problems(&at(until.plus(-left))), (state, headline.to_owned(), told), "{left}");
    }
    let unreadable = certificates(&config, &BTreeMap::new(), config.names.orders(), Err("no".to_owned()), NOW);
    let (state, headline, told) = problems(&unreadable);
    assert_eq!((state, headline.as_str(), told), (State::Bad, "A certificate is missing", vec![renew]));
    assert_eq!(problems(&[]).0, State::Good);
}

/// A status listener's answers, with a form that finds every name well.
fn status() -> (Status, Lifecycle) {
    let (config, lifecycle) = (config(), Lifecycle::default());
    let sources = Sources {
        published: Arc::new(Published::default()),
        store: Store::memory(),
        orders: tokio::sync::watch::Sender::new(config.names.orders().to_vec()).subscribe(),
        connections: Arc::new(Connections::new(100)),
        commons: Arc::new(Commons::new()),
        origins: Arc::new(Origins::new()),
        checks: Checks::default(),
        listeners: Vec::new(),
        started: NOW,
        clock: Clock::fixed(NOW),
        config,
    };
    let form = CheckForm::new(|name| {
        Box::pin(async move { Report { server_name: name, ..report(Verdict::Federates, Vec::new()) } })
    });
    (Status::new(Exposition::default(), lifecycle.clone(), sources, form), lifecycle)
}

async fn ask(status: &Status, method: &str, path: &str, host: &str, body: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .header("origin", format!("http://{host}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let answer = status.answer(request, &Arrival::new([127, 0, 0, 1].into())).await;
    let code = answer.status().as_u16();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("-inline'"), "{policy}");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn pages_by_method_path_and_phase() {
    let (status, lifecycle) = status();
    for (phase, ready) in [(Phase::Starting, 503), (Phase::Ready, 200), (Phase::Stopping, 503)] {
        lifecycle.enter(phase);
        assert_eq!(ask(&status, "GET", "/readyz", "x", "").await.0, ready, "{phase:?}");
        assert_eq!(ask(&status, "GET", "/livez", "x", "").await.0, 200);
    }
    for (method, path, expected) in [
        ("HEAD", "/metrics", 200),
        ("GET", "/metrics?x=y", 200),
        ("GET", "/metrics/", 404),
        ("GET", "http://any.host/livez", 200),
        ("GET", "/", 200),
        ("GET", "/status.json", 200),
        ("POST", "/", 405),
        ("POST", "/metrics", 405),
        ("DELETE", "/nowhere", 405),
        ("OPTIONS", "/metrics", 405),
        ("GET", "/check", 303),
        ("PUT", "/check", 405),
    ] {
        assert_eq!(ask(&status, method, path, "x", "").await.0, expected, "{method} {path}");
    }
    let without = Status { form: None, ..self::status().0 };
    assert_eq!(ask(&without, "POST", "/check", "localhost", "").await.0, 405);
    assert_eq!(ask(&without, "GET", "/check", "localhost", "").await.0, 404);
}

#[tokio::test]
async fn the_form_works_for_the_page_and_for_nobody_else() {
    let (status, _) = status();
    let (_, page) = ask(&status, "GET", "/", "localhost:9464", "").await;
    let token = page.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let (_, foreign) = ask(&status, "GET", "/", "evil.example", "").await;
    assert!(!foreign.contains(token) && !foreign.contains("<form"), "a foreign name gets no token");
    let body = format!("token={token}&server_name=b.example");
    let (code, result) = ask(&status, "POST", "/check", "localhost:9464", &body).await;
    assert!(code == 200 && result.contains("<h1>b.example federates</h1>"), "{result}");
    for (host, body, expected) in [
        ("evil.example", body.clone(), 403),
        ("localhost", "server_name=b.example".to_owned(), 403),
        ("localhost", format!("token={token}"), 400),
        ("localhost", format!("{body}{}", "x".repeat(3_000)), 400),
    ] {
        assert_eq!(ask(&status, "POST", "/check", host, &body).await.0, expected, "{body}");
    }
    for expected in [200, 200, 200, 200, 200, 429] {
        assert_eq!(ask(&status, "POST", "/check", "localhost", &body).await.0, expected);
    }
}

/// The policy names the style sheet that is in the page, and nothing in the page needs more.
#[tokio::test]
async fn the_policy_fits_the_page() {
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine as _;
    let page = page::overview(&view(Some(true)), None);
    let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
    let hash = base64::prelude::BASE64_STANDARD.encode(digest(&SHA256, style.as_bytes()));
    assert!(page::policy().contains(&format!("style-src 'sha256-{hash}'")));
    assert!(!page.contains("src=") && !page.contains("url(") && !page.contains("@import"));
}

/// WCAG 2.2, 1.4.3: text has a contrast of 4.5 to 1 on every background that it stands on.
#[test]
fn colours_are_far_enough_apart() {
    let style = include_str!("page/style.css");
    let (light, dark) = style.split_once("@media (prefers-color-scheme:dark)").unwrap();
    for theme in [light, dark.split_once("}}").unwrap().0] {
        let colour = |name: &str| {
            let hex = theme.split(&format!("--{name}:#")).nth(1).unwrap();
            let hex: String = hex.chars().take_while(char::is_ascii_hexdigit).collect();
            let hex = if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex };
            let part = |at: usize| {
                let value = f64::from(u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap()) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
        };
        let mut pairs = vec![("text", "bg"), ("text", "card"), ("text", "code"), ("soft", "bg"), ("soft", "card")];
        pairs.extend([("link", "bg"), ("link", "card"), ("card", "link")]);
        pairs.extend([
            ("good", "good-bg"),
            ("waiting", "waiting-bg"),
            ("attention", "attention-bg"),
            ("bad", "bad-bg"),
        ]);
        for (one, other) in pairs {
            let (a, b) = (colour(one), colour(other));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{one} on {other}: {contrast:.2}");
        }
    }
}
