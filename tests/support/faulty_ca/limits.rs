//! The rate limits of Let's Encrypt as of late 2026, with sliding windows.

use super::DAY;
use super::faults::{Problem, RetryAfter};
use super::records::{CertificateRecord, Records};

/// At most so many within so many seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) count: usize,
    pub(super) window: i64,
}

/// New accounts from one address.
pub(super) const ACCOUNTS: Limit = Limit { count: 10, window: 3 * 3600 };
/// New orders of one account, renewals aside.
pub(super) const ORDERS: Limit = Limit { count: 300, window: 3 * 3600 };
/// Failed authorisations of one identifier and account.
pub(super) const FAILURES: Limit = Limit { count: 5, window: 3600 };
/// Certificates for exactly the same names.
pub(super) const SAME_SET: Limit = Limit { count: 5, window: 7 * DAY };
/// Certificates below one registered domain, renewals aside.
pub(super) const DOMAIN: Limit = Limit { count: 50, window: 7 * DAY };
/// Failures in a row after which an identifier is paused.
pub(super) const PAUSED_AFTER: usize = 1152;

/// For how long a set that was issued makes an order a renewal.
pub(super) const RENEWAL: i64 = 120 * DAY;

/// The last two labels of each name, once each: good enough for the names of tests.
pub(super) fn domains(names: &[String]) -> Vec<String> {
    let last_two = |name: &String| {
        let from = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
        name.split_at(from).1.to_owned()
    };
    let mut domains: Vec<_> = names.iter().map(last_two).collect();
    domains.sort();
    domains.dedup();
    domains
}

impl Limit {
    /// `None` while there is room, or after how many seconds there will be. Times do not go back; newest first.
    fn wait(self, newest_first: impl Iterator<Item = i64>, now: i64) -> Option<i64> {
        let inside = newest_first.take_while(|at| *at > now - self.window);
        inside
            .take(self.count)
            .enumerate()
            .last()
            .and_then(|(last, oldest)| (last + 1 == self.count).then(|| (oldest + self.window - now).max(1)))
    }
}

fn refuse(what: &str, wait: i64) -> Problem {
    Problem::new(429, "rateLimited", what).retry_after(RetryAfter::Seconds(wait))
}

/// Whether one more account is too many.
pub(super) fn new_account(records: &Records, now: i64) -> Result<(), Problem> {
    match ACCOUNTS.wait(records.accounts.iter().rev().map(|record| record.at), now) {
        Some(wait) => Err(refuse("too many new registrations (10) from this IP address in the last 3h0m0s", wait)),
        None => Ok(()),
    }
}

/// Whether one more order for these sorted names is too many. Exempt ones are not asked about.
pub(super) fn new_order(
    records: &Records,
    account: usize,
    names: &[String],
    renewal: bool,
    now: i64,
) -> Result<(), Problem> {
    for name in names.iter().map(|name| name.trim_start_matches("*.")) {
        let failures = records.failures.iter().rev();
        let mine = failures.filter(|record| record.account == account && record.identifier == name);
        if let Some(wait) = FAILURES.wait(mine.map(|record| record.at), now) {
            let what = format!("too many failed authorizations (5) for \"{name}\" in the last 1h0m0s");
            return Err(refuse(&what, wait));
        }
    }
    let counted = || records.certificates.iter().rev().filter(|record| !record.exempt);
    let same = counted().filter(|record| record.names == *names);
    if let Some(wait) = SAME_SET.wait(same.map(|record| record.at), now) {
        let what = "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s";
        return Err(refuse(what, wait));
    }
    if renewal {
        return Ok(());
    }
    for domain in domains(names) {
        let below = |record: &&CertificateRecord| !record.renewal && domains(&record.names).contains(&domain);
        if let Some(wait) = DOMAIN.wait(counted().filter(below).map(|record| record.at), now) {
            let what = format!("too many certificates (50) already issued for \"{domain}\" in the last 168h0m0s");
            return Err(refuse(&what, wait));
        }
    }
    let orders = records.orders.iter().rev();
    let mine = orders.filter(|record| record.account == account && !record.exempt && !record.renewal);
    match ORDERS.wait(mine.map(|record| record.at), now) {
        Some(wait) => Err(refuse("too many new orders (300) from this account in the last 3h0m0s", wait)),
        None => Ok(()),
    }
}
