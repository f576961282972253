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
    Name(String),
}

impl Challenges {
    /// Opens an HTTP-01 challenge (RFC 8555 §8.3).
    pub fn open_http(&self, token: &str, key_authorization: &str) -> OpenChallenge {
        self.lock().by_token.insert(token.to_owned(), key_authorization.to_owned());
        OpenChallenge { challenges: self.clone(), key: Key::Token(token.to_owned()) }
    }

    /// Opens a TLS-ALPN-01 challenge (RFC 8737) for a server name indication.
    pub fn open_tls(&self, name: &str, certificate: Arc<CertifiedKey>) -> OpenChallenge {
        self.lock().by_name.insert(name.to_owned(), certificate);
        OpenChallenge { challenges: self.clone(), key: Key::Name(name.to_owned()) }
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
            Key::Name(name) => drop(open.by_name.remove(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_closes_with_its_guard() {
        let challenges = Challenges::default();
        let open = challenges.open_http("token", "token.thumbprint");
        assert_eq!(challenges.answer_http("token").as_deref(), Some("token.thumbprint"));
        drop(open);
        assert_eq!(challenges.answer_http("token"), None);
    }
}
