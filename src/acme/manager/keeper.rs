//! One set of names: wakes, plans, acts, sleeps.

use super::accept::Unsaved;
use super::job::Job;
use super::passable::Blocked;
use super::{Current, Manager};
use crate::acme::ledger::{self, Hold, Ledger, LedgerError, Renewal};
use crate::acme::order::Pending;
use crate::acme::plan::{self, Due, Reason, Step, Validity};
use crate::acme::schedule::{Schedule, jitter};
use crate::backoff::Ladder;
use crate::certs::Certificate;
use crate::certs::expiry::{Rung, rung};
use crate::certs::keyring::Slot;
use crate::certs::store::StoreError;
use crate::clock::Timestamp;
use crate::matrix::HostPattern;
use crate::telemetry::log::Chain;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A long sleep is taken in pieces, between which the clock is looked at: a machine that was
/// suspended, or whose clock was set, must not sleep past a renewal. Let's Encrypt's narrowest
/// window is three hours wide.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(10 * 60);

/// After a failure to read or write the state directory. It costs no CA anything, so it is short.
pub(super) const STORE_RETRY: Duration = Duration::from_secs(60);

/// After a failure to read the certificate that is to be served, which asks no CA anything: a store that is there a moment
/// after this process should not leave handshakes refused for a minute.
const LOAD_RETRY: Ladder =
    Ladder::new(&[Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15), STORE_RETRY]);

/// By so many seconds a clock may move while it is put right little by little. What is more wakes.
const CLOCK_STEP: i64 = 60;

/// Between two attempts whatever the plan says: a slip in it must not turn in circles.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the certificate of one set of names valid.
pub(super) struct Keeper {
    pub(super) manager: Rc<Manager>,
    pub(super) names: Vec<HostPattern>,
    /// The first name: what the set is called in the store.
    pub(super) first: HostPattern,
    /// What is served, if it will do.
    pub(super) current: Option<Current>,
    pub(super) unsaved: Option<Unsaved>,
    /// The CA, and its record with a failure that the store did not take: what the CA asked for then holds all the same.
    pub(super) unrecorded: Option<(String, Ledger)>,
    /// What the CA said of the renewal and the store did not take yet.
    pub(super) unwritten: Option<Renewal>,
    /// Whether orders that an earlier process left behind may be taken up without waiting.
    fresh: bool,
    /// What pre-flight said when it last kept an order back.
    pub(super) blocked: Option<Blocked>,
    /// What was last told to be waited for.
    told: Option<Timestamp>,
}

impl Keeper {
    pub(super) fn new(manager: Rc<Manager>, names: Vec<HostPattern>) -> Option<Self> {
        let first = names.first()?.clone();
        Some(Self {
            manager,
            names,
            first,
            current: None,
            unsaved: None,
            unrecorded: None,
            unwritten: None,
            fresh: true,
            blocked: None,
            told: None,
        })
    }

    /// Does not return. Without `unasked`, only what people ask for is done.
    pub(super) async fn keep(mut self, mut jobs: mpsc::Receiver<Job>, unasked: bool) {
        // Whatever was published before: another process may have had the state directory since.
        self.current = self.load().await;
        if !unasked {
            while let Some(job) = jobs.recv().await {
                self.serve(job).await;
            }
            return;
        }
        loop {
            let wait = match self.turn().await {
                // A time that is in doubt is heard again soon.
                Ok(wait) if self.manager.clocks_differ() => wait.clamp(SHORTEST_PAUSE, LONGEST_SLEEP),
                Ok(wait) => wait.max(SHORTEST_PAUSE),
                Err(Failed::Ledger(error)) => {
                    // Without the record of earlier failures, ordering could break the CA's limits.
                    tracing::error!(names = %self.shown(), error = %Chain(&error), "the record of orders cannot be read");
                    STORE_RETRY
                }
                Err(Failed::Store(error)) => {
                    tracing::error!(names = %self.shown(), error = %Chain(&error), "the state directory fails; nothing is ordered meanwhile");
                    STORE_RETRY
                }
            };
            tokio::select! {
                () = self.sleep(wait) => {}
                Some(job) = jobs.recv() => self.serve(job).await,
            }
        }
    }

    /// Sleeps for so long, or until the clock is set.
    async fn sleep(&self, wait: Duration) {
        let clock = &self.manager.parts.clock;
        let (begin, shown) = (Instant::now(), clock.now());
        loop {
            let left = wait.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
            let passed = i64::try_from(begin.elapsed().as_secs()).unwrap_or(i64::MAX);
            if clock.now().since(shown.plus(passed)).abs() > CLOCK_STEP {
                tracing::debug!(names = %self.shown(), "the clock was set; the renewal is planned anew");
                return;
            }
        }
    }

    pub(super) fn shown(&self) -> String {
        HostPattern::list(&self.names)
    }

    /// The last good certificate, published. What cannot be read is left alone, told, and tried
    /// again: a load error is not "not found", and ordering now could be the fifth this week.
    async fn load(&self) -> Option<Current> {
        let mut failures = 0_u32;
        loop {
            match self.manager.load(&self.names).await {
                Ok(current) => return current,
                Err(error) => {
                    tracing::error!(names = %self.shown(), error = %Chain(&error), "the stored certificate cannot be read");
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(LOAD_RETRY.after(failures)).await;
                }
            }
        }
    }

