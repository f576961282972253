//! The check of an own server from inside: Synapse's own generated file, and what answers behind vestibule.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::front::{Front, NAME, PUBLIC};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::python;
use crate::support::vestibule::command;

/// Id and remedy of the findings about the own side.
fn findings(config: &Path, more: &[String]) -> Vec<(String, String)> {
    let mut check = command(["check", "--private", "--format", "json", "--timeout", "10s", "--config"]);
    let output = check.arg(config).args(more).output().expect("the program starts");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stderr)));
    let text = |finding: &Value, key: &str| finding[key].as_str().expect("text").to_owned();
    let found = report["findings"].as_array().expect("a list").iter().map(|f| (text(f, "id"), text(f, "remedy")));
    found.filter(|(id, _)| id.starts_with("hs.") || id.starts_with("route.")).collect()
}

/// What Synapse writes itself is right but for the public URL, and each thing that operators change is told.
#[test]
fn synapses_own_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("homeserver.yaml");
    let generated = Command::new(python::program("python"))
        .args(["-m", "synapse.app.homeserver", "--generate-config", "--report-stats", "no", "--server-name", NAME])
        .arg("--config-path")
        .arg(&file)
        .arg("--config-directory")
        .arg(folder.path())
        .current_dir(folder.path())
        .output()
        .expect("Synapse is installed; tests/peers/setup.sh sees to it");
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    let config = folder.path().join("vestibule.toml");
    let text = format!(
        "server_name = \"{NAME}\"\npublic_host = \"{PUBLIC}\"\nhomeserver_config = {:?}\n",
        file.display().to_string()
    );
    fs::write(&config, text).expect("a writable folder");
    assert_eq!(findings(&config, &[]), []);
    let yaml = fs::read_to_string(&file).expect("Synapse wrote it");
    assert!(yaml.contains("x_forwarded: true"), "{yaml}");
    fs::write(&file, yaml.replace("x_forwarded: true", "x_forwarded: false")).expect("a writable folder");
    let found = findings(&config, &[]);
    let [(id, remedy)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(id, "hs.forwarded");
    // The first one begins below the key.
    let line = 2 + yaml.lines().position(|line| line == "listeners:").expect("listeners");
    let expected = format!("write `x_forwarded: true` into the listener at {} line {line}, ", file.display());
    assert!(remedy.starts_with(&expected), "{remedy}");
    fs::write(&file, "server_name: [\nmacaroon_secret_key: hunter2\n").expect("a writable folder");
    let found = findings(&config, &[]);
    assert!(matches!(found.as_slice(), [(id, remedy)] if id == "hs.file" && !remedy.contains("hunter2")), "{found:?}");
}

#[test]
fn what_answers_behind_vestibule() {
    let origin = Origin::start(|talk| {
        let request = talk.request()?;
        let (status, body) = match request.target() {
            "/_matrix/client/versions" => ("200 OK", r#"{"versions":["v1.11"]}"#),
            "/_matrix/client/v1/auth_metadata" => ("200 OK", r#"{"issuer":"https://auth.hs.invalid/"}"#),
            "/health" => ("200 OK", "OK"),
            _ => ("404 Not Found", r#"{"errcode":"M_UNRECOGNIZED","error":"?"}"#),
        };
        talk.send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    });
    let dead = ports::free();
    let pools = format!(
        "[[upstream]]\nname = \"sync\"\nendpoints = [\"{}\", \"http://127.0.0.1:{dead}\"]\nserves = [\"sync\"]\n",
        origin.url()
    );
    let mut front = Front::with(&origin, &pools);
    let config = front.vestibule().config_file();
    let (https, federation) = (front.https(), front.federation());
    let overrides = [(443, https), (8448, federation)].into_iter().flat_map(|(port, address)| {
        let to = move |host: &str| format!("{host}:{port}:{}:{}", address.ip(), address.port());
        ["--connect-to".to_owned(), to(NAME), "--connect-to".to_owned(), to(PUBLIC)]
    });
    let found = findings(&config, &overrides.collect::<Vec<_>>());
    let ids: Vec<_> = found.iter().map(|(id, _)| id.as_str()).collect();
    // Logins are left to a service that nobody named; one worker has no client API, the other one is not there.
    assert_eq!(ids, ["route.mas", "route.worker", "route.worker"], "{found:?}");
    assert!(found[0].1.contains("`url = \"http://127.0.0.1:8080\"`"), "{found:?}");
    assert!(found[1].1.contains("`- names: [client]`"), "{found:?}");
    assert!(found[2].1.contains(&format!("start the worker at sync http://127.0.0.1:{dead}")), "{found:?}");
}
