//! TLS as others see it.

use crate::check::catalogue::Code;
use crate::check::chain::{Certificate, Chain, Key, Signature, Trust, TrustedBy};
use crate::check::hello::{Suite, Version};
use crate::check::judge::tests::{GOOD, findings, healthy, plan, table};
use crate::check::observe::Observation;
use crate::check::observe::federation::More;
use crate::check::observe::habits::{Agreed, Outdated};
use crate::check::observe::tls::{Stage, Trouble};
use std::time::Duration;

fn more(seen: &mut Observation) -> &mut More {
    seen.connections[0].more.as_mut().unwrap()
}

fn chain(seen: &mut Observation) -> &mut Chain {
    &mut seen.connections[0].version.tls.as_mut().unwrap().chain
}

fn leaf(seen: &mut Observation) -> &mut Certificate {
    &mut chain(seen).certificates[0]
}

fn closed() -> Trouble {
    Trouble::Handshake("the server closed the connection".to_owned())
}

fn refused() -> Trouble {
    Trouble::Refused("UnrecognizedName".to_owned())
}

/// No handshake of any kind.
fn mute(seen: &mut Observation) {
    let connection = &mut seen.connections[0];
    (connection.version.tls, connection.version.answer) = (None, Err(refused()));
    let more = more(seen);
    (more.keys.tls, more.keys.answer) = (None, Err(refused()));
    (more.unknown.tls, more.unknown.answer) = (None, Err(refused()));
    (more.only_12, more.only_13) = (Err(refused()), Err(refused()));
}

fn outdated(seen: &mut Observation) {
    mute(seen);
    let chain = GOOD.chain.clone();
    more(seen).outdated = Some(Outdated { version: Version::Tls10, suite: Suite(0x0005), chain });
    more(seen).habits.old = Agreed { versions: vec![Version::Tls10], suites: vec![Suite(0x0005)] };
}

fn forged(seen: &mut Observation) {
    chain(seen).broken_signatures = vec![0];
    leaf(seen).signature = Signature { name: "sha1WithRSAEncryption".to_owned(), broken: Some("SHA-1") };
}

#[test]
fn versions_suites_and_alpn() {
    table(&[
        ("tls.handshake", mute),
        ("tls.handshake tls.legacy? tls.weak?", outdated),
        // Something on the way that drops what it does not know.
        ("tls.handshake", |s| {
            mute(s);
            more(s).only_12 = Ok(GOOD.clone());
        }),
        // Only HTTP/2 is welcome.
        ("tls.alpn", |s| {
            mute(s);
            (more(s).only_12, more(s).only_13) = (Ok(GOOD.clone()), Ok(GOOD.clone()));
        }),
        ("tls.alpn", |s| s.connections[0].version.answer = Err(refused())),
        ("tls.alpn", |s| more(s).keys.answer = Err(refused())),
        ("tls.legacy?", |s| more(s).habits.old.versions = vec![Version::Tls11, Version::Tls10, Version::Ssl3]),
        ("tls.weak.", |s| more(s).habits.old.suites = vec![Suite(0xc013)]),
        ("tls.weak?", |s| more(s).habits.old.suites = vec![Suite(0xc013), Suite(0x0005)]),
        ("tls.weak?", |s| more(s).habits.old.suites = vec![Suite(0x000a), Suite(0x0001), Suite(0x0018)]),
        ("", |s| more(s).habits.old.suites = vec![Suite(0xc02f)]),
        ("tls.v12?", |s| more(s).only_12 = Err(refused())),
        ("tls.alpn", |s| (more(s).only_12, more(s).only_13) = (Err(refused()), Err(refused()))),
        ("tls.alpn", |s| {
            s.connections[0].version.answer = Err(Trouble::Exchange("invalid HTTP version parsed".to_owned()))
        }),
        // A connection that was lost says nothing about protocols.
        ("", |s| {
            let lost = || Err(Trouble::Connect("reset".to_owned()));
            (more(s).only_12, more(s).only_13) = (lost(), lost());
        }),
    ]);
}

#[test]
fn other_names() {
    table(&[
        ("tls.nosni.", |s| more(s).habits.no_sni = Some(Err(refused()))),
        ("tls.nosni.", |s| more(s).habits.no_sni.as_mut().unwrap().as_mut().unwrap().chain.covers_name = false),
        ("", |s| more(s).habits.no_sni = None),
        ("", |s| more(s).habits.no_sni = Some(Err(Trouble::Connect("reset".to_owned())))),
        ("", |s| more(s).habits.wrong_sni = Err(refused())),
        ("", |s| more(s).habits.wrong_sni.as_mut().unwrap().chain.covers_name = false),
        ("tls.badsni.", |s| more(s).habits.wrong_sni = Err(closed())),
        ("tls.badsni.", |s| {
            more(s).habits.wrong_sni = Err(Trouble::Timeout(Stage::Handshake, Duration::from_secs(5)));
        }),
    ]);
}

