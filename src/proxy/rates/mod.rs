//! `[[limits.rate]]`: how many requests of a class one client may send.
//!
//! Each limit is a token bucket of `burst` that refills in `per`, kept as one moment: when it is full
//! again (the generic cell rate algorithm). Workers share the buckets; a request of a class without a
//! limit touches nothing.
//!
//! # Whose bucket
//!
//! The client's address, an IPv6 client's /64. For federation the address and the claimed origin
//! together: many servers may stand behind one address. A claim proves nothing, so an origin has a
//! bucket of its own only once the homeserver has answered it 2xx from that address, which means that
//! its signature was right; all others of an address share one. Inventing origins buys nothing, and
//! using up the bucket of somebody else takes their address.
//!
//! # Delay, then refuse
//!
//! Peers take a 429 as an outage and back off for ten minutes and more, so a federation request over
//! the limit waits for its token, at most [`MAX_DELAY`] and behind at most [`MAX_WAITING`] others of
//! its bucket. Everything else is refused at once: people and their clients read the answer.
//!
//! # Memory
//!
//! A table holds 65,536 buckets in about 3 MB; there is one for each limit, and one of confirmed
//! origins. A full one forgets those that are full again, which loses nothing,
//! and after that those that are nearest to it. Who has more addresses than that can make it forget
//! the use of others, and gains no more than each address has anyway.

mod admission;
mod table;

pub(super) use admission::Arriving;

use crate::config::Rate;
use crate::matrix::authorization::{is_x_matrix, x_matrix_origin};
use crate::net::client::ClientKey;
use std::time::Duration;
use table::Table;
use tokio::time::Instant;

/// Longest wait of a federation request. Peers give up after 60 s, and queue behind it meanwhile.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// Most requests that wait for one bucket: Synapse's own limit of what an origin may have waiting.
const MAX_WAITING: u32 = 50;

/// How long an answer confirms an origin: a peer that has nothing to say for a day is new again.
const CONFIRMED: Duration = Duration::from_secs(86_400);

/// The class whose clients are servers.
const FEDERATION: &str = "federation";

/// Endpoints that verify no signature (server-server API: "Server Implementation", "OpenID", "Third-party
/// invites"): that they answer 2xx confirms no origin.
const UNSIGNED: [&str; 3] = ["version", "openid", "3pid"];

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Go on.
    Pass,
    /// Go on after this time.
    Delay(Duration),
    /// Too many.
    Refuse {
        /// When the next will pass.
        retry_after: Duration,
    },
}

/// The limits and their buckets.
#[derive(Debug)]
pub struct Rates {
    limits: Vec<Limit>,
    /// Until when origins that were answered 2xx count, by address.
    confirmed: Table,
}

#[derive(Debug)]
struct Limit {
    class: &'static str,
    /// How long a token takes.
    interval: Duration,
    /// How long all of them take.
    per: Duration,
    /// When each bucket is full again.
    full: Table,
}

impl Rates {
    /// These limits, with full buckets.
    pub fn new(rates: &[Rate]) -> Self {
        let limit = |rate: &Rate| Limit {
            class: rate.class,
            interval: rate.per / rate.burst.max(1),
            per: rate.per,
            full: Table::new(),
        };
        Self { limits: rates.iter().map(limit).collect(), confirmed: Table::new() }
    }

    /// Whether a class is limited: without, neither [`Self::check`] nor [`Self::answered`] does anything.
    fn limits(&self, class: &str) -> bool {
        self.limits.iter().any(|limit| limit.class == class)
    }

    /// Counts a request. `origin` is what [`claimed_origin`] says. Where several limits hold, each counts
    /// and the hardest verdict is given.
    fn check(&self, now: Instant, class: &str, client: ClientKey, origin: Option<&str>) -> Verdict {
        let origin = origin.filter(|origin| class == FEDERATION && self.confirmed.is_ahead(&(client, *origin), now));
        let mut verdict = Verdict::Pass;
        for limit in self.limits.iter().filter(|limit| limit.class == class) {
            verdict = harder(verdict, limit.take(now, &(client, origin)));
        }
        verdict
    }

