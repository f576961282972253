//! `workers show`.

use std::fs;
use std::path::Path;

use crate::support::vestibule::command;

fn show(file: Option<&Path>) -> String {
    let mut command = command(["workers", "show"]);
    if let Some(file) = file {
        command.arg("--config").arg(file);
    }
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The sample's pools, each with the first line of its kinds.
#[test]
fn with_a_configuration() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/workers.toml");
    let shown = show(Some(&sample));
    for line in [
        "Workers of example.com; what is not listed goes to http://127.0.0.1:8008.",
        "    ^/_bridge/provision/ -> bridge",
        "initial_sync: initial-sync (http://127.0.0.1:8083), by access_token",
        "    ^/_matrix/client/(r0|v3)/sync$  (without since, or with full_state=true)",
        "sync: sync (http://127.0.0.1:8081, http://127.0.0.1:8082), by access_token",
        "federation_inbound: federation (http://127.0.0.1:8084, unix:/run/synapse/federation2.sock), by client_ip",
        "typing: homeserver, by round_robin; one process only",
        "media: media (http://127.0.0.1:8086), by round_robin; never the homeserver instead",
        "pagination: client (http://127.0.0.1:8085), by room_id; a room must stay with one process",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "no {line:?} in\n{shown}");
    }
}

#[test]
fn without_a_configuration() {
    // With a file of its own the machine would decide this test.
    if Path::new("/etc/vestibule").exists() {
        return;
    }
    let shown = show(None);
    assert!(shown.starts_with("There is no configuration"), "{shown}");
    let kinds = shown.lines().filter(|line| line.contains(": homeserver, by ")).count();
    assert_eq!(kinds, 20, "{shown}");
}

#[test]
fn a_wrong_configuration_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("v.toml");
    fs::write(&file, "server_name = \"a.example\"\n[[route]]\npath = '^/('\nupstream = \"homeserver\"\n")
        .expect("a writable folder");
    let output = command(["workers", "show", "--config"]).arg(&file).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(":3:8: route[0].path: ") && said.contains("unclosed group"), "{said}");
}
