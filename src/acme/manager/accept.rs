//! A new certificate: stored, published, written down.

use super::Current;
use super::keeper::{Failed, Keeper};
use crate::acme::ledger::{Issued, Ledger};
use crate::acme::order::{Outcome, Pending};
use crate::acme::plan::{self, Validity};
use crate::acme::stored;
use crate::certs::keyring::Slot;
use crate::certs::store::StoreError;
use crate::config::Challenge;
use crate::telemetry::log::Chain;
use std::rc::Rc;
use std::sync::Arc;

/// A certificate that could not be stored yet.
pub(super) struct Unsaved {
    content: String,
    /// The CA's folder.
    ca: String,
    /// The record that knows of it.
    ledger: Ledger,
}

impl Keeper {
    /// Takes a proved certificate into service. What cannot be written is told, tried again, and
    /// changes nothing about the certificate: it is served from memory meanwhile.
    pub(super) async fn accept(
        &mut self,
        index: usize,
        outcome: Outcome,
        ledger: &mut Ledger,
        challenge: Challenge,
        exempt: bool,
    ) -> Result<(), Failed> {
        let manager = Rc::clone(&self.manager);
        let Some(ca) = manager.cas.get(index) else { return Ok(()) };
        let Outcome { certificate, pem, placed, ended_before } = outcome;
        let certificate = Arc::new(certificate);
        if let Some(issuer) = certificate.absent_issuer() {
            tracing::warn!(names = %self.shown(), %issuer, "the CA sent no certificate of its issuer; clients that do not know the issuer by themselves will refuse this certificate");
        }
        let before = self.current.replace(Current { certificate: Arc::clone(&certificate), ca: Some(index) });
        let window = before.and_then(|before| ledger.window(before.there().renewal_id).cloned());
        let now = self.manager.time_of(ca);
        let validity = self.validity();
        // A certificate that an earlier attempt left at the CA is as old as its order: while it waited
        // there, it may have come near its renewal.
        let issued = Issued {
            names: &self.names,
            challenge: Some(challenge),
            lifetime: validity.map_or(0, Validity::lifetime),
            renewal_exempt: exempt,
            window: window.as_ref(),
            placed,
        };
        ledger.issued(if ended_before { placed.min(now) } else { now }, issued);
        if plan::due(now, validity, None, self.jitter()).at <= now {
            let not_after = certificate.facts().not_after;
            tracing::warn!(%now, %not_after, "the new certificate is due for renewal already: is this machine's clock right?");
        }
        // Before anybody sees the certificate: a process that is stopped then has a record of it.
        let content = stored::content(&ca.key, &pem);
        self.unsaved = Some(Unsaved { content, ca: ca.key.clone(), ledger: ledger.clone() });
        let saved = self.save_unsaved().await;
        if let Err(error) = &saved {
            tracing::error!(names = %self.shown(), error = %Chain(error), "the new certificate could not be stored; it is served from memory");
        }
        manager.parts.published.publish(Slot::Issued(self.first.to_string()), Arc::clone(&certificate));
        self.look_at_listeners(&certificate.facts().serial).await;
        Ok(saved?)
    }

    /// Stores what could not be stored before: the certificate, then the record of it. The order is
    /// forgotten only then: until it is, a restart fetches the certificate from it again.
    pub(super) async fn save_unsaved(&mut self) -> Result<(), StoreError> {
        let Some(Unsaved { content, ca, ledger }) = &self.unsaved else { return Ok(()) };
        let store = &self.manager.parts.store;
        store.store(&stored::key(&self.first), content.as_bytes()).await?;
        ledger.save(store, ca, &self.first).await?;
        Pending::remove(store, ca, &self.first).await?;
        self.unsaved = None;
        Ok(())
    }
}
