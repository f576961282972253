//! Pebble's bad habits, and its good ones.

use std::fs;
use std::time::Duration;

use super::lab::next_attempt_in;
use super::{CERTIFICATE, CLOSED, Count, HOSTS, LIMIT, NAMES, Scene, field, handshake, stop};
use crate::support::eventually::settled;
use crate::support::pebble::Pebble;
use crate::support::sandbox;

/// Whoever is refused every nonce has an error in its log and comes back later.
#[test]
fn a_ca_that_refuses_every_nonce_is_left_in_peace() {
    let name = "a_ca_that_refuses_every_nonce_is_left_in_peace";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings().nonce_reject(100));
        let mut vestibule = scene.vestibule(&["tls-alpn-01", "http-01"]);
        let line = vestibule.process().wait_for_line("ordering a certificate failed", CERTIFICATE);
        assert!(line.contains(" ERROR ") && line.contains("badNonce"), "{line}");
        assert!((45..=67).contains(&next_attempt_in(&line)), "{line}");
        let waiting = vestibule.process().wait_for_line("waiting for a certificate", CERTIFICATE);
        assert_eq!(field(&waiting, "next_attempt"), field(&line, "next_attempt"));
        let quiet = Duration::from_millis(1500);
        settled("nothing more is asked", quiet, CERTIFICATE, || scene.logged(" /"));
        // The step of making an account, ten times more than once.
        assert_eq!((scene.logged("POST "), scene.logged("POST /sign-me-up "), scene.count().accounts), (11, 11, 0));
        let used = vestibule.process().cpu_time();
        assert!(used < Duration::from_secs(2), "{used:?}");
        stop(vestibule);
    });
}

/// With its names authorised already, an order needs no challenge.
#[test]
fn authorisations_are_used_again() {
    sandbox::run(module_path!(), "authorisations_are_used_again", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings().authorization_reuse(100));
        scene.issue_once(&["http-01"]);
        assert_eq!(scene.announced(), NAMES.len());
        for orders in 2..4 {
            fs::remove_file(scene.certificate_file()).expect("the stored certificate");
            scene.issue_once(&["http-01"]);
            assert_eq!(scene.count(), Count { accounts: 1, orders, issued: orders });
            assert_eq!(scene.announced(), NAMES.len());
        }
    });
}

/// Let's Encrypt's chains have had three, and clients need all of them, in order.
#[test]
fn a_long_chain_is_served_whole_and_in_order() {
    sandbox::run(module_path!(), "a_long_chain_is_served_whole_and_in_order", &HOSTS, LIMIT, || {
        let scene = Scene::new(Pebble::settings().challenge_ports(80, CLOSED).chain_length(3).alternate_roots(1));
        let vestibule = scene.vestibule(&["http-01"]);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        let check = || {
            scene.assert_served(NAMES[0], &NAMES);
            let shown = handshake(NAMES[0]).arguments(["-showcerts"]).perform().text;
            let of = |begin: &str| -> Vec<String> {
                let lines = shown.lines().map(str::trim_start);
                // ` 0 s:CN = …` and `   i:CN = …`.
                let lines = lines.map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' '));
                lines.filter_map(|line| line.strip_prefix(begin)).map(|name| name.trim().to_owned()).collect()
            };
            let (subjects, issuers) = (of("s:"), of("i:"));
            assert_eq!((subjects.len(), issuers.len()), (4, 4), "{shown}");
            assert_eq!(issuers[..3], subjects[1..], "each is signed by the next: {shown}");
        };
        check();
        stop(vestibule);
        // The same from the store.
        let _vestibule = scene.vestibule(&["http-01"]);
        check();
    });
}
