//! The loop-back proof, with real nginx and HAProxy in front: on addresses that count as public, in a network of the
//! test's own.

mod hops;

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::front::SOON;
use crate::support::origin::Origin;
use crate::support::sandbox;
use crate::support::vestibule::{Vestibule, command};
use hops::Hops;

const LIMIT: Duration = Duration::from_secs(180);

/// Where vestibule stands behind its hops.
const BEHIND: &str = "127.0.0.1:8443";

/// An address for each server, in this order. The last two are routed to this machine and none of its own, as a
/// public address is behind a router, and connections to them come from [`INSIDE`].
const SERVERS: [&str; 17] = [
    "direct",
    "haproxy-tcp",
    "haproxy-proxied",
    "nginx-tcp",
    "nginx-http",
    "haproxy-http",
    "nginx-path",
    "nginx-host",
    "nginx-dropped",
    "nginx-put",
    "nginx-long",
    "haproxy-put",
    "haproxy-agent",
    "haproxy-forged",
    "other",
    "hairpin",
    "router",
];

const OUTSIDE: [&str; 2] = ["hairpin", "router"];

const INSIDE: &str = "192.168.1.10";

fn address(server: &str) -> String {
    let place = SERVERS.iter().position(|known| *known == server).expect("a server");
    format!("11.0.0.{}", place + 1)
}

