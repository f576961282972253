//! The report in the shape of the public Go tester, held against one derived by hand from that
//! program's types and rules.

use super::*;
use crate::check::render::{GoReport, json_pretty};
use crate::matrix::keys::BASE64;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;

/// What the tester says of the healthy stand-in. In capitals what differs from run to run.
const HEALTHY: &str = r#"{
  "WellKnownResult": { "m.server": "hs.test:443", "CacheExpiresAt": 0 },
  "DNSResult": {
    "SRVSkipped": true,
    "SRVCName": "",
    "SRVRecords": null,
    "SRVError": null,
    "Hosts": { "hs.test": { "CName": "hs.test.", "Addrs": ["127.0.0.1"], "Error": null } },
    "Addrs": ["ADDRESS"]
  },
  "ConnectionReports": {
    "ADDRESS": {
      "Certificates": [
        {
          "SubjectCommonName": "rcgen self signed cert",
          "IssuerCommonName": "Test Intermediate",
          "SHA256Fingerprint": "LEAF",
          "DNSNames": ["hs.test"]
        },
        {
          "SubjectCommonName": "Test Intermediate",
          "IssuerCommonName": "Test Root",
          "SHA256Fingerprint": "MIDDLE",
          "DNSNames": null
        }
      ],
      "Cipher": { "Version": "TLS 1.3", "CipherSuite": "TLS_AES_256_GCM_SHA384" },
      "Checks": {
        "AllChecksOK": true,
        "MatchingServerName": true,
        "FutureValidUntilTS": true,
        "HasEd25519Key": true,
        "AllEd25519ChecksOK": true,
        "Ed25519Checks": { "ed25519:test": { "ValidEd25519": true, "MatchingSignature": true } },
        "ValidCertificates": true
      },
      "Errors": [],
      "Ed25519VerifyKeys": { "ed25519:test": "KEY" },
      "Info": {},
      "Keys": DOCUMENT
    }
  },
  "ConnectionErrors": {},
  "Version": { "name": "Stub", "version": "1.0" },
  "FederationOK": true
}"#;

/// Names of the fields, in the order in which they stand.
fn names(json: &str) -> Vec<&str> {
    // A quote and a colon end a name here; no text in the reports has both.
    json.split("\":").filter_map(|before| before.rsplit('"').next()).filter(|name| !name.contains('}')).collect()
}

async fn report(server: Homeserver, root: &Ca) -> (SocketAddr, String) {
    let mut tasks = JoinSet::new();
    let address = server.start(&mut tasks).await;
    let examined = examine(NAME, &network(address, Some(root)), Background::default()).await;
    (address, json_pretty(&GoReport::of(&examined, NOW)))
}

#[tokio::test]
async fn a_healthy_server_has_every_field_of_the_tester() {
    let root = root();
    let server = Homeserver::healthy(&root);
    let fingerprints: Vec<_> = server.chain.iter().map(|der| BASE64.encode(digest(&SHA256, der))).collect();
    let (keys, key) = (server.keys.to_string(), server.keys["verify_keys"]["ed25519:test"]["key"].clone());
    let (address, text) = report(server, &root).await;
    let expected = HEALTHY
        .replace("ADDRESS", &address.to_string())
        .replace("LEAF", &fingerprints[0])
        .replace("MIDDLE", &fingerprints[1])
        .replace("\"KEY\"", &key.to_string())
        .replace("DOCUMENT", &keys);
    let (ours, theirs): (Value, Value) =
        (serde_json::from_str(&text).unwrap(), serde_json::from_str(&expected).unwrap());
    assert_eq!(ours, theirs, "{text}");
    assert_eq!(names(&text), names(&expected), "Go writes fields in the order of their declaration");
    assert!(
        text.starts_with("{\n  \"WellKnownResult\": {\n    \"m.server\": "),
        "two spaces a level, as Go's indent: {text}"
    );
}