    /// One turn of the wheel. Returns how long nothing is to be done.
    async fn turn(&mut self) -> Result<Duration, Failed> {
        self.save_unsaved().await?;
        let mut ledgers = self.ledgers().await?;
        let listen_at = self.listen(&mut ledgers).await?;
        let now = self.now();
        let schedule = self.schedule(&ledgers);
        let due = schedule.due(now);
        let mut step = schedule.step(now, &due);
        if std::mem::take(&mut self.fresh) {
            self.tidy(now, &due, &ledgers, &mut step).await?;
        }
        if self.is_left_to_files(now) {
            return Ok(LONGEST_SLEEP);
        }
        let wait = step.at.since(now);
        if wait > 0 {
            self.tell_wait(&step);
            return Ok(seconds(listen_at.map_or(wait, |at| at.since(now).min(wait))));
        }
        self.told = None;
        self.attempt(&step, ledgers).await
    }

    /// What is left of an earlier process: an order that nobody waits for any more is forgotten,
    /// one that is still wanted is taken up at once, which costs nothing that is not counted already:
    /// its certificate may be there, and waiting for the week to be over would help nobody.
    async fn tidy(&self, now: Timestamp, due: &Due, ledgers: &[Ledger], step: &mut Step) -> Result<(), StoreError> {
        for (index, (ca, ledger)) in self.manager.cas.iter().zip(ledgers).enumerate() {
            let Some(_) = Pending::load(&self.manager.parts.store, &ca.key, &self.names, now).await? else { continue };
            if due.at > now {
                Pending::remove(&self.manager.parts.store, &ca.key, &self.first).await?;
            } else if step.at > now {
                // What another CA's record says of a step is no word of this one's.
                let standing = self.schedule(ledgers).standing(ledger, now);
                if standing.because.iter().chain(&standing.limit).any(Hold::is_the_cas_word) {
                    continue;
                }
                (step.ca, step.at) = (index, now);
            }
        }
        Ok(())
    }

    /// The time as far as certificates go.
    pub(super) fn now(&self) -> Timestamp {
        self.manager.now()
    }

    pub(super) fn validity(&self) -> Option<Validity> {
        Some(self.current.as_ref()?.there().validity)
    }

    pub(super) fn schedule<'a>(&'a self, ledgers: &'a [Ledger]) -> Schedule<'a> {
        Schedule { names: &self.names, there: self.current.as_ref().map(Current::there), ledgers }
    }

    /// The record at each CA. One that cannot be understood is set aside for a person, and a new one
    /// begun that has nothing left to spend: what the old one knew, nobody may spend twice.
    pub(super) async fn ledgers(&self) -> Result<Vec<Ledger>, Failed> {
        let store = &self.manager.parts.store;
        let mut ledgers = Vec::new();
        for ca in &self.manager.cas {
            let now = self.now();
            ledgers.push(match Ledger::load(store, &ca.key, &self.first, now).await {
                Err(error @ LedgerError::Damaged { .. }) => {
                    let ledger = Ledger::spent(now, &self.names, self.validity().map(plan::emergency_at));
                    let next_attempt = ledger.earliest(now, &self.names, false, self.jitter()).at;
                    let record = store.describe(&ledger::key(&ca.key, &self.first));
                    tracing::error!(
                        names = %self.shown(), error = %Chain(&error), %next_attempt,
                        "the record of orders cannot be read; it is set aside, and nothing is ordered until then; if you know that the CA's limits permit it, type: rm {record} && vestibule certs renew {}",
                        self.first
                    );
                    store.copy_aside(&ledger::key(&ca.key, &self.first)).await?;
                    self.save(ca, &ledger).await?;
                    ledger
                }
                loaded => loaded?,
            });
        }
        Ok(ledgers)
    }

    pub(super) fn jitter(&self) -> u16 {
        jitter(&self.names)
    }

    /// Whether the operator's files serve all these names by now, and with time to spare: a pair that
    /// could not be used at the start has been mended.
    fn is_left_to_files(&self, now: Timestamp) -> bool {
        let published = self.manager.parts.published.subscribe();
        let published = published.borrow();
        let good = |(slot, certificate): (&Slot, &Arc<Certificate>)| {
            let facts = certificate.facts();
            let fine = rung(now, facts.not_before, facts.not_after) < Rung::Sixth && certificate.is_valid_at(now);
            (matches!(slot, Slot::Files(_)) && fine).then(|| Arc::clone(certificate))
        };
        let good: Vec<_> = published.iter().filter_map(good).collect();
        self.names.iter().all(|name| good.iter().any(|certificate| certificate.includes(name)))
    }

    /// Says once what is waited for.
    fn tell_wait(&mut self, step: &Step) {
        if step.reason != Reason::Missing || self.told == Some(step.at) {
            return;
        }
        self.told = Some(step.at);
        let because = step.held_by.as_ref().map_or_else(String::new, ToString::to_string);
        tracing::warn!(
            names = %self.shown(), next_attempt = %step.at, %because,
            "waiting for a certificate; once the cause is mended, type: vestibule certs renew {}", self.first
        );
    }
}

/// None for what is past.
pub(super) fn seconds(wait: i64) -> Duration {
    Duration::from_secs(u64::try_from(wait).unwrap_or(0))
}

/// Why a turn ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
