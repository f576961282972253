//! The README and the program say the same.

use std::collections::BTreeMap;
use std::fs;

use crate::support::vestibule;

const README: &str = include_str!("../README.md");

/// Every table and array of tables once, so that `config show` names every key there is.
const EVERY_TABLE: &str = r#"
server_name = "example.com"
[[upstream]]
name = "sync"
endpoints = ["http://127.0.0.1:8082"]
[[route]]
path = "^/x$"
upstream = "sync"
[[tls.certificates]]
chain = "chain.pem"
key = "key.pem"
[[acme.fallback]]
directory = "zerossl"
[[site]]
host = "chat.example.com"
upstream = "http://127.0.0.1:8081"
[[limits.rate]]
class = "login"
burst = 30
"#;

/// Key to default, as the program shows it; keys that had to be written are "required".
fn shown_keys() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("every.toml");
    fs::write(&file, EVERY_TABLE).expect("a writable folder");
    let output = vestibule::command(["config", "show", "--config"]).arg(&file).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    let mut keys = BTreeMap::new();
    let mut table = String::new();
    for line in shown.lines().take_while(|line| *line != "# Derived:") {
        if line.starts_with('[') {
            table = format!("{}.", line.trim_matches(['[', ']']));
        } else if let Some((key, _)) = line.strip_prefix("# ").and_then(|line| line.split_once(" is not set")) {
            keys.insert(format!("{table}{key}"), "not set".to_owned());
        } else if let Some((key, rest)) = line.split_once(" = ") {
            let (value, origin) = rest.rsplit_once('#').expect("every value has an origin");
            let default =
                if origin.trim() == "default" { format!("`{}`", value.trim()) } else { "required".to_owned() };
            keys.insert(format!("{table}{key}"), default);
        }
    }
    keys
}

/// Key to default, as the reference table has it.
fn documented_keys() -> BTreeMap<String, String> {
    let (_, reference) = README.split_once("## Configuration reference").expect("the README has the reference");
    let rows = reference.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|')).map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        (cells[0].trim_end_matches(" ◦").trim_matches('`').to_owned(), cells[1].to_owned())
    });
    rows.collect()
}

#[test]
fn the_reference_has_every_key_and_every_default() {
    let mut shown = shown_keys();
    // Its default is another key's value, which the table says in words.
    shown.insert("public_host".to_owned(), "the server name".to_owned());
    assert_eq!(documented_keys(), shown);
}

/// The marks of the reference are the program's own notices.
#[test]
fn keys_without_effect_are_marked() {
    let (_, reference) = README.split_once("## Configuration reference").expect("the README has the reference");
    let rows: Vec<_> = reference.lines().filter(|row| row.starts_with("| `")).take(documented_keys().len()).collect();
    let marked = |key: &str| rows.iter().any(|row| row.starts_with(&format!("| `{key}` ◦")));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("set.toml");
    // Values other than the default of the key that is silent when it says "off".
    let set = "server_name = \"a.example\"\n\
               [log]\naccess = \"json\"\n[check]\nstatus_check = true\n[mas]\n[rtc]\n";
    fs::write(&file, set).expect("a writable folder");
    let output = vestibule::command(["validate", "--config"]).arg(&file).output().expect("the binary runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let key = "log.access";
    assert!(said.contains(&format!(": {key}: accepted, but has no effect")), "{key} is silent:\n{said}");
    assert!(marked(key), "{key} is not marked in the README");
    for key in [
        "listen.admin",
        "limits.drain",
        "limits.hold.client",
        "limits.min_body_rate",
        "limits.per_ip_connections",
        "limits.rate.class",
        "tls.hsts",
        "acme.expiry_hook",
        "listen.status",
        "server_name",
        "check.interval",
        "check.status_check",
        "upstream.serves",
        "route.path",
        "mas.url",
        "rtc.sfu",
    ] {
        assert!(!marked(key), "{key} works and is marked");
    }
}

#[test]
fn the_newcomers_commands_are_there() {
    for command in ["cargo run --release -- demo", "make test"] {
        assert!(README.contains(command), "{command}");
    }
    assert!(fs::read_to_string("Makefile").expect("a Makefile").contains("\ntest:"));
}

/// Every dependency has its reason in the table, and nothing else stands there.
#[test]
fn every_dependency_is_argued() {
    let manifest: toml::Table = fs::read_to_string("Cargo.toml").expect("a manifest").parse().expect("TOML");
    let mut used: Vec<_> = manifest["dependencies"].as_table().expect("a table").keys().cloned().collect();
    let (_, section) = README.split_once("## What it is made of").expect("the dependency table");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut argued: Vec<_> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap_or_default().split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    used.sort();
    argued.sort();
    assert_eq!(argued, used);
}
