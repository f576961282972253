//! Whose clock counts. Certificates live by the CA's time and the world's; where this machine's
//! differs, it is told, and not gone by.

use super::Manager;
use crate::acme::ca::Ca;
use crate::acme::wire::CLOCK_TOLERANCE;
use crate::clock::Timestamp;
use tokio::time::Instant;

impl Manager {
    /// The time as far as certificates go: that of the first CA that was heard of, else this
    /// machine's.
    pub(super) fn now(&self) -> Timestamp {
        let heard = self.cas.iter().find(|ca| ca.skew().is_some());
        heard.map_or_else(|| self.parts.clock.now(), Ca::now)
    }

    /// The time at `ca`. Until it was heard of, that is the one by which the others go: by this machine's, which may be
    /// days behind, a failure would be recorded so long ago that nothing waits for it.
    pub(super) fn time_of(&self, ca: &Ca) -> Timestamp {
        if ca.skew().is_some() { ca.now() } else { self.now() }
    }

    /// Whether the clock of a CA seems to differ from this machine's.
    pub(super) fn clocks_differ(&self) -> bool {
        self.cas.iter().filter_map(Ca::skew).any(is_apart)
    }

    /// Looks again at the time of `ca` if it seemed to differ from this machine's: either clock may
    /// have been put right since, and a machine that slept has missed nothing but a look.
    pub(super) async fn doubt(&self, ca: &Ca) {
        if ca.skew().is_some_and(is_apart)
            && let Err(error) = ca.visit().await
        {
            tracing::debug!(%error, "the CA's time cannot be heard");
        }
    }

    /// Tells when this machine's clock and the CA's are apart.
    pub(super) fn compare_clocks(&self, ca: &Ca) {
        let Some(skew) = ca.skew().filter(|skew| is_apart(*skew)) else { return };
        if let Some(repeated) = self.clock_complaint.due(Instant::now()) {
            let direction = if skew > 0 { "behind" } else { "ahead of" };
            tracing::error!(
                ca = %ca.authority.directory, seconds = skew.abs(), cas_time = %ca.now(), repeated,
                "this machine's clock is {direction} the CA's; certificates go by the CA's; type: timedatectl set-ntp true"
            );
        }
    }
}

fn is_apart(skew: i64) -> bool {
    skew.abs() > CLOCK_TOLERANCE
}
