//! What is shipped beside the program speaks of metrics that there are.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::support::python;

const README: &str = include_str!("../README.md");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus/vestibule.rules.yaml");
const BOARD: &str = include_str!("../packaging/grafana/vestibule.json");

/// Prints a YAML file as JSON.
const READ: &str = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";

/// The metrics of the README's table, which `status::what_is_counted_is_shown` holds to the program, by name.
fn metrics() -> BTreeSet<&'static str> {
    let (_, section) = README.split_once("\n## Metrics\n").expect("the section");
    let rows = section.lines().take_while(|line| !line.starts_with("## "));
    let names = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    names.collect()
}

/// Every value below `key`, however deep.
fn values<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|field| values(field, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, key, found)),
        _ => {}
    }
}

/// The metrics that an expression asks for.
fn asked(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("vestibule_") || word.starts_with("process_"))
}

/// The metrics that the expressions of a file ask for, all of which there are.
#[track_caller]
fn hold<'v>(expressions: &[&'v str]) -> BTreeSet<&'v str> {
    let known = metrics();
    let all: BTreeSet<_> = expressions.iter().flat_map(|expression| asked(expression)).collect();
    let unknown: Vec<_> = all.difference(&known).collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
    all
}

#[test]
fn alerts_ask_for_metrics_that_there_are_and_say_what_to_do() {
    let read = Command::new(python::program("python")).args(["-c", READ, RULES]).output().expect("Python starts");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let rules: Value = serde_json::from_slice(&read.stdout).expect("JSON");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules");
    for rule in rules {
        let expression = rule["expr"].as_str().expect("an expression");
        let metrics = hold(&[expression]);
        assert!(!metrics.is_empty() || expression.starts_with("up{"), "{expression}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].as_str().is_some_and(|text| !text.is_empty()), "{rule}");
        }
        let severity = rule["labels"]["severity"].as_str();
        assert!(severity.is_some_and(|severity| ["critical", "warning", "info"].contains(&severity)), "{rule}");
    }
    assert!(rules.len() >= 10, "{}", rules.len());
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let board: Value = serde_json::from_str(BOARD).expect("JSON");
    let mut expressions = Vec::new();
    values(&board, "expr", &mut expressions);
    values(&board, "query", &mut expressions);
    let shown = hold(&expressions);
    let aside = [
        "vestibule_build_info",
        "vestibule_tls_certificate_not_after_timestamp_seconds",
        "vestibule_tls_certificate_expiry_rung",
    ];
    let left_out: Vec<_> =
        metrics().into_iter().filter(|name| !shown.contains(name) && !aside.contains(name)).collect();
    assert!(left_out.is_empty(), "on no panel: {left_out:?}");
    let ids: BTreeSet<_> =
        board["panels"].as_array().expect("panels").iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), board["panels"].as_array().map_or(0, Vec::len), "each panel has an id of its own");
}
