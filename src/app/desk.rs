//! Where commands to the running program arrive: each is looked at, passed on to who can do it, and
//! answered.

use crate::acme::ask::{Ask, Asked};
use crate::admin::socket::{Answer, Call, Command};
use crate::check::loop_back::loop_back;
use crate::check::network::Network;
use crate::config::{CertificateOrder, Config, Issuer};
use crate::matrix::Host;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Commands under way at once. The admin socket lets no more in; this counts those as well whose
/// clients have left.
const UNDER_WAY: usize = 16;

/// The exit status of what went wrong, as the command line has it.
const NOT_OK: u8 = 1;

/// What an order costs that nobody needs.
const FORCED: &str = "forced: this order counts, whatever comes of it. Let's Encrypt issues five certificates a week for \
                      the same names, and vestibule keeps to four";

/// Takes commands.
pub(super) struct Desk {
    config: Arc<Config>,
    orders: watch::Receiver<Vec<CertificateOrder>>,
    manager: mpsc::Sender<Asked>,
    /// For checks of the own servers, where they are checked.
    network: Option<Network>,
}

impl Desk {
    /// A desk in front of the manager, which keeps the certificates for `orders`.
    pub(super) fn new(
        config: &Arc<Config>,
        orders: watch::Receiver<Vec<CertificateOrder>>,
        manager: mpsc::Sender<Asked>,
    ) -> Self {
        Self { config: Arc::clone(config), orders, manager, network: None }
    }

    /// The same that also makes loop-back proofs, in this network.
    pub(super) fn checking(self, network: Option<Network>) -> Self {
        Self { network, ..self }
    }

    /// Answers calls until there are none any more. Must run inside a `LocalSet`.
    pub(super) async fn run(self, mut calls: mpsc::Receiver<Call>) {
        let desk = Rc::new(self);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = under_way.join_next() => {}
                call = calls.recv() => match call {
                    Some(Call { answer, .. }) if under_way.len() >= UNDER_WAY => {
                        answer.line(format!("{UNDER_WAY} commands are under way already; try again when one has ended"));
                        answer.exit(NOT_OK);
                    }
                    Some(Call { command, answer }) => {
                        let desk = Rc::clone(&desk);
                        under_way.spawn_local(async move { desk.answer(command, answer).await });
                    }
                    None => return,
                },
            }
        }
    }

    async fn answer(&self, command: Command, answer: Answer) {
        let ask = match ask(command) {
            Ok(Asking::Manager(ask)) => ask,
            Ok(Asking::LoopBack { name, deep }) => return self.loop_back(&name, deep, answer).await,
            Err(reason) => {
                answer.line(reason);
                return answer.exit(NOT_OK);
            }
        };
        // `None` drops the answer, which tells the client that the program is stopping.
        if let Some(good) = self.ask(ask, |line| answer.line(line)).await {
            answer.exit(if good { 0 } else { NOT_OK });
        }
    }

    /// Proves that requests for the own server `name` arrive here, and answers with what was seen at each
    /// address, as JSON on a line.
    async fn loop_back(&self, name: &str, deep: bool, answer: Answer) {
        let own = self.config.servers.iter().any(|server| server.server_name.as_str() == name);
        let seen = match &self.network {
            _ if !own => Err(format!("{name} is no server of this vestibule")),
            None => Err("this vestibule does not check itself".to_owned()),
            Some(network) => loop_back(name, network, deep).await,
        };
        match seen {
            Ok(seen) => {
                seen.iter().for_each(|seen| answer.line(serde_json::json!(seen).to_string()));
                answer.exit(0);
            }
            Err(reason) => {
                answer.line(reason);
                answer.exit(NOT_OK);
            }
        }
    }

    /// Has the manager do it. `None` when the manager has ended first.
    pub(super) async fn ask(&self, ask: Ask, line: impl Fn(String)) -> Option<bool> {
        if let Some(reason) = objection(&self.config, &self.orders.borrow(), &ask) {
            line(reason);
            return Some(false);
        }
        if let Ask::Renew { force: true, .. } = ask {
            line(FORCED.to_owned());
        }
        let (lines, mut told) = mpsc::unbounded_channel();
        let (done, ended) = oneshot::channel();
        self.manager.send(Asked { ask, lines, done }).await.ok()?;
        // The sender goes with the request, so this ends when the request does.
        while let Some(text) = told.recv().await {
            line(text);
        }
        ended.await.ok()
    }
}

