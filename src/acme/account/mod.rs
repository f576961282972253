//! The account at a CA: its key saved before it is registered, registered once, used for every
//! order.

mod registration;

use super::directory::Directory;
use super::order::{OrderError, again, explain, refusal};
use super::wire::{Refusal, Wire};
use crate::certs::Store;
use crate::certs::files;
use crate::certs::sealed::{self, Broken};
use crate::certs::store::StoreError;
use crate::config::{AcmeCa, ExternalAccount};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials};
use registration::{Purpose, Registration};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use tokio::sync::Mutex;

/// Why there is no account to order with.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The store failed. No account is made in place of one that may be there.
    #[error("the CA account cannot be kept")]
    Store(#[from] StoreError),
    /// The stored account cannot be read.
    #[error("{path} is damaged: {reason}; move it away to have a new account made")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The CA asks for a binding to an account on its own site.
    #[error(
        "the CA {0} makes accounts only with an external account binding; set acme.external_account.key_id and hmac_key_file to what its site gives you"
    )]
    NeedsExternalAccount(String),
    /// The shared key cannot be used.
    #[error("external_account.hmac_key_file {path}: {reason}; it must hold the key as the CA's site shows it, in base64url", path = .path.display())]
    HmacKey {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No randomness, or a key that the library does not take.
    #[error("an account key cannot be made or used")]
    Key,
}

/// The form in the store. The first three fields are those of instant-acme's credentials.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    /// The account's URL; absent until the CA has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The private key, PKCS#8 in base64url.
    key_pkcs8: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    /// The key was made just now: no CA has seen it.
    #[serde(skip)]
    fresh: bool,
}

/// The account of one CA, loaded or made at the first order.
pub(super) struct Accounts {
    store: Store,
    authority: AcmeCa,
    key: String,
    contact: Vec<String>,
    loaded: Mutex<Option<Stored>>,
}

impl Accounts {
    pub(super) fn new(store: Store, authority: &AcmeCa, ca: &str, email: Option<&str>) -> Self {
        Self {
            store,
            authority: authority.clone(),
            key: format!("acme/{ca}/account.json"),
            contact: email.map(|email| format!("mailto:{email}")).into_iter().collect(),
            loaded: Mutex::new(None),
        }
    }

    /// The account's URL, if there is an account.
    pub(super) async fn url(&self) -> Option<String> {
        self.loaded.lock().await.as_ref()?.id.clone()
    }

    /// The account, which speaks over `wire`. Registers it if the CA has not seen it yet.
    pub(super) async fn get(&self, wire: &Wire, directory: &Directory) -> Result<Account, OrderError> {
        // Held over the network on purpose: orders that start together must not each make one.
        let mut loaded = self.loaded.lock().await;
        let stored = match &*loaded {
            Some(stored) => stored.clone(),
            None => self.load().await?,
        };
        let stored = match &stored.id {
            Some(_) => stored,
            None => self.register(stored, wire, directory).await?,
        };
        let account = self.restore(&stored, wire, directory).await?;
        *loaded = Some(stored);
        Ok(account)
    }

    /// Forgets the account's URL, not its key: the CA says that it does not know it.
    pub(super) async fn forget(&self) -> Result<(), AccountError> {
        let mut loaded = self.loaded.lock().await;
        if let Some(stored) = loaded.take().filter(|stored| stored.id.is_some()) {
            self.save(&Stored { id: None, ..stored }).await?;
        }
        Ok(())
    }

    /// What the store holds, or a new key, saved. An account must never be lost between its
    /// registration and a write: bindings are good for one.
    async fn load(&self) -> Result<Stored, AccountError> {
        if let Some(content) = self.store.load(&self.key).await? {
            let damaged = |reason: String| AccountError::Damaged { path: self.store.describe(&self.key), reason };
            let stored = match sealed::unseal::<Stored>(&content) {
                Ok(stored) => stored,
                Err(error @ Broken::Form(_)) => return Err(damaged(error.to_string())),
                Err(Broken::Digest) => salvage(&content).map_err(|error| damaged(error.to_string()))?,
            };
            // A key notices by itself: its two halves do not fit any more.
            stored.signer().map_err(|_| damaged("the key cannot be read".to_owned()))?;
            return Ok(stored);
        }
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let document = document.map_err(|_| AccountError::Key)?;
        let stored = Stored {
            id: None,
            key_pkcs8: BASE64_URL_SAFE_NO_PAD.encode(&document),
            directory: Some(self.authority.directory.clone()),
            fresh: true,
        };
        self.save(&stored).await?;
        Ok(stored)
    }

    async fn save(&self, stored: &Stored) -> Result<(), StoreError> {
        self.store.store(&self.key, &sealed::seal(stored)).await
    }

