//! Whether every server of a zone has a record.
//!
//! A CA asks whichever server it likes, from several places, and one that lags fails the validation.
//! So the servers themselves are asked, and a resolver's cache never is.

use crate::dns::{Failure, Outcome, Resolver, direct};
use futures_util::future::join_all;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How long secondaries may take. NOTIFY (RFC 1996) brings them along in seconds; without it they
/// come when their SOA's refresh is over, and three minutes is what certbot's and lego's users wait
/// for such zones. No server that takes longer is worth an order.
const LIMIT: Duration = Duration::from_secs(180);

/// The pauses between two rounds of questions: short at first, since most zones are in step at once.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Servers that are looked up, and addresses that are asked. Zones have two to thirteen servers with two addresses each; more than
/// this is a mistake or an attack.
const MOST_ADDRESSES: usize = 64;

/// The port of authoritative servers: NS records have no other.
const PORT: u16 = 53;

/// A server of the zone at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    name: String,
    address: SocketAddr,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.address.ip())
    }
}

/// Why the record cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub enum PropagationError {
    /// The zone's servers could not be looked up.
    #[error("the name servers of {zone} cannot be looked up")]
    Lookup {
        /// Which zone.
        zone: String,
        /// How it failed.
        #[source]
        source: Failure,
    },
    /// There are no NS records, or no addresses behind them.
    #[error("{0}; give it NS records that lead to addresses")]
    NoServers(String),
    /// No server answers.
    #[error(
        "no name server of the zone answers, so nobody can tell whether the record is there: {0}; let this machine reach port 53 of one of them over UDP or TCP"
    )]
    Silent(String),
    /// Some server still lacks the record.
    #[error(
        "after {limit} s the TXT record is still missing at {servers}; see that the zone's secondaries get NOTIFY and transfers from its primary",
        limit = LIMIT.as_secs()
    )]
    Lacking {
        /// Which.
        servers: String,
    },
}

/// All addresses of the zone's servers, each once.
pub(super) async fn servers(resolver: &Resolver, zone: &str) -> Result<Vec<Server>, PropagationError> {
    let lookup = |source| PropagationError::Lookup { zone: zone.to_owned(), source };
    let names = match resolver.name_servers(zone).await {
        Outcome::Found(names) => names.into_iter().take(MOST_ADDRESSES).collect::<Vec<_>>(),
        Outcome::NoRecords => return Err(PropagationError::NoServers(format!("the zone {zone} names no servers"))),
        Outcome::Failed(failure) => return Err(lookup(failure)),
    };
    let mut servers: Vec<Server> = Vec::new();
    let mut trouble = None;
    let answers = join_all(names.iter().map(|name| resolver.addresses(name))).await;
    for (name, answer) in names.iter().zip(answers) {
        let addresses = match answer.outcome {
            Outcome::Found(addresses) => addresses,
            Outcome::NoRecords => continue,
            Outcome::Failed(failure) => {
                tracing::debug!(server = %name, error = %failure, "a name server has no address here");
                trouble = Some(failure);
                continue;
            }
        };
        for address in addresses.all().map(|address| SocketAddr::new(address, PORT)) {
            if servers.len() < MOST_ADDRESSES && !servers.iter().any(|server| server.address == address) {
                servers.push(Server { name: name.clone(), address });
            }
        }
    }
    match (servers.is_empty(), trouble) {
        (false, _) => Ok(servers),
        (true, Some(failure)) => Err(lookup(failure)),
        (true, None) => {
            let what = format!("the servers of the zone {zone} ({}) have no address", names.join(", "));
            Err(PropagationError::NoServers(what))
        }
    }
}

