//! The status listener: what it shows is OpenMetrics and true, and it stays small.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::expiry::{Desk, day};
use crate::support::curl::{Curl, Response};
use crate::support::eventually::eventually;
use crate::support::front::{Front, NAME, PUBLIC, SOON, url};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::process::Signal;
use crate::support::python;
use crate::support::vestibule::Vestibule;

/// Reads with the strict reader of Prometheus' own Python client, and prints each sample.
const READ: &str = r#"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
print(json.dumps([[s.name, f.type, s.labels, s.value] for f in families for s in f.samples]))
"#;

/// The samples by name, the type of their family and their labels in alphabetical order.
type Samples = BTreeMap<String, f64>;

#[track_caller]
fn read(text: &str) -> Samples {
    let mut reader = Command::new(python::program("python"))
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    reader.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = reader.wait_with_output().expect("it ends");
    assert!(output.status.success(), "not OpenMetrics:\n{text}");
    let samples: Vec<(String, String, BTreeMap<String, String>, f64)> =
        serde_json::from_slice(&output.stdout).expect("JSON");
    let described = samples.into_iter().map(|(name, kind, labels, value)| {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (format!("{name} {kind} {}", labels.join(",")).trim_end().to_owned(), value)
    });
    described.collect()
}

#[track_caller]
fn ask(address: SocketAddr, path: &str) -> Response {
    Curl::new().send(&format!("http://{address}{path}"))
}

#[track_caller]
fn metrics(address: SocketAddr) -> Samples {
    let answer = ask(address, "/metrics");
    assert_eq!(answer.status, 200);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(content_type));
    read(&answer.text())
}

/// A vestibule with a status listener, in front of `homeserver`.
#[track_caller]
fn start(homeserver: &str, more: &str) -> Vestibule {
    Vestibule::start(&format!(
        "{}server_name = \"{NAME}\"\npublic_host = \"{PUBLIC}\"\nhomeserver = \"{homeserver}\"\n{more}",
        Front::LOOPBACK.replace("listen.status = \"off\"", "listen.status = \"127.0.0.1:0\"")
    ))
}

#[test]
fn what_is_counted_is_shown() {
    let down = format!("http://{}", SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free())));
    let vestibule = start(&down, "[limits.hold]\nclient = \"300ms\"\n");
    let status = vestibule.address("status");
    let before = metrics(status);
    assert_eq!(before.get("vestibule_connections gauge"), Some(&0.0));
    assert_eq!(before.get(&format!("vestibule_build_info info version={}", env!("CARGO_PKG_VERSION"))), Some(&1.0));
    let age = jiff::Timestamp::now().as_second() as f64 - before["process_start_time_seconds gauge"];
    assert!((0.0..60.0).contains(&age), "{age}");
    let of_upstream = |sample: &&String| sample.contains("upstream=") || sample.starts_with("vestibule_upstream");
    assert_eq!(before.keys().find(of_upstream), None, "no upstream has been used");
    for name in [NAME, PUBLIC] {
        let labels = format!("gauge name={name},server={NAME}");
        assert_eq!(before.get(&format!("vestibule_tls_certificate_expiry_rung {labels}")), Some(&0.0));
        let left = before[&format!("vestibule_tls_certificate_lifetime_ratio {labels}")];
        assert!((0.9..=1.0).contains(&left), "{left}");
    }

    let curl = Curl::new().arguments(["--insecure"]).connect_everything_to(vestibule.address("https"));
    let resting = TcpStream::connect(vestibule.address("https")).expect("it listens");
    curl.send(&url("/_matrix/client/v3/sync")).expect_status(502);
    let after = eventually("the counts", SOON, || {
        let after = metrics(status);
        let lost = format!("vestibule_held_requests_total unknown outcome=lost,upstream={down}");
        if after.get(&lost) == Some(&1.0) { Ok(after) } else { Err(format!("{after:?}")) }
    });
    for (sample, expected) in [
        (format!("vestibule_upstream_up gauge upstream={down}"), 0.0),
        (format!("vestibule_held_requests gauge upstream={down}"), 0.0),
        (format!("vestibule_held_requests_total unknown outcome=saved,upstream={down}"), 0.0),
    ] {
        assert_eq!(after.get(&sample), Some(&expected), "{sample} of {after:?}");
    }
    assert!(after[&format!("vestibule_upstream_connect_failures_total counter upstream={down}")] >= 1.0);
    assert!(after["vestibule_connections gauge"] >= 1.0, "one rests");
    drop(resting);
    let readme = include_str!("../README.md");
    for sample in after.keys() {
        let name = sample.split(' ').next().unwrap_or_default();
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is not in the README");
    }
}

