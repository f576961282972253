//! What people ask of one set of names: a renewal now, or a rehearsal.

use super::Manager;
use super::keeper::{Failed, Keeper};
use crate::acme::ask::{Ask, Asked};
use crate::acme::ca::ca_key;
use crate::acme::plan::{Due, Reason};
use crate::matrix::HostPattern;
use crate::telemetry::log::Chain;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::rc::Rc;
use tokio::sync::{mpsc, oneshot};

/// A request to one keeper.
pub(super) struct Job {
    ask: Ask,
    lines: mpsc::UnboundedSender<String>,
    done: oneshot::Sender<bool>,
}

/// Hands every request to the keepers that it means, and answers when all of them have. A keeper whose
/// CA is slow holds up no request but those about its own names.
pub(super) async fn dispatch(keepers: Vec<(Vec<HostPattern>, mpsc::Sender<Job>)>, asked: &mut mpsc::Receiver<Asked>) {
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            request = asked.recv() => match request {
                Some(request) => answers.push(hand_over(&keepers, request)),
                None => break,
            },
            Some(()) = answers.next() => {}
        }
    }
    while answers.next().await.is_some() {}
    // Nobody can ask any more; the keepers go on.
    std::future::pending().await
}

/// Asks the keepers at once; what is returned waits for their answers.
fn hand_over(keepers: &[(Vec<HostPattern>, mpsc::Sender<Job>)], request: Asked) -> impl Future<Output = ()> + use<> {
    let meant: Vec<_> = keepers.iter().filter(|(names, _)| request.ask.means(names)).collect();
    for name in request.ask.names() {
        if !keepers.iter().any(|(names, _)| names.iter().any(|pattern| pattern.covers(name))) {
            request.line(format!("{name}: no certificate is ordered for this name here"));
        }
    }
    let mut good = !meant.is_empty() || request.ask.names().is_empty();
    let mut waiting = Vec::new();
    for (names, keeper) in meant {
        let (done, answer) = oneshot::channel();
        let job = Job { ask: request.ask.clone(), lines: request.lines.clone(), done };
        match keeper.try_send(job) {
            Ok(()) => waiting.push(answer),
            Err(_) => {
                request.line(format!("{}: busy; try again in a minute", HostPattern::list(names)));
                good = false;
            }
        }
    }
    async move {
        for answer in waiting {
            good &= answer.await.unwrap_or(false);
        }
        request.finish(good);
    }
}

impl Keeper {
    /// Does what a person asked for.
    pub(super) async fn serve(&mut self, job: Job) {
        let Job { ask, lines, done } = job;
        // Whoever asked may be gone.
        let shown = self.shown();
        let say = |text: String| drop(lines.send(format!("{shown}: {text}")));
        let said = match ask {
            Ask::Renew { force, .. } => self.renew(force, &say).await,
            Ask::Rehearse { .. } => self.rehearse_on_request(&say).await,
        };
        let (good, text) = match said {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        say(text);
        let _ = done.send(good);
    }

    async fn renew(&mut self, force: bool, say: &impl Fn(String)) -> Result<String, String> {
        let failed = |error: Failed| format!("the state directory fails: {}", Chain(&error));
        // A certificate that could not be stored yet comes with its record, which must not come after a later one.
        self.save_unsaved().await.map_err(|error| failed(error.into()))?;
        let ledgers = self.ledgers().await.map_err(failed)?;
        let now = self.now();
        let schedule = self.schedule(&ledgers);
        let due = schedule.due(now);
        if due.at > now && !force {
            return Ok(format!(
                "not due before {}; --force orders all the same, of which a CA grants a few a week",
                due.at
            ));
        }
        let step = schedule.step(now, &Due { at: now, reason: Reason::Asked });
        if step.at > now {
            let because = step.held_by.map_or_else(String::new, |hold| format!(": {hold}"));
            return Err(format!("not before {}{because}", step.at));
        }
        let before = self.serial();
        if let Some(ca) = self.manager.cas.get(step.ca) {
            say(format!("ordering from {}", ca_key(&ca.authority.directory)));
        }
        self.attempt(&step, ledgers).await.map_err(failed)?;
        let serial = self.serial();
        if serial != before
            && let Some(validity) = self.validity()
        {
            return Ok(format!("renewed, valid until {}", validity.not_after));
        }
        if let Some(blocked) = &self.blocked {
            return Err(blocked.to_string());
        }
        let ledgers = self.ledgers().await.map_err(failed)?;
        let last =
            ledgers.iter().filter_map(crate::acme::ledger::Ledger::last_failure).max_by_key(|failure| failure.at);
        Err(last.map_or_else(|| "not renewed; the log says why".to_owned(), |failure| failure.detail.to_owned()))
    }

    async fn rehearse_on_request(&self, say: &impl Fn(String)) -> Result<String, String> {
        let manager = Rc::clone(&self.manager);
        let stage = manager.stages.first().and_then(Option::as_ref);
        let Some(stage) = stage else {
            return Err("this CA has no staging directory that is known; set acme.staging to its URL".to_owned());
        };
        let able = self.able(&manager);
        let mut failed = Vec::new();
        for challenge in able {
            say(format!("rehearsing at {} with {}", ca_key(&stage.authority.directory), challenge.as_str()));
            match self.rehearse(stage, challenge).await {
                Ok(()) => {
                    let stage = ca_key(&stage.authority.directory);
                    return Ok(format!(
                        "the rehearsal at {stage} went well with {}; nothing was kept",
                        challenge.as_str()
                    ));
                }
                Err(error) => failed.push(format!("{}: {}", challenge.as_str(), Chain(&error))),
            }
        }
        Err(format!("the rehearsal failed: {}", failed.join("; ")))
    }

    /// The configured types that can prove these names.
    fn able(&self, manager: &Manager) -> Vec<crate::config::Challenge> {
        let configured = &manager.settings.challenges;
        let able = |challenge: &&crate::config::Challenge| {
            crate::acme::ledger::Ledger::default().choose(&[**challenge], &self.names).is_some()
        };
        configured.iter().filter(able).copied().collect()
    }

    fn serial(&self) -> Option<String> {
        Some(self.current.as_ref()?.certificate.facts().serial.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Host;

    #[tokio::test]
    async fn a_slow_keeper_holds_up_no_other() {
        let host = |name: &str| Host::parse(name).unwrap();
        let keeper = |name: &str| {
            let (jobs, received) = mpsc::channel::<Job>(1);
            ((vec![HostPattern::from(host(name))], jobs), received)
        };
        let ((slow, _unanswered), (quick, mut jobs)) = (keeper("a.example"), keeper("b.example"));
        let (asks, mut asked) = mpsc::channel(2);
        let ask = async |name| {
            let (lines, _told) = mpsc::unbounded_channel();
            let (done, answer) = oneshot::channel();
            asks.send(Asked { ask: Ask::Rehearse { names: vec![host(name)] }, lines, done }).await.unwrap();
            [answer]
        };
        let client = async {
            let [_waits] = ask("a.example").await;
            let [answer] = ask("b.example").await;
            jobs.recv().await.unwrap().done.send(true).unwrap();
            answer.await.unwrap()
        };
        tokio::select! {
            () = dispatch(vec![slow, quick], &mut asked) => {}
            good = client => assert!(good),
        }
    }
}
