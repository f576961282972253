//! The signing keys that a server published at earlier checks: losing one is noticed, retiring it is
//! not.

use super::report::{KeysView, Report};
use crate::clock::Timestamp;
use crate::matrix::keys::ServerKeys;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A change is told at each check for so long, in seconds; then it is how things are.
const REMEMBER: i64 = 7 * 86_400;

/// Keys once published. Kept as JSON by whoever runs the check again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins {
    /// Key id to base64 key.
    keys: BTreeMap<String, String>,
    /// When one of them was first missed, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missed_since: Option<i64>,
}

impl Pins {
    /// What was kept. `None` where it cannot be read: then nothing is pinned.
    pub fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// For keeping.
    pub fn to_json(&self) -> String {
        // A map of texts always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What to keep after a check: `None` where it saw no keys of that server, or nothing new.
    pub fn after(before: Option<&Self>, report: &Report, now: Timestamp) -> Option<Self> {
        let mut seen = report.connections.iter().filter_map(|connection| connection.keys.as_ref());
        let seen = seen.find(|keys| keys.server_name == report.server_name)?;
        let next = Self::next(before, seen, now);
        (before != Some(&next)).then_some(next)
    }

    fn next(before: Option<&Self>, seen: &KeysView, now: Timestamp) -> Self {
        let fresh = Self { keys: seen.verify_keys.clone(), missed_since: None };
        let Some(before) = before else { return fresh };
        let retired = |id: &String| seen.old_verify_keys.contains_key(id);
        let kept = |(id, key): (&String, &String)| seen.verify_keys.get(id) == Some(key) || retired(id);
        if before.keys.iter().all(kept) {
            return fresh;
        }
        let since = before.missed_since.unwrap_or(now.0);
        if now.0.saturating_sub(since) >= REMEMBER {
            return fresh;
        }
        Self { keys: before.keys.clone(), missed_since: Some(since) }
    }

    /// The ids of kept keys that `published` has no longer, or with another key.
    pub(super) fn lost(&self, published: &ServerKeys) -> Vec<&str> {
        let gone = |(id, key): &(&String, &String)| {
            published.verify_keys.get(*id) != Some(*key) && !published.old_verify_keys.contains_key(*id)
        };
        self.keys.iter().filter(gone).map(|(id, _)| id.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(keys: &[(&str, &str)], old: &[&str]) -> KeysView {
        KeysView {
            server_name: "ex.org".to_owned(),
            valid_until_ts: 0,
            verify_keys: keys.iter().map(|(id, key)| ((*id).to_owned(), (*key).to_owned())).collect(),
            old_verify_keys: old.iter().map(|id| ((*id).to_owned(), Some(1))).collect(),
        }
    }

    #[test]
    fn a_retired_key_is_forgotten_and_a_lost_one_is_remembered_for_a_week() {
        let first = Pins::next(None, &view(&[("a", "A")], &[]), Timestamp(0));
        assert_eq!(first, Pins::next(Some(&first), &view(&[("a", "A")], &[]), Timestamp(9)));
        let rotated = Pins::next(Some(&first), &view(&[("b", "B")], &["a"]), Timestamp(9));
        assert_eq!(rotated, Pins::next(None, &view(&[("b", "B")], &[]), Timestamp(0)));
        for other in [view(&[("b", "B")], &[]), view(&[("a", "other")], &[])] {
            let missed = Pins::next(Some(&first), &other, Timestamp(9));
            assert_eq!((&missed.keys, missed.missed_since), (&first.keys, Some(9)));
            let still = Pins::next(Some(&missed), &other, Timestamp(9 + REMEMBER - 1));
            assert_eq!(still, missed);
            assert_eq!(Pins::next(Some(&missed), &view(&[("a", "A")], &[]), Timestamp(10)), first, "it is back");
            let settled = Pins::next(Some(&missed), &other, Timestamp(9 + REMEMBER));
            assert_eq!(settled.keys, other.verify_keys);
        }
    }

    #[test]
    fn pins_survive_being_kept() {
        let pins = Pins { missed_since: Some(5), ..Pins::next(None, &view(&[("a", "A")], &[]), Timestamp(0)) };
        assert_eq!(Pins::read(pins.to_json().as_bytes()), Some(pins));
        assert_eq!(Pins::read(b"nonsense"), None);
    }
}
