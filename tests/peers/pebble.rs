//! That the test CA is what the families around certificates take it for.

use std::time::Duration;

use crate::support::curl::Curl;
use crate::support::pebble::{KeyAlgorithm, Pebble};

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

#[test]
fn the_newer_pebble_offers_renewal_information_and_profiles() {
    let Some(settings) = Pebble::newer() else { return };
    let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
    let profiles = [("tlsserver", hours(45 * 24)), ("shortlived", hours(160))];
    let settings =
        settings.profiles(&profiles).external_account("kid-1", "c2VjcmV0LWtleS0wMTIzNDU2Nzg5MDEyMzQ1Njc4OTA");
    let pebble = settings.external_account_required().retry_after(1, 2).key_algorithm(KeyAlgorithm::Ecdsa).start();
    let directory = Curl::new().trust(&pebble.endpoint_root()).send(&pebble.directory()).expect_status(200).json();
    assert!(directory["renewalInfo"].is_string(), "{directory}");
    let meta = &directory["meta"];
    let names: Vec<_> = meta["profiles"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
    assert_eq!(names, ["shortlived", "tlsserver"]);
    assert_eq!(meta["externalAccountRequired"], true);
}