    /// Registers the key. Whatever is not fresh may be registered: its answer was lost, its URL
    /// damaged, or it was another program's. Such an account is asked for without a binding, which may
    /// be used up by it.
    async fn register(&self, stored: Stored, wire: &Wire, directory: &Directory) -> Result<Stored, OrderError> {
        if !stored.fresh {
            let existing = Registration { signer: &stored.signer()?, contact: &[], purpose: Purpose::Existing };
            match again(async || existing.send(wire, directory).await).await {
                Ok(id) => return self.keep(Stored { id: Some(id), ..stored }).await,
                Err(error)
                    if refusal(&error).is_some_and(|refusal| refusal.account_is_gone() || refusal.is_final()) => {}
                Err(error) => return Err(explain("asking for the account", error)),
            }
        }
        let binding = match &self.authority.external_account {
            Some(binding) => Some((binding.key_id.as_str(), hmac_key(binding)?)),
            None if directory.needs_external_account() => {
                return Err(AccountError::NeedsExternalAccount(self.authority.directory.clone()).into());
            }
            None => None,
        };
        let registration =
            Registration { signer: &stored.signer()?, contact: &self.contact, purpose: Purpose::New(binding) };
        let made = again(async || registration.send(wire, directory).await).await;
        if let (Err(error), Some(binding)) = (&made, &self.authority.external_account)
            && refusal(error).is_some_and(Refusal::is_final)
        {
            tracing::error!(
                ca = %self.authority.directory, key_id = %binding.key_id, file = %binding.hmac_key_file.display(),
                "the CA makes no account with this external account binding; compare acme.external_account.key_id and the key in the file with what its site shows, where a binding may be good for one account only"
            );
        }
        let id = made.map_err(|error| explain("making an account", error))?;
        self.keep(Stored { id: Some(id), ..stored }).await
    }

    async fn keep(&self, stored: Stored) -> Result<Stored, OrderError> {
        self.save(&stored).await.map_err(AccountError::Store)?;
        tracing::info!(ca = %self.authority.directory, "the account at the CA is registered");
        Ok(stored)
    }

    /// The library's account. With the directory in hand it asks the network for nothing.
    async fn restore(&self, stored: &Stored, wire: &Wire, directory: &Directory) -> Result<Account, OrderError> {
        let credentials = serde_json::json!({
            "id": stored.id, "key_pkcs8": stored.key_pkcs8, "directory": null, "urls": directory.as_json(),
        });
        let damaged = |reason: String| AccountError::Damaged { path: self.store.describe(&self.key), reason };
        let credentials: AccountCredentials =
            serde_json::from_value(credentials).map_err(|error| damaged(error.to_string()))?;
        let builder = Account::builder_with_http(Box::new(wire.clone()));
        let restored = builder.from_credentials(credentials).await;
        Ok(restored.map_err(|error| damaged(error.to_string()))?)
    }
}

impl Stored {
    fn signer(&self) -> Result<EcdsaKeyPair, AccountError> {
        let key = BASE64_URL_SAFE_NO_PAD.decode(&self.key_pkcs8).map_err(|_| AccountError::Key)?;
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key).map_err(|_| AccountError::Key)
    }
}

/// What is left of a damaged record: the key. The CA knows the account's URL by it (RFC 8555 §7.3.1).
fn salvage(content: &[u8]) -> serde_json::Result<Stored> {
    let stored: Stored = serde_json::from_slice(content)?;
    Ok(Stored { id: None, ..stored })
}

/// Whether the shared key can be read and is one, without asking anybody.
pub fn check_external_account(binding: &ExternalAccount) -> Result<(), AccountError> {
    hmac_key(binding).map(drop)
}

fn hmac_key(binding: &ExternalAccount) -> Result<Vec<u8>, AccountError> {
    let path = &binding.hmac_key_file;
    let key = files::read(path).and_then(|content| decode(&String::from_utf8_lossy(&content)));
    key.map_err(|error| AccountError::HmacKey { path: path.clone(), reason: error.to_string() })
}

/// The shared key. CAs show it in base64url, some with padding.
fn decode(text: &str) -> io::Result<Vec<u8>> {
    let wrong = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
    let text = text.trim().trim_end_matches('=');
    if text.is_empty() {
        return Err(wrong("it is empty"));
    }
    let text = text.replace('+', "-").replace('/', "_");
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|error| wrong(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::KeyPair as _;

    #[test]
    fn a_shared_key_is_read_however_a_site_shows_it() {
        for text in ["-_-_", "+/+/\n", " -_-_ "] {
            assert_eq!(decode(text).unwrap(), [0xfb, 0xff, 0xbf]);
        }
        assert_eq!(decode("AA==\n").unwrap(), [0]);
        assert!(decode("\n").is_err() && decode("a b").is_err());
    }

    /// Whatever flips, the key is the one that the CA knows, or there is an error: never a second account.
    #[tokio::test]
    async fn no_flipped_bit_makes_another_account() {
        let store = Store::memory();
        let authority = AcmeCa {
            directory: "https://ca.example/dir".to_owned(),
            ca_file: None,
            profile: None,
            external_account: None,
            staging: None,
        };
        let accounts = || Accounts::new(store.clone(), &authority, "ca", None);
        let made = Stored { id: Some("https://ca.example/acct/1".to_owned()), ..accounts().load().await.unwrap() };
        accounts().save(&made).await.unwrap();
        let content = store.load("acme/ca/account.json").await.unwrap().unwrap();
        for position in 0..content.len() {
            let mut flipped = content.clone();
            flipped[position] ^= 1 << (position % 8);
            store.store("acme/ca/account.json", &flipped).await.unwrap();
            match accounts().load().await {
                Ok(read) => {
                    let point = |stored: &Stored| stored.signer().unwrap().public_key().as_ref().to_vec();
                    assert_eq!(point(&read), point(&made), "byte {position}");
                    assert!(read.id.is_none() || read.id == made.id, "byte {position}");
                }
                Err(error) => assert!(matches!(error, AccountError::Damaged { .. }), "byte {position}: {error}"),
            }
        }
    }
}
