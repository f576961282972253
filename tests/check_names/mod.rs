//! `check` against real name servers and a real web server that does things operators meet: CAA records, DNSSEC that
//! has gone wrong, rules about user agents, redirects without CORS, URLs that lead inside.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::bind::Bind;
use crate::support::ca::{Issued, TestCa};
use crate::support::process::Process;
use crate::support::sandbox::{self, is_root};
use crate::support::vestibule::command;

const SOON: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(120);

/// The resolver, which validates, and the server of the zones that it must not believe.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// A network that nobody outside should be able to steer us into.
const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 1);

/// A trust anchor that no key fits.
const ANCHOR: &str = "static-ds 12345 13 2 \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"";

/// As many SRV records as one message holds.
const RECORDS: usize = 1000;

fn zone(name: &str, records: &str) -> String {
    format!("$TTL 60\n@ SOA ns.{name}. root.{name}. 1 3 1 3600 1\n@ NS ns.{name}.\nns A {RESOLVER}\n{records}\n")
}

/// Two name servers.
fn name_servers() -> [Bind; 2] {
    let good = zone(
        "hs.test",
        &format!(
            "@ A 127.0.0.1\nm A 127.0.0.1\ninside A {INSIDE}\n@ CAA 0 issue \"pki.goog\"\n\
             _matrix._tcp SRV 1 1 8448 old.hs.test.\n"
        ),
    );
    let records =
        |number| format!("_matrix-fed._tcp SRV {number} 1 8448 n{number}.many.test.\nn{number} A 127.0.0.1\n");
    let many = zone("many.test", &(1..=RECORDS).map(records).collect::<String>());
    let bogus = zone("bogus.test", "@ A 127.0.0.1\n");
    let elsewhere = "zone \"bogus.test\" { type primary; file \"bogus.test\"; };";
    let elsewhere = Bind::start(ELSEWHERE, "recursion no;", elsewhere, &[("bogus.test", &bogus)]);
    // In a view, where the options of all tests can be said otherwise.
    let view = format!(
        "view all {{ recursion yes; max-records-per-type 0; dnssec-validation yes; trust-anchors {{ bogus.test. {ANCHOR}; }};
         zone \"hs.test\" {{ type primary; file \"hs.test\"; }};
         zone \"many.test\" {{ type primary; file \"many.test\"; }};
         zone \"bogus.test\" {{ type forward; forward only; forwarders {{ {ELSEWHERE}; }}; }};
         zone \"dead.test\" {{ type forward; forward only; forwarders {{ 127.0.0.9; }}; }}; }};"
    );
    [Bind::start(RESOLVER, "", &view, &[("hs.test", &good), ("many.test", &many)]), elsewhere]
}

/// nginx for all names, with these locations.
fn nginx(folder: &Path, certificate: &Issued, locations: &str) -> Process {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
    let user = if is_root() { "user root;" } else { "" };
    let text = format!(
        r#"daemon off; worker_processes 1; pid {folder}/pid; {user}
events {{ worker_connections 256; }}
http {{
    access_log off; default_type application/json;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen {address} ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        {locations}
    }}
}}
"#,
        folder = folder.display(),
        chain = certificate.chain.display(),
        key = certificate.key.display(),
    );
    let config = folder.join("nginx.conf");
    fs::write(&config, text).expect("a writable folder");
    let mut command = Command::new("/usr/sbin/nginx");
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(&config);
    let mut process = Process::spawn("nginx", &mut command);
    process.wait_until_listening(address, SOON);
    process
}

/// A folder, a CA that is called like a public one, and a certificate for the names of the tests.
fn certificate() -> (TempDir, TestCa, Issued) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca = TestCa::of(folder.path(), "Let's Encrypt");
    let certificate = ca.issue(&["hs.test", "m.hs.test"]);
    (folder, ca, certificate)
}

/// The report of `check` with this CA and the resolver of the sandbox.
fn report(name: &str, ca: &TestCa, more: &[&str]) -> Value {
    let mut check = command(["check", name, "--format", "json", "--resolver", "127.0.0.1:53", "--ca-file"]);
    let output = check.arg(ca.root_file()).args(more).output().expect("the program starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// The findings with this id.
fn findings<'a>(report: &'a Value, id: &str) -> Vec<&'a Value> {
    report["findings"].as_array().expect("a list").iter().filter(|finding| finding["id"] == id).collect()
}

/// The only finding with this id.
#[track_caller]
fn only<'a>(report: &'a Value, id: &str) -> &'a Value {
    match findings(report, id)[..] {
        [finding] => finding,
        _ => panic!("not one {id}: {report:#}"),
    }
}

#[track_caller]
fn says(finding: &Value, key: &str, part: &str) {
    let text = finding[key].as_str().expect("a text");
    assert!(text.contains(part), "{key} lacks {part:?}: {finding:#}");
}

/// A delegation that one agent does not get, and documents that browsers cannot read.
const CARELESS: &str = r#"
        # Several questions take several connections here.
        keepalive_timeout 0;
        location = /.well-known/matrix/server {
            if ($http_user_agent ~ "^Go-http-client") { return 403 "no bots"; }
            add_header Cache-Control "max-age=7200";
            return 200 '{"m.server":"m.hs.test:443"}';
        }
        location = /.well-known/matrix/client { return 302 /moved; }
        location = /moved {
            add_header Access-Control-Allow-Origin "*";
            return 200 '{"m.homeserver":{"base_url":"https://m.hs.test"}}';
        }
        location = /_matrix/client/versions {
            add_header Access-Control-Allow-Origin "*";
            return 200 '{"versions":["v1.11"]}';
        }
        location / { return 404 '{"errcode":"M_UNRECOGNIZED"}'; }
"#;

