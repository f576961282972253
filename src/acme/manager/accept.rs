//! A new certificate: stored, published, written down.

use super::Current;
use super::keeper::{Failed, Keeper};
use crate::acme::ca::Ca;
use crate::acme::ledger::{Issued, Ledger};
use crate::acme::order::{Outcome, Pending};
use crate::acme::plan;
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
    ca: String,
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
        (exempt, resumed): (bool, bool),
    ) -> Result<(), Failed> {
        let manager = Rc::clone(&self.manager);
        let Some(ca) = manager.cas.get(index) else { return Ok(()) };
        let Outcome { certificate, pem } = outcome;
        let certificate = Arc::new(certificate);
        if let Some(issuer) = certificate.absent_issuer() {
            tracing::warn!(names = %self.shown(), %issuer, "the CA sent no certificate of its issuer; clients that do not know the issuer by themselves will refuse this certificate");
        }
        let before = self.current.replace(Current { certificate: Arc::clone(&certificate), ca: Some(index) });
        self.unsaved = Some(Unsaved { content: stored::content(&ca.key, &pem), ca: ca.key.clone() });
        let saved = self.save_unsaved().await;
        if let Err(error) = &saved {
            tracing::error!(names = %self.shown(), error = %Chain(error), "the new certificate could not be stored; it is served from memory");
        }
        // Before anybody sees the certificate: a process that is stopped then has a record of it.
        let written = self.write_down(ca, ledger, before.as_ref(), challenge, (exempt, resumed)).await;
        manager.parts.published.publish(Slot::Issued(self.first.to_string()), Arc::clone(&certificate));
        self.look_at_listeners(&certificate.facts().serial).await;
        saved?;
        written
    }

    /// Stores what could not be stored before. The order is forgotten only then: until it is, a
    /// restart fetches the certificate from it again.
    pub(super) async fn save_unsaved(&mut self) -> Result<(), StoreError> {
        let Some(Unsaved { content, ca }) = &self.unsaved else { return Ok(()) };
        let store = &self.manager.parts.store;
        store.store(&stored::key(&self.first), content.as_bytes()).await?;
        Pending::remove(store, ca, &self.first).await?;
        self.unsaved = None;
        Ok(())
    }

    async fn write_down(
        &self,
        ca: &Ca,
        ledger: &mut Ledger,
        before: Option<&Current>,
        challenge: Challenge,
        (exempt, resumed): (bool, bool),
    ) -> Result<(), Failed> {
        let now = ca.now();
        let Some(validity) = self.validity() else { return Ok(()) };
        let window = before.and_then(|before| ledger.window(before.there().renewal_id)).cloned();
        // An order that was left behind may have led to it days ago: then it is not new, and no reason to wait with
        // its renewal.
        let at = if resumed { validity.not_before.min(now) } else { now };
        ledger.issued(
            at,
            Issued {
                names: &self.names,
                challenge: Some(challenge),
                lifetime: validity.lifetime(),
                renewal_exempt: exempt,
                window: window.as_ref(),
            },
        );
        if plan::due(now, Some(validity), None, self.jitter()).at <= now {
            let not_after = validity.not_after;
            tracing::warn!(%now, %not_after, "the new certificate is due for renewal already: is this machine's clock right?");
        }
        self.save(ca, ledger).await
    }
}