/// Who can do what a command asks for.
#[derive(Debug)]
enum Asking {
    Manager(Ask),
    LoopBack { name: String, deep: bool },
}

/// The request that a command is.
fn ask(command: Command) -> Result<Asking, String> {
    let hosts = |names: Vec<String>| -> Result<Vec<Host>, String> {
        let hosts = names.iter().map(|name| Host::parse(name).map_err(|error| format!("{name:?}: {error}")));
        hosts.collect()
    };
    Ok(match command {
        Command::CertsRenew { names, force } => Asking::Manager(Ask::Renew { names: hosts(names)?, force }),
        Command::CertsRehearse { names } => Asking::Manager(Ask::Rehearse { names: hosts(names)? }),
        Command::CheckLoopBack { name, deep } => Asking::LoopBack { name, deep },
    })
}

/// Why nobody here can do what is asked, where certificates for `orders` are what the operator's files
/// leave to be ordered.
pub fn objection(config: &Config, orders: &[CertificateOrder], ask: &Ask) -> Option<String> {
    let issuer = match config.tls.issuer {
        Issuer::Acme => None,
        Issuer::Internal => Some("internal"),
        Issuer::Files => Some("files"),
    };
    if let Some(issuer) = issuer {
        return Some(format!("this vestibule orders nothing: tls.issuer is \"{issuer}\""));
    }
    for name in ask.names() {
        let covers = |order: &CertificateOrder| order.names.iter().any(|pattern| pattern.covers(name));
        if orders.iter().any(covers) {
            continue;
        }
        let needed = config.names.orders().iter().any(covers);
        return Some(match needed {
            true => format!("a file of tls.certificates covers {name}: renew that with the program it comes from"),
            false => format!("no certificate is ordered for {name}; vestibule certs list shows the names there are"),
        });
    }
    orders.is_empty().then(|| "there is nothing to order: the files of tls.certificates cover every name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_cannot_be_done_is_told() {
        let config = |issuer: &str| {
            let text = format!(
                "server_name = \"a.example\"\n[[site]]\nhost = \"chat.a.example\"\nupstream = \"http://127.0.0.1:1\"\n\
                 [tls]\nissuer = {issuer:?}\n"
            );
            Config::parse(&text, Path::new("t.toml")).unwrap()
        };
        let renew = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            match ask(Command::CertsRenew { names, force: false }).unwrap() {
                Asking::Manager(ask) => ask,
                Asking::LoopBack { .. } => unreachable!("a renewal is the manager's"),
            }
        };
        let acme = config("acme");
        let site = &acme.names.orders()[1..];
        let told = |names: &[&str]| objection(&acme, site, &renew(names)).unwrap_or_default();
        assert_eq!((told(&[]).as_str(), told(&["chat.a.example"]).as_str()), ("", ""));
        assert!(told(&["a.example"]).contains("covers a.example"), "a file has it");
        assert!(told(&["chat.a.example", "b.example"]).contains("ordered for b.example"));
        assert!(objection(&acme, &[], &renew(&[])).unwrap().contains("nothing to order"));
        let internal = config("internal");
        let reason = objection(&internal, internal.names.orders(), &renew(&[])).unwrap();
        assert_eq!(reason, "this vestibule orders nothing: tls.issuer is \"internal\"");
        let bad = ask(Command::CertsRehearse { names: vec!["a b".to_owned()] }).unwrap_err();
        assert!(bad.starts_with("\"a b\": "), "{bad}");
    }
}
