//! The expiry ladder: says that a certificate nears its end, in the log, in the unit's status and
//! through `acme.expiry_hook`. It looks at what is served, whoever has issued it, and so also finds
//! out when renewal fails for a reason that nobody thought of.

mod hooks;

use super::unit_status::UnitStatus;
use crate::certs::expiry::{Ladder, Rung, next_change};
use crate::certs::keyring::Slot;
use crate::certs::{Certificate, Published, Store};
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, Issuer};
use hooks::{Alarm, Hooks};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The longest sleep between two looks: the wall clock may be set meanwhile, which no timer notices.
const LOOK: Duration = Duration::from_secs(600);

/// What to type first.
const REMEDY: &str = "vestibule certs list";

type Served = BTreeMap<Slot, Arc<Certificate>>;

/// Watches what is served.
pub(super) struct Expiry {
    config: Arc<Config>,
    published: Arc<Published>,
    clock: Clock,
    status: Rc<UnitStatus>,
    hooks: Option<Hooks>,
}

impl Expiry {
    pub(super) fn new(
        config: &Arc<Config>,
        published: Arc<Published>,
        store: Store,
        clock: Clock,
        status: Rc<UnitStatus>,
    ) -> Self {
        let hooks = config.acme.expiry_hook.clone().map(|command| Hooks::new(command, store, clock.clone()));
        Self { config: Arc::clone(config), published, clock, status, hooks }
    }

    /// Tells each rung when it is reached. Never returns.
    pub(super) async fn run(self) {
        match &self.hooks {
            Some(hooks) => drop(tokio::join!(self.watch(), hooks.run())),
            None => self.watch().await,
        }
    }

    async fn watch(&self) {
        let mut ladder = Ladder::default();
        let mut changes = self.published.subscribe();
        loop {
            let served = changes.borrow_and_update().clone();
            let now = self.clock.now();
            if let Some(hooks) = &self.hooks {
                hooks.forget_all_but(&served);
            }
            for (slot, rung) in ladder.observe(now, served.iter().map(|(slot, one)| (slot, one.facts()))) {
                if let Some(certificate) = served.get(&slot) {
                    self.tell(now, slot, certificate, rung);
                }
            }
            self.status.certificates(summary(now, &served));
            tokio::select! {
                () = sleep(until_next(now, &served)) => {}
                _ = changes.changed() => {}
            }
        }
    }

    fn tell(&self, now: Timestamp, slot: Slot, certificate: &Arc<Certificate>, rung: Rung) {
        let (facts, source) = (certificate.facts(), self.source(&slot));
        let (names, not_after, serial) = (certificate.names(), facts.not_after, &facts.serial);
        let left = span(facts.not_after.since(now));
        match rung {
            Rung::NotYet => tracing::error!(
                %names, not_before = %facts.not_before, %now, %serial, %source, fix = "timedatectl",
                "a certificate that is served is not valid yet: is the clock of this machine right?"
            ),
            Rung::Fine => {}
            Rung::Third => tracing::info!(
                %names, %not_after, %left, %serial, %source, fix = REMEDY,
                "a certificate has a third of its lifetime left"
            ),
            Rung::Sixth => tracing::warn!(
                %names, %not_after, %left, %serial, %source, fix = REMEDY,
                "a certificate has a sixth of its lifetime left and has not been renewed"
            ),
            Rung::Twelfth => tracing::error!(
                %names, %not_after, %left, %serial, %source, fix = REMEDY,
                "a certificate has a twelfth of its lifetime left and has not been renewed"
            ),
            Rung::Expired => tracing::error!(
                %names, %not_after, %serial, %source, fix = REMEDY,
                "a certificate that is served has expired: peers and clients refuse it"
            ),
        }
        if let Some(hooks) = self.hooks.as_ref().filter(|_| rung > Rung::Fine) {
            hooks.push(slot, Alarm { certificate: Arc::clone(certificate), rung, source });
        }
    }

    /// Where a certificate comes from: the issuer, or the operator's file.
    fn source(&self, slot: &Slot) -> String {
        match (slot, self.config.tls.issuer) {
            (Slot::Files(index), _) => {
                let pair = self.config.tls.certificates.get(*index);
                pair.map_or_else(|| "files".to_owned(), |pair| pair.chain.display().to_string())
            }
            (Slot::Issued(_) | Slot::LeftOver(_), Issuer::Internal) => "internal".to_owned(),
            (Slot::Issued(_) | Slot::LeftOver(_), Issuer::Acme | Issuer::Files) => "acme".to_owned(),
        }
    }
}

/// How long to sleep: to the next change of a rung, by the wall clock.
fn until_next(now: Timestamp, served: &Served) -> Duration {
    let changes = served.values().filter_map(|certificate| {
        let facts = certificate.facts();
        next_change(now, facts.not_before, facts.not_after)
    });
    let left = changes.min().and_then(|change| u64::try_from(change.since(now)).ok());
    left.map_or(LOOK, Duration::from_secs).min(LOOK)
}

/// One clause for the unit's status: how many are served, and what ends first.
fn summary(now: Timestamp, served: &Served) -> String {
    let first = served.values().min_by_key(|certificate| certificate.facts().not_after);
    let Some(facts) = first.map(|certificate| certificate.facts()) else {
        return "no certificate yet".to_owned();
    };
    let count = match served.len() {
        1 => "serving 1 certificate".to_owned(),
        count => format!("serving {count} certificates"),
    };
    let name = facts.names.first().map(ToString::to_string).unwrap_or_default();
    match facts.not_after.since(now) {
        left @ 0.. => format!("{count}; {name} expires in {}", span(left)),
        over => format!("{count}; {name} expired {} ago", span(over.saturating_neg())),
    }
}

/// A number of seconds for people: at least two of a unit, so that no precision is missed.
fn span(seconds: i64) -> String {
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    match units.iter().find(|(length, _)| seconds >= 2 * length) {
        Some((length, unit)) => format!("{} {unit}", seconds / length),
        None => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::internal::Authority;
    use crate::matrix::Host;

    const DAY: i64 = 86_400;

    #[test]
    fn spans_are_told_in_whole_units() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (2 * DAY - 1, "47 hours"),
            (5 * DAY + 1, "5 days"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }

    #[tokio::test]
    async fn the_summary_names_what_ends_first() {
        let clock = Clock::fixed(Timestamp(1_790_000_000));
        let names = [Host::parse("a.example").unwrap(), Host::parse("b.example").unwrap()];
        let authority = Authority::load_or_make(&Store::memory(), &names, &clock).await.unwrap();
        let issue =
            |name: &Host, at: i64| Arc::new(authority.issue(&[name.clone().into()], clock.now().plus(at)).unwrap());
        let mut served = Served::new();
        assert_eq!(summary(clock.now(), &served), "no certificate yet");
        served.insert(Slot::Files(0), issue(&names[0], DAY));
        served.insert(Slot::Files(1), issue(&names[1], 0));
        let end = served[&Slot::Files(1)].facts().not_after;
        let now = end.plus(-5 * DAY);
        assert_eq!(summary(now, &served), "serving 2 certificates; b.example expires in 5 days");
        assert_eq!(summary(end.plus(7_200), &served), "serving 2 certificates; b.example expired 2 hours ago");
        assert_eq!(until_next(end.plus(-30), &served), Duration::from_secs(31));
        assert_eq!(until_next(end.plus(-100_000), &served), LOOK);
    }
}
