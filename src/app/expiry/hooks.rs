//! The expiry hook: one run at a time, one for each certificate and rung.
//!
//! What the hook is told is recorded before it runs, so that a crash loop does not run it at every
//! start. While it cannot be recorded (a full disk, say, which may well be why renewal fails) it runs
//! all the same, but not within the first ten minutes: a crash loop does not live that long.

use crate::app::hook::{self, LIMIT, Ran};
use crate::certs::expiry::{Record, Rung};
use crate::certs::keyring::Slot;
use crate::certs::store::StoreError;
use crate::certs::{Certificate, Store};
use crate::clock::Clock;
use crate::config::Command;
use crate::telemetry::log::Chain;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long after the start the hook waits for a store that fails.
const UNRECORDED: Duration = Duration::from_secs(600);

/// What the hook is to be told.
#[derive(Clone, Debug)]
pub(super) struct Alarm {
    pub(super) certificate: Arc<Certificate>,
    pub(super) rung: Rung,
    pub(super) source: String,
}

impl Alarm {
    fn is(&self, other: &Self) -> bool {
        self.rung == other.rung && Arc::ptr_eq(&self.certificate, &other.certificate)
    }
}

/// The alarms that wait for their turn: the latest of each slot.
pub(super) struct Hooks {
    command: Command,
    store: Store,
    clock: Clock,
    started: Instant,
    waiting: RefCell<BTreeMap<Slot, Alarm>>,
    came: Notify,
}

impl Hooks {
    pub(super) fn new(command: Command, store: Store, clock: Clock) -> Self {
        Self { command, store, clock, started: Instant::now(), waiting: RefCell::default(), came: Notify::new() }
    }

    /// Has the hook told of this in its turn.
    pub(super) fn push(&self, slot: Slot, alarm: Alarm) {
        self.waiting.borrow_mut().insert(slot, alarm);
        self.came.notify_one();
    }

    /// Drops the alarms about certificates that have been replaced.
    pub(super) fn forget_all_but(&self, served: &BTreeMap<Slot, Arc<Certificate>>) {
        let is_served = |slot: &Slot, alarm: &Alarm| {
            served.get(slot).is_some_and(|certificate| Arc::ptr_eq(certificate, &alarm.certificate))
        };
        self.waiting.borrow_mut().retain(|slot, alarm| is_served(slot, alarm));
    }

    /// Runs the hook for whatever comes. Never returns.
    pub(super) async fn run(&self) {
        loop {
            let first = self.waiting.borrow().first_key_value().map(|(slot, alarm)| (slot.clone(), alarm.clone()));
            match first {
                Some((slot, alarm)) => self.take(&slot, &alarm).await,
                None => self.came.notified().await,
            }
        }
    }

    async fn take(&self, slot: &Slot, alarm: &Alarm) {
        let record = Record::new(alarm.certificate.facts(), alarm.rung);
        let due = match self.record(slot, &record).await {
            Ok(due) => due,
            Err(error) => {
                let until = self.started + UNRECORDED;
                let wait = until.saturating_duration_since(Instant::now());
                tracing::warn!(
                    error = %Chain(&error), ?wait,
                    "what acme.expiry_hook was told cannot be recorded; it runs all the same, perhaps twice"
                );
                sleep_until(until).await;
                self.record(slot, &record).await.unwrap_or(true)
            }
        };
        {
            let mut waiting = self.waiting.borrow_mut();
            // Replaced meanwhile, by a later alarm or a new certificate.
            if !waiting.get(slot).is_some_and(|still| still.is(alarm)) {
                return;
            }
            waiting.remove(slot);
        }
        if due {
            self.call(alarm).await;
        } else {
            tracing::debug!(names = %alarm.certificate.names(), "acme.expiry_hook knows of this already");
        }
    }

    /// Whether the hook does not know this yet; from now on it does.
    async fn record(&self, slot: &Slot, record: &Record) -> Result<bool, StoreError> {
        let key = Record::key(slot);
        let known = self.store.load(&key).await?;
        // One that cannot be read is replaced: at worst the hook is told once more.
        let known = known.and_then(|content| serde_json::from_slice::<Record>(&content).ok());
        if known.is_some_and(|known| known.covers(record)) {
            return Ok(false);
        }
        self.store.store(&key, serde_json::json!(record).to_string().as_bytes()).await?;
        Ok(true)
    }

