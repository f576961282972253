//! Protocol versions and cipher suites: what is spoken, what is refused, who decides.

use super::{DOCUMENT, Front};

/// The suites that are offered, by OpenSSL's names.
const TLS12_ECDSA: [&str; 3] =
    ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"];
const TLS12_RSA: [&str; 3] =
    ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"];
const TLS13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// `handshake_failure` and `protocol_version` (RFC 8446 §6): nothing in common.
const NOTHING_IN_COMMON: [u8; 2] = [40, 70];

/// Handshakes in turn with each suite of a list and no other.
#[track_caller]
fn assert_each_accepted(front: &Front, version: &str, option: &str, protocol: &str, suites: &[&str]) {
    for suite in suites {
        let outcome = front.handshake().trust(&front.root).arguments([version, option, suite]).perform();
        assert_eq!(outcome.agreed(), Some((protocol, *suite)), "{}", outcome.text);
        assert!(outcome.is_verified(), "{}", outcome.text);
    }
}

#[test]
fn every_offered_suite_works_with_an_ecdsa_key() {
    let front = Front::internal();
    assert_each_accepted(&front, "-tls1_3", "-ciphersuites", "TLSv1.3", &TLS13);
    assert_each_accepted(&front, "-tls1_2", "-cipher", "TLSv1.2", &TLS12_ECDSA);
}

#[test]
fn every_offered_suite_works_with_an_rsa_key() {
    let front = Front::rsa();
    assert_each_accepted(&front, "-tls1_3", "-ciphersuites", "TLSv1.3", &TLS13);
    assert_each_accepted(&front, "-tls1_2", "-cipher", "TLSv1.2", &TLS12_RSA);
}

#[test]
fn old_versions_are_refused_on_both_listeners() {
    let front = Front::internal();
    for listener in ["https", "federation"] {
        let handshake = crate::support::openssl::Handshake::with(front.vestibule.address(listener)).name("one.test");
        for version in ["-tls1", "-tls1_1"] {
            // Debian's OpenSSL speaks these only when it is told to forget about security.
            let outcome = handshake.clone().arguments([version, "-cipher", "ALL:@SECLEVEL=0"]).perform();
            assert_eq!(outcome.agreed(), None, "{version} on {listener}: {}", outcome.text);
            assert!(outcome.alert().is_some_and(|alert| NOTHING_IN_COMMON.contains(&alert)), "{}", outcome.text);
        }
        for version in ["-tls1_2", "-tls1_3"] {
            let outcome = handshake.clone().arguments([version]).request("one.test", DOCUMENT).perform();
            assert!(outcome.text.contains("HTTP/1.1 200 OK"), "{version} on {listener}: {}", outcome.text);
        }
    }
}

/// RC4 and 3DES are no longer in Debian's OpenSSL; `scan` tries them with an older one.
#[test]
fn suites_without_authenticated_encryption_or_forward_secrecy_are_refused() {
    let cbc_ecdsa = ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA256"];
    let front = Front::internal();
    refuse_each(&front, &cbc_ecdsa);
    let rsa = ["ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "AES128-GCM-SHA256", "AES128-SHA"];
    refuse_each(&Front::rsa(), &rsa);
}

#[track_caller]
fn refuse_each(front: &Front, suites: &[&str]) {
    for suite in suites {
        let weak = format!("{suite}:@SECLEVEL=0");
        let outcome = front.handshake().arguments(["-tls1_2", "-cipher", &weak]).perform();
        assert!(outcome.alert().is_some_and(|alert| NOTHING_IN_COMMON.contains(&alert)), "{suite}: {}", outcome.text);
        assert_eq!(outcome.agreed(), None);
    }
}

/// A phone without AES instructions asks for ChaCha20 first, with reason.
#[test]
fn the_order_of_the_client_decides() {
    let front = Front::internal();
    for (version, option, suites) in [("-tls1_2", "-cipher", TLS12_ECDSA), ("-tls1_3", "-ciphersuites", TLS13)] {
        for first in 0..suites.len() {
            let mut order = suites;
            order.rotate_left(first);
            let outcome = front.handshake().arguments([version, option, &order.join(":")]).perform();
            assert_eq!(outcome.suite(), order[0]);
        }
    }
}