#[test]
fn the_end_of_a_certificate_is_shown() {
    let desk = Desk::new();
    let config = desk.config(&desk.issue(-230, 10), &[]).replace("\"off\"", "\"127.0.0.1:0\"");
    let vestibule = Vestibule::start(&config);
    let samples = metrics(vestibule.address("status"));
    let labels = "gauge name=a.invalid,server=a.invalid";
    let (year, month, day) = day(10);
    let end: jiff::Timestamp = format!("{year}-{month:02}-{day:02}T00:00:00Z").parse().expect("a date");
    let not_after = format!("vestibule_tls_certificate_not_after_timestamp_seconds {labels}");
    assert_eq!(samples.get(&not_after), Some(&(end.as_second() as f64)));
    assert_eq!(samples.get(&format!("vestibule_tls_certificate_expiry_rung {labels}")), Some(&3.0));
    let left = samples[&format!("vestibule_tls_certificate_lifetime_ratio {labels}")];
    assert!((9.0 / 240.0..=10.0 / 240.0).contains(&left), "{left}");
}

#[test]
fn readiness_ends_with_the_first_signal_and_liveness_with_the_program() {
    let (answer, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let origin = Origin::start(move |talk| {
        talk.request()?;
        let _told = told.lock().expect("one at a time").recv();
        talk.answer("finished")
    });
    let mut vestibule = start(&origin.url(), "");
    let status = vestibule.address("status");
    assert_eq!((ask(status, "/readyz").status, ask(status, "/livez").status), (200, 200));
    let curl = Curl::new().arguments(["--insecure"]).connect_everything_to(vestibule.address("https"));
    let client = thread::spawn(move || curl.send(&url("/_matrix/a")));
    origin.wait_for_requests(1, SOON);
    vestibule.process().signal(Signal::Term);
    let stopping = eventually("it is not ready", SOON, || match ask(status, "/readyz") {
        ready if ready.status == 200 => Err("it is"),
        other => Ok(other),
    });
    assert_eq!((stopping.status, stopping.text().as_str()), (503, "stopping\n"));
    assert_eq!(ask(status, "/livez").status, 200);
    answer.send(()).expect("the script waits");
    assert_eq!(client.join().expect("an answer").status, 200);
    assert_eq!(vestibule.process().wait(SOON).code(), Some(0));
    assert!(TcpStream::connect(status).is_err());
}

#[test]
fn it_is_read_only_and_knows_no_host() {
    let vestibule = start("http://127.0.0.1:9", "");
    let status = vestibule.address("status");
    let nothing = ask(status, "/nothing");
    assert_eq!(nothing.status, 404);
    for page in ["/", "/status.json", "/metrics", "/livez", "/readyz"] {
        assert!(nothing.text().contains(page), "{page} is not in {}", nothing.text());
    }
    let at = |path: &str| format!("http://{status}{path}");
    let head = Curl::new().arguments(["--head"]).header("Host", "anything.example").send(&at("/metrics"));
    // curl shows the head where the body would be.
    assert!(head.status == 200 && !head.text().contains("# EOF"), "{}", head.text());
    let length: usize = head.header("content-length").and_then(|length| length.parse().ok()).expect("a length");
    assert!(length > 100, "{length}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = Curl::new().method(method).header("Origin", "https://evil.example").send(&at("/metrics"));
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")), "{method}");
        assert_eq!(refused.header("access-control-allow-origin"), None);
    }
}

/// Whoever signs its requests counts, once, when the homeserver has taken them.
#[test]
fn servers_that_were_answered_are_counted() {
    let origin = Origin::start(|talk| {
        let request = talk.request()?;
        let refused = request.header("authorization").is_some_and(|line| line.contains("bad"));
        talk.send(match refused {
            true => "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}",
            false => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        })
    });
    let vestibule = start(&origin.url(), "");
    let curl = Curl::new().arguments(["--insecure"]).connect_everything_to(vestibule.address("https"));
    for (peer, status) in [("a.invalid", 200), ("b.invalid", 200), ("a.invalid", 200), ("bad.invalid", 401)] {
        let line = format!("X-Matrix origin=\"{peer}\",destination=\"{NAME}\",key=\"ed25519:a\",sig=\"x\"");
        let sent = curl.clone().header("Authorization", &line).send(&url("/_matrix/federation/v1/send/1"));
        sent.expect_status(status);
    }
    curl.send(&url("/_matrix/federation/v1/version")).expect_status(200);
    let samples = metrics(vestibule.address("status"));
    for window in ["1h", "24h"] {
        let sample = format!("vestibule_federation_origins gauge server={NAME},window={window}");
        assert_eq!(samples.get(&sample), Some(&2.0), "{samples:?}");
    }
    let data = ask(vestibule.address("status"), "/status.json").json();
    assert_eq!(data["servers"][0]["origins"], serde_json::json!({ "last_hour": 2, "last_24_hours": 2 }));
}

/// The form is for the page alone, and leads to no address inside.
#[test]
fn the_form_is_no_way_in() {
    let inside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    inside.set_nonblocking(true).expect("a socket");
    let target = inside.local_addr().expect("an address");
    let vestibule = start("http://127.0.0.1:9", "check.status_check = true\n");
    let status = vestibule.address("status");
    let page = ask(status, "/").text();
    let token = page.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let token = token.unwrap_or_else(|| panic!("no form in {page}")).to_owned();
    let submit = |host: &str, origin: &str, site: &str, token: &str| {
        let form =
            ["--data-urlencode", &format!("token={token}"), "--data-urlencode", &format!("server_name={target}")]
                .map(str::to_owned);
        let curl = Curl::new().arguments(form).header("Host", host).header("Origin", origin);
        curl.header("Sec-Fetch-Site", site).send(&format!("http://{status}/check"))
    };
    let (own, local) = (status.to_string(), format!("localhost:{}", status.port()));
    let from = |host: &str| format!("http://{host}");
    for (host, origin, site, token, expected) in [
        ("evil.example", from("evil.example"), "same-origin", token.as_str(), 403),
        (&own, from("evil.example"), "cross-site", &token, 403),
        (&own, from(&own), "cross-site", &token, 403),
        (&own, from(&own), "same-origin", "0123", 403),
        (&own, from(&own), "same-origin", &token, 200),
        (&local, from(&local), "same-origin", &token, 200),
    ] {
        let answer = submit(host, &origin, site, token);
        assert_eq!(answer.status, expected, "{host} {origin} {site}: {}", answer.text());
        if expected == 200 {
            assert!(answer.text().contains("loopback"), "{}", answer.text());
        }
    }
    let connected = inside.accept();
    assert!(connected.is_err(), "somebody was connected to: {connected:?}");
    let rebound = Curl::new().header("Host", "evil.example").send(&format!("http://{status}/"));
    assert!(rebound.status == 200 && !rebound.text().contains(&token), "{}", rebound.text());
}

/// Silent connections take turns with those that ask.
#[test]
fn those_who_say_nothing_do_not_keep_it() {
    let vestibule = start("http://127.0.0.1:9", "");
    let status = vestibule.address("status");
    let started = Instant::now();
    let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(status).expect("it is queued")).collect();
    assert_eq!(ask(status, "/livez").status, 200);
    assert!(started.elapsed() > Duration::from_secs(3), "they were served first");
    drop(silent);
}

#[test]
fn an_address_that_is_taken_is_an_error_unless_nobody_wrote_it() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = taken.local_addr().expect("an address");
    let config = |status: &str| {
        let loopback = Front::LOOPBACK.replace("listen.status = \"off\"\n", status);
        format!("{loopback}server_name = \"{NAME}\"\nhomeserver = \"http://127.0.0.1:9\"\n")
    };
    let mut refused = Vestibule::spawn(&config(&format!("listen.status = \"{address}\"\n")));
    let line = refused.process().wait_for_line("cannot start", SOON);
    assert!(
        line.contains(&format!("listen.status cannot take {address}")) && line.contains("stop that program"),
        "{line}"
    );
    assert_eq!(refused.process().wait(SOON).code(), Some(1));

    // Another test's program may have it for a moment.
    let _default = eventually("the default port", SOON, || TcpListener::bind((Ipv4Addr::LOCALHOST, 9464)));
    let mut served = Vestibule::start(&config(""));
    let line = served.process().wait_for_line("no status listener", SOON);
    assert!(line.contains("WARN") && line.contains("listen.status = \"off\""), "{line}");
    assert!(served.addresses("status").is_empty());
}
