//! What only the newer Pebble can do, as far as the tests around renewal stand on it.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::extensions::ParsedExtension;

use super::{CERTIFICATE, CLOSED, HOSTS, LIMIT, NAMES, Scene, handshake};
use crate::support::curl::Curl;
use crate::support::faulty_ca;
use crate::support::pebble::Pebble;
use crate::support::sandbox;

#[test]
fn pebble_has_long_chains_other_roots_and_windows_to_choose() {
    let name = "pebble_has_long_chains_other_roots_and_windows_to_choose";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let Some(settings) = Pebble::newer() else { return };
        let settings = settings.challenge_ports(CLOSED, 443).chain_length(3).alternate_roots(1);
        let scene = Scene::new(settings.authorization_reuse(100));
        let vestibule = scene.vestibule(&["tls-alpn-01"]);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        scene.assert_served(NAMES[0], &NAMES);
        assert_ne!(scene.pebble.issuing_root(0), scene.pebble.issuing_root(1));

        let outcome = handshake(NAMES[0]).arguments(["-showcerts"]).perform();
        assert_eq!(outcome.text.matches("-----BEGIN CERTIFICATE-----").count(), 4, "{}", outcome.text);
        let curl = || Curl::new().trust(&scene.pebble.endpoint_root());
        let directory = curl().send(&scene.pebble.directory()).expect_status(200).json();
        let url = format!("{}/{}", directory["renewalInfo"].as_str().expect("a URL"), ari_id(outcome.leaf()));
        let usual = curl().send(&url).expect_status(200);
        assert!(usual.json()["suggestedWindow"]["start"].is_string(), "{}", usual.text());
        assert!(usual.header("retry-after").is_some());
        for body in ["{\"suggestedWindow\":{}}", "<html>"] {
            scene.pebble.set_renewal_info(outcome.leaf(), body);
            assert_eq!(curl().send(&url).expect_status(200).text(), body);
        }
    });
}

/// RFC 9773 §4.1.
fn ari_id(leaf: &str) -> String {
    let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).expect("a leaf");
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).expect("a leaf");
    let authority = leaf.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    let authority = authority.expect("an authority key identifier");
    format!("{}.{}", faulty_ca::base64url(authority), faulty_ca::base64url(leaf.raw_serial()))
}
