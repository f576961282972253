//! Which challenge type to try.

use super::{Aside, Ledger};
use crate::config::Challenge;
use crate::matrix::Host;

impl Ledger {
    /// The type to try for `names`: of those that can prove all of them, one that has not failed
    /// for any since the last certificate, the one that worked last first, otherwise in the order
    /// of `configured`. When all have failed, the one whose failure is longest ago. `None` when no
    /// configured type can prove these names at all.
    pub fn choose(&self, configured: &[Challenge], names: &[Host]) -> Option<Challenge> {
        let able = |challenge: &&Challenge| names.iter().all(|name| can_prove(**challenge, name));
        configured.iter().filter(able).copied().min_by_key(|challenge| {
            // Ties keep the order of the configuration.
            (self.failed_last(*challenge, names), self.last_good.as_deref() != Some(challenge.as_str()))
        })
    }

    /// 0 for a type that has not failed; the greater the later it failed.
    fn failed_last(&self, challenge: Challenge, names: &[Host]) -> usize {
        let concerns = |aside: &Aside| names.iter().any(|name| aside.identifiers.contains(&name.plain()));
        let position = self.aside.iter().position(|aside| aside.challenge == challenge.as_str() && concerns(aside));
        position.map_or(0, |position| position.saturating_add(1))
    }

    /// A type that failed goes last.
    pub(super) fn set_aside(&mut self, challenge: Challenge, identifiers: &[String]) {
        self.aside.retain(|aside| aside.challenge != challenge.as_str());
        self.aside.push(Aside { challenge: challenge.as_str().to_owned(), identifiers: identifiers.to_vec() });
    }
}

/// Whether a type can prove a name. Over TLS, an address is asked for by a reverse-DNS name that
/// hardly a CA sends (RFC 8738 §6), so addresses take HTTP-01; a wildcard's names are proved by DNS
/// alone.
fn can_prove(challenge: Challenge, name: &Host) -> bool {
    let wildcard = name.dns().is_some_and(|name| name.starts_with("*."));
    match challenge {
        Challenge::TlsAlpn01 => !wildcard && !name.is_ip(),
        Challenge::Http01 => !wildcard,
    }
}