    /// Learns how the homeserver answered a request that was let through.
    fn answered(&self, now: Instant, class: &str, client: ClientKey, origin: Option<&str>, status: u16) {
        let Some(origin) = origin.filter(|_| class == FEDERATION && (200..300).contains(&status) && self.limits(class))
        else {
            return;
        };
        self.confirmed.update(&(client, origin), now, |_| ((), Some(now + CONFIRMED)));
    }
}

impl Limit {
    fn take(&self, now: Instant, key: &(ClientKey, Option<&str>)) -> Verdict {
        let most = match self.class {
            FEDERATION => MAX_DELAY.min(self.interval.saturating_mul(MAX_WAITING)),
            _ => Duration::ZERO,
        };
        self.full.update(key, now, |full| {
            let then = full.map_or(now, |full| full.max(now)) + self.interval;
            let over = then.saturating_duration_since(now).saturating_sub(self.per);
            match over {
                Duration::ZERO => (Verdict::Pass, Some(then)),
                over if over <= most => (Verdict::Delay(over), Some(then)),
                // A refusal costs no token: who keeps on asking gets through as soon as who waits.
                over => (Verdict::Refuse { retry_after: over - most }, None),
            }
        })
    }
}

fn harder(one: Verdict, other: Verdict) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Pass => (0, Duration::ZERO),
        Verdict::Delay(delay) => (1, *delay),
        Verdict::Refuse { retry_after } => (2, *retry_after),
    };
    std::cmp::max_by_key(one, other, rank)
}

