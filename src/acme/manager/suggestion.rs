//! Asks the CA when it wants the certificate renewed (RFC 9773), in time, and writes it down.

use super::keeper::{Failed, Keeper};
use crate::acme::ca::{Ca, RenewalInfo};
use crate::acme::ledger::Ledger;
use crate::acme::schedule::There;
use crate::acme::window::{NoSuggestion, Suggestion, Window, merge};
use crate::clock::Timestamp;
use std::rc::Rc;

impl Keeper {
    /// Asks, if it is time to. Whatever the CA answers, the time is heard on the way. Returns when
    /// to ask next.
    pub(super) async fn listen(&mut self, ledgers: &mut [Ledger]) -> Result<Option<Timestamp>, Failed> {
        let manager = Rc::clone(&self.manager);
        let Some(current) = self.current.clone() else { return Ok(None) };
        let Some((ca, ledger)) = current.ca.and_then(|index| Some((manager.cas.get(index)?, ledgers.get_mut(index)?)))
        else {
            return Ok(None);
        };
        if let Some(unwritten) =
            self.unwritten.take().filter(|unwritten| unwritten.is_about(current.there().renewal_id))
        {
            ledger.remember(unwritten);
            self.write_heard(ca, ledger).await?;
        }
        manager.doubt(ca).await;
        let There { validity, renewal_id: id, .. } = current.there();
        // By this CA's clock, which wrote it down; another CA's may be the one to plan by.
        let at = ledger.ask_at(id, self.manager.time_of(ca));
        if at > self.manager.time_of(ca) {
            return Ok(Some(self.now().plus(at.since(self.manager.time_of(ca)))));
        }
        let answer = ca.renewal_info(id).await;
        manager.compare_clocks(ca);
        let now = self.manager.time_of(ca);
        let (body, retry_after) = match answer {
            RenewalInfo::Said(body, retry_after) => (body, retry_after),
            RenewalInfo::Silent | RenewalInfo::Refused => {
                ledger.not_suggested(id, NoSuggestion::LongTerm, None, now);
                self.write_heard(ca, ledger).await?;
                return Ok(Some(ledger.ask_at(id, now)));
            }
            RenewalInfo::Unreachable(retry_after) => {
                ledger.not_suggested(id, NoSuggestion::Temporary, retry_after, now);
                self.write_heard(ca, ledger).await?;
                return Ok(Some(ledger.ask_at(id, now)));
            }
        };
        match Suggestion::parse(&body, validity) {
            Ok(suggestion) => {
                let old = ledger.window(id).cloned();
                let window = merge(id, old.as_ref(), &suggestion, retry_after, now, (manager.parts.random)());
                self.tell_window(old.as_ref(), &window);
                ledger.suggested(window);
            }
            Err(error) => {
                tracing::warn!(names = %self.shown(), %error, "the CA's renewal information is of no use; the lifetime decides");
                ledger.not_suggested(id, NoSuggestion::LongTerm, retry_after, now);
            }
        }
        self.write_heard(ca, ledger).await?;
        Ok(Some(ledger.ask_at(id, now)))
    }

    /// Writes down what the CA said. While that fails, it is kept here: the CA said when to be asked
    /// again, and a full disk is no reason to ask every minute.
    async fn write_heard(&mut self, ca: &Ca, ledger: &Ledger) -> Result<(), Failed> {
        self.unwritten = ledger.heard();
        self.save(ca, ledger).await?;
        self.unwritten = None;
        Ok(())
    }

    fn tell_window(&self, old: Option<&Window>, new: &Window) {
        if old.is_some_and(|old| (old.start, old.end) == (new.start, new.end)) {
            return;
        }
        let explanation = new.explanation.as_deref().unwrap_or("none given");
        if new.was_past() {
            tracing::warn!(names = %self.shown(), end = %new.end, %explanation, "the CA wants this certificate replaced now");
        } else {
            tracing::info!(names = %self.shown(), start = %new.start, end = %new.end, chosen = %new.chosen, "the CA suggests when to renew");
        }
    }
}
