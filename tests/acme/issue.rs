//! A certificate, by each challenge type alone, from a CA that is well, forgetful, or slow.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{ADDRESS, CERTIFICATE, CLOSED, Count, HOSTS, LIMIT, NAMES, ONE_ORDER, Scene};
use crate::support::pebble::Pebble;
use crate::support::sandbox;

#[test]
fn over_tls_alpn_01() {
    sandbox::run(module_path!(), "over_tls_alpn_01", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings().challenge_ports(CLOSED, 443));
        let vestibule = scene.vestibule(&["tls-alpn-01"]);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        for name in NAMES {
            scene.assert_served(name, &NAMES);
        }
        assert_eq!(scene.count(), ONE_ORDER);
        assert_kept_private(&scene);
    });
}

#[test]
fn over_http_01() {
    sandbox::run(module_path!(), "over_http_01", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings().challenge_ports(80, CLOSED));
        let vestibule = scene.vestibule(&["http-01"]);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        for name in NAMES {
            scene.assert_served(name, &NAMES);
        }
        assert_eq!(scene.count(), ONE_ORDER);
    });
}

/// Let's Encrypt forgets nonces whenever it likes. Three tries a request, as the library has them, are through often
/// enough at a third, yet not ten requests in a row; eleven tries fail once in half a million.
#[test]
fn from_a_ca_that_refuses_good_nonces() {
    sandbox::run(module_path!(), "from_a_ca_that_refuses_good_nonces", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings().nonce_reject(30));
        let mut vestibule = scene.vestibule(&["tls-alpn-01", "http-01"]);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        scene.assert_served(NAMES[0], &NAMES);
        let Count { orders, issued, .. } = scene.count();
        assert_eq!((orders, issued), (1, 1));
        let lines = vestibule.process().lines();
        let failed = lines.iter().find(|line| line.contains("ordering a certificate failed"));
        assert_eq!(failed, None);
    });
}

/// A CA takes a second announcement of one challenge for a fault, and Let's Encrypt for a failed validation.
#[test]
fn from_a_ca_that_takes_its_time_each_challenge_is_announced_once() {
    let name = "from_a_ca_that_takes_its_time_each_challenge_is_announced_once";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        for challenge in ["tls-alpn-01", "http-01"] {
            // Up to so many seconds for each validation, of which an order here has two.
            let mut scene = Scene::new(Pebble::settings().validation_delay(6));
            let vestibule = scene.vestibule(&[challenge]);
            vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
            scene.assert_served(NAMES[1], &NAMES);
            assert_eq!((scene.count(), scene.announced()), (ONE_ORDER, NAMES.len()), "{challenge}");
        }
    });
}

const TWO: [(IpAddr, &str); 6] = [
    (ADDRESS, "one.test"),
    (ADDRESS, "matrix.one.test"),
    (ADDRESS, "two.test"),
    (ADDRESS, "matrix.two.test"),
    (ADDRESS, "chat.test"),
    (ADDRESS, "blog.test"),
];

#[test]
fn for_two_homeservers_and_two_sites() {
    sandbox::run(module_path!(), "for_two_homeservers_and_two_sites", &TWO, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let names = r#"
            [[server]]
            server_name = "one.test"
            public_host = "matrix.one.test"
            [[server]]
            server_name = "two.test"
            public_host = "matrix.two.test"
            [[site]]
            host = "chat.test"
            upstream = "http://127.0.0.1:9"
            [[site]]
            host = "blog.test"
            upstream = "http://127.0.0.1:9"
        "#;
        let vestibule = scene.vestibule_for(&["tls-alpn-01", "http-01"], names);
        let expected: [(&str, &[&str]); 6] = [
            ("one.test", &["matrix.one.test", "one.test"]),
            ("matrix.one.test", &["matrix.one.test", "one.test"]),
            ("two.test", &["matrix.two.test", "two.test"]),
            ("matrix.two.test", &["matrix.two.test", "two.test"]),
            ("chat.test", &["chat.test"]),
            ("blog.test", &["blog.test"]),
        ];
        for (name, names) in expected {
            vestibule.wait_for_certificate(&format!("names={}", certificate_of(name)), CERTIFICATE);
            scene.assert_served(name, names);
        }
        assert_eq!(scene.count(), Count { accounts: 1, orders: 4, issued: 4 });
        assert_eq!(scene.announced(), expected.len());
    });
}

/// The name that the certificate for `name` begins with.
fn certificate_of(name: &str) -> &str {
    name.strip_prefix("matrix.").unwrap_or(name)
}

/// Nobody but the owner gets at keys and accounts, of which there are these.
#[track_caller]
pub(super) fn assert_modes(scene: &Scene) -> Vec<String> {
    let mut files = Vec::new();
    walk(&scene.state(), &mut |path| {
        let mode = path.metadata().expect("metadata").permissions().mode() & 0o7777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if path.is_file() {
            files.push(path.strip_prefix(scene.state()).expect("inside").to_string_lossy().into_owned());
        }
    });
    files.sort();
    files
}

#[track_caller]
fn assert_kept_private(scene: &Scene) {
    let files = assert_modes(scene);
    assert_eq!(files.len(), 4, "account, record of orders, certificate, lock: {files:?}");
    let stored = fs::read_to_string(scene.certificate_file()).expect("the stored certificate");
    let count = |what: &str| stored.matches(what).count();
    assert_eq!((count("BEGIN PRIVATE KEY"), count("BEGIN CERTIFICATE")), (1, 2), "key, leaf, intermediate");
}

pub(super) fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    visit(folder);
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}
