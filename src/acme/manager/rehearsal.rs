//! An order at the CA's staging directory: what fails there costs nothing.

use super::attempt::{failure, remedy};
use super::keeper::{Failed, Keeper};
use crate::acme::ca::Ca;
use crate::acme::ledger::{Failure, FailureKind, Ledger};
use crate::acme::order::{self, OrderError, Wanted};
use crate::config::Challenge;
use crate::matrix::HostPattern;
use crate::telemetry::log::Chain;
use std::rc::Rc;

impl Keeper {
    /// Rehearses before production is asked again, where its record asks for that and the CA has a
    /// stage. Returns whether production may be asked.
    pub(super) async fn rehearse_if_needed(
        &self,
        index: usize,
        ledger: &mut Ledger,
        challenges: &[Challenge],
    ) -> Result<bool, Failed> {
        let manager = Rc::clone(&self.manager);
        let (Some(ca), Some(Some(stage))) = (manager.cas.get(index), manager.stages.get(index)) else {
            return Ok(true);
        };
        if !ledger.rehearse_first(self.manager.time_of(ca)) {
            return Ok(true);
        }
        let Some(challenge) = ledger.choose(challenges, &self.names) else { return Ok(true) };
        tracing::info!(names = %self.shown(), ca = %stage.authority.directory, "rehearsing at the staging directory");
        let rehearsed = self.rehearse(stage, challenge).await;
        let passed = rehearsed.is_ok();
        let now = self.manager.time_of(ca);
        match rehearsed {
            Ok(()) => ledger.rehearsed(now, Ok(challenge)),
            Err(error) => {
                let failed = failure(&error, Some(challenge), now).unwrap_or_else(|| Failure {
                    // The stage's account, say. That is no reason to order nothing.
                    kind: FailureKind::Local,
                    detail: Chain(&error).to_string(),
                    retry_after: None,
                    challenge: None,
                    identifiers: Vec::new(),
                });
                if failed.kind == FailureKind::Validation {
                    tracing::error!(
                        names = %self.shown(), challenge = challenge.as_str(), error = %Chain(&error),
                        "the rehearsal failed, so nothing is ordered; remedy: {}", remedy(challenge)
                    );
                } else {
                    tracing::warn!(
                        names = %self.shown(), ca = %stage.authority.directory, error = %Chain(&error),
                        "nothing can be rehearsed; the order is placed without"
                    );
                }
                ledger.rehearsed(now, Err(failed));
            }
        }
        self.save(ca, ledger).await?;
        // Staging that is away is no reason to wait.
        Ok(passed || !ledger.rehearse_first(now))
    }

    /// One order at the stage, of which nothing is kept.
    pub(super) async fn rehearse(&self, stage: &Ca, challenge: Challenge) -> Result<(), OrderError> {
        let directory = stage.visit().await?;
        let wire = stage.wire(None);
        let account = stage.account(&wire, &directory).await?;
        let has_address = self.names.iter().any(HostPattern::is_ip);
        // A profile that staging does not have (yet) is nothing to fail for.
        let profile = directory.profile(stage.authority.profile.as_deref(), has_address).ok().flatten();
        let wanted = Wanted { names: &self.names, challenge, profile: profile.as_deref(), replaces: None };
        let mut placed = order::place(&account, &wanted, stage.now()).await?;
        placed.authorise(&self.names, challenge, &self.manager.answers, &wire).await?;
        placed.fetch(&self.names, &wire).await.map(drop)
    }
}
