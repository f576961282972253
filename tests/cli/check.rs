//! `check` and `demo`: verdicts as exit statuses, for people and for programs.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use super::{complained, printed, run};
use crate::support::front::{Front, NAME, PUBLIC, SOON};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::process::{Process, Signal};
use crate::support::vestibule::command;

/// A homeserver with a signing key, and no more than a check asks of it.
pub(super) fn homeserver() -> Origin {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).expect("randomness");
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key");
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + Duration::from_secs(86_400);
    let public = STANDARD_NO_PAD.encode(key.public_key());
    // Already canonical: keys in order, no spaces.
    let signed = format!(
        r#"{{"old_verify_keys":{{}},"server_name":"{NAME}","valid_until_ts":{},"verify_keys":{{"ed25519:t":{{"key":"{public}"}}}}}}"#,
        tomorrow.as_millis()
    );
    let mut keys: Value = serde_json::from_str(&signed).expect("JSON");
    keys["signatures"] = json!({ NAME: { "ed25519:t": STANDARD_NO_PAD.encode(key.sign(signed.as_bytes())) } });
    let keys = keys.to_string();
    Origin::start(move |talk| {
        loop {
            let request = talk.request()?;
            let refused = || ("401 Unauthorized", r#"{"errcode":"M_UNAUTHORIZED","error":"?"}"#.to_owned());
            let target = request.target();
            let path = target.split('?').next().unwrap_or(target);
            let event = path.strip_prefix("/_matrix/federation/v1/event/");
            let (status, body) = match path {
                _ if request.head.starts_with("OPTIONS ") => ("200 OK", String::new()),
                _ if !request.head.starts_with("GET ") => {
                    ("405 Method Not Allowed", r#"{"errcode":"M_UNRECOGNIZED","error":"?"}"#.to_owned())
                }
                "/_matrix/federation/v1/query/profile" => refused(),
                _ if event.is_some_and(|event| !event.contains('/')) => refused(),
                "/_matrix/federation/v1/version" => {
                    ("200 OK", r#"{"server":{"name":"stub","version":"1"}}"#.to_owned())
                }
                "/_matrix/key/v2/server" => ("200 OK", keys.clone()),
                "/_matrix/client/versions" => ("200 OK", r#"{"versions":["v1.11"]}"#.to_owned()),
                _ => ("404 Not Found", r#"{"errcode":"M_UNRECOGNIZED","error":"?"}"#.to_owned()),
            };
            talk.send(format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\n\
                 Access-Control-Allow-Methods: GET, PUT, DELETE\r\n\
                 Access-Control-Allow-Headers: Authorization, Content-Type\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))?;
        }
    })
}

/// A `check` of that homeserver's name which ends at `front`.
pub(super) fn check(front: &Front, more: &[&str]) -> Command {
    let mut check = command(["check", NAME, "--private", "--ca-file"]);
    check.arg(front.root()).env("NO_COLOR", "1");
    for (port, address) in [(443, front.https()), (8448, front.federation())] {
        for name in [NAME, PUBLIC] {
            check.args(["--connect-to", &format!("{name}:{port}:{}:{}", address.ip(), address.port())]);
        }
    }
    check.args(more);
    check
}

#[test]
fn the_verdict_is_the_status() {
    let origin = homeserver();
    let status = |front: &Front, more: &[&str]| {
        let output = check(front, more).output().expect("the program starts");
        (output.status.code().expect("it ends by itself"), format!("{}{}", printed(&output), complained(&output)))
    };
    let good = Front::with(&origin, "[well_known]\nsupport = { support_page = \"https://hs.invalid/\" }\n");
    for more in [&[][..], &["--strict"]] {
        let (code, said) = status(&good, more);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("verdict=federates"), "{said}");
    }
    let (code, said) = status(&good, &["--timeout", "1ms"]);
    assert_eq!(code, 2, "no answer in time is no answer: {said}");
    assert!(said.contains("verdict=unknown"), "{said}");

    // A minute is less than peers keep it, and that is worth a warning.
    let careless = Front::with(&origin, "[well_known]\ncache_max_age = \"1m\"\n");
    let (code, said) = status(&careless, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("verdict=degraded"), "{said}");
    assert_eq!(status(&careless, &["--strict"]).0, 1);

    let dead = Front::at(&format!("http://127.0.0.1:{}", ports::free()), "");
    let (code, said) = status(&dead, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("verdict=fails") && said.contains("fed.version"), "{said}");
}

/// Without a name, the configured servers are checked, and the internal CA's root is trusted.
#[test]
fn the_own_servers_are_checked_without_naming_them() {
    let origin = homeserver();
    let mut front = Front::before(&origin);
    let file = front.vestibule().config_file();
    let mut check = command(["check", "--format", "json", "--config"]);
    check.arg(file);
    for (port, address) in [(443, front.https()), (8448, front.federation())] {
        for name in [NAME, PUBLIC] {
            check.args(["--connect-to", &format!("{name}:{port}:{}:{}", address.ip(), address.port())]);
        }
    }
    let output = check.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{}{}", printed(&output), complained(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["server_name"], NAME);
}

#[test]
fn the_json_report_has_the_promised_keys() {
    let origin = homeserver();
    let front = Front::with(&origin, "[well_known]\ncache_max_age = \"1m\"\n");
    let output = check(&front, &["--format", "json"]).output().expect("the program starts");
    let text = printed(&output);
    assert_eq!(text.lines().count(), 1, "one report is one line: {text}");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    for key in ["server_name", "verdict", "findings", "discovery", "connections", "took_ms"] {
        assert!(!report[key].is_null(), "no {key} in {text}");
    }
    assert_eq!((&report["server_name"], &report["verdict"]), (&json!(NAME), &json!("degraded")));
    assert!(report["took_ms"].is_u64() && report["connections"].as_array().is_some_and(|list| !list.is_empty()));
    let findings = report["findings"].as_array().expect("a list");
    assert!(!findings.is_empty());
    for finding in findings {
        for key in ["id", "severity", "server", "subject", "detail", "remedy"] {
            assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "no {key} in {finding}");
        }
        assert!(["fail", "warn", "info"].contains(&finding["severity"].as_str().expect("text")), "{finding}");
        let explained = run(["check", "--explain", finding["id"].as_str().expect("text")]);
        assert_eq!(explained.status.code(), Some(0), "{finding}");
        assert!(printed(&explained).starts_with(finding["id"].as_str().expect("text")));
    }
}

#[test]
fn a_name_that_is_none_fails() {
    for name in ["https://hs.invalid", "bad name", "under_score.invalid"] {
        let output = run(["check", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(printed(&output).contains("name.grammar"), "{}", printed(&output));
    }
}

#[test]
fn the_demo_ends_with_its_verdict() {
    let output = run(["demo", "--once"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", printed(&output), complained(&output));
    assert!(printed(&output).contains("verdict=federates"), "{}", printed(&output));
    assert_eq!(complained(&output), "", "nothing to complain about");
}

/// What the demo tells people to try works as it is printed.
#[test]
fn the_demo_serves_and_its_hints_work() {
    let mut demo = Process::spawn("demo", &mut command(["demo"]));
    demo.wait_for_line("Serving until Ctrl-C", SOON);
    let lines = demo.lines();
    let mut tried = 0;
    for line in lines.iter().filter(|line| line.starts_with("curl ") || line.starts_with("vestibule check ")) {
        let words: Vec<_> = line.split_whitespace().collect();
        let output = match words[0] {
            "curl" => {
                Command::new("curl").args(["-q", "-sS", "--noproxy", "*"]).args(&words[1..]).output().expect("curl")
            }
            _ => run(&words[1..]),
        };
        assert_eq!(output.status.code(), Some(0), "{line}: {}", complained(&output));
        tried += 1;
    }
    assert!(tried >= 8, "{tried} hints in {lines:?}");
    let root = lines.iter().find_map(|line| line.split("--cacert ").nth(1)?.split(' ').next()).expect("a root");
    assert!(std::path::Path::new(root).exists());
    demo.signal(Signal::Int);
    assert_eq!(demo.wait(SOON).code(), Some(0));
    assert!(!std::path::Path::new(root).exists(), "{root} is left behind");
}
