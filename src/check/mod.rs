//! The federation check: does the rest of Matrix reach this server, and if not, what is to be done.
//!
//! [`check`] drives [`discovery`] (the specification's steps, without I/O) with answers that
//! [`observe`] gets, hands the facts to the judge (pure, one small function a rule) and makes a
//! [`Report`] of the findings; [`render`] turns it into text. It judges as peers do, per address,
//! and tells "the server is broken" from "this machine could not see".

mod area_view;
pub mod catalogue;
pub mod chain;
pub mod delegate;
pub mod discovery;
pub mod explain;
pub mod finding;
pub mod guard;
pub mod hello;
mod judge;
mod lifetime;
pub mod loop_back;
pub mod network;
pub mod observe;
pub mod own;
pub mod pins;
pub mod progress;
pub mod render;
pub mod report;
mod tls_view;

pub use catalogue::Code;
pub use finding::{Finding, Severity};
pub use guard::Guard;
pub use network::{Limits, Network, Override};
pub use pins::Pins;
pub use progress::Progress;
pub use report::{Report, Verdict};

use crate::matrix::ServerName;
use judge::Case;
use observe::Observation;
use tokio::time::{Instant, timeout};

/// A report, and everything that it was made from.
#[derive(Debug)]
pub struct Examined {
    /// The report.
    pub report: Report,
    /// What was seen.
    pub seen: Observation,
    /// Whose certificates were expected.
    pub policy: chain::Policy,
}

/// Checks the server `name`. Never fails: what goes wrong is in the report. Ends within the total
/// limit of `network`; what was seen until then counts, and a finding says what is missing.
pub async fn check(name: &str, network: &Network) -> Report {
    examine(name, network, Background::default()).await.report
}

/// Checks an own server: as everybody else sees it, and from inside, where its homeserver's file and
/// what answers behind this program are held against what is configured here. `pinned` are the keys that it
/// published before.
pub async fn check_own(subject: own::Subject, network: &Network, pinned: Option<&Pins>) -> Report {
    let name = subject.server.server_name.to_string();
    examine(&name, network, Background { own: Some(subject), pinned }).await.report
}

/// What is known of a server before it is looked at.
#[derive(Debug, Default)]
pub struct Background<'a> {
    /// Its configuration, if it is an own one.
    pub own: Option<own::Subject>,
    /// The keys that it published when it was last checked.
    pub pinned: Option<&'a Pins>,
}

/// [`check`], with the facts.
pub async fn examine(name: &str, network: &Network, known: Background<'_>) -> Examined {
    let Background { own, pinned } = known;
    let mut own = own.map(|subject| own::Own { subject, file: None, looking: false, inside: None });
    let started = Instant::now();
    let mut seen = Observation::default();
    let findings = match ServerName::parse(name) {
        Ok(parsed) => {
            let inside = async {
                if let Some(own) = &mut own {
                    own::look(network, own).await;
                }
            };
            let looking = async { tokio::join!(observe::observe(network, &parsed, &mut seen), inside) };
            // Boxed: it holds buffers of several connections, too much for the caller's own future.
            if timeout(network.limits.total, Box::pin(looking)).await.is_ok() {
                seen.pending.clear();
            }
            judge::judge(&Case {
                server: name,
                policy: network.policy(),
                name_server: network.resolver.has_name_server(),
                system_roots: network.roots.has_system(),
                now: network.clock.now(),
                pinned,
                seen: &seen,
                own: own.as_ref(),
            })
        }
        Err(error) => vec![judge::grammar(name, &error)],
    };
    let report = Report::new(name, findings, (&seen, own.as_ref()), network.policy(), started.elapsed());
    Examined { report: Report { private: network.private, ..report }, seen, policy: network.policy() }
}

#[cfg(test)]
mod tests;
