//! One attempt at one CA: its time heard, the way tried, the stage rehearsed where the last
//! attempt failed, and an order per challenge type until one works or the record says stop.

use super::keeper::{Failed, Keeper, LONGEST_SLEEP, STORE_RETRY, seconds};
use super::passable::PREFLIGHT_RETRY;
use crate::acme::account::AccountError;
use crate::acme::ca::Ca;
use crate::acme::directory::Directory;
use crate::acme::ledger::{Failure, FailureKind, Ledger, retry_after_in};
use crate::acme::order::{self, OrderError, Outcome, Pending, Wanted};
use crate::acme::plan::{self, Reason, Step};
use crate::acme::wire::Refusal;
use crate::certs::expiry::{Rung, rung};
use crate::clock::Timestamp;
use crate::config::Challenge;
use crate::matrix::HostPattern;
use crate::telemetry::log::Chain;
use std::rc::Rc;
use std::time::Duration;

/// How an order that was placed has ended.
enum Ended {
    Issued(Box<Outcome>, Challenge, bool),
    Failed(OrderError),
}

impl Keeper {
    /// Orders at the CA of `step`, if it is still due by that CA's time. Returns how long nothing
    /// is to be done.
    pub(super) async fn attempt(&mut self, step: &Step, mut ledgers: Vec<Ledger>) -> Result<Duration, Failed> {
        let manager = Rc::clone(&self.manager);
        let (Some(ca), Some(ledger)) = (manager.cas.get(step.ca), ledgers.get_mut(step.ca)) else {
            return Ok(Duration::ZERO);
        };
        let Ok(_permit) = manager.permits.acquire().await else { return Ok(Duration::ZERO) };
        let directory = match ca.visit().await {
            Ok(directory) => directory,
            Err(error) => return self.note_failure(ca, ledger, None, error).await,
        };
        manager.compare_clocks(ca);
        let now = self.manager.time_of(ca);
        if !matches!(step.reason, Reason::Missing | Reason::Asked) {
            let wait = self.schedule(&ledgers).due(now).at.since(now);
            if wait > 0 {
                tracing::debug!(names = %self.shown(), "not due by the CA's clock");
                return Ok(seconds(wait));
            }
        }
        let Some(ledger) = ledgers.get_mut(step.ca) else { return Ok(Duration::ZERO) };
        if let Some(pending) = Pending::load(&manager.parts.store, &ca.key, &self.names, now).await?
            && let Some(wait) = self.take_up(step, &directory, ledger, pending).await?
        {
            return Ok(wait);
        }
        let Some(challenges) = self.passable(ca, &directory, ledger, &step.reason).await? else {
            return Ok(PREFLIGHT_RETRY);
        };
        tracing::info!(names = %self.shown(), reason = %step.reason, ca = %ca.authority.directory, "ordering a certificate");
        if !self.rehearse_if_needed(step.ca, ledger, &challenges).await? {
            return Ok(Duration::ZERO);
        }
        let mut tried = Vec::new();
        loop {
            let open: Vec<_> = challenges.iter().filter(|challenge| !tried.contains(*challenge)).copied().collect();
            let Some(challenge) = ledger.choose(&open, &self.names) else {
                if tried.is_empty() {
                    tracing::error!(names = %self.shown(), "no challenge type in acme.challenges can prove these names; addresses take \"http-01\", wildcards \"dns-01\"");
                    return Ok(LONGEST_SLEEP);
                }
                return Ok(Duration::ZERO);
            };
            tried.push(challenge);
            let mut ended = self.one_order(ca, &directory, ledger, challenge, None).await?;
            if self.register_again(ca, ledger, &ended).await? {
                ended = self.one_order(ca, &directory, ledger, challenge, None).await?;
            }
            match ended {
                None => return Ok(Duration::ZERO),
                Some(Ended::Issued(outcome, challenge, exempt)) => {
                    self.accept(step.ca, *outcome, ledger, challenge, exempt).await?;
                    return Ok(Duration::ZERO);
                }
                Some(Ended::Failed(error)) => {
                    let validation = matches!(error, OrderError::Validation { .. });
                    let wait = self.note_failure(ca, ledger, Some(challenge), error).await?;
                    // Another type may work, and at once, while the CA's patience lasts.
                    let next = challenges.iter().copied().filter(|challenge| !tried.contains(challenge));
                    let next = ledger.choose(&next.collect::<Vec<_>>(), &self.names);
                    if validation && next.is_none() {
                        tracing::error!(names = %self.shown(), "no challenge type that is configured works");
                    }
                    if !validation || ledger.budget(self.manager.time_of(ca), &self.names).failures_left_this_hour == 0
                    {
                        return Ok(wait);
                    }
                }
            }
        }
    }

