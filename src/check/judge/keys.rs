//! Rules about the server keys.

use super::connection::{each, not_json, tries};
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::federation::Connection;
use crate::matrix::keys::{KeyCheck, ServerKeys};

pub(super) const RULES: &[Rule] = &[answer, name, expired, ed25519, signature, canonical, soon, far, old, pinned, same];

/// Publishers should not hand out keys with less than this left, in milliseconds.
const SOON: i64 = 3_600_000;

/// No peer uses keys for longer without asking again, in milliseconds.
const FAR: i64 = 7 * 86_400_000;

/// The key document, where there is a usable one.
pub(in crate::check) fn document(seen: &Connection) -> Option<ServerKeys> {
    let answer = seen.more.as_ref()?.keys.answer.as_ref().ok().filter(|answer| answer.status == 200)?;
    ServerKeys::parse(&answer.body).ok()
}

fn answer(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedKeys, |seen| {
        let fetched = &seen.more.as_ref()?.keys;
        match &fetched.answer {
            // tls.handshake, tls.alpn and tcp.connect have their own words for this.
            Err(trouble) if trouble.in_tls() => None,
            Err(trouble) => Some(tries(fetched, trouble)),
            Ok(answer) => not_json(answer).or_else(|| Some(ServerKeys::parse(&answer.body).err()?.to_string())),
        }
    })
}

fn name(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedKeysName, |seen| {
        let keys = document(seen).filter(|keys| keys.server_name != case.server)?;
        Some(format!("the keys are those of {:?}, not of {:?}", keys.server_name, case.server))
    })
}

/// Milliseconds of validity left.
fn left(case: &Case<'_>, keys: &ServerKeys) -> i64 {
    keys.valid_until_ts.saturating_sub(case.now.0.saturating_mul(1000))
}

fn expired(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedKeysExpired, |seen| {
        let left = document(seen).map(|keys| left(case, &keys)).filter(|left| *left <= 0)?;
        Some(format!("valid_until_ts passed {} s ago", left.unsigned_abs() / 1000))
    })
}

fn soon(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedKeysSoon, |seen| {
        let left = document(seen).map(|keys| left(case, &keys)).filter(|left| (1..SOON).contains(left))?;
        Some(format!("valid_until_ts is only {} minutes away", left / 60_000))
    })
}

fn far(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedKeysFar, |seen| {
        let left = document(seen).map(|keys| left(case, &keys)).filter(|left| *left > FAR)?;
        Some(format!("valid_until_ts is {} days away; peers ask again after 7", left / 86_400_000))
    })
}

fn old(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedKeysOld, |seen| {
        let keys = document(seen)?;
        let undated: Vec<_> = keys.old_verify_keys.iter().filter(|(_, expired)| expired.is_none()).collect();
        let ids: Vec<_> = undated.into_iter().map(|(id, _)| id.as_str()).collect();
        (!ids.is_empty()).then(|| format!("{} in old_verify_keys has no expired_ts", ids.join(", ")))
    })
}

fn pinned(case: &Case<'_>) -> Vec<Finding> {
    let Some(pins) = case.pinned else {
        return Vec::new();
    };
    each(case, Code::FedKeysPinned, |seen| {
        let keys = document(seen).filter(|keys| keys.server_name == case.server)?;
        let lost = pins.lost(&keys);
        (!lost.is_empty())
            .then(|| format!("{} was published before, and is neither there nor in old_verify_keys", lost.join(", ")))
    })
}

fn ed25519(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedKeysEd25519, |seen| {
        let checks = document(seen)?.check_signatures();
        if checks.is_empty() {
            return Some("verify_keys has no ed25519 key".to_owned());
        }
        let (id, _) = checks.iter().find(|(_, check)| *check == KeyCheck::BadKey)?;
        Some(format!("{id} is not 32 bytes of base64"))
    })
}

