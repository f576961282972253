//! The text, compared as a whole: it is what people see.

use super::*;
use crate::check::catalogue::Code;
use crate::check::finding::{Finding, Severity};
use crate::check::report::{
    CertificateView, ClientsView, ConnectionView, DiscoveryView, HomeserverView, KeysView, Report, RequestsView,
    TlsView, Verdict, VersionView, WellKnownView,
};
use crate::clock::Timestamp;
use std::collections::BTreeMap;

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn report(findings: Vec<Finding>) -> Report {
    let address = "198.41.0.4:443".to_owned();
    let host = || "matrix.example.com".to_owned();
    let verdict = Verdict::of(&findings, true);
    Report {
        server_name: "example.com".to_owned(),
        verdict,
        findings,
        discovery: Some(DiscoveryView {
            delegation_until: None,
            step: "3.2",
            meaning: "delegated by .well-known",
            targets: strings(&["matrix.example.com:443"]),
            host_header: "matrix.example.com:443".to_owned(),
            certificate_name: host(),
            sni: Some(host()),
            well_known: vec![WellKnownView {
                address: address.clone(),
                status: Some(200),
                m_server: Some("matrix.example.com:443".to_owned()),
                redirects: Vec::new(),
                error: None,
                certificates: Vec::new(),
                presented_by: None,
            }],
            srv: BTreeMap::new(),
            addresses: BTreeMap::from([
                ("example.com:443".to_owned(), strings(&[&address])),
                ("matrix.example.com:443".to_owned(), strings(&[&address, "[2001:503:ba3e::2:30]:443"])),
            ]),
            overridden: Vec::new(),
        }),
        connections: vec![ConnectionView {
            address,
            target: "matrix.example.com:443".to_owned(),
            error: None,
            tls: Some(TlsView {
                version: "TLSv1.3".to_owned(),
                cipher: "TLS13_AES_128_GCM_SHA256".to_owned(),
                alpn: Some("h2".to_owned()),
                accepts: vec!["TLSv1.2", "TLSv1.3"],
                weak: Vec::new(),
                trusted: true,
                trusted_by: vec!["system", "mozilla"],
                covers_name: true,
                scts: 2,
                stapled: false,
                must_staple: false,
                without_sni: None,
                wrong_sni: None,
                certificates: vec![CertificateView {
                    subject: "CN=matrix.example.com".to_owned(),
                    issuer: "C=US, O=Let's Encrypt, CN=R11".to_owned(),
                    names: strings(&["matrix.example.com", "example.com"]),
                    not_before: "2026-10-01T00:00:00Z".to_owned(),
                    not_after: "2026-12-30T00:00:00Z".to_owned(),
                    sha256: "ab".repeat(32),
                    key: "RSA 2048".to_owned(),
                    signature: "sha256WithRSAEncryption".to_owned(),
                }],
            }),
            version: Some(VersionView { name: Some("Synapse".to_owned()), version: Some("1.157.1".to_owned()) }),
            keys: Some(KeysView {
                server_name: "example.com".to_owned(),
                valid_until_ts: 0,
                verify_keys: BTreeMap::from([("ed25519:a_AbCd".to_owned(), "k".to_owned())]),
                old_verify_keys: BTreeMap::default(),
            }),
            requests: Some(RequestsView { asked: 21, answered: 21, http2: true, finished: true }),
        }],
        clients: Some(ClientsView {
            status: Some(200),
            base_url: Some("https://matrix.example.com".to_owned()),
            versions_status: Some(200),
            support_status: Some(404),
        }),
        homeserver: None,
        loopback: None,
        took_ms: 1234,
        private: false,
    }
}

/// Two addresses without their intermediate, and hostile text in a detail.
fn failing() -> Report {
    let chain = |address| {
        let detail = "the certificate is issued by \"CN=R11\", which was not presented and is no trusted root";
        Finding::new(Code::TlsChain, "example.com", address, detail).for_host("matrix.example.com")
    };
    let slow =
        Finding::new(Code::DnsTimeout, "example.com", "example.com", "the answer took\u{1b}[2J 4.0 s\u{202e} | x")
            .for_host("example.com");
    report(vec![chain("198.41.0.4:443"), chain("199.9.14.201:443"), slow])
}

