//! What is kept survives a restart, and nothing is ordered that is there already.

use std::fs;

use super::{CERTIFICATE, Count, HOSTS, LIMIT, NAMES, ONE_ORDER, Scene, stop};
use crate::support::eventually::eventually;
use crate::support::pebble::Pebble;
use crate::support::process::Signal;
use crate::support::sandbox;

const BOTH: [&str; 2] = ["tls-alpn-01", "http-01"];

#[test]
fn serves_from_the_first_moment_and_orders_nothing() {
    sandbox::run(module_path!(), "serves_from_the_first_moment_and_orders_nothing", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        scene.issue_once(&BOTH);
        let stored = fs::read(scene.certificate_file()).expect("the stored certificate");

        let mut vestibule = scene.vestibule(&BOTH);
        // At once: ready means that the certificate is there.
        scene.assert_served(NAMES[0], &NAMES);
        // By then everything that starts with the program has had its turn.
        vestibule.process().wait_for_line("self-check", CERTIFICATE);
        let ordering = vestibule.process().lines().into_iter().find(|line| line.contains("ordering a certificate"));
        assert_eq!(ordering, None);
        stop(vestibule);
        assert_eq!(scene.count(), ONE_ORDER);
        assert_eq!(fs::read(scene.certificate_file()).expect("the stored certificate"), stored);
    });
}

/// The same after an end that nobody could prepare for.
#[test]
fn a_killed_process_leaves_all_that_is_needed() {
    sandbox::run(module_path!(), "a_killed_process_leaves_all_that_is_needed", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let mut vestibule = scene.vestibule(&BOTH);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        vestibule.process().signal(Signal::Kill);
        vestibule.process().wait(CERTIFICATE);
        let _vestibule = scene.vestibule(&BOTH);
        scene.assert_served(NAMES[0], &NAMES);
        assert_eq!(scene.count(), ONE_ORDER);
    });
}

#[test]
fn the_account_is_kept_for_the_next_order() {
    sandbox::run(module_path!(), "the_account_is_kept_for_the_next_order", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        scene.issue_once(&BOTH);
        fs::remove_file(scene.certificate_file()).expect("the stored certificate");
        scene.issue_once(&BOTH);
        assert_eq!(scene.count(), Count { accounts: 1, orders: 2, issued: 2 });
    });
}

/// Other names, other certificate; until it is there the old one serves the names it has.
#[test]
fn another_set_of_names_is_ordered() {
    sandbox::run(module_path!(), "another_set_of_names_is_ordered", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let alone = "[[server]]\nserver_name = \"a.test\"";
        let vestibule = scene.vestibule_for(&BOTH, alone);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        scene.assert_served(NAMES[0], &NAMES[..1]);
        stop(vestibule);

        let vestibule = scene.vestibule(&BOTH);
        vestibule.wait_for_certificate(NAMES[1], CERTIFICATE);
        scene.assert_served(NAMES[1], &NAMES);
        assert_eq!(scene.count(), Count { accounts: 1, orders: 2, issued: 2 });
    });
}

/// Staging first, then production: what the first CA issued is no reason to wait for two months with the second.
#[test]
fn another_ca_is_asked_at_once() {
    sandbox::run(module_path!(), "another_ca_is_asked_at_once", &HOSTS, LIMIT, || {
        let first = Scene::new(Pebble::settings());
        first.issue_once(&BOTH);
        let stored = fs::read(first.certificate_file()).expect("the stored certificate");

        let mut second = Scene { pebble: Pebble::settings().start(), folder: first.folder };
        let mut vestibule = second.vestibule(&BOTH);
        vestibule.process().wait_for_line("ordering a certificate", CERTIFICATE);
        let lines = vestibule.process().lines();
        let mut meanwhile = lines.iter().take_while(|line| !line.contains("ordering a certificate"));
        assert!(meanwhile.any(|line| line.contains("certificate published")), "nothing is served meanwhile: {lines:?}");
        eventually("a new certificate is stored", CERTIFICATE, || match fs::read(second.certificate_file()) {
            Ok(now) if now != stored => Ok(()),
            Ok(_) => Err("it is the old one".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        // Stored first, shown right after.
        vestibule.wait_for_certificate(NAMES[1], CERTIFICATE);
        eventually("the new certificate is shown", CERTIFICATE, || {
            let root = second.pebble.save_issuing_root(second.folder.path());
            let outcome = super::handshake(NAMES[0]).trust(&root).perform();
            if outcome.is_verified() { Ok(()) } else { Err(outcome.text) }
        });
        assert_eq!(second.count(), ONE_ORDER);
    });
}