    /// Takes up an order that is kept. The way here is not looked at first: the order may need it no
    /// more. Returns how long nothing is to be done; `None` when the order has gone, and another may
    /// take its place.
    async fn take_up(
        &mut self,
        step: &Step,
        directory: &Directory,
        ledger: &mut Ledger,
        pending: Pending,
    ) -> Result<Option<Duration>, Failed> {
        let manager = Rc::clone(&self.manager);
        let Some(ca) = manager.cas.get(step.ca) else { return Ok(None) };
        let Some(challenge) = Challenge::parse(&pending.challenge) else { return Ok(None) };
        let mut ended = self.one_order(ca, directory, ledger, challenge, Some(pending.clone())).await?;
        if self.register_again(ca, ledger, &ended).await? {
            ended = self.one_order(ca, directory, ledger, challenge, Some(pending)).await?;
        }
        match ended {
            None => {
                // What may be ordered in its place, and when, is for the record to say.
                let permitted = self.permits_another(ledger, &step.reason, self.manager.time_of(ca));
                Ok((!permitted).then_some(Duration::ZERO))
            }
            Some(Ended::Issued(outcome, challenge, exempt)) => {
                self.accept(step.ca, *outcome, ledger, challenge, exempt).await?;
                Ok(Some(Duration::ZERO))
            }
            Some(Ended::Failed(error)) => self.note_failure(ca, ledger, Some(challenge), error).await.map(Some),
        }
    }

