//! Reads and writes the state directory for an import.

use super::owner::{self, Owner};
use super::plan::{Needs, Plan, Write, account_key};
use super::{Found, Row, Verdict};
use crate::acme;
use crate::certs::Store;
use crate::certs::store::StoreError;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// What the state directory has, as far as an import is concerned.
#[derive(Debug, Default)]
pub struct Stored(BTreeMap<String, Vec<u8>>);

impl Stored {
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    #[cfg(test)]
    pub(super) fn of(key: &str, content: Vec<u8>) -> Self {
        Self(BTreeMap::from([(key.to_owned(), content)]))
    }
}

/// Loads what a plan looks at. What cannot be read is an error: taken for absent, it would be
/// overwritten.
pub async fn load_stored(store: &Store, needs: &Needs<'_>, found: &Found) -> Result<Stored, StoreError> {
    let certificates = needs.orders.iter().filter_map(|order| Some(acme::stored::key(order.names.first()?)));
    let accounts = found.accounts.iter().filter_map(|account| Some(account_key(account.directory.as_ref()?)));
    let mut stored = Stored::default();
    for key in certificates.chain(accounts) {
        if let Some(content) = store.load(&key).await? {
            stored.0.insert(key, content);
        }
    }
    Ok(stored)
}

/// A plan that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// An entry cannot be written.
    #[error("the state directory cannot be written; run this command as root, or as the user that vestibule runs as")]
    Store(#[from] StoreError),
    /// An entry was written and belongs to the wrong user.
    #[error("{path} cannot be given to the owner of the state directory; type: chown -R vestibule: {path}")]
    Owner {
        /// The state directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Carries out a plan, and gives what is written to the owner of the state directory. Returns what the
/// operator still has to know.
pub async fn write(plan: &Plan, state: &Path) -> Result<Vec<Row>, Unwritten> {
    if plan.writes.is_empty() && plan.kept.is_empty() {
        return Ok(Vec::new());
    }
    let stays = |source| Unwritten::Owner { path: state.display().to_string(), source };
    let before = owner::of(state).map_err(stays)?;
    // Found before they are made, because they are made for root alone.
    let absent: Vec<PathBuf> = state.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
    let store = Store::directory(state)?;
    let owner = match owner::is_root() {
        true => before.or_else(owner::service_user),
        false => None,
    };
    if let Some(owner) = owner {
        absent.iter().try_for_each(|path| owner.take_path(path)).map_err(stays)?;
    }
    for Write { key, content, set_aside } in &plan.writes {
        if *set_aside {
            store.set_aside(key).await?;
        }
        store.store(key, content).await?;
        // At once: a service that runs already may look at any time.
        if let Some(owner) = owner {
            owner.take(state, key).map_err(stays)?;
        }
    }
    // An earlier import may have been cut short.
    if let Some(owner) = owner {
        plan.kept.iter().try_for_each(|key| owner.take(state, key)).map_err(stays)?;
    }
    Ok(belongs_to_root(owner, state).into_iter().collect())
}

/// A state directory of root's is one that the service cannot read.
fn belongs_to_root(owner: Option<Owner>, state: &Path) -> Option<Row> {
    let foreign = owner::is_root() && owner.is_none_or(Owner::is_root);
    let shown = state.display();
    foreign.then(|| Row {
        verdict: Verdict::Note,
        what: shown.to_string(),
        detail: format!(
            "it belongs to root; if vestibule runs as another user (the systemd unit's is vestibule), \
             type: chown -R vestibule: {shown}"
        ),
    })
}
