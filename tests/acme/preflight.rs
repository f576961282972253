//! What is looked at before an order: on addresses that count as this machine's public ones, with another program on
//! them and a real name server to ask.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vestibule::acme::preflight::{Aspect, Finding, Preflight, Report, ValidationPorts, Verdict};
use vestibule::certs::{Challenges, Store};
use vestibule::config::Challenge;
use vestibule::dns::{FailureKind, Outcome, Resolver};
use vestibule::matrix::HostPattern;
use vestibule::net::listen::Role;
use vestibule::probe::OwnListeners;

use super::LIMIT;
use crate::support::process::Process;
use crate::support::sandbox;

const NAME_SERVER: &str = "127.0.0.1:53";

const BOTH: [Challenge; 2] = [Challenge::TlsAlpn01, Challenge::Http01];

/// Names below `a.test` differ in where they lead; the last ones in who may issue for them.
const ZONE: &str = r#"
$TTL 60
@ SOA ns.a.test. root.a.test. 1 3600 600 86400 60
@ NS ns.a.test.
@ CAA 0 issue "ca.test"
ns A 127.0.0.1
taken A 8.8.8.8
closed A 8.8.4.4
closed AAAA 2a00:1450::1
mixed A 8.8.8.8
mixed AAAA 2a00:1450::9
alias CNAME taken
foreign A 8.8.8.1
other CAA 0 issue "other.test; validationmethods=http-01"
tied CAA 0 issue "ca.test ; validationmethods = http-01"
nobody CAA 0 issue ";"
"#;

/// A real BIND for the zone `a.test`, and for `broken.test`, which it cannot load.
fn name_server(folder: &Path) -> Process {
    fs::write(folder.join("a.zone"), ZONE).expect("a writable folder");
    let quoted = |name: &str| format!("{:?}", folder.join(name).to_string_lossy());
    let config = format!(
        r#"
        options {{
            directory {};
            listen-on {{ 127.0.0.1; }};
            listen-on-v6 {{ none; }};
            recursion no;
            pid-file none;
            session-keyfile none;
        }};
        controls {{ }};
        zone "a.test" {{ type master; file {}; }};
        zone "broken.test" {{ type master; file {}; }};
        "#,
        quoted("."),
        quoted("a.zone"),
        quoted("missing.zone")
    );
    fs::write(folder.join("named.conf"), config).expect("a writable folder");
    let mut named = Command::new("named");
    named.args(["-g", "-n", "1", "-c"]).arg(folder.join("named.conf"));
    let mut named = Process::spawn("named", &mut named);
    named.wait_until_listening(NAME_SERVER.parse().expect("an address"), Duration::from_secs(20));
    named
}

fn command(line: &str) {
    let mut words = line.split(' ');
    let status = Command::new(words.next().expect("a program")).args(words).status();
    assert!(status.is_ok_and(|status| status.success()), "{line}");
}

/// One that has heard of its listeners at ports 80 and 443 of loopback.
fn preflight() -> Preflight {
    let listeners = [(Role::Http, "127.0.0.1:80"), (Role::Https, "127.0.0.1:443")];
    let listeners = listeners.map(|(role, address)| (role, address.parse().expect("an address")));
    Preflight {
        resolver: Resolver::from_server(NAME_SERVER.parse().expect("an address")),
        challenges: Challenges::default(),
        store: Store::memory(),
        own: OwnListeners { listeners: listeners.to_vec(), proxy_protocol_from: Vec::new() },
        ports: ValidationPorts::default(),
    }
}

/// Runs what waits on sockets.
fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

fn examined(name: &str) -> Report {
    let pattern = HostPattern::parse(name).expect("a name");
    let report = wait(preflight().examine(&[pattern], &BOTH, &["ca.test".to_owned()], None));
    for finding in &report.findings {
        println!("{name}: {finding:?}");
    }
    report
}

/// Verdict, detail and remedy of what was found about reaching a name, for TLS-ALPN-01 and HTTP-01.
#[track_caller]
fn reach(report: &Report) -> [(Verdict, &str, &str); 2] {
    let found = report.findings.iter().filter(|finding| finding.what == Aspect::Reach);
    let found: Vec<_> =
        found.map(|finding| (finding.verdict, finding.detail.as_str(), finding.remedy.as_str())).collect();
    found.try_into().expect("one finding for each type")
}

