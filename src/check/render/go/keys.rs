//! The key document, decoded and judged as the tester's library does (gomatrixserverlib,
//! `CheckKeys`).

use crate::clock::Timestamp;
use crate::matrix::keys::{BASE64, KeyCheck, ServerKeys};
use base64::Engine as _;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What is checked of the keys.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyChecks {
    #[serde(rename = "AllChecksOK")]
    pub(super) all_checks_ok: bool,
    matching_server_name: bool,
    #[serde(rename = "FutureValidUntilTS")]
    future_valid_until_ts: bool,
    has_ed25519_key: bool,
    /// Null where there is none to check.
    #[serde(rename = "AllEd25519ChecksOK")]
    all_ed25519_checks_ok: Option<bool>,
    ed25519_checks: BTreeMap<String, Ed25519Checks>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ed25519Checks {
    valid_ed25519: bool,
    matching_signature: bool,
}

/// A document that decodes, and what was found.
pub(super) struct Checked {
    pub(super) raw: Value,
    pub(super) checks: KeyChecks,
    /// The keys, unless a check failed.
    pub(super) keys: Option<BTreeMap<String, String>>,
}

/// Decodes `body` for the server `name`. Absent fields read as empty, as in Go; those of another
/// type make the document unreadable.
pub(super) fn check(body: &[u8], name: &str, now: Timestamp) -> Result<Checked, String> {
    let raw: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let object = raw.as_object().ok_or("the answer is not a JSON object")?;
    let server_name = text(object, "server_name")?;
    let valid_until = match object.get("valid_until_ts") {
        None | Some(Value::Null) => 0,
        Some(value) => value.as_i64().filter(|ts| *ts >= 0).ok_or("valid_until_ts is not a number")?,
    };
    let keys = verify_keys(object)?;
    // Signatures are verified over the document as it came; one that lacks a field has none that fits.
    let signatures = ServerKeys::parse(body).map(|keys| keys.check_signatures()).unwrap_or_default();
    let ed25519 = keys.into_iter().filter(|(id, _)| id.split(':').next() == Some("ed25519"));
    let ed25519: Vec<_> = ed25519.collect();
    let check = |(id, key): &(String, Vec<u8>)| {
        let good = signatures.iter().any(|(signed, check)| signed == id && *check == KeyCheck::Good);
        (id.clone(), Ed25519Checks { valid_ed25519: key.len() == 32, matching_signature: good })
    };
    let ed25519_checks: BTreeMap<_, _> = ed25519.iter().map(check).collect();
    let all = ed25519_checks.values().all(|check| check.matching_signature);
    let (matching, future) = (server_name == name, valid_until > now.0.saturating_mul(1000));
    let has = !ed25519.is_empty();
    let good = matching && future && has && all;
    let keys = ed25519.iter().map(|(id, key)| (id.clone(), BASE64.encode(key))).collect();
    let checks = KeyChecks {
        all_checks_ok: good,
        matching_server_name: matching,
        future_valid_until_ts: future,
        has_ed25519_key: has,
        all_ed25519_checks_ok: has.then_some(all),
        ed25519_checks,
    };
    Ok(Checked { raw, checks, keys: good.then_some(keys) })
}

fn text(object: &Map<String, Value>, key: &str) -> Result<String, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("{key} is not a string")),
    }
}

fn verify_keys(object: &Map<String, Value>) -> Result<Vec<(String, Vec<u8>)>, String> {
    let keys = match object.get("verify_keys") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(keys)) => keys,
        Some(_) => return Err("verify_keys is not an object".to_owned()),
    };
    let decode = |(id, entry): (&String, &Value)| {
        let entry = entry.as_object().ok_or_else(|| format!("{id} is not an object"))?;
        // The library takes the URL-safe alphabet as well.
        let encoded = text(entry, "key")?.replace('-', "+").replace('_', "/");
        let key = BASE64.decode(encoded).map_err(|error| format!("{id}: {error}"))?;
        Ok((id.clone(), key))
    };
    keys.iter().map(decode).collect()
}