#[test]
fn a_clean_report() {
    let expected = "\
example.com federates
  -> matrix.example.com:443 (step 3.2: delegated by .well-known; certificate for
     matrix.example.com)
  ok    dns         198.41.0.4, 2001:503:ba3e::2:30
  ok    well-known  m.server is matrix.example.com:443, from 1 address
  ok    tls         TLSv1.2 and TLSv1.3, certificate until 2026-12-30
  ok    federation  Synapse 1.157.1, key ed25519:a_AbCd, 1 address
  ok    requests    21 answers as they should be, over HTTP/1.1 and HTTP/2
  ok    clients     homeserver at https://matrix.example.com

verdict=federates fail=0 warn=0 info=0 addresses=1 seconds=1.2
";
    assert_eq!(render(&report(Vec::new()), Look::PLAIN), expected);
}

#[test]
fn findings_of_one_rule_stand_together_and_lines_fit() {
    let text = render(&failing(), Look::PLAIN);
    let expected = "\
example.com fails: 2 failures, 1 warning
  -> matrix.example.com:443 (step 3.2: delegated by .well-known; certificate for
     matrix.example.com)
  warn  dns         dns.timeout
  ok    well-known  m.server is matrix.example.com:443, from 1 address
  fail  tls         tls.chain
  ok    federation  Synapse 1.157.1, key ed25519:a_AbCd, 1 address
  ok    requests    21 answers as they should be, over HTTP/1.1 and HTTP/2
  ok    clients     homeserver at https://matrix.example.com

fail  tls.chain  198.41.0.4:443, 199.9.14.201:443
      the certificate is issued by \"CN=R11\", which was not presented and is no
      trusted root
      fix: serve the full chain: the file fullchain.pem, not cert.pem; see it
           with
           `openssl s_client -connect 198.41.0.4:443 -servername matrix.example.com -showcerts`

warn  dns.timeout  example.com
      the answer took\u{fffd}[2J 4.0 s\u{fffd} | x
      fix: check the name servers and DNSSEC of example.com:
           `dig +trace example.com`, `dig +cd example.com`

chain presented by 198.41.0.4:443
  0  CN=matrix.example.com
     issued by C=US, O=Let's Encrypt, CN=R11
     valid from 2026-10-01 until 2026-12-30

verdict=fails fail=2 warn=1 info=0 addresses=1 seconds=1.2
";
    assert_eq!(text, expected);
    for width in [60, 80, 120] {
        let text = render(&failing(), Look::new(false, width));
        // Only a command may be longer than the line: breaking it would break it.
        let fits = |line: &str| line.chars().count() <= width.min(100) || line.trim_start().starts_with('`');
        assert!(text.lines().all(fits), "{text}");
    }
}

#[test]
fn long_lists_are_cut() {
    let many = (1..=40).map(|n| {
        let detail = format!("connection refused at hop {n}");
        Finding::new(Code::TcpConnect, "example.com", format!("192.0.2.{n}:8448"), detail)
    });
    let text = render(&report(many.collect()), Look::PLAIN);
    assert!(text.contains("192.0.2.4:8448 and 36 more\n") && !text.contains("192.0.2.5"), "{text}");
    assert!(text.contains("\n      and 37 more like these\n"), "{text}");
    assert!(text.lines().count() < 22, "{text}");
}

/// One remedy for all that differ by their subject only; whatever else differs is not lost.
#[test]
fn remedies_are_said_once_each() {
    let finding = |address: &str, remedy: Option<&str>| {
        let finding = Finding::new(Code::TcpConnect, "example.com", address, "connection refused");
        Finding { remedy: remedy.map_or(finding.remedy.clone(), str::to_owned), ..finding }
    };
    let same = vec![finding("192.0.2.1:443", None), finding("192.0.2.2:443", None)];
    let text = render(&report(same.clone()), Look::PLAIN);
    assert_eq!((text.matches("fix:").count(), text.matches("connection refused").count()), (1, 1), "{text}");
    let other = [same, vec![finding("192.0.2.3:443", Some("call the provider"))]].concat();
    let text = render(&report(other), Look::PLAIN);
    assert!(text.matches("fix:").count() == 2 && text.contains("\n      fix: call the provider\n"), "{text}");
}

#[test]
fn a_closed_network_is_said() {
    let text = render(&Report { private: true, ..report(Vec::new()) }, Look::PLAIN);
    assert!(text.contains("\n  closed network: findings about address ranges and public CAs are remarks\n"), "{text}");
}

#[test]
fn several_servers_end_in_a_table() {
    let other = Report { server_name: "other.example".to_owned(), ..report(Vec::new()) };
    let expected = "\
example.com    fails      2 failures, 1 warning
other.example  federates\n";
    assert_eq!(several(&[failing(), other], Look::PLAIN), expected);
}

#[test]
fn colour_only_adds_escapes() {
    let report = report(vec![Finding::new(Code::Retry, "example.com", "198.41.0.4:443", "the first try failed")]);
    let (plain, coloured) = (render(&report, Look::PLAIN), render(&report, Look::new(true, 80)));
    assert!(
        coloured.contains("\u{1b}[30;43mwarn\u{1b}[0m") && coloured.contains("\u{1b}[30;43mverdict=degraded\u{1b}[0m")
    );
    let mut stripped = coloured;
    for code in ["1", "32", "30;42", "30;43", "30;46", "1;37;41", "0"] {
        stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn json_has_the_shape_of_the_contract() {
    insta::with_settings!({ snapshot_path => "../../../tests/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("check-report-json", json_pretty(&failing()));
    });
}

#[test]
fn tap_has_a_point_for_every_rule_and_verdict() {
    let unseen = Report { discovery: None, connections: Vec::new(), verdict: Verdict::Unknown, ..report(Vec::new()) };
    let text = tap(&[failing(), report(Vec::new()), unseen], false);
    assert!(text.starts_with("TAP version 13\n1.."), "{text}");
    let points = Code::ALL.len() + 1;
    assert!(text.contains(&format!("\n1..{}\n", 3 * points)));
    let point = |needle: &str| text.lines().filter(|line| line.contains(needle)).map(str::to_owned).collect::<Vec<_>>();
    let chain = point("example.com tls.chain");
    assert!(
        chain[0].starts_with("not ok ") && chain[1].starts_with("ok ") && chain[2].ends_with("# SKIP not looked at"),
        "{chain:?}"
    );
    // The chain, the verdict of the first server, and the verdict of the one that could not be seen.
    assert_eq!(text.lines().filter(|line| line.starts_with("not ok ")).count(), 3, "{text}");
    let numbers: Vec<usize> = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("not ok ").or_else(|| line.strip_prefix("ok "))?.split(' ').next()?.parse().ok()
        })
        .collect();
    assert_eq!(numbers, (1..=3 * points).collect::<Vec<_>>());
}

#[test]
fn tap_is_strict_on_demand_and_hostile_text_stays_inside() {
    let mut warned = report(vec![Finding::new(Code::Retry, "example.com", "a # TODO b", "x\n...\nok 1 # SKIP")]);
    warned.server_name = "a#b\\c".to_owned();
    let text = tap(&[warned.clone()], false);
    assert!(text.contains("- a\\#b\\\\c retry\n  ---\n") && !text.contains("not ok"), "{text}");
    assert!(text.contains("      detail: \"x\\n...\\nok 1 # SKIP\"\n"), "{text}");
    assert_eq!(tap(&[warned], true).matches("not ok").count(), 2, "the rule and the verdict");
}

#[test]
fn nagios_lines() {
    // 2026-12-20.
    let now = Timestamp(1_797_724_800);
    let text = nagios(&[report(Vec::new())], now);
    assert_eq!(
        text,
        "FEDERATION OK - example.com federates | time=1.234s;;;0 fails=0;;0;0 warnings=0;0;;0 cert_days_left=10.0\n"
    );
    let text = nagios(&[failing()], now);
    let first = text.lines().next().unwrap();
    assert_eq!(
        first,
        "FEDERATION CRITICAL - example.com fails (tls.chain, dns.timeout) | time=1.234s;;;0 fails=2;;0;0 warnings=1;0;;0 cert_days_left=10.0"
    );
    // The bar separates performance data, on every line.
    assert!(text.lines().skip(1).all(|line| !line.contains('|')) && text.contains("4.0 s\u{fffd} / x"), "{text}");
    assert!(text.contains("\n  fix: serve the full chain"), "{text}");
}

#[test]
fn nagios_takes_the_worst_of_several() {
    let with = |verdict, name: &str| Report { verdict, server_name: name.to_owned(), ..report(Vec::new()) };
    use Verdict::{Degraded, Fails, Federates, Unknown};
    for (verdicts, state) in [
        (vec![Federates], 0),
        (vec![Degraded, Federates], 1),
        (vec![Federates, Unknown], 3),
        (vec![Unknown, Degraded], 1),
        (vec![Unknown, Fails, Degraded], 2),
        (vec![], 3),
    ] {
        let reports: Vec<_> = verdicts.iter().map(|verdict| with(*verdict, "a.example")).collect();
        assert_eq!(nagios_status(&reports), state, "{verdicts:?}");
    }
    let text = nagios(&[with(Federates, "a.example"), with(Fails, "[::1]:1")], Timestamp(0));
    assert!(
        text.starts_with("FEDERATION CRITICAL - [::1]:1 fails; a.example federates | 'a.example time'=1.234s;;;0 "),
        "{text}"
    );
    assert!(text.contains(" '[::1]:1 fails'=0;;0;0 "), "{text}");
}

fn certificate(subject: &str, issuer: &str, sha256: &str) -> CertificateView {
    CertificateView {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        names: vec!["matrix.example.com".to_owned()],
        not_before: "2026-01-01T00:00:00Z".to_owned(),
        not_after: "2026-04-01T00:00:00Z".to_owned(),
        sha256: sha256.to_owned(),
        key: "P-256".to_owned(),
        signature: "ecdsa-with-SHA256".to_owned(),
    }
}

#[test]
fn the_chain_is_shown_where_something_is_wrong_with_it() {
    let finding = |code, address| Finding::new(code, "example.com", address, "it is wrong").for_host("h");
    let with = |findings| {
        let mut report = report(findings);
        let chain = vec![certificate("CN=R11\u{7}", "CN=X1", "b"), certificate("", &"O=long ".repeat(20), "a")];
        let mut second = report.connections[0].clone();
        second.address = "199.9.14.201:443".to_owned();
        second.tls.as_mut().unwrap().certificates = chain.clone();
        report.connections.push(second);
        let document = &mut report.discovery.as_mut().unwrap().well_known[0];
        (document.certificates, document.presented_by) = (chain, Some("198.41.0.4:443".to_owned()));
        report
    };
    let block = "\
chain presented by ADDRESSES
  0  CN=R11\u{fffd}
     issued by CN=X1
     valid from 2026-01-01 until 2026-04-01
  1  matrix.example.com
     issued by O=long O=long O=long O=long O=long O=long O=long O=long O=long...
     valid from 2026-01-01 until 2026-04-01
";
    for (code, address, shown) in [
        (Code::TlsChain, "199.9.14.201:443", Some("199.9.14.201:443")),
        (Code::WkServerTls, "198.41.0.4:443", Some("198.41.0.4:443")),
        (Code::TlsSame, "matrix.example.com", Some("199.9.14.201:443")),
        (Code::TlsLegacy, "199.9.14.201:443", None),
        (Code::TlsChain, "192.0.2.1:443", None),
    ] {
        let text = render(&with(vec![finding(code, address)]), Look::PLAIN);
        match shown {
            Some(addresses) => assert!(text.contains(&block.replace("ADDRESSES", addresses)), "{code}: {text}"),
            None => assert!(!text.contains("chain presented"), "{code}: {text}"),
        }
    }
    let both = render(
        &with(vec![finding(Code::TlsChain, "199.9.14.201:443"), finding(Code::WkServerTls, "198.41.0.4:443")]),
        Look::PLAIN,
    );
    assert!(both.contains(&block.replace("ADDRESSES", "199.9.14.201:443, 198.41.0.4:443")), "{both}");
    let remark = render(&with(vec![finding(Code::TlsChain, "199.9.14.201:443").at(Severity::Info)]), Look::PLAIN);
    assert!(!remark.contains("chain presented"), "{remark}");
}

#[test]
fn areas_speak_only_of_what_was_seen() {
    let text = |change: fn(&mut Report)| {
        let mut report = report(Vec::new());
        change(&mut report);
        render(&report, Look::new(false, 100))
    };
    for (change, line) in [
        (
            (|report| report.connections[0].requests.as_mut().unwrap().http2 = false) as fn(&mut Report),
            "requests    21 answers as they should be, over HTTP/1.1\n",
        ),
        (
            |report| report.connections[0].requests.as_mut().unwrap().answered = 20,
            "requests    20 of 21 answered, over HTTP/1.1 and HTTP/2\n",
        ),
        (
            |report| {
                let clients = report.clients.as_mut().unwrap();
                (clients.status, clients.base_url, clients.support_status) = (Some(404), None, Some(200));
            },
            "clients     no client document (404), which is fine, support document\n",
        ),
        (
            |report| {
                report.homeserver = Some(HomeserverView {
                    upstream: "http://127.0.0.1:8008".to_owned(),
                    status: Some(200),
                    server_name: Some("example.com".to_owned()),
                    file: Some("/etc/matrix-synapse/homeserver.yaml".to_owned()),
                    endpoints: 2,
                });
            },
            "homeserver  http://127.0.0.1:8008, /etc/matrix-synapse/homeserver.yaml, 2 endpoints\n",
        ),
    ] {
        let text = text(change);
        assert!(text.contains(line), "{text}");
    }
    let silent = text(|report| {
        report.connections[0].requests.as_mut().unwrap().finished = false;
        report.clients.as_mut().unwrap().versions_status = None;
    });
    assert!(["requests  ", "clients  ", "homeserver  "].iter().all(|area| !silent.contains(area)), "{silent}");
}