fn name(server: &str) -> String {
    format!("{server}.test")
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().expect("ip");
    assert!(done.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The addresses of this machine.
fn furnish() {
    ip(&["address", "add", &format!("{INSIDE}/32"), "dev", "lo"]);
    for server in SERVERS {
        let address = format!("{}/32", address(server));
        match OUTSIDE.contains(&server) {
            true => ip(&["route", "add", "local", &address, "dev", "lo", "src", INSIDE]),
            false => ip(&["address", "add", &address, "dev", "lo"]),
        }
    }
}

fn config(homeserver: &str, folder: &str) -> String {
    let servers: String = SERVERS
        .iter()
        .map(|server| format!("[[server]]\nserver_name = \"{}:443\"\nhomeserver = \"{homeserver}\"\n", name(server)))
        .collect();
    format!(
        "state_dir = \"{folder}/state\"\ntrusted_proxies.from = [\"127.0.0.2\"]\n\
         [listen]\nhttps = [\"{BEHIND}\", \"{}:443\"]\nfederation = []\nhttp = [\"127.0.0.1:8080\"]\nstatus = \"off\"\n\
         admin = \"unix:{folder}/admin.sock\"\nproxy_protocol_from = [\"127.0.0.3\"]\n[tls]\nissuer = \"internal\"\n{servers}",
        address("direct"),
    )
}

/// What a check of the own servers says of each: the proof, and the findings about it as (id, severity, remedy).
struct Said {
    verdict: String,
    proof: Value,
    findings: Vec<(String, String, String, String)>,
}

impl Said {
    fn of(report: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let findings = report["findings"].as_array().expect("a list").iter();
        let about = |finding: &&Value| {
            let id = finding["id"].as_str().expect("text");
            ["loop.", "hdr.", "http.longpoll"].iter().any(|start| id.starts_with(start))
        };
        let parts = |finding: &Value| {
            (text(&finding["id"]), text(&finding["severity"]), text(&finding["detail"]), text(&finding["remedy"]))
        };
        Self {
            verdict: text(&report["verdict"]),
            proof: report["loopback"].clone(),
            findings: findings.filter(about).map(parts).collect(),
        }
    }

    fn ids(&self) -> Vec<(&str, &str)> {
        self.findings.iter().map(|(id, severity, ..)| (id.as_str(), severity.as_str())).collect()
    }
}

/// All own servers, by `vestibule check` with no name.
fn check(vestibule: &Vestibule) -> Vec<(String, Said)> {
    let output = command(["check", "--format", "json", "--config"]).arg(vestibule.config_file()).output();
    let output = output.expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let reports = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let said: Vec<_> = reports
        .map(|report| (report["server_name"].as_str().expect("text").replace(".test:443", ""), Said::of(&report)))
        .collect();
    assert_eq!(said.len(), SERVERS.len(), "{text}{complaint}");
    said
}

const PROVEN: &str = "proven";

type Expected = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// Server, outcome, findings in their order, and what the first finding's remedy holds.
const TABLE: [Expected; 17] = [
    ("direct", PROVEN, &[], ""),
    // What does not open TLS changes nothing, but hides whom it serves unless it tells.
    ("haproxy-tcp", PROVEN, &[("loop.client", "info")], "proxy_protocol_from = [\"127.0.0.1\"]"),
    ("haproxy-proxied", PROVEN, &[], ""),
    ("nginx-tcp", PROVEN, &[("loop.client", "info")], "proxy_protocol_from = [\"127.0.0.1\"]"),
    ("nginx-http", "changed", &[("hdr.auth", "warn"), ("loop.tls", "info")], "stream"),
    ("haproxy-http", PROVEN, &[("loop.tls", "info")], "by TCP"),
    (
        "nginx-path",
        "changed",
        &[("loop.path", "fail"), ("hdr.auth", "warn"), ("loop.tls", "info")],
        "nothing after the port",
    ),
    ("nginx-host", "changed", &[("loop.host", "fail"), ("hdr.auth", "warn"), ("loop.tls", "info")], "Host $http_host;"),
    (
        "nginx-dropped",
        "changed",
        &[("hdr.auth", "fail"), ("hdr.auth", "warn"), ("loop.tls", "info")],
        "proxy_set_header Authorization",
    ),
    ("nginx-put", "changed", &[("loop.put", "fail"), ("hdr.auth", "warn"), ("loop.tls", "info")], "limit_except"),
    (
        "nginx-long",
        "changed",
        &[("loop.header", "warn"), ("hdr.auth", "warn"), ("loop.tls", "info")],
        "large_client_header_buffers",
    ),
    ("haproxy-put", "changed", &[("loop.put", "fail"), ("loop.tls", "info")], "http-request deny"),
    ("haproxy-agent", "changed", &[("loop.agent", "fail"), ("loop.tls", "info")], "http-request deny"),
    (
        "haproxy-forged",
        "changed",
        &[("hdr.xff", "fail"), ("loop.client", "warn"), ("loop.tls", "info")],
        "del-header X-Forwarded-For",
    ),
    ("other", "other", &[("loop.other", "warn")], "another machine of yours"),
    ("hairpin", "unknown", &[("loop.unknown", "info")], "NAT loopback"),
    ("router", "unknown", &[("loop.unknown", "info")], "NAT loopback"),
];

/// Each layout yields exactly what is wrong with it, from the command line and from the self-check alike; and without a
/// vestibule that runs, the check says so and goes on.
#[test]
fn hops_are_found_out() {
    let names: Vec<_> = SERVERS.iter().map(|server| (address(server), name(server))).collect();
    let hosts: Vec<(IpAddr, &str)> =
        names.iter().map(|(address, name)| (address.parse().expect("an address"), name.as_str())).collect();
    sandbox::run(module_path!(), "hops_are_found_out", &hosts, LIMIT, || {
        furnish();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let origin = Origin::start(|talk| {
            loop {
                talk.request()?;
                talk.send("HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")?;
            }
        });
        let hops = Hops::start(folder.path());
        let admin = folder.path().join("admin.sock");
        let mut vestibule = Vestibule::start(&config(&origin.url(), &folder.path().to_string_lossy()));
        for server in SERVERS {
            vestibule.wait_for_certificate(&name(server), SOON);
        }
        let mut wrong = Vec::new();
        for ((server, said), (expected, outcome, ids, remedy)) in check(&vestibule).iter().zip(TABLE) {
            assert_eq!(server, expected);
            let found = said.proof["addresses"][0]["outcome"].as_str().unwrap_or_default();
            let first = said.findings.first().map(|(.., remedy)| remedy.as_str()).unwrap_or_default();
            if (found, said.ids().as_slice()) != (outcome, ids) || !first.contains(remedy) {
                wrong.push(format!(
                    "{server}: expected {outcome} {ids:?} {remedy:?}, found {found} {:#?}",
                    said.findings
                ));
            }
            if OUTSIDE.contains(&server.as_str()) && said.verdict != "unknown" {
                wrong.push(format!("{server}: {}", said.verdict));
            }
            println!("{server:16} {found:8} {:?} {}", said.ids(), said.proof["addresses"][0]["hop"]);
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));

        // The self-check at the start has made the same proof.
        let told = vestibule.process().wait_for_line("id=loop.path", LIMIT);
        assert!(told.contains("server=nginx-path.test:443") && told.contains("nothing after the port"), "{told}");

        idle(&admin.to_string_lossy());

        let file = std::fs::read_to_string(vestibule.config_file()).expect("the configuration");
        vestibule.terminate(SOON);
        let kept = folder.path().join("vestibule.toml");
        std::fs::write(&kept, file).expect("a writable folder");
        let output = command(["check", "--format", "json", "--timeout", "2s", "--config"]).arg(&kept).output();
        let output = output.expect("the program starts");
        let line = String::from_utf8_lossy(&output.stdout).lines().next().expect("a report").to_owned();
        let said = Said::of(&serde_json::from_str(&line).expect("JSON"));
        assert_eq!(said.ids(), [("loop.process", "info")], "{line}");
        drop(hops);
    });
}

/// A hop that ends silent requests after two seconds.
fn idle(admin: &str) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect(admin).expect("somebody answers");
    let name = format!("{}:443", name("nginx-http"));
    stream
        .write_all(format!("{{\"command\":\"check loop-back\",\"name\":\"{name}\",\"deep\":true}}\n").as_bytes())
        .expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer with an end");
    let line: Value = serde_json::from_str(answer.lines().next().expect("a line")).expect("JSON");
    let seen: Value = serde_json::from_str(line["line"].as_str().expect("text")).expect("JSON");
    let cut = &seen["idle"]["end"]["cut"];
    assert_eq!(cut["after"], 2, "{answer}");
    assert!(cut["with"].as_str().expect("text").contains("504"), "{answer}");
    assert!(answer.ends_with("{\"exit\":0}\n"), "{answer}");
}
