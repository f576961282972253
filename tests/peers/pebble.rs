//! That the test CA is what the families around certificates take it for.

use std::time::Duration;

use crate::support::curl::Curl;
use crate::support::pebble::Pebble;

#[test]
fn pebble_offers_what_an_order_needs() {
    let pebble = Pebble::settings().validity(Duration::from_secs(45 * 24 * 60 * 60)).start();
    let request = Curl::new().trust(&pebble.endpoint_root());
    let directory = request.send(&pebble.directory()).expect_status(200).json();
    for resource in ["newNonce", "newAccount", "newOrder"] {
        assert!(directory[resource].is_string(), "{resource} is missing in {directory}");
    }
}

#[test]
fn pebble_has_a_new_issuing_root_at_every_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = || {
        let pebble = Pebble::settings().start();
        std::fs::read_to_string(pebble.save_issuing_root(folder.path())).expect("a root")
    };
    let (first, second) = (root(), root());
    assert!(first.starts_with("-----BEGIN CERTIFICATE-----"), "{first}");
    assert_ne!(first, second);
}
