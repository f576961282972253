//! What the CA has seen, with true times, and whether it would have pleased Let's Encrypt.

use std::collections::BTreeMap;

use super::limits;
use super::state::Kind;

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct RequestRecord {
    pub at: i64,
    pub kind: Kind,
    /// `None` when there was no answer.
    pub status: Option<u16>,
    /// Number of the account whose URL it named.
    pub account: Option<usize>,
}

/// An account that was made.
#[derive(Clone, Debug)]
pub struct AccountRecord {
    pub at: i64,
    pub number: usize,
    pub contact: Vec<String>,
    /// Key identifier of the external account.
    pub bound: Option<String>,
}

/// An order that was made; handing out an unfinished one again makes none.
#[derive(Clone, Debug)]
pub struct OrderRecord {
    pub at: i64,
    pub number: usize,
    pub account: usize,
    /// Sorted.
    pub names: Vec<String>,
    pub profile: Option<String>,
    pub replaces: Option<String>,
    /// It replaces a certificate inside its window, so no limit counts it.
    pub exempt: bool,
    /// The same set was issued in the last 120 days.
    pub renewal: bool,
}

/// A validation that failed.
#[derive(Clone, Debug)]
pub struct FailureRecord {
    pub at: i64,
    pub account: usize,
    pub identifier: String,
    /// The challenge type.
    pub kind: String,
    pub reason: String,
}

/// A certificate.
#[derive(Clone, Debug)]
pub struct CertificateRecord {
    pub at: i64,
    /// Number of the order.
    pub order: usize,
    pub account: usize,
    /// As they were ordered, sorted.
    pub names: Vec<String>,
    pub profile: Option<String>,
    pub replaces: Option<String>,
    /// As in [`OrderRecord`].
    pub exempt: bool,
    /// As in [`OrderRecord`].
    pub renewal: bool,
    /// As in URLs of renewal information and in `replaces` (RFC 9773 §4.1).
    pub ari_id: String,
    pub not_before: i64,
    pub not_after: i64,
    /// The public key of the request, which ought to be new each time.
    pub public_key: Vec<u8>,
}

/// A rule for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A challenge is announced once.
    ChallengeTwice,
    /// An order is finalised once.
    FinalizeTwice,
    /// An order is finalised when it is ready.
    FinalizeEarly,
    /// One account is enough: there was one with this contact.
    SecondAccount,
    /// A nonce serves once.
    NonceReused,
    /// Whoever is told to wait waits.
    BeforeRetryAfter,
    /// Requests are well formed.
    Malformed,
    /// Keys are new each time.
    KeyReused,
}

/// A rule that was broken. The CA may have answered all the same.
#[derive(Clone, Debug)]
pub struct Breach {
    pub at: i64,
    pub rule: Rule,
    pub detail: String,
}

/// Everything, in the order it happened.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub requests: Vec<RequestRecord>,
    pub accounts: Vec<AccountRecord>,
    pub orders: Vec<OrderRecord>,
    pub failures: Vec<FailureRecord>,
    pub certificates: Vec<CertificateRecord>,
    pub breaches: Vec<Breach>,
}

impl Records {
    /// How many requests of a kind arrived.
    pub fn count(&self, kind: Kind) -> usize {
        self.requests.iter().filter(|request| request.kind == kind).count()
    }

    /// The limits of Let's Encrypt that were passed, in words; none is what a good client wants.
    ///
    /// The windows slide, which is a little stricter than Let's Encrypt's token buckets: whoever passes here passes
    /// there. What ARI exempts is not counted.
    pub fn over_limits(&self) -> Vec<String> {
        let mut over = Vec::new();
        let mut check = |what: String, times: &[i64], limit: limits::Limit| {
            let worst = most_within(times, limit.window);
            if worst > limit.count {
                over.push(format!("{what}: {worst} within {} s, where {} are allowed", limit.window, limit.count));
            }
        };
        check(
            "new accounts".to_owned(),
            &self.accounts.iter().map(|record| record.at).collect::<Vec<_>>(),
            limits::ACCOUNTS,
        );
        let failures = grouped(self.failures.iter().map(|record| (record.identifier.clone(), record.at)));
        for (identifier, times) in failures {
            check(format!("failed authorisations of {identifier}"), &times, limits::FAILURES);
        }
        let orders = self.orders.iter().filter(|record| !record.exempt && !record.renewal);
        for (account, times) in grouped(orders.map(|record| (record.account, record.at))) {
            check(format!("new orders of account {account}"), &times, limits::ORDERS);
        }
        let counted = || self.certificates.iter().filter(|record| !record.exempt);
        for (names, times) in grouped(counted().map(|record| (record.names.clone(), record.at))) {
            check(format!("certificates for exactly {}", names.join(", ")), &times, limits::SAME_SET);
        }
        let new = counted().filter(|record| !record.renewal);
        let domains =
            new.flat_map(|record| limits::domains(&record.names).into_iter().map(|domain| (domain, record.at)));
        for (domain, times) in grouped(domains) {
            check(format!("certificates below {domain}"), &times, limits::DOMAIN);
        }
        over
    }

    /// How often a rule was broken.
    pub fn breaches_of(&self, rule: Rule) -> usize {
        self.breaches.iter().filter(|breach| breach.rule == rule).count()
    }
}

fn grouped<K: Ord>(pairs: impl Iterator<Item = (K, i64)>) -> BTreeMap<K, Vec<i64>> {
    let mut groups = BTreeMap::<K, Vec<i64>>::new();
    for (key, at) in pairs {
        groups.entry(key).or_default().push(at);
    }
    groups
}

/// The most of these times, which do not go back, in any half-open window of so many seconds.
pub(super) fn most_within(times: &[i64], window: i64) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in times.iter().enumerate() {
        while times[first] <= at - window {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}
