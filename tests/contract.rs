//! The configuration as the contract and the sample files have it: what users type keeps working.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::vestibule::command;

/// Every key of the contract's configuration block. What stands here does not change; more may be added.
const KEYS: [&str; 64] = [
    "acme.ca_file",
    "acme.challenges",
    "acme.directory",
    "acme.dns.key_file",
    "acme.dns.key_name",
    "acme.dns.provider",
    "acme.dns.server",
    "acme.expiry_hook",
    "acme.external_account.hmac_key_file",
    "acme.external_account.key_id",
    "acme.fallback[].directory",
    "acme.profile",
    "apex",
    "check.interval",
    "check.network",
    "check.status_check",
    "email",
    "homeserver",
    "limits.admin_allow",
    "limits.drain",
    "limits.first_byte_timeout",
    "limits.header_timeout",
    "limits.hold.client",
    "limits.hold.federation",
    "limits.hold.key",
    "limits.max_body",
    "limits.min_body_rate",
    "limits.per_ip_connections",
    "limits.rate[].burst",
    "limits.rate[].class",
    "limits.rate[].key",
    "limits.rate[].per",
    "listen.admin",
    "listen.federation",
    "listen.http",
    "listen.https",
    "listen.proxy_protocol_from",
    "listen.status",
    "log.access",
    "log.format",
    "log.level",
    "mas.url",
    "public_host",
    "route[].path",
    "route[].upstream",
    "rtc.jwt",
    "rtc.sfu",
    "server_name",
    "site[].host",
    "site[].upstream",
    "state_dir",
    "tls.certificates[].chain",
    "tls.certificates[].key",
    "tls.default_certificate",
    "tls.hsts",
    "tls.issuer",
    "trusted_proxies.from",
    "upstream[].balance",
    "upstream[].endpoints",
    "upstream[].name",
    "upstream[].serves",
    "well_known.cache_max_age",
    "well_known.client",
    "well_known.support",
];

/// Keys whose tables are documents for others, passed on as they are.
const FREE: [&str; 2] = ["well_known.client", "well_known.support"];

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[track_caller]
fn run(arguments: &[&str], file: &Path) -> Output {
    command(arguments).arg("--config").arg(file).output().expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every key below `value`, with `[]` for the items of an array of tables.
fn keys(value: &toml::Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) if !FREE.contains(&path) => {
            for (key, value) in table {
                keys(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
            }
        }
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) && !FREE.contains(&path) => {
            items.iter().for_each(|item| keys(item, &format!("{path}[]"), found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_reference_has_every_key_of_the_contract_and_no_other() {
    let text = fs::read_to_string(sample("reference.toml")).expect("the file");
    let table: toml::Table = text.parse().expect("TOML");
    let mut found = BTreeSet::new();
    keys(&toml::Value::Table(table), "", &mut found);
    assert_eq!(found, KEYS.into_iter().map(str::to_owned).collect());
}

/// What the reference says is a default is one: written out or left out, it comes to the same.
#[test]
fn the_reference_tells_the_defaults() {
    let values = |output: Output| -> BTreeSet<String> {
        assert!(output.status.success(), "{}", said(&output));
        let mut table = String::new();
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let values = text.lines().filter_map(|line| {
            if line.starts_with('[') {
                line.clone_into(&mut table);
            }
            // An origin stands behind every value.
            let (value, _) = line.rsplit_once(" # ").filter(|_| !line.starts_with('#'))?;
            Some(format!("{table} {}", value.trim_end()))
        });
        values.collect()
    };
    let reference = values(run(&["config", "show"], &sample("reference.toml")));
    let defaults = values(run(&["config", "show"], &sample("minimal.toml")));
    // Nothing is served there by default.
    let differ: Vec<_> = defaults.difference(&reference).map(String::as_str).collect();
    assert_eq!(differ, ["[well_known] client = {}"]);
}

#[test]
fn every_sample_loads() {
    let mut samples = 0;
    for entry in fs::read_dir(sample("")).expect("the folder") {
        let file = entry.expect("an entry").path();
        samples += 1;
        let shown = run(&["config", "show"], &file);
        assert_eq!(shown.status.code(), Some(0), "{}: {}", file.display(), said(&shown));

        let text = fs::read_to_string(&file).expect("a text");
        let checked = run(&["validate"], &file);
        if text.contains("[[tls.certificates]]") {
            // The files it names are the operator's; that they are missing here is a finding, and no mistake in it.
            assert_eq!(checked.status.code(), Some(1), "{}: {}", file.display(), said(&checked));
            assert!(said(&checked).contains("No such file"), "{}", said(&checked));
        } else {
            assert_eq!(checked.status.code(), Some(0), "{}: {}", file.display(), said(&checked));
        }
    }
    assert!(samples >= 6, "{samples} files in config/");
}

/// A slip in any key, at any depth, is told with its place and the key that was meant.
#[test]
fn an_unknown_key_anywhere_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("slip.toml");
    let text = fs::read_to_string(sample("reference.toml")).expect("the file");
    let lines: Vec<&str> = text.lines().collect();
    let mut slips = 0;
    for (index, line) in lines.iter().enumerate() {
        for key in keys_in(line) {
            let mut slipped = lines.clone();
            let wrong = line.replacen(key, &format!("{key}x"), 1);
            slipped[index] = &wrong;
            fs::write(&file, slipped.join("\n")).expect("a writable folder");
            let shown = run(&["config", "show"], &file);
            let said = said(&shown);
            assert_eq!(shown.status.code(), Some(64), "{wrong}: {said}");
            let place = format!("{}:{}:", file.display(), index + 1);
            let told = said.lines().any(|line| {
                line.contains(&place)
                    && line.contains("unknown key")
                    && line.contains(&format!("did you mean \"{key}\"?"))
            });
            assert!(told, "line {}, {wrong}: {said}", index + 1);
            slips += 1;
        }
    }
    assert!(slips > KEYS.len(), "{slips} keys were tried");
}

/// The keys a line sets: that of an assignment and of a table in braces behind it, or the last part of a header.
fn keys_in(line: &str) -> Vec<&str> {
    if line.starts_with('#') || line.is_empty() {
        return Vec::new();
    }
    if line.starts_with('[') {
        let name = line.trim_matches(|c| c == '[' || c == ']');
        return vec![name.rsplit('.').next().expect("a name")];
    }
    let assignments = line.match_indices(" = ").filter_map(|(at, _)| {
        let key = line[..at].rsplit(['{', ',', ' ', '[']).next()?;
        // Free keys are quoted, and what is below them is nobody's business here.
        (!key.is_empty() && !key.contains('"')).then_some(key)
    });
    let free = line.starts_with("client = ");
    assignments.take(if free { 1 } else { usize::MAX }).collect()
}