#[test]
fn keys_signatures_staples_and_timestamps() {
    table(&[
        ("tls.key?", |s| leaf(s).key = Key::Other("P-521".to_owned())),
        ("tls.key?", |s| {
            leaf(s).key = Key::Other("P-521".to_owned());
            more(s).only_12 = Err(refused());
        }),
        ("tls.key?", |s| leaf(s).key = Key::Rsa(1024)),
        ("", |s| leaf(s).key = Key::Rsa(4096)),
        // Peers refuse what this program's own library refuses.
        ("tls.key", |s| {
            leaf(s).key = Key::Rsa(1024);
            chain(s).unproved = Some("bad signature".to_owned());
        }),
        ("tls.handshake", |s| chain(s).unproved = Some("bad signature".to_owned())),
        ("tls.sig?", forged),
        ("tls.sig", |s| {
            forged(s);
            chain(s).trust = Trust::Refused("unsupported signature algorithm".to_owned());
        }),
        ("tls.untrusted tls.sig?", |s| {
            forged(s);
            chain(s).trust = Trust::UnknownRoot { issuer: "CN=X".to_owned() };
        }),
        ("tls.muststaple", |s| leaf(s).must_staple = true),
        // nginx has no response yet for the first who asks.
        ("", |s| {
            leaf(s).must_staple = true;
            more(s).only_13.as_mut().unwrap().stapled = true;
        }),
        ("tls.ct.", |s| leaf(s).scts = 1),
        ("tls.roots? tls.ct.", |s| {
            leaf(s).scts = 0;
            chain(s).trusted_by.system = false;
        }),
        ("", |s| {
            leaf(s).scts = 0;
            chain(s).trusted_by = TrustedBy { given: true, ..TrustedBy::default() };
        }),
    ]);
}

#[test]
fn the_name_is_told_with_its_step_and_with_what_the_certificate_is_for() {
    let detail = |names: &[&str], delegate, srv| {
        let mut seen = healthy();
        seen.plan = Some(plan(delegate, srv));
        seen.connections.truncate(1);
        chain(&mut seen).covers_name = false;
        leaf(&mut seen).names = names.iter().map(|name| (*name).to_owned()).collect();
        let findings = findings(&seen, false);
        findings.into_iter().find(|finding| finding.id == Code::TlsName).unwrap().detail
    };
    assert_eq!(
        detail(&["x.org"], Some("m.ex.org:443"), None),
        "the certificate covers x.org, not m.ex.org (step 3.2: delegated by .well-known)"
    );
    assert_eq!(
        detail(&["EX.org"], Some("m.ex.org:443"), None),
        "the certificate covers EX.org, not m.ex.org (step 3.2: delegated by .well-known); it covers ex.org, which \
         would do if nothing were delegated"
    );
    assert_eq!(
        detail(&["*.node.org"], None, Some(("_matrix-fed._tcp", "a.node.org"))),
        "the certificate covers *.node.org, not ex.org (step 4: SRV record); it covers a.node.org, but peers never \
         ask for the target of an SRV record"
    );
}

#[test]
fn weak_suites_are_told_the_worst_first() {
    let mut seen = healthy();
    more(&mut seen).habits.old.suites = vec![Suite(0xc013), Suite(0x0005), Suite(0x0002)];
    let findings = findings(&seen, false);
    assert_eq!(
        findings[0].detail,
        "accepted: no encryption (NULL): TLS_RSA_WITH_NULL_SHA; RC4: TLS_RSA_WITH_RC4_128_SHA; CBC with SHA-1: \
         TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
    );
}

#[test]
fn a_failed_handshake_is_told_with_what_would_succeed() {
    let detail = |suite| {
        let mut seen = healthy();
        outdated(&mut seen);
        let more = more(&mut seen);
        more.outdated.as_mut().unwrap().suite = Suite(suite);
        more.habits.old = Agreed::default();
        findings(&seen, false)[0].detail.clone()
    };
    let failed = "the TLS handshake failed: the server sent the alert UnrecognizedName";
    assert_eq!(
        detail(0x0005),
        format!("{failed}; it agrees to TLSv1.0 with TLS_RSA_WITH_RC4_128_SHA, which many peers do not offer")
    );
    assert_eq!(
        detail(0xc02f),
        format!("{failed}; a hello of TLS 1.2 and older gets TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 as an answer")
    );
}
