//! Open ACME challenges: what the listeners answer while an order is validated.
//!
//! Entries are guards: dropping one closes the challenge, however the order ends.

use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All open challenges. Read only by requests for a challenge, so a plain lock is enough.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    by_token: HashMap<String, String>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

/// Keeps one challenge open.
#[derive(Debug)]
pub struct OpenChallenge {
    challenges: Challenges,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Token(String),
    /// With what was opened: another certificate for the same name is somebody else's to close.
    Name(String, Arc<CertifiedKey>),
}

impl Challenges {
    /// Opens an HTTP-01 challenge (RFC 8555 §8.3).
    pub fn open_http(&self, token: &str, key_authorization: &str) -> OpenChallenge {
        self.lock().by_token.insert(token.to_owned(), key_authorization.to_owned());
        OpenChallenge { challenges: self.clone(), key: Key::Token(token.to_owned()) }
    }

    /// Opens a TLS-ALPN-01 challenge (RFC 8737) for a server name indication.
    pub fn open_tls(&self, name: &str, certificate: Arc<CertifiedKey>) -> OpenChallenge {
        self.lock().by_name.insert(name.to_owned(), Arc::clone(&certificate));
        OpenChallenge { challenges: self.clone(), key: Key::Name(name.to_owned(), certificate) }
    }

    /// The same for a probe: `None` while the name's challenge is open, which a CA may be looking at.
    pub fn open_tls_if_free(&self, name: &str, certificate: Arc<CertifiedKey>) -> Option<OpenChallenge> {
        let mut open = self.lock();
        if open.by_name.contains_key(name) {
            return None;
        }
        open.by_name.insert(name.to_owned(), Arc::clone(&certificate));
        drop(open);
        Some(OpenChallenge { challenges: self.clone(), key: Key::Name(name.to_owned(), certificate) })
    }

    /// The answer to an HTTP-01 request.
    pub fn answer_http(&self, token: &str) -> Option<String> {
        self.lock().by_token.get(token).cloned()
    }

    /// The certificate for an `acme-tls/1` handshake.
    pub fn answer_tls(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.lock().by_name.get(name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // A map stays usable whatever happened to the thread that held it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenChallenge {
    fn drop(&mut self) {
        let mut open = self.challenges.lock();
        match &self.key {
            Key::Token(token) => drop(open.by_token.remove(token)),
            Key::Name(name, own) => {
                if open.by_name.get(name).is_some_and(|entry| Arc::ptr_eq(entry, own)) {
                    open.by_name.remove(name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::PrivateKeyDer;

    fn certificate() -> Arc<CertifiedKey> {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let key = any_supported_type(&PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap();
        Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))
    }

    #[test]
    fn a_probe_and_a_challenge_do_not_disturb_each_other() {
        let challenges = Challenges::default();
        let shown = || challenges.answer_tls("a.test");
        let (of_probe, of_order) = (certificate(), certificate());
        let probe = challenges.open_tls_if_free("a.test", Arc::clone(&of_probe)).unwrap();
        assert!(Arc::ptr_eq(&shown().unwrap(), &of_probe));
        let order = challenges.open_tls("a.test", Arc::clone(&of_order));
        drop(probe);
        assert!(Arc::ptr_eq(&shown().unwrap(), &of_order), "the order's stays open");
        assert!(challenges.open_tls_if_free("a.test", of_probe).is_none());
        drop(order);
        assert!(shown().is_none());
    }

    #[test]
    fn a_challenge_closes_with_its_guard() {
        let challenges = Challenges::default();
        let open = challenges.open_http("token", "token.thumbprint");
        assert_eq!(challenges.answer_http("token").as_deref(), Some("token.thumbprint"));
        drop(open);
        assert_eq!(challenges.answer_http("token"), None);
    }
}
