//! Which certificate a client is shown, and what it may ask for on that connection.

use super::{DOCUMENT, Front, UNRECOGNIZED_NAME};
use crate::support::openssl::Handshake;

const ONE: [&str; 2] = ["matrix.one.test", "one.test"];

#[test]
fn each_name_gets_its_own_certificate_on_both_listeners() {
    let front = Front::internal();
    for listener in ["https", "federation"] {
        let address = front.vestibule.address(listener);
        for (name, expected) in [("one.test", &ONE[..]), ("MATRIX.one.test", &ONE), ("two.test", &["two.test"])] {
            let outcome = Handshake::with(address).name(name).trust(&front.root).perform();
            assert!(outcome.is_verified(), "{name} on {listener}: {}", outcome.text);
            assert_eq!(outcome.names(), expected, "{name} on {listener}");
        }
    }
}

#[test]
fn an_unknown_name_gets_an_alert_and_no_certificate() {
    let front = Front::internal();
    for name in ["three.test", "a.one.test", "test", "localhost"] {
        Handshake::with(front.https()).name(name).perform().assert_refused(UNRECOGNIZED_NAME);
    }
}

#[test]
fn a_client_without_a_name_gets_the_first_servers_certificate() {
    let front = Front::internal();
    assert_eq!(Handshake::with(front.https()).no_name().perform().names(), ONE);
}

#[test]
fn the_default_certificate_can_be_chosen() {
    let front = Front::internal_with("default_certificate = \"two.test\"", "");
    assert_eq!(Handshake::with(front.https()).no_name().perform().names(), ["two.test"]);
}

#[test]
fn without_a_default_certificate_a_client_without_a_name_is_refused() {
    let front = Front::internal_with("default_certificate = \"none\"", "");
    Handshake::with(front.https()).no_name().perform().assert_refused(UNRECOGNIZED_NAME);
    assert_eq!(front.handshake().perform().names(), ONE);
}

/// curl checks chain and name by itself: with the root it is content, without it is not.
#[test]
fn the_chain_verifies() {
    for front in [Front::internal(), Front::rsa()] {
        front.curl("one.test").send(&format!("https://one.test{DOCUMENT}")).expect_status(200);
        let stranger = Front::internal();
        let distrusted = front.curl("one.test").trust(&stranger.root);
        let refused = distrusted.try_send(&format!("https://one.test{DOCUMENT}")).expect_err("another root");
        assert_eq!(refused.code, 60, "{refused}");
    }
}

/// RFC 9110 §7.4: one connection serves what its certificate covers, and says 421 to the rest.
#[test]
fn a_request_for_another_served_name_follows_the_certificate() {
    let front = Front::internal();
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let ask = |name: &str, host: &str| {
            let request = front.curl(name).arguments([option]).header("Host", host);
            let answer = request.send(&format!("https://{name}{DOCUMENT}"));
            assert_eq!(answer.http_version, version);
            answer
        };
        for host in ["one.test", "matrix.one.test", "Matrix.ONE.test:443", "one.test:8448"] {
            let answer = ask("one.test", host).expect_status(200);
            assert_eq!(answer.json()["m.server"], "matrix.one.test:443");
        }
        assert_eq!(ask("two.test", "two.test").expect_status(200).json()["m.server"], "two.test:443");
        ask("one.test", "two.test").expect_status(421);
        ask("two.test", "matrix.one.test").expect_status(421);
        ask("one.test", "three.test").expect_status(421);
    }
}
