//! An order under way, as it is kept: written before the first challenge is opened, removed when
//! the order has ended.
//!
//! An order that is forgotten in a crash stays open at the CA: it counts against its limits, and
//! while it names a certificate as replaced, no other may (Let's Encrypt holds that for a week).

use crate::certs::store::StoreError;
use crate::certs::{Store, sealed};
use crate::clock::Timestamp;
use crate::config::Challenge;
use crate::matrix::HostPattern;
use serde::{Deserialize, Serialize};

/// Let's Encrypt lets go of an order after a week.
const LONGEST: i64 = 7 * 86_400;

/// The record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::acme) struct Pending {
    /// Where the order is.
    pub url: String,
    /// The names it is for.
    pub names: Vec<String>,
    /// The type of challenge that was chosen.
    pub challenge: String,
    /// The key that the certificate will be for, PEM.
    pub key: String,
    /// Seconds since the epoch.
    pub placed: i64,
    /// Whether it takes the place of another certificate inside the CA's window for that.
    #[serde(default)]
    pub exempt: bool,
}

impl Pending {
    /// What was kept for these names and can still be taken up. A record that cannot be read is
    /// worth no more than one order: it is told, and forgotten.
    pub(in crate::acme) async fn load(
        store: &Store,
        ca: &str,
        names: &[HostPattern],
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let Some(first) = names.first() else { return Ok(None) };
        let key = key(ca, first);
        let Some(content) = store.load(&key).await? else { return Ok(None) };
        let pending: Option<Self> = match sealed::unseal(&content) {
            Ok(pending) => Some(pending),
            Err(error) => {
                tracing::warn!(record = %store.describe(&key), %error, "the record of an order under way is damaged; the order is given up");
                None
            }
        };
        let wanted: Vec<_> = names.iter().map(ToString::to_string).collect();
        let usable = pending.filter(|pending| {
            pending.names == wanted
                && now.since(Timestamp(pending.placed)).abs() < LONGEST
                && Challenge::parse(&pending.challenge).is_some()
        });
        if usable.is_none() {
            store.remove(&key).await?;
        }
        Ok(usable)
    }

    pub(in crate::acme) async fn save(&self, store: &Store, ca: &str, first: &HostPattern) -> Result<(), StoreError> {
        store.store(&key(ca, first), &sealed::seal(self)).await
    }

    pub(in crate::acme) async fn remove(store: &Store, ca: &str, first: &HostPattern) -> Result<(), StoreError> {
        store.remove(&key(ca, first)).await
    }
}

fn key(ca: &str, first: &HostPattern) -> String {
    format!("acme/{ca}/pending/{}.json", first.file_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_fits_is_taken_up() {
        let store = Store::memory();
        let names = [HostPattern::parse("a.example").unwrap()];
        let pending = Pending {
            url: "https://ca.example/order/1".to_owned(),
            names: vec!["a.example".to_owned()],
            challenge: "http-01".to_owned(),
            key: String::new(),
            placed: 1_000,
            exempt: false,
        };
        let load = |now| Pending::load(&store, "ca", &names, Timestamp(now));
        pending.save(&store, "ca", &names[0]).await.unwrap();
        assert_eq!(load(2_000).await.unwrap().unwrap().url, pending.url);
        assert!(load(1_000 + LONGEST).await.unwrap().is_none(), "too old");
        assert!(store.load("acme/ca/pending/a.example.json").await.unwrap().is_none(), "and forgotten");
        let other = Pending { names: vec!["a.example".to_owned(), "b.example".to_owned()], ..pending.clone() };
        other.save(&store, "ca", &names[0]).await.unwrap();
        assert!(load(2_000).await.unwrap().is_none(), "for other names");
        store.store("acme/ca/pending/a.example.json", b"{").await.unwrap();
        assert!(load(2_000).await.unwrap().is_none(), "damaged");
        let flipped = sealed::seal(&pending);
        let flipped = String::from_utf8(flipped).unwrap().replace("ca.example", "cb.example");
        store.store("acme/ca/pending/a.example.json", flipped.as_bytes()).await.unwrap();
        assert!(load(2_000).await.unwrap().is_none(), "nobody else is asked for the order");
    }
}