/// Returns once every server that answers has `value` in a TXT record at `name`.
pub(super) async fn wait(servers: Vec<Server>, name: &str, value: &str) -> Result<(), PropagationError> {
    let mut asked: Vec<(Server, Seen)> = servers.into_iter().map(|server| (server, Seen::Silent)).collect();
    let end = Instant::now() + LIMIT;
    let mut pause = FIRST_PAUSE;
    loop {
        let answers = join_all(asked.iter().map(|(server, _)| direct::txt(server.address, name))).await;
        for ((_, seen), answer) in asked.iter_mut().zip(answers) {
            *seen = seen.after(&answer, value);
        }
        let left = end.saturating_duration_since(Instant::now());
        match verdict(&asked) {
            Verdict::Ready { silent } => {
                if !silent.is_empty() {
                    tracing::warn!(%name, servers = %silent, "some name servers of the zone do not answer here; the others have the record");
                }
                return Ok(());
            }
            Verdict::Silent(all) if left.is_zero() => return Err(PropagationError::Silent(all)),
            Verdict::Lacking(some) if left.is_zero() => return Err(PropagationError::Lacking { servers: some }),
            Verdict::Lacking(some) => tracing::debug!(%name, servers = %some, "waiting for name servers"),
            Verdict::Silent(all) => tracing::debug!(%name, servers = %all, "no name server answers yet"),
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What is known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It has never answered.
    Silent,
    Lacks,
    Has,
}

impl Seen {
    /// One that does not answer now is where it was last seen: a lost packet is no proof.
    fn after(self, answer: &Outcome<Vec<String>>, value: &str) -> Self {
        match answer {
            Outcome::Found(values) if values.iter().any(|one| one == value) => Self::Has,
            Outcome::Found(_) | Outcome::NoRecords => Self::Lacks,
            Outcome::Failed(_) => self,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Everybody who answers has it. Names those who do not answer at any address: a machine without
    /// IPv6 reaches most servers at one of two.
    Ready { silent: String },
    /// These lack it.
    Lacking(String),
    /// Nobody answers.
    Silent(String),
}

fn verdict(asked: &[(Server, Seen)]) -> Verdict {
    let list = |wanted: Seen| {
        let servers = asked.iter().filter(|(_, seen)| *seen == wanted).map(|(server, _)| server.to_string());
        servers.collect::<Vec<_>>().join(", ")
    };
    let answers =
        |server: &Server| asked.iter().any(|(other, seen)| other.name == server.name && *seen != Seen::Silent);
    let away = || {
        let away = asked.iter().map(|(server, _)| server).filter(|server| !answers(server)).map(Server::to_string);
        away.collect::<Vec<_>>().join(", ")
    };
    let any = |wanted: Seen| asked.iter().any(|(_, seen)| *seen == wanted);
    match (any(Seen::Lacks), any(Seen::Has)) {
        (true, _) => Verdict::Lacking(list(Seen::Lacks)),
        (false, true) => Verdict::Ready { silent: away() },
        (false, false) => Verdict::Silent(list(Seen::Silent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::FailureKind;

    fn asked(seen: &[Seen]) -> Vec<(Server, Seen)> {
        let server = |index: usize| Server {
            name: format!("ns{index}.test"),
            address: SocketAddr::from(([192, 0, 2, u8::try_from(index).unwrap()], PORT)),
        };
        seen.iter().enumerate().map(|(index, seen)| (server(index), *seen)).collect()
    }

    #[test]
    fn one_must_answer_and_all_that_answer_must_have_it() {
        use Seen::{Has, Lacks, Silent};
        for (seen, expected) in [
            (vec![Has, Has], Verdict::Ready { silent: String::new() }),
            (vec![Has, Silent], Verdict::Ready { silent: "ns1.test (192.0.2.1)".to_owned() }),
            (vec![Has, Lacks, Silent], Verdict::Lacking("ns1.test (192.0.2.1)".to_owned())),
            (vec![Silent, Lacks], Verdict::Lacking("ns1.test (192.0.2.1)".to_owned())),
            (vec![Silent, Silent], Verdict::Silent("ns0.test (192.0.2.0), ns1.test (192.0.2.1)".to_owned())),
        ] {
            assert_eq!(verdict(&asked(&seen)), expected, "{seen:?}");
        }
    }

    #[test]
    fn a_server_that_answers_at_one_address_is_not_away() {
        let mut both = asked(&[Seen::Has, Seen::Silent, Seen::Silent]);
        both[1].0.name = both[0].0.name.clone();
        assert_eq!(verdict(&both), Verdict::Ready { silent: "ns2.test (192.0.2.2)".to_owned() });
    }

    #[test]
    fn a_lost_packet_proves_nothing() {
        let failed = Outcome::Failed(Failure { kind: FailureKind::Timeout, detail: "no answer in time".to_owned() });
        let with = |values: &[&str]| Outcome::Found(values.iter().map(ToString::to_string).collect());
        assert_eq!(Seen::Silent.after(&with(&["old", "v"]), "v"), Seen::Has);
        assert_eq!(Seen::Silent.after(&with(&["old"]), "v"), Seen::Lacks);
        assert_eq!(Seen::Has.after(&Outcome::NoRecords, "v"), Seen::Lacks);
        for seen in [Seen::Silent, Seen::Lacks, Seen::Has] {
            assert_eq!(seen.after(&failed, "v"), seen);
        }
    }
}