#[tokio::test]
async fn each_fault_is_judged_as_the_tester_judges_it() {
    let root = root();
    let with = |change: fn(&mut Homeserver)| {
        let mut server = Homeserver::healthy(&root);
        change(&mut server);
        server
    };
    let at = |json: &Value, path: &str| json.pointer(path).cloned().unwrap_or(json!("absent"));
    let cases: Vec<(Homeserver, Vec<(&str, Value)>)> = vec![
        (
            with(|s| s.keys["server_name"] = json!("other.test")),
            // The signature is looked for under the name that the document claims.
            vec![
                ("/Checks/MatchingServerName", json!(false)),
                ("/Checks/AllEd25519ChecksOK", json!(false)),
                ("/Checks/Ed25519Checks/ed25519:test", json!({ "ValidEd25519": true, "MatchingSignature": false })),
                ("/Checks/AllChecksOK", json!(false)),
                ("/Ed25519VerifyKeys", json!(null)),
                ("/Checks/ValidCertificates", json!(true)),
            ],
        ),
        (
            with(|s| s.keys["verify_keys"] = json!({})),
            vec![
                ("/Checks/HasEd25519Key", json!(false)),
                ("/Checks/AllEd25519ChecksOK", json!(null)),
                ("/Checks/Ed25519Checks", json!({})),
                ("/Checks/FutureValidUntilTS", json!(true)),
            ],
        ),
        (
            with(|s| s.keys["verify_keys"]["ed25519:test"]["key"] = json!("AAAA")),
            vec![("/Checks/Ed25519Checks/ed25519:test", json!({ "ValidEd25519": false, "MatchingSignature": false }))],
        ),
        // An error document decodes, as Go ignores the status, and has nothing in it.
        (
            with(|s| s.keys = json!({ "errcode": "M_UNRECOGNIZED", "error": "no" })),
            vec![("/Checks/FutureValidUntilTS", json!(false)), ("/Keys/errcode", json!("M_UNRECOGNIZED"))],
        ),
    ];
    for (server, expected) in cases {
        let (address, text) = report(server, &root).await;
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["FederationOK"], false, "{text}");
        for (path, value) in expected {
            assert_eq!(at(&json["ConnectionReports"][address.to_string()], path), value, "{path}: {text}");
        }
    }
    // What does not decode is an address that could not be connected to.
    let (address, text) = report(with(|s| s.keys = json!({ "verify_keys": 1 })), &root).await;
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["ConnectionErrors"], json!({ address.to_string(): { "Message": "verify_keys is not an object" } }));
    assert_eq!((&json["ConnectionReports"], &json["FederationOK"]), (&json!({}), &json!(false)));
}

#[tokio::test]
async fn certificates_are_shown_with_gos_words() {
    let root = root();
    let middle = intermediate(&root);
    let mut expired = Homeserver::new(&middle, NAME, (2026, 1, 10));
    expired.chain.push(middle.der().clone());
    let mut other = Homeserver::new(&middle, "other.test", (2026, 4, 1));
    other.chain.push(middle.der().clone());
    for (server, words) in [
        (Homeserver::new(&middle, NAME, (2026, 4, 1)), "x509: certificate signed by unknown authority"),
        (other, "x509: certificate is valid for other.test, not hs.test"),
        (expired, "x509: certificate has expired or is not yet valid"),
    ] {
        let (address, text) = report(server, &root).await;
        let json: Value = serde_json::from_str(&text).unwrap();
        let connection = &json["ConnectionReports"][address.to_string()];
        assert_eq!(connection["Errors"], json!([{ "Message": words }]), "{text}");
        assert_eq!(connection["Checks"]["ValidCertificates"], false);
        assert_eq!(connection["Checks"]["AllChecksOK"], false);
        assert!(!connection["Ed25519VerifyKeys"].is_null(), "null only where a check of the keys failed");
        // The client that asks for the delegation and for the version does not accept it either.
        assert_eq!(json["WellKnownResult"], json!({ "m.server": "", "result": words, "CacheExpiresAt": 0 }), "{text}");
        assert_eq!(json["FederationOK"], false);
    }
}

#[tokio::test]
async fn what_stops_the_tester_stops_the_report() {
    let root = root();
    let mut server = Homeserver::healthy(&root);
    server.delegation.1 = r#"{"m.server":"https://hs.test/"}"#.to_owned();
    let (_, text) = report(server, &root).await;
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["Error"], "Invalid server name 'https://hs.test/' in .well-known result");
    assert_eq!((&json["DNSResult"]["Hosts"], &json["FederationOK"]), (&json!(null), &json!(false)));

    let network = Network::new(Resolver::offline(), RootCertStore::empty(), Clock::fixed(NOW));
    let text = json_pretty(&GoReport::of(&examine("a b", &network, Background::default()).await, NOW));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["Error"], &json["Version"]), (&json!("Invalid server name 'a b'"), &json!({})));
}