    async fn call(&self, alarm: &Alarm) {
        let Some(word) = word(alarm.rung) else { return };
        let facts = alarm.certificate.facts();
        let names = alarm.certificate.names();
        let left = facts.not_after.since(self.clock.now());
        let environment = [
            ("VESTIBULE_NAMES", names.clone()),
            ("VESTIBULE_NOT_AFTER", facts.not_after.to_string()),
            ("VESTIBULE_LEFT_SECONDS", left.max(0).to_string()),
            ("VESTIBULE_RUNG", word.to_owned()),
            ("VESTIBULE_SERIAL", facts.serial.clone()),
            ("VESTIBULE_SOURCE", alarm.source.clone()),
        ];
        let program = &self.command.program;
        match hook::run(&self.command, environment, LIMIT).await {
            Ok(Ran { status: Some(status), output }) if status.success() => {
                tracing::info!(%program, %names, rung = word, "acme.expiry_hook was run");
                tracing::debug!(%program, ?output, "acme.expiry_hook said");
            }
            Ok(Ran { status: Some(status), output }) => {
                tracing::warn!(%program, %names, rung = word, %status, ?output, "acme.expiry_hook failed");
            }
            Ok(Ran { status: None, output }) => {
                tracing::warn!(
                    %program, %names, rung = word, limit = ?LIMIT, ?output,
                    "acme.expiry_hook was killed: it, or something it started, was still running"
                );
            }
            Err(error) => {
                tracing::warn!(%program, %names, rung = word, %error, "acme.expiry_hook cannot be run");
            }
        }
    }
}

/// `VESTIBULE_RUNG`. There is no word, and no run, for what does not run out.
fn word(rung: Rung) -> Option<&'static str> {
    match rung {
        Rung::NotYet | Rung::Fine => None,
        Rung::Third => Some("info"),
        Rung::Sixth => Some("warn"),
        Rung::Twelfth => Some("error"),
        Rung::Expired => Some("expired"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::internal::Authority;
    use crate::clock::Timestamp;
    use crate::matrix::Host;

    const SLOT: Slot = Slot::Files(0);

    async fn alarm(rung: Rung) -> Alarm {
        let (clock, names) = (Clock::fixed(Timestamp(1_790_000_000)), [Host::parse("a.example").unwrap()]);
        let authority = Authority::load_or_make(&Store::memory(), &names, &clock).await.unwrap();
        let certificate = Arc::new(authority.issue(&names.map(Into::into), clock.now()).unwrap());
        Alarm { certificate, rung, source: "internal".to_owned() }
    }

    /// A hook that is not there: a run is over at once, whatever the clock of the test does.
    fn hooks(store: Store) -> Hooks {
        let command = Command { program: "/nowhere/hook".to_owned(), arguments: Vec::new() };
        Hooks::new(command, store, Clock::fixed(Timestamp(1_790_000_000)))
    }

    #[tokio::test]
    async fn each_rung_is_recorded_once() {
        let (hooks, certificate) = (hooks(Store::memory()), alarm(Rung::Third).await.certificate);
        let mut due = Vec::new();
        for rung in [Rung::Sixth, Rung::Sixth, Rung::Third, Rung::Twelfth] {
            due.push(hooks.record(&SLOT, &Record::new(certificate.facts(), rung)).await.unwrap());
        }
        assert_eq!(due, [true, false, false, true]);
        let other = alarm(Rung::Third).await.certificate;
        assert!(hooks.record(&SLOT, &Record::new(other.facts(), Rung::Third)).await.unwrap(), "a new certificate");
    }

    #[tokio::test]
    async fn a_damaged_record_is_replaced() {
        let store = Store::memory();
        store.store(&Record::key(&SLOT), b"{").await.unwrap();
        let hooks = hooks(store);
        let record = Record::new(alarm(Rung::Sixth).await.certificate.facts(), Rung::Sixth);
        assert!(hooks.record(&SLOT, &record).await.unwrap());
        assert!(!hooks.record(&SLOT, &record).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_holds_the_hook_for_ten_minutes_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let hooks = hooks(Store::directory(folder.path()).unwrap());
        // All of them at once: it is the disk that is full, for every certificate.
        for slot in (0..20).map(Slot::Files) {
            std::fs::create_dir_all(folder.path().join(Record::key(&slot))).unwrap();
            hooks.push(slot, alarm(Rung::Twelfth).await);
        }
        let watch = async {
            tokio::time::sleep(UNRECORDED - Duration::from_secs(1)).await;
            assert_eq!(hooks.waiting.borrow().len(), 20);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(hooks.waiting.borrow().is_empty());
        };
        tokio::select! {
            () = hooks.run() => {}
            () = watch => {}
        }
    }

    #[tokio::test]
    async fn alarms_of_replaced_certificates_are_dropped() {
        let (hooks, alarm) = (hooks(Store::memory()), alarm(Rung::Sixth).await);
        hooks.push(SLOT, alarm.clone());
        hooks.forget_all_but(&BTreeMap::from([(SLOT, Arc::clone(&alarm.certificate))]));
        assert_eq!(hooks.waiting.borrow().len(), 1);
        hooks.forget_all_but(&BTreeMap::from([(SLOT, self::alarm(Rung::Sixth).await.certificate)]));
        assert_eq!(hooks.waiting.borrow().len(), 0);
    }
}