/// The server that a federation request claims to come from, unless nobody verifies it there. `path` is
/// the decoded one, which the homeserver acts on.
pub(super) fn claimed_origin<'h>(path: &str, authorization: impl Iterator<Item = &'h [u8]>) -> Option<&'h str> {
    let endpoint = path.strip_prefix("/_matrix/federation/")?.split('/').nth(1)?;
    if UNSIGNED.contains(&endpoint) {
        return None;
    }
    // Servers differ in which of several lines they verify.
    let mut claims = authorization.filter(|line| is_x_matrix(line));
    let (claim, None) = (claims.next()?, claims.next()) else { return None };
    x_matrix_origin(claim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::rate::CLASSES;
    use crate::proxy::class::Class;
    use std::net::IpAddr;

    const SECOND: Duration = Duration::from_secs(1);

    fn rates(limits: &[(&'static str, u64, u32)]) -> Rates {
        let rate = |(class, per, burst): &(&'static str, u64, u32)| Rate {
            class,
            per: Duration::from_secs(*per),
            burst: *burst,
        };
        Rates::new(&limits.iter().map(rate).collect::<Vec<_>>())
    }

    fn ip(text: &str) -> ClientKey {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn classes_are_those_of_the_configuration() {
        assert_eq!(Class::ALL.map(Class::as_str), CLASSES);
    }

    #[test]
    fn a_bucket_empties_and_refills() {
        let (rates, client) = (rates(&[("login", 60, 30)]), ip("192.0.2.1"));
        let mut now = Instant::now();
        let check = |now| rates.check(now, "login", client, None);
        for _ in 0..30 {
            assert_eq!(check(now), Verdict::Pass);
        }
        assert_eq!(check(now), Verdict::Refuse { retry_after: 2 * SECOND });
        now += SECOND;
        assert_eq!(check(now), Verdict::Refuse { retry_after: SECOND }, "refusals cost nothing");
        now += SECOND;
        assert_eq!(check(now), Verdict::Pass);
        assert_eq!(check(now), Verdict::Refuse { retry_after: 2 * SECOND });
        now += 3600 * SECOND;
        let passed = (0..100).filter(|_| check(now) == Verdict::Pass).count();
        assert_eq!(passed, 30, "no more than full");
    }

    #[test]
    fn clients_are_counted_by_address() {
        let (rates, now) = (rates(&[("login", 60, 1)]), Instant::now());
        for (client, passes) in [
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("::ffff:192.0.2.1", false),
            ("192.0.2.2", true),
            ("2001:db8::1", true),
            ("2001:db8::ffff:1", false),
            ("2001:db8:0:1::1", true),
        ] {
            assert_eq!(rates.check(now, "login", ip(client), None) == Verdict::Pass, passes, "{client}");
        }
        assert_eq!(rates.check(now, "register", ip("192.0.2.1"), None), Verdict::Pass, "another class");
        assert!(rates.limits("login") && !rates.limits("register"));
    }

    #[test]
    fn the_hardest_of_several_limits_holds() {
        let (rates, client, now) = (rates(&[("sync", 1, 5), ("sync", 3600, 3)]), ip("192.0.2.1"), Instant::now());
        let verdicts: Vec<_> = (0..5).map(|_| rates.check(now, "sync", client, None)).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Pass).count(), 3);
        assert_eq!(verdicts[4], Verdict::Refuse { retry_after: 1200 * SECOND });
    }

    #[test]
    fn federation_waits_first() {
        // A token each second: ten may wait.
        let (few, client, now) = (rates(&[("federation", 5, 5)]), ip("192.0.2.1"), Instant::now());
        let verdicts: Vec<_> = (0..17).map(|_| few.check(now, "federation", client, None)).collect();
        let expected = (0..17).map(|index| match index {
            0..5 => Verdict::Pass,
            5..15 => Verdict::Delay((index - 4) * SECOND),
            _ => Verdict::Refuse { retry_after: SECOND },
        });
        assert_eq!(verdicts, expected.collect::<Vec<_>>());
        // A thousand each second: the number that wait is what bounds it.
        let many = rates(&[("federation", 1, 1000)]);
        let waiting = (0..2000).filter(|_| matches!(many.check(now, "federation", client, None), Verdict::Delay(_)));
        assert_eq!(waiting.count(), 50);
    }

    /// How many of a hundred pass at once, each with this origin.
    fn passing(rates: &Rates, now: Instant, client: &str, origin: impl Fn(u32) -> String) -> usize {
        let pass = |index: &u32| rates.check(now, "federation", ip(client), Some(&origin(*index))) == Verdict::Pass;
        (0..100).filter(pass).count()
    }

    #[test]
    fn an_origin_counts_once_it_is_confirmed() {
        let (rates, now) = (rates(&[("federation", 60, 5)]), Instant::now());
        let (one, other) = ("192.0.2.1", "192.0.2.2");
        let answered = |client, origin, status| {
            rates.answered(now, "federation", ip(client), Some(origin), status);
        };
        assert_eq!(passing(&rates, now, one, |index| format!("{index}.example")), 5, "invented origins share one");
        for status in [401, 403, 404, 429, 500, 502] {
            answered(one, "a.example", status);
        }
        assert_eq!(passing(&rates, now, one, |_| "a.example".to_owned()), 0);
        answered(one, "a.example", 200);
        assert_eq!(passing(&rates, now, one, |_| "a.example".to_owned()), 5);
        assert_eq!(passing(&rates, now, one, |_| "b.example".to_owned()), 0);
        // Confirmed there is not confirmed here.
        assert_eq!(passing(&rates, now, other, |_| "a.example".to_owned()), 5);
        assert_eq!(passing(&rates, now, other, |_| "b.example".to_owned()), 0);
        let later = now + CONFIRMED;
        assert_eq!(passing(&rates, later, one, |index| format!("{}.example", ["a", "b"][index as usize % 2])), 5);
    }

    #[test]
    fn claims_are_read_where_somebody_verifies_them() {
        let lines = [&b"Bearer x"[..], b"X-Matrix origin=a.example,key=\"k\",sig=\"s\""];
        for (path, expected) in [
            ("/_matrix/federation/v1/send/1", Some("a.example")),
            ("/_matrix/federation/unstable/org.matrix.x/y", Some("a.example")),
            ("/_matrix/federation/v1/version", None),
            ("/_matrix/federation/v1/openid/userinfo", None),
            ("/_matrix/federation/v1/3pid/onbind", None),
            ("/_matrix/federation/v1", None),
            ("/_matrix/client/v3/login", None),
        ] {
            assert_eq!(claimed_origin(path, lines.into_iter()), expected, "{path}");
        }
        assert_eq!(claimed_origin("/_matrix/federation/v1/send/1", std::iter::empty()), None);
        // Which of two is verified is the homeserver's secret.
        let two = [&b"X-Matrix origin=a.example,key=k,sig=s"[..], b"x-matrix origin=b.example,key=k,sig=s"];
        assert_eq!(claimed_origin("/_matrix/federation/v1/send/1", two.into_iter()), None);
    }
}
