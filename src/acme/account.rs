//! The account at a CA: made once, kept in the store, used for every order.

use super::http::Wire;
use super::order::{again, explain};
use crate::certs::Store;
use crate::certs::store::StoreError;
use instant_acme::{Account, AccountCredentials, NewAccount};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Why there is no account to order with.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The store failed. No account is made in place of one that may be there.
    #[error("the CA account cannot be kept")]
    Store(#[from] StoreError),
    /// The stored account cannot be read.
    #[error("{path} is damaged; move it away to have a new account made")]
    Damaged {
        /// The file.
        path: String,
        /// The parser's sentence.
        #[source]
        source: serde_json::Error,
    },
}

/// The account of one CA, loaded or made at the first order.
pub(super) struct Accounts {
    wire: Wire,
    store: Store,
    directory: String,
    key: String,
    contact: Vec<String>,
    loaded: Mutex<Option<Arc<Account>>>,
}

impl Accounts {
    pub(super) fn new(wire: Wire, store: Store, directory: &str, ca: &str, email: Option<&str>) -> Self {
        Self {
            wire,
            store,
            directory: directory.to_owned(),
            key: format!("acme/{ca}/account.json"),
            contact: email.map(|email| format!("mailto:{email}")).into_iter().collect(),
            loaded: Mutex::new(None),
        }
    }

    /// The account.
    pub(super) async fn get(&self) -> Result<Arc<Account>, super::OrderError> {
        // Held over the network on purpose: orders that start together must not each make one.
        let mut loaded = self.loaded.lock().await;
        if let Some(account) = &*loaded {
            return Ok(Arc::clone(account));
        }
        let builder = || Account::builder_with_http(Box::new(self.wire.clone()));
        let stored = self.store.load(&self.key).await.map_err(AccountError::Store)?;
        let account = if let Some(content) = stored {
            let credentials = || {
                serde_json::from_slice::<AccountCredentials>(&content)
                    .map_err(|source| AccountError::Damaged { path: self.store.describe(&self.key), source })
            };
            drop(credentials()?);
            let restored = again(async || match credentials() {
                Ok(credentials) => builder().from_credentials(credentials).await,
                Err(error) => Err(instant_acme::Error::Other(Box::new(error))),
            });
            restored.await.map_err(|error| explain("restoring the account", error))?
        } else {
            let contact: Vec<&str> = self.contact.iter().map(String::as_str).collect();
            let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
            let made = again(async || builder().create(&new, self.directory.clone(), None).await);
            let (account, credentials) = made.await.map_err(|error| explain("making an account", error))?;
            let content = serde_json::json!(credentials).to_string();
            self.store.store(&self.key, content.as_bytes()).await.map_err(AccountError::Store)?;
            tracing::info!(ca = %self.directory, "made an account at the CA");
            account
        };
        Ok(Arc::clone(loaded.insert(Arc::new(account))))
    }
}
