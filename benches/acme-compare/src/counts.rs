//! What the CA saw, read from Pebble's log.

/// Made or received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub accounts: usize,
    pub orders: usize,
    /// Requests that announce a challenge, those with a refused nonce included.
    pub challenges: usize,
    /// Authorisations that became invalid: Let's Encrypt allows five an hour for a name.
    pub failed: usize,
}

impl Counts {
    pub fn of(log: &[String]) -> Self {
        let count = |part: &str| log.iter().filter(|line| line.contains(part)).count();
        Self {
            accounts: count("accounts in memory"),
            orders: count("Added order "),
            challenges: count("POST /chalZ/"),
            failed: count(" set INVALID by completed challenge "),
        }
    }

    /// Whether there is one at least of all that leads to a certificate.
    pub fn all_seen(&self) -> bool {
        self.accounts > 0 && self.orders > 0 && self.challenges > 0
    }
}
