//! DNS-01 (RFC 8555 §8.4): a TXT record below `_acme-challenge` proves control over a name, a
//! wildcard, or a host that no CA can reach.
//!
//! [`rfc2136`] and [`exec`] write the record, [`propagation`] waits until every server of the zone
//! has it. Only then is a CA told to look: it asks one of them, and a failed validation counts.

mod exec;
mod key;
mod propagation;
mod rfc2136;
mod tsig;

pub use exec::HookError;
pub use key::KeyError;
pub use propagation::PropagationError;
pub use rfc2136::UpdateError;

use crate::clock::Clock;
use crate::config::DnsProvider;
use crate::dns::{Failure, Outcome, Resolver};
use crate::telemetry::log::Chain;
use exec::Hook;
use rfc2136::Primary;
use std::sync::Arc;

/// Where the record is looked for (RFC 8555 §8.4).
const LABEL: &str = "_acme-challenge";

/// A label that stands nowhere, so that only a wildcard answers for it.
const NOBODY: &str = "_vestibule-asks-for-a-wildcard";

/// Aliases that are followed. One is usual: delegation to a zone kept for challenges.
const MOST_ALIASES: usize = 8;

/// Publishes the records of DNS-01. Cheap to clone.
#[derive(Clone)]
pub struct Dns01 {
    inner: Arc<Inner>,
}

struct Inner {
    provider: Provider,
    resolver: Resolver,
}

enum Provider {
    Rfc2136(Primary),
    Exec(Hook),
}

/// One TXT record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    /// The closest zone, without a trailing dot.
    zone: String,
    /// Where the record stands, without a trailing dot.
    name: String,
    value: String,
}

/// Why there is no record for a CA to look at. Nothing of this costs anything at a CA.
#[derive(Debug, thiserror::Error)]
pub enum Dns01Error {
    /// DNS could not be asked.
    #[error("DNS cannot be asked about {name}; see that this machine's name servers (/etc/resolv.conf) answer")]
    Lookup {
        /// About which name.
        name: String,
        /// How it failed.
        #[source]
        source: Failure,
    },
    /// No zone encloses the name.
    #[error("no zone of DNS has {0}; register the domain, or correct the name")]
    NoZone(String),
    /// Aliases lead to aliases.
    #[error("{0} is an alias that leads on and on; let its CNAME lead to the record's real place")]
    AliasLoop(String),
    /// A TXT record below the name would take away its address.
    #[error(
        "{0} has no record of its own, only a wildcard's, which a TXT record below it would hide (RFC 4592); give {0} the record that the wildcard has"
    )]
    Hidden(String),
    /// The name server did not take the update.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The operator's program failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// Not every name server has the record.
    #[error(transparent)]
    Propagation(#[from] PropagationError),
}

impl Dns01 {
    /// Publishes as `settings` say, and asks `resolver` where.
    pub fn new(settings: &DnsProvider, resolver: Resolver, clock: Clock) -> Self {
        let provider = match settings {
            DnsProvider::Rfc2136 { server, key_name, key_file } => {
                Provider::Rfc2136(Primary::new(*server, key_name.clone(), key_file.clone(), clock))
            }
            DnsProvider::Exec { command } => Provider::Exec(Hook::new(command.clone())),
        };
        Self { inner: Arc::new(Inner { provider, resolver }) }
    }

