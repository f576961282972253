//! State that cannot be used: set aside where nothing is lost, left alone where something could be.

use std::fs;
use std::path::PathBuf;

use super::{CERTIFICATE, Count, HOSTS, LIMIT, NAMES, ONE_ORDER, Scene, handshake};
use crate::support::pebble::Pebble;
use crate::support::sandbox;

const BOTH: [&str; 2] = ["tls-alpn-01", "http-01"];

const UNRECOGNIZED_NAME: u8 = 112;

#[test]
fn a_damaged_certificate_is_set_aside_and_ordered_anew() {
    sandbox::run(module_path!(), "a_damaged_certificate_is_set_aside_and_ordered_anew", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        scene.issue_once(&BOTH);
        let whole = fs::read(scene.certificate_file()).expect("the stored certificate");
        // As a crash of the machine may leave it, or an editor.
        let half = &whole[..whole.len() / 3];
        fs::write(scene.certificate_file(), half).expect("a writable file");

        let mut vestibule = scene.vestibule(&BOTH);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        scene.assert_served(NAMES[0], &NAMES);
        let line = vestibule.process().wait_for_line("the stored certificate is damaged", CERTIFICATE);
        assert!(line.contains("a.test.pem"), "{line}");
        let aside = scene.certificate_file().with_extension("pem.damaged");
        assert_eq!(fs::read(aside).expect("what was set aside"), half);
        assert_eq!(scene.count(), Count { accounts: 1, orders: 2, issued: 2 });
    });
}

/// It may be a disk that is not mounted yet. Ordering over it would spend the CA's five equal certificates a week.
#[test]
fn an_unreadable_certificate_is_not_ordered_over() {
    sandbox::run(module_path!(), "an_unreadable_certificate_is_not_ordered_over", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        scene.issue_once(&BOTH);
        fs::remove_file(scene.certificate_file()).expect("the stored certificate");
        fs::create_dir(scene.certificate_file()).expect("a folder in its place");

        let mut vestibule = scene.vestibule(&BOTH);
        let line = vestibule.process().wait_for_line("the stored certificate cannot be read", CERTIFICATE);
        assert!(line.contains(" ERROR ") && line.contains("a.test.pem"), "{line}");
        handshake(NAMES[0]).perform().assert_refused(UNRECOGNIZED_NAME);
        let ordering = vestibule.process().lines().into_iter().find(|line| line.contains("ordering a certificate"));
        assert_eq!(ordering, None);
        assert_eq!(scene.count(), ONE_ORDER);
    });
}

/// A second account would start without the rights and limits of the first.
#[test]
fn a_damaged_account_is_not_replaced() {
    sandbox::run(module_path!(), "a_damaged_account_is_not_replaced", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        scene.issue_once(&BOTH);
        fs::remove_file(scene.certificate_file()).expect("the stored certificate");
        let account = account_file(&scene);
        fs::write(&account, "{").expect("a writable file");

        let mut vestibule = scene.vestibule(&BOTH);
        let line = vestibule.process().wait_for_line("there is no account to order with", CERTIFICATE);
        assert!(line.contains("account.json is damaged: "), "{line}");
        assert!(line.contains("; move it away to have a new account made"), "{line}");
        assert_eq!(scene.count(), ONE_ORDER);
        assert_eq!(fs::read_to_string(&account).expect("the account"), "{");
    });
}

/// Without the record of failures there is no telling what the CA has had to bear already.
#[test]
fn nothing_is_ordered_without_the_record() {
    sandbox::run(module_path!(), "nothing_is_ordered_without_the_record", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        scene.issue_once(&BOTH);
        fs::remove_file(scene.certificate_file()).expect("the stored certificate");
        let record = account_file(&scene).with_file_name("orders").join("a.test.json");
        fs::write(&record, "{").expect("a writable file");

        let mut vestibule = scene.vestibule(&BOTH);
        let line = vestibule.process().wait_for_line("the record of orders cannot be read", CERTIFICATE);
        assert!(line.contains("a.test.json is damaged"), "{line}");
        assert_eq!(scene.count(), ONE_ORDER);
    });
}

/// The account of the only CA there is.
#[track_caller]
fn account_file(scene: &Scene) -> PathBuf {
    let folders = fs::read_dir(scene.state().join("acme")).expect("a folder per CA");
    let folders: Vec<_> = folders.map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].join("account.json")
}
