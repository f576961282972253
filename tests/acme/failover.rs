//! A challenge type that does not work gives way to the next one, in a new order, and is not tried first again.

use std::fs;

use super::{CERTIFICATE, CLOSED, Count, HOSTS, LIMIT, NAMES, Scene, stop};
use crate::support::pebble::{Pebble, Settings};
use crate::support::sandbox;

/// Both types configured, of which `broken` comes first.
#[track_caller]
fn fail_over(settings: Settings, broken: &str, working: &str, remedy: &str) {
    let mut scene = Scene::new(settings);
    let mut vestibule = scene.vestibule(&[broken, working]);
    vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
    scene.assert_served(NAMES[0], &NAMES);
    let told = vestibule.process().lines();
    let told: Vec<_> = told.iter().filter(|line| line.contains("the CA could not validate")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(remedy) && told[0].contains(&format!("challenge={broken:?}")), "{}", told[0]);
    // The failed order and the good one, with two names each, in one attempt: the second would come a minute later.
    let expected = Count { accounts: 1, orders: 2, issued: 1 };
    assert_eq!((scene.count(), scene.announced()), (expected, 4));
    stop(vestibule);

    // Without the certificate, but with the memory of what worked.
    fs::remove_file(scene.certificate_file()).expect("the stored certificate");
    let mut vestibule = scene.vestibule(&[broken, working]);
    vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
    assert_eq!(scene.count(), Count { orders: 3, issued: 2, ..expected });
    let told = vestibule.process().lines().into_iter().find(|line| line.contains("the CA could not validate"));
    assert_eq!(told, None);
}

#[test]
fn from_tls_alpn_01_to_http_01() {
    sandbox::run(module_path!(), "from_tls_alpn_01_to_http_01", &HOSTS, LIMIT, || {
        let settings = Pebble::settings().challenge_ports(80, CLOSED);
        fail_over(settings, "tls-alpn-01", "http-01", "let TCP port 443 of every address in DNS reach this machine's");
    });
}

#[test]
fn from_http_01_to_tls_alpn_01() {
    sandbox::run(module_path!(), "from_http_01_to_tls_alpn_01", &HOSTS, LIMIT, || {
        let settings = Pebble::settings().challenge_ports(CLOSED, 443);
        fail_over(settings, "http-01", "tls-alpn-01", "let TCP port 80 of every address in DNS reach this machine's");
    });
}

/// The port leads somewhere, but not to the https listener: to the other one, which knows nothing of challenges.
#[test]
fn from_a_port_that_leads_to_the_wrong_listener() {
    sandbox::run(module_path!(), "from_a_port_that_leads_to_the_wrong_listener", &HOSTS, LIMIT, || {
        let settings = Pebble::settings().challenge_ports(443, 443);
        fail_over(settings, "http-01", "tls-alpn-01", "let TCP port 80 of every address in DNS reach this machine's");
    });
}

/// With nothing that works, the CA's limit of failed validations is not spent in one go.
#[test]
fn nowhere_when_nothing_works() {
    sandbox::run(module_path!(), "nowhere_when_nothing_works", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings().challenge_ports(CLOSED, CLOSED));
        let mut vestibule = scene.vestibule(&["tls-alpn-01", "http-01"]);
        vestibule.process().wait_for_line("no challenge type that is configured works", CERTIFICATE);
        vestibule.process().wait_for_line("waiting for a certificate", CERTIFICATE);
        let expected = Count { accounts: 1, orders: 2, issued: 0 };
        assert_eq!((scene.count(), scene.announced()), (expected, 4));
        stop(vestibule);

        let mut vestibule = scene.vestibule(&["tls-alpn-01", "http-01"]);
        vestibule.process().wait_for_line("waiting for a certificate", CERTIFICATE);
        assert_eq!(scene.count(), expected, "a restart orders no sooner");
    });
}
