//! sslyze, with an OpenSSL old enough to try what nobody should accept any more.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Front;
use crate::support::python;

/// Scans `address` as `one.test`, which must comply with Mozilla's "intermediate", and returns the report.
#[track_caller]
fn scan(address: SocketAddr, root: &Path) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = folder.path().join("report.json");
    let output = Command::new("timeout")
        .arg("120")
        .arg(python::program("sslyze"))
        .args(["--mozilla_config=intermediate", "--sni", "one.test", "--certinfo_ca_file"])
        .arg(root)
        .arg("--json_out")
        .arg(&report)
        .arg(address.to_string())
        .output()
        .expect("sslyze starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("OK - Compliant"), "{said}");
    let report: Value = serde_json::from_slice(&fs::read(&report).expect("a report")).expect("JSON");
    report["server_scan_results"][0]["scan_result"].clone()
}

fn suites(scan: &Value, version: &str, verdict: &str) -> BTreeSet<String> {
    let list = scan[format!("{version}_cipher_suites")]["result"][format!("{verdict}_cipher_suites")].as_array();
    let list = list.unwrap_or_else(|| panic!("no {verdict} suites of {version} in the report"));
    list.iter().map(|entry| entry["cipher_suite"]["name"].as_str().expect("a name").to_owned()).collect()
}

/// Exactly the suites of TLS 1.2 with `key` in their name, and those of 1.3; none below.
#[track_caller]
fn assert_exact(scan: &Value, key: &str) {
    for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        assert_eq!(suites(scan, version, "accepted"), BTreeSet::new(), "{version}");
        assert!(!suites(scan, version, "rejected").is_empty(), "{version} was not tried");
    }
    let modern = ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"];
    let named = |prefix: &str| -> BTreeSet<String> { modern.iter().map(|suite| format!("{prefix}{suite}")).collect() };
    assert_eq!(suites(scan, "tls_1_2", "accepted"), named(&format!("TLS_ECDHE_{key}_WITH_")));
    assert_eq!(suites(scan, "tls_1_3", "accepted"), named("TLS_"));
    let tried = suites(scan, "tls_1_2", "rejected");
    for worst in ["TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"] {
        assert!(tried.contains(worst), "{worst} was not tried: {tried:?}");
    }
}

#[test]
fn both_listeners_comply_with_mozillas_intermediate() {
    let front = Front::internal();
    for listener in ["https", "federation"] {
        assert_exact(&scan(front.vestibule.address(listener), &front.root), "ECDSA");
    }
}

#[test]
fn an_rsa_certificate_complies_as_well() {
    let front = Front::rsa();
    assert_exact(&scan(front.https(), &front.root), "RSA");
}
