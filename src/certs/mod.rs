//! Certificates: what one is here, where they are kept, and how the served ones are published.
//!
//! A [`Certificate`] can only be made by proving it: the key fits, the chain links, the leaf names
//! something. [`Published`] is the one place that says which certificates are served; issuers put
//! them there, the TLS terminator reads a [`Keyring`] made from it.

pub mod access;
pub mod certificate;
pub mod challenges;
pub mod expiry;
pub mod files;
pub mod internal;
pub mod keyring;
pub mod lock;
pub mod sealed;
pub mod store;
pub mod watch;
pub mod x509;

pub use certificate::Certificate;
pub use challenges::Challenges;
pub use keyring::{Keyring, Published};
pub use lock::StateLock;
pub use store::Store;
