//! The expiry hook: one run at a time, one for each certificate and rung.
//!
//! What the hook is told is recorded before it runs, so that a crash loop does not run it at every
//! start. While it cannot be recorded (a full disk, say, which may well be why renewal fails) it runs
//! all the same, but only ten minutes later: a crash loop does not live that long.

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
use tokio::time::sleep;

/// How long the hook waits for a store that fails.
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
    waiting: RefCell<BTreeMap<Slot, Alarm>>,
    came: Notify,
}

impl Hooks {
    pub(super) fn new(command: Command, store: Store, clock: Clock) -> Self {
        Self { command, store, clock, waiting: RefCell::default(), came: Notify::new() }
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
                tracing::warn!(
                    error = %Chain(&error), wait = ?UNRECORDED,
                    "what acme.expiry_hook was told cannot be recorded; it runs later, perhaps twice"
                );
                sleep(UNRECORDED).await;
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