    /// Whether the CA does not know the account any more, and the order may be tried once again with
    /// the account registered anew, by its key.
    async fn register_again(&self, ca: &Ca, ledger: &mut Ledger, ended: &Option<Ended>) -> Result<bool, Failed> {
        let gone = matches!(ended, Some(Ended::Failed(error)) if error.refusal().is_some_and(Refusal::account_is_gone));
        if !gone {
            return Ok(false);
        }
        tracing::warn!(ca = %ca.authority.directory, "the CA does not know the account any more; its key is registered again");
        ledger.forgiven();
        self.save(ca, ledger).await?;
        match ca.forget_account().await {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::error!(names = %self.shown(), error = %Chain(&error), "the account cannot be written");
                Ok(false)
            }
        }
    }

    /// Whether the record of the CA permits an order now.
    fn permits_another(&self, ledger: &Ledger, reason: &Reason, now: Timestamp) -> bool {
        let emergency = self.validity().is_some_and(|validity| plan::is_emergency(now, validity));
        let standing = ledger.earliest(now, &self.names, emergency, self.jitter());
        let at = if *reason == Reason::Asked { standing.limits_until } else { standing.at };
        at <= now
    }

    /// Places an order, or takes up the one that is kept, and sees it through. `None` when the kept
    /// one is no more.
    async fn one_order(
        &self,
        ca: &Ca,
        directory: &Directory,
        ledger: &mut Ledger,
        challenge: Challenge,
        pending: Option<Pending>,
    ) -> Result<Option<Ended>, Failed> {
        let store = &self.manager.parts.store;
        let replaces = self.replaces(ca).filter(|id| directory.renewal_info(id).is_some());
        let wire = ca.wire(replaces.as_deref());
        let account = match ca.account(&wire, directory).await {
            Ok(account) => account,
            Err(error) => return Ok(Some(Ended::Failed(error))),
        };
        let placed = if let Some(pending) = pending {
            match order::resume(&account, pending).await {
                Ok(Some(mut placed)) => {
                    if placed.needs_proof() && !self.manager.settings.challenges.contains(&challenge) {
                        tracing::info!(names = %self.shown(), challenge = challenge.as_str(), "the order under way is given up: its challenge type is not configured any more");
                        Pending::remove(store, &ca.key, &self.first).await?;
                        return Ok(None);
                    }
                    tracing::info!(names = %self.shown(), "an order that was under way is taken up again");
                    Ok(placed)
                }
                Ok(None) => {
                    Pending::remove(store, &ca.key, &self.first).await?;
                    return Ok(None);
                }
                Err(error) => Err(error),
            }
        } else {
            let has_address = self.names.iter().any(HostPattern::is_ip);
            let profile = match directory.profile(ca.authority.profile.as_deref(), has_address) {
                Ok(profile) => profile,
                Err(error) => return Ok(Some(Ended::Failed(error.into()))),
            };
            // Recorded before it is placed: a crash half-way counts, or a crash loop would not.
            ledger.placed(self.manager.time_of(ca), &self.names);
            self.save(ca, ledger).await?;
            let wanted =
                Wanted { names: &self.names, challenge, profile: profile.as_deref(), replaces: replaces.as_deref() };
            let placed = order::place(&account, &wanted, self.manager.time_of(ca)).await;
            if let Ok(placed) = &placed {
                placed.pending.save(store, &ca.key, &self.first).await?;
            }
            placed
        };
        let mut placed = match placed {
            Ok(placed) => placed,
            Err(error) => return Ok(Some(Ended::Failed(error))),
        };
        let exempt = placed.pending.exempt;
        let completed = match placed.authorise(&self.names, challenge, &self.manager.answers, &wire).await {
            Ok(()) => {
                // From here on a certificate may exist that nobody heard of.
                ledger.finalising();
                self.save(ca, ledger).await?;
                placed.fetch(&self.names, &wire).await
            }
            Err(error) => Err(error),
        };
        Ok(Some(match completed {
            Ok(outcome) => Ended::Issued(Box::new(outcome), challenge, exempt),
            Err(error) => {
                if error.ends_the_order() {
                    Pending::remove(store, &ca.key, &self.first).await?;
                }
                Ended::Failed(error)
            }
        }))
    }

    /// What an order at `ca` takes the place of: the certificate that it issued itself.
    fn replaces(&self, ca: &Ca) -> Option<String> {
        let current = self.current.as_ref()?;
        let issuer = self.manager.cas.get(current.ca?)?;
        (issuer.key == ca.key).then(|| current.certificate.facts().renewal_id.clone())?
    }

    /// Writes a failure down and tells it. Returns how long nothing is to be done.
    async fn note_failure(
        &self,
        ca: &Ca,
        ledger: &mut Ledger,
        challenge: Option<Challenge>,
        error: OrderError,
    ) -> Result<Duration, Failed> {
        let now = self.manager.time_of(ca);
        if let OrderError::Account(error) = &error {
            tracing::error!(names = %self.shown(), error = %Chain(error), "there is no account to order with");
        }
        // With one CA there is nobody else to ask, and whoever mends the account should not have to wait.
        let is_mended_by_a_person = matches!(error, OrderError::Account(_)) && self.manager.cas.len() == 1;
        let failure = failure(&error, challenge, now).filter(|_| !is_mended_by_a_person);
        let Some(failure) = failure else {
            // Nothing of it was the CA's: it was not asked, or not for anything that counts.
            tracing::error!(names = %self.shown(), error = %Chain(&error), "nothing can be ordered");
            ledger.forgiven();
            self.save(ca, ledger).await?;
            return Ok(STORE_RETRY);
        };
        if let (FailureKind::Validation, Some(challenge)) = (&failure.kind, challenge) {
            tracing::warn!(
                names = %failure.identifiers.join(", "), challenge = challenge.as_str(), reason = %failure.detail,
                "the CA could not validate; remedy: {}; if another web server answers a server name, set apex = \"elsewhere\"",
                remedy(challenge)
            );
        }
        if let FailureKind::Paused { link: Some(link) } = &failure.kind {
            tracing::error!(names = %self.shown(), %link, "the CA has paused these names after too many failures; open the link to have them taken up again");
        }
        // A CA that hands out something else than it was asked for is never a matter of time.
        let urgent = failure.kind == FailureKind::Unproved || self.is_urgent(now);
        ledger.failed(now, failure);
        self.save(ca, ledger).await?;
        let next_attempt = ledger.earliest(now, &self.names, false, self.jitter()).at;
        if urgent {
            tracing::error!(
                names = %self.shown(), ca = %ca.authority.directory, %next_attempt, error = %Chain(&error),
                "ordering a certificate failed"
            );
        } else {
            tracing::warn!(
                names = %self.shown(), ca = %ca.authority.directory, %next_attempt, error = %Chain(&error),
                "ordering a certificate failed; there is time left"
            );
        }
        Ok(Duration::ZERO)
    }

    /// Whether a failure now is one that somebody has to look at: there is no certificate, or a
    /// renewal has failed for half of the time that it has.
    fn is_urgent(&self, now: Timestamp) -> bool {
        self.validity().is_none_or(|validity| rung(now, validity.not_before, validity.not_after) >= Rung::Sixth)
    }

    pub(super) async fn save(&self, ca: &Ca, ledger: &Ledger) -> Result<(), Failed> {
        Ok(ledger.save(&self.manager.parts.store, &ca.key, &self.first).await?)
    }
}