fn signature(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedKeysSig, |seen| {
        document(seen)?.check_signatures().into_iter().find_map(|(id, check)| match check {
            KeyCheck::Unsigned => Some(format!("the document is not signed by {id}")),
            KeyCheck::BadSignature => Some(format!("the signature by {id} does not verify")),
            KeyCheck::Good | KeyCheck::BadKey | KeyCheck::NotCanonical(_) => None,
        })
    })
}

fn canonical(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedKeysCanonical, |seen| {
        document(seen)?.check_signatures().into_iter().find_map(|(_, check)| match check {
            KeyCheck::NotCanonical(why) => Some(why),
            KeyCheck::Good | KeyCheck::BadKey | KeyCheck::Unsigned | KeyCheck::BadSignature => None,
        })
    })
}

fn same(case: &Case<'_>) -> Vec<Finding> {
    let published: Vec<_> =
        case.seen.connections.iter().filter_map(|seen| Some((seen.address, document(seen)?.verify_keys))).collect();
    let Some((_, first)) = published.first() else {
        return Vec::new();
    };
    if published.iter().all(|(_, keys)| keys == first) {
        return Vec::new();
    }
    let show = published.iter().map(|(address, keys)| {
        let ids: Vec<_> = keys.iter().map(|(id, key)| format!("{id} {key}")).collect();
        format!("{address} has {}", ids.join(", "))
    });
    let host = case.seen.plan.as_ref().map(|plan| plan.certificate_name.to_string()).unwrap_or_default();
    vec![case.finding(Code::FedKeysSame, case.server, show.collect::<Vec<_>>().join("; ")).for_host(host)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::judge::judge;
    use crate::check::judge::tests::{JSON, KEY, NOW, answer, case, healthy, table};
    use crate::check::observe::Observation;
    use crate::check::pins::Pins;
    use serde_json::{Value, json};

    /// The key document of both addresses, changed and signed again.
    fn republish(seen: &mut Observation, change: impl Fn(&mut serde_json::Map<String, Value>)) {
        let Ok(Value::Object(mut document)) = KEY.document("ex.org", (NOW.0 + 86_400) * 1000) else {
            unreachable!("documents are objects")
        };
        change(&mut document);
        document.remove("signatures");
        KEY.sign("ex.org", &mut document).unwrap();
        for connection in &mut seen.connections {
            let body = Value::Object(document.clone()).to_string();
            connection.more.as_mut().unwrap().keys.answer = Ok(answer(200, JSON, body));
        }
    }

    #[test]
    fn validity_and_retired_keys() {
        table(&[
            ("", |s| republish(s, |keys| drop(keys.insert("valid_until_ts".into(), json!((NOW.0 + 604_800) * 1000))))),
            ("fed.keys.far. fed.keys.far.", |s| {
                republish(s, |keys| drop(keys.insert("valid_until_ts".into(), json!((NOW.0 + 1_000_000) * 1000))));
            }),
            ("fed.keys.old? fed.keys.old?", |s| {
                republish(s, |keys| {
                    drop(keys.insert("old_verify_keys".into(), json!({ "ed25519:o": { "key": "AA" } })))
                });
            }),
            ("", |s| {
                let old = json!({ "ed25519:o": { "key": "AA", "expired_ts": 1 } });
                republish(s, |keys| drop(keys.insert("old_verify_keys".into(), old.clone())));
            }),
        ]);
    }

    #[test]
    fn a_lost_key_is_noticed() {
        let mut seen = healthy();
        seen.connections.truncate(1);
        let known = json!({ "keys": { KEY.id(): KEY.public_base64() } }).to_string();
        let other = json!({ "keys": { KEY.id(): "another" } }).to_string();
        let gone = json!({ "keys": { "ed25519:gone": "AA" } }).to_string();
        for (kept, expected) in [(known, 0), (other, 1), (gone, 1)] {
            let pins = Pins::read(kept.as_bytes());
            assert!(pins.is_some());
            let case = Case { pinned: pins.as_ref(), ..case(&seen) };
            let found = judge(&case).into_iter().filter(|finding| finding.id == Code::FedKeysPinned).count();
            assert_eq!(found, expected, "{kept}");
        }
    }
}
