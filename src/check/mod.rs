//! The federation check: does the rest of Matrix reach this server, and if not, what is to be done.
//!
//! [`check`] drives [`discovery`] (the specification's steps, without I/O) with answers that
//! [`observe`] gets, hands the facts to the judge (pure, one small function a rule) and makes a
//! [`Report`] of the findings; [`render`] turns it into text. It judges as peers do, per address,
//! and tells "the server is broken" from "this machine could not see".

pub mod catalogue;
pub mod chain;
pub mod discovery;
pub mod finding;
mod judge;
pub mod network;
pub mod observe;
pub mod own;
pub mod render;
pub mod report;

pub use catalogue::Code;
pub use finding::{Finding, Severity};
pub use network::{Limits, Network, Override};
pub use report::{Report, Verdict};

use crate::matrix::ServerName;
use judge::Case;
use observe::Observation;
use tokio::time::{Instant, timeout};

/// Checks the server `name`. Never fails: what goes wrong is in the report. Ends within the total
/// limit of `network`; what was seen until then counts, and a finding says what is missing.
pub async fn check(name: &str, network: &Network) -> Report {
    let started = Instant::now();
    let mut seen = Observation::default();
    let findings = match ServerName::parse(name) {
        Ok(parsed) => {
            // Boxed: it holds buffers of several connections, too much for the caller's own future.
            let looking = Box::pin(observe::observe(network, &parsed, &mut seen));
            if timeout(network.limits.total, looking).await.is_ok() {
                seen.pending.clear();
            }
            judge::judge(&Case {
                server: name,
                policy: network.policy(),
                name_server: network.resolver.has_name_server(),
                now: network.clock.now(),
                seen: &seen,
            })
        }
        Err(error) => vec![judge::grammar(name, &error)],
    };
    Report::new(name, findings, &seen, started.elapsed())
}

#[cfg(test)]
mod tests;
