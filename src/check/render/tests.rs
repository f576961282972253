//! The text, compared as a whole: it is what people see.

use super::*;
use crate::check::report::{DiscoveryView, KeysView, TlsView, VersionView, WellKnownView};
use std::collections::BTreeMap;

fn report(findings: Vec<Finding>) -> Report {
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let address = "198.41.0.4:443".to_owned();
    let host = || "matrix.example.com".to_owned();
    let verdict = Verdict::of(&findings, true);
    Report {
        server_name: "example.com".to_owned(),
        verdict,
        findings,
        discovery: Some(DiscoveryView {
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
                accepts: vec!["TLSv1.2", "TLSv1.3"],
                trusted: true,
                certificates: Vec::new(),
            }),
            version: Some(VersionView { name: Some("Synapse".to_owned()), version: Some("1.157.1".to_owned()) }),
            keys: Some(KeysView {
                server_name: "example.com".to_owned(),
                valid_until_ts: 0,
                verify_keys: BTreeMap::from([("ed25519:a_AbCd".to_owned(), "k".to_owned())]),
            }),
        }],
        loopback: None,
        took_ms: 1234,
    }
}

#[test]
fn a_clean_report() {
    let expected = "\
example.com -> matrix.example.com:443
  step 3.2: delegated by .well-known; certificate for matrix.example.com
  ok  dns         198.41.0.4, 2001:503:ba3e::2:30
  ok  well-known  m.server is matrix.example.com:443, from 1 address
  ok  tls         TLSv1.2 and TLSv1.3
  ok  federation  Synapse 1.157.1, key ed25519:a_AbCd, 1 address

verdict=federates fail=0 warn=0 info=0 addresses=1 seconds=1.2
";
    assert_eq!(render(&report(Vec::new()), false), expected);
}

#[test]
fn findings_that_say_the_same_stand_together_and_lines_fit() {
    let chain = |address| {
        let detail = "the certificate is issued by \"CN=R11\", which was not presented and is no trusted root";
        Finding::new(Code::TlsChain, "example.com", address, detail).for_host("matrix.example.com")
    };
    let slow = Finding::new(Code::DnsTimeout, "example.com", "example.com", "the answer took\u{1b}[2J 4.0 s")
        .for_host("example.com");
    let text = render(&report(vec![chain("198.41.0.4:443"), chain("199.9.14.201:443"), slow]), false);
    let expected = "\
example.com -> matrix.example.com:443
  step 3.2: delegated by .well-known; certificate for matrix.example.com
  ok  well-known  m.server is matrix.example.com:443, from 1 address
  ok  federation  Synapse 1.157.1, key ed25519:a_AbCd, 1 address

fail  tls.chain  198.41.0.4:443, 199.9.14.201:443
      the certificate is issued by \"CN=R11\", which was not presented and is no
      trusted root
      fix: serve the full chain: the file fullchain.pem, not cert.pem; see it
           with
           `openssl s_client -connect 198.41.0.4:443 -servername matrix.example.com -showcerts`

warn  dns.timeout  example.com
      the answer took\u{fffd}[2J 4.0 s
      fix: check the name servers and DNSSEC of example.com:
           `dig +trace example.com`, `dig +cd example.com`

verdict=fails fail=2 warn=1 info=0 addresses=1 seconds=1.2
";
    assert_eq!(text, expected);
    // Only a command may be longer than the line: breaking it would break it.
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH || line.trim_start().starts_with('`')));
}

#[test]
fn colour_only_adds_escapes() {
    let report = report(vec![Finding::new(Code::Retry, "example.com", "198.41.0.4:443", "the first try failed")]);
    let (plain, coloured) = (render(&report, false), render(&report, true));
    assert!(coloured.contains("\u{1b}[33mwarn\u{1b}[0m") && coloured.contains("\u{1b}[33mverdict=degraded\u{1b}[0m"));
    let mut stripped = coloured;
    for code in ["1", "31", "32", "33", "36", "0"] {
        stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn every_rule_can_be_explained() {
    for code in Code::ALL {
        let text = explain(*code);
        assert!(
            text.starts_with(code.id())
                && text.lines().all(|line| line.chars().count() <= WIDTH || line.trim_start().starts_with('`')),
            "{text}"
        );
    }
}