    /// Publishes `digest` (the base64url of RFC 8555 §8.4) for `identifier`, a name without `*.`,
    /// beside whatever stands there: a name and its wildcard are validated with two values at once.
    /// Returns when every server of the zone that answers has it. On failure the record is removed
    /// again. A future that is dropped half-way, or a crash, leaves it: stale values do no harm to
    /// later validations.
    pub async fn open(&self, identifier: &str, digest: &str) -> Result<OpenRecord, Dns01Error> {
        let Inner { provider, resolver } = &*self.inner;
        let name = follow(resolver, format!("{LABEL}.{identifier}")).await?;
        let zone = match resolver.zone_of(&name).await {
            Outcome::Found(zone) => zone,
            Outcome::NoRecords => return Err(Dns01Error::NoZone(name)),
            Outcome::Failed(source) => return Err(Dns01Error::Lookup { name, source }),
        };
        // Before anything is written: what fails here needs no cleaning up.
        let servers = propagation::servers(resolver, &zone).await?;
        let record = Record { zone, name, value: digest.to_owned() };
        let open = OpenRecord { inner: Arc::clone(&self.inner), record };
        tracing::debug!(name = %open.record.name, zone = %open.record.zone, "publishing a TXT record");
        let published = match provider.write(&open.record, Action::Present).await {
            Ok(()) => propagation::wait(servers, &open.record.name, digest).await.map_err(Dns01Error::from),
            // Said no, so there is nothing to remove.
            Err(error @ Dns01Error::Update(UpdateError::Key(_) | UpdateError::Refused { .. })) => return Err(error),
            Err(error) => Err(error),
        };
        match published {
            Ok(()) => Ok(open),
            Err(error) => {
                open.close().await;
                Err(error)
            }
        }
    }
}

/// What can be seen of `settings` without asking anybody: the key, or the program. Returns what is
/// doubtful, as sentences, or the mistake with its remedy.
pub fn check(settings: &DnsProvider) -> Result<Vec<String>, Dns01Error> {
    let mut doubts = Vec::new();
    match settings {
        DnsProvider::Rfc2136 { key_name, key_file, .. } => {
            key::load(key_file, key_name.as_deref()).map_err(UpdateError::from)?;
            doubts.extend(key::exposure(key_file));
        }
        DnsProvider::Exec { command } => exec::check(command)?,
    }
    Ok(doubts)
}

impl Provider {
    async fn write(&self, record: &Record, action: Action) -> Result<(), Dns01Error> {
        match self {
            Self::Rfc2136(primary) => Ok(primary.write(record, action).await?),
            Self::Exec(hook) => Ok(hook.run(record, action).await?),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Present,
    CleanUp,
}

/// Where the record really lives: a CNAME delegates challenges to another zone.
async fn follow(resolver: &Resolver, name: String) -> Result<String, Dns01Error> {
    let mut place = name.clone();
    for _ in 0..=MOST_ALIASES {
        match resolver.alias(&place).await {
            Outcome::Found(target) if is_everybodys(resolver, &place, &target).await => {
                return match place.split_once('.') {
                    Some((_, host)) if is_everybodys(resolver, host, &target).await => {
                        Err(Dns01Error::Hidden(host.to_owned()))
                    }
                    _ => Ok(place),
                };
            }
            Outcome::Found(target) => place = target,
            Outcome::NoRecords => return Ok(place),
            Outcome::Failed(source) => return Err(Dns01Error::Lookup { name: place, source }),
        }
    }
    Err(Dns01Error::AliasLoop(name))
}

/// Whether `name` is an alias for `target` only because all names beside it are: `*.example.com. CNAME
/// example.com.` means hosts, and a key for challenges may not write where it leads. A record at the
/// name itself takes its place (RFC 4592 §2.2.1).
async fn is_everybodys(resolver: &Resolver, name: &str, target: &str) -> bool {
    let Some((_, parent)) = name.split_once('.') else { return false };
    let leads_there = async |name: &str| resolver.alias(name).await == Outcome::Found(target.to_owned());
    leads_there(name).await && leads_there(&format!("{NOBODY}.{parent}")).await
}

/// A published record. Dropping it leaves the record where it is; [`OpenRecord::close`] removes it.
#[must_use = "a record that is not closed stays in the zone"]
pub struct OpenRecord {
    inner: Arc<Inner>,
    record: Record,
}

impl OpenRecord {
    /// Removes the record, and no other value beside it. A failure is told in the log: no order
    /// fails for it.
    pub async fn close(self) {
        let Record { name, value, .. } = &self.record;
        match self.inner.provider.write(&self.record, Action::CleanUp).await {
            Ok(()) => tracing::debug!(%name, "removed a TXT record"),
            Err(error) => tracing::warn!(
                %name, %value, error = %Chain(&error),
                "a TXT record of a challenge could not be removed; remove it by hand"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