#[test]
fn what_operators_meet_is_named_with_the_very_fix() {
    sandbox::run(module_path!(), "what_operators_meet_is_named_with_the_very_fix", &[], LIMIT, || {
        let _servers = name_servers();
        let (folder, ca, certificate) = certificate();
        let _nginx = nginx(folder.path(), &certificate, CARELESS);
        let report = report("hs.test", &ca, &["--private"]);
        assert_eq!(report["discovery"]["step"], "3.2", "{report:#}");
        assert!(report["discovery"]["delegation_until"].is_string(), "{report:#}");

        // The certificate is for m.hs.test, and its CAA records are those of the domain.
        let caa = findings(&report, "dns.caa");
        assert!(!caa.is_empty(), "{report:#}");
        for finding in caa {
            says(finding, "detail", "hs.test has CAA 0 issue \"pki.goog\"");
            assert_eq!(finding["remedy"], "add the record  hs.test. CAA 0 issue \"letsencrypt.org\"");
        }
        let unused = only(&report, "dns.srv.unused");
        says(unused, "remedy", "_matrix._tcp.hs.test");
        assert_eq!(unused["severity"], "info");
        let bot = only(&report, "wk.server.bot");
        says(bot, "detail", "Synapse/1.157.1 gets 200 (application/json) from nginx");
        says(bot, "detail", "Go-http-client/1.1 gets 403 (application/json) from nginx");
        let redirect = only(&report, "wk.client.redirect_cors");
        says(redirect, "subject", "https://hs.test/.well-known/matrix/client");
        // Nobody listens there, and the kernel says so at once.
        assert!(findings(&report, "wk.fallback8448").is_empty(), "{report:#}");
    });
}

#[test]
fn wrong_signatures_are_told_from_servers_that_are_away() {
    sandbox::run(module_path!(), "wrong_signatures_are_told_from_servers_that_are_away", &[], LIMIT, || {
        let _servers = name_servers();
        let (_folder, ca, _) = certificate();
        let bogus = report("bogus.test", &ca, &[]);
        assert!(!findings(&bogus, "dns.dnssec").is_empty(), "{bogus:#}");
        assert!(findings(&bogus, "dns.timeout").is_empty(), "{bogus:#}");
        says(findings(&bogus, "dns.dnssec")[0], "remedy", "`delv bogus.test`");
        let dead = report("dead.test", &ca, &[]);
        assert!(findings(&dead, "dns.dnssec").is_empty(), "{dead:#}");
        assert!(!findings(&dead, "dns.timeout").is_empty(), "{dead:#}");
    });
}

/// A zone with a thousand records, and a redirect that never comes to its end.
#[test]
fn a_hostile_network_costs_little() {
    sandbox::run(module_path!(), "a_hostile_network_costs_little", &[], LIMIT, || {
        let _servers = name_servers();
        let (folder, ca, certificate) = certificate();
        let many = report("many.test", &ca, &["--private"]);
        says(only(&many, "check.limit"), "detail", &format!("{} SRV targets", RECORDS - 10));
        assert_eq!(many["connections"].as_array().expect("a list").len(), 10, "{many:#}");
        assert!(many["took_ms"].as_u64().expect("a number") < 10_000, "{many:#}");

        let locations = "location / { return 302 /$request_id; }";
        let _nginx = nginx(folder.path(), &certificate, locations);
        let endless = report("hs.test", &ca, &["--private"]);
        let redirect = only(&endless, "wk.server.redirect");
        says(redirect, "detail", "more than 10 redirects: https://hs.test/.well-known/matrix/server 302, https://");
        assert!(endless["took_ms"].as_u64().expect("a number") < 10_000, "{endless:#}");
    });
}

/// URLs that a document names, and a redirect: each leads to an address inside.
const STEERING: &str = r#"
        location = /.well-known/matrix/client {
            add_header Access-Control-Allow-Origin "*";
            return 200 '{"m.homeserver":{"base_url":"https://inside.hs.test"},
                "org.matrix.msc2965.authentication":{"issuer":"https://inside.hs.test/auth/"},
                "org.matrix.msc4143.rtc_foci":[{"type":"livekit","livekit_service_url":"https://10.66.0.1/jwt"}]}';
        }
        location = /.well-known/matrix/support {
            add_header Access-Control-Allow-Origin "*";
            return 302 https://inside.hs.test/support;
        }
        location / { return 404 '{"errcode":"M_UNRECOGNIZED"}'; }
"#;

#[test]
fn documents_do_not_steer_the_check_into_private_networks() {
    sandbox::run(module_path!(), "documents_do_not_steer_the_check_into_private_networks", &[], LIMIT, || {
        let _servers = name_servers();
        let (folder, ca, certificate) = certificate();
        let _nginx = nginx(folder.path(), &certificate, STEERING);
        let added = Command::new("ip").args(["address", "add", &format!("{INSIDE}/8"), "dev", "lo"]).status();
        assert!(added.is_ok_and(|status| status.success()));
        let inside = TcpListener::bind((INSIDE, 443)).expect("root of the sandbox");
        inside.set_nonblocking(true).expect("a socket of ours");
        // The server itself is on loopback, so that range is open; the other is not.
        let report = report("hs.test", &ca, &[]);
        let refused = "10.66.0.1 is a private range (10.0.0.0/8)";
        says(only(&report, "wk.client.versions"), "detail", refused);
        says(only(&report, "wk.client.rtc"), "detail", refused);
        says(only(&report, "wk.client.auth"), "detail", refused);
        assert!(inside.accept().is_err(), "somebody connected");
        // In a private network it is where everything is.
        let _ = self::report("hs.test", &ca, &["--private", "--timeout", "3s"]);
        assert!(inside.accept().is_ok(), "nobody connected");
    });
}
