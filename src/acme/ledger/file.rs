//! The record as a file.

use super::Ledger;
use crate::certs::Store;
use crate::certs::store::StoreError;
use crate::clock::Timestamp;
use crate::matrix::HostPattern;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Written into every record. One with a later version is not touched.
const VERSION: u32 = 1;

/// The file. Without a digest, a flipped bit could turn a week's certificates into none.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    /// SHA-256 over the record as `serde_json` writes it, in hexadecimal.
    digest: String,
    record: Value,
}

/// Why there is no record to go by.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be read, or what was found in it cannot be written back.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// It is no record.
    #[error("{path} is damaged; remove it to start a new record")]
    Damaged {
        /// The file.
        path: String,
        /// Why, unless it is only that the digest does not match.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A later vestibule wrote it.
    #[error("{path} was written by a later version of vestibule ({version}); start that one, or remove the file")]
    Later {
        /// The file.
        path: String,
        /// Its version.
        version: u32,
    },
}

impl Ledger {
    /// Reads the record, or begins one. A clock that is behind the record is noted in it at once:
    /// what the record says happened in the future counts from this moment.
    pub async fn load(store: &Store, ca: &str, first: &HostPattern, now: Timestamp) -> Result<Self, LedgerError> {
        let mut ledger = Self::look(store, ca, first).await?;
        if ledger.look_at_the_clock(now) {
            ledger.save(store, ca, first).await?;
        }
        Ok(ledger)
    }

    /// The same as it stands, for a look: nothing is written.
    pub async fn look(store: &Store, ca: &str, first: &HostPattern) -> Result<Self, LedgerError> {
        let key = key(ca, first);
        let Some(content) = store.load(&key).await? else {
            return Ok(Self::default());
        };
        let damaged = |source| LedgerError::Damaged { path: store.describe(&key), source };
        let file: File = serde_json::from_slice(&content).map_err(|error| damaged(Some(error)))?;
        if file.version > VERSION {
            return Err(LedgerError::Later { path: store.describe(&key), version: file.version });
        }
        if digest_of(&file.record) != file.digest {
            return Err(damaged(None));
        }
        serde_json::from_value(file.record).map_err(|error| damaged(Some(error)))
    }

    /// Writes the record.
    pub async fn save(&self, store: &Store, ca: &str, first: &HostPattern) -> Result<(), StoreError> {
        let record = serde_json::json!(self);
        let file = File { version: VERSION, digest: digest_of(&record), record };
        store.store(&key(ca, first), serde_json::json!(file).to_string().as_bytes()).await
    }
}

/// Where the record is stored.
pub fn key(ca: &str, first: &HostPattern) -> String {
    format!("acme/{ca}/orders/{}.json", first.file_name())
}

fn digest_of(record: &Value) -> String {
    digest(&SHA256, record.to_string().as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