#[test]
fn what_would_certainly_fail_is_found_beforehand() {
    sandbox::run(module_path!(), "what_would_certainly_fail_is_found_beforehand", &[], LIMIT, || {
        // The second address of an interface is as much its own as the first.
        for address in ["8.8.4.4/16", "8.8.8.8/16", "2a00:1450::1/128"] {
            let added = Command::new("ip").args(["address", "add", address, "dev", "lo"]).status();
            assert!(added.is_ok_and(|status| status.success()), "{address}");
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _named = name_server(folder.path());
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-m", "http.server", "80", "--bind", "8.8.8.8", "--directory"]).arg(folder.path());
        let mut python = Process::spawn("http.server", &mut python);
        python.wait_until_listening("8.8.8.8:80".parse().expect("an address"), Duration::from_secs(20));

        for name in ["taken.a.test", "alias.a.test"] {
            let report = examined(name);
            let [tls, http] = reach(&report);
            assert_eq!((tls.0, http.0), (Verdict::Bad, Verdict::Bad));
            assert!(
                http.1.starts_with("this machine's own address: port 80 of 8.8.8.8 is answered by another program (HTTP status 404, SimpleHTTP")
            );
            assert!(http.2.starts_with("see ss -ltnp 'sport = :80'"), "{}", http.2);
            assert!(tls.1.ends_with("own address: port 443 of 8.8.8.8 refuses connections"), "{}", tls.1);
            assert!(report.blocks());
        }

        let report = examined("closed.a.test");
        let [tls, http] = reach(&report);
        assert_eq!((tls.0, http.0), (Verdict::Bad, Verdict::Bad));
        assert!(
            http.1.contains("port 80 of 8.8.4.4 refuses connections; port 80 of 2a00:1450::1 refuses"),
            "{}",
            http.1
        );
        assert!(http.2.starts_with("write listen.http = [\"[::]:80\"]"), "{}", http.2);
        assert!(report.blocks());

        // An address in another network could be anybody's.
        let report = examined("foreign.a.test");
        assert_eq!(reach(&report).map(|found| found.0), [Verdict::Unknown; 2]);
        assert!(!report.blocks());

        // Over TLS, the other family may do.
        let report = examined("mixed.a.test");
        assert_eq!(reach(&report).map(|found| found.0), [Verdict::Unknown, Verdict::Bad]);
        assert_eq!(report.usable(&BOTH), [Challenge::TlsAlpn01]);
        assert!(!report.blocks());

        let report = examined("nothing.a.test");
        let dns = report.bad().next().expect("a name that is not there");
        assert_eq!((dns.what, dns.subject.as_str()), (Aspect::Dns, "nothing.a.test"));
        assert!(report.blocks());
    });
}

#[test]
fn caa_records_come_from_a_real_name_server() {
    sandbox::run(module_path!(), "caa_records_come_from_a_real_name_server", &[], LIMIT, || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _named = name_server(folder.path());
        let resolver = Resolver::from_server(NAME_SERVER.parse().expect("an address"));
        let table = [
            ("taken.a.test", "a.test: 0 issue \"ca.test\""),
            ("x.y.a.test", "a.test: 0 issue \"ca.test\""),
            ("below.other.a.test", "other.a.test: 0 issue \"other.test; validationmethods=http-01\""),
            ("nobody.a.test", "nobody.a.test: 0 issue \";\""),
        ];
        for (name, expected) in table {
            let Outcome::Found(set) = wait(resolver.caa(name)).outcome else { panic!("nothing for {name}") };
            let records: Vec<_> = set.records.iter().map(ToString::to_string).collect();
            assert_eq!(format!("{}: {}", set.owner, records.join(", ")), expected, "{name}");
        }
        let Outcome::Failed(failure) = wait(resolver.caa("x.broken.test")).outcome else { panic!("broken") };
        assert_eq!(failure.kind, FailureKind::ServFail, "{failure}");

        let caa = |name| {
            let report = examined(name);
            let finding = report.findings.iter().find(|finding| finding.what == Aspect::Caa);
            let Finding { verdict, remedy, rules_out, .. } = finding.expect("a finding").clone();
            (verdict, remedy, rules_out)
        };
        let remedy = "add the record  other.a.test. CAA 0 issue \"ca.test\"".to_owned();
        assert_eq!(caa("other.a.test"), (Verdict::Bad, remedy, BOTH.to_vec()));
        assert_eq!(caa("taken.a.test").0, Verdict::Good);
        let tied = caa("tied.a.test");
        assert_eq!((tied.0, tied.2), (Verdict::Bad, vec![Challenge::TlsAlpn01]));
        assert_eq!(caa("x.broken.test").0, Verdict::Unknown);
    });
}