/// What a failure means to the CA. `None` where it means nothing to it.
pub(super) fn failure(error: &OrderError, challenge: Option<Challenge>, now: Timestamp) -> Option<Failure> {
    let detail = Chain(error).to_string();
    let kind = match error {
        OrderError::Validation { .. } => FailureKind::Validation,
        OrderError::Step { .. } => match error.refusal() {
            Some(refusal) => {
                FailureKind::from_problem(refusal.status.as_u16(), refusal.kind.as_deref(), &refusal.detail)
            }
            None if error.is_unreachable() => FailureKind::Unreachable,
            None => FailureKind::Unavailable,
        },
        OrderError::GivenUp { kind, detail, .. } => FailureKind::from_problem(403, kind.as_deref(), detail),
        // A profile that the CA has withdrawn is its own affair, and the next CA has its own.
        OrderError::Unfinished { .. } | OrderError::Profile(_) => FailureKind::Unavailable,
        OrderError::Unproved(_) => FailureKind::Unproved,
        OrderError::Dns(_) | OrderError::NoDns => FailureKind::Local,
        // No way to this CA until somebody mends the account; another CA has another.
        OrderError::Account(error) if !matches!(error, AccountError::Store(_)) => FailureKind::Unavailable,
        OrderError::Account(_) | OrderError::Store(_) | OrderError::Make(_) => return None,
    };
    let identifiers = match error {
        OrderError::Validation { failed, .. } => failed.iter().map(HostPattern::plain).collect(),
        _ => Vec::new(),
    };
    let retry_after = error.retry_after().max(retry_after_in(&detail, now));
    Some(Failure { kind, detail, retry_after, challenge, identifiers })
}

pub(super) fn remedy(challenge: Challenge) -> &'static str {
    match challenge {
        Challenge::TlsAlpn01 => {
            "let TCP port 443 of every address in DNS reach this machine's https listener, without TLS in between"
        }
        Challenge::Http01 => "let TCP port 80 of every address in DNS reach this machine's http listener",
        Challenge::Dns01 => "let [acme.dns] write to the zone's primary server, and let its other servers follow",
    }
}
