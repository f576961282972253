//! The worker threads: started together, drained together.

use super::signals::Signals;
use super::{Ended, notify};
use crate::admin::status::{Lifecycle, Phase};
use crate::drain::{Drain, Watch};
use crate::net::listen::Listener;
use crate::proxy::{Shared, Worker};
use sd_notify::NotifyState;
use std::io;
use std::sync::Arc;
use std::thread::{self, available_parallelism};
use std::time::Duration;
use tokio::sync::mpsc;

/// The running threads.
pub(super) struct Workers {
    count: usize,
    /// What a worker says when it ends; a worker that has panicked never gets to say it.
    ended: mpsc::UnboundedReceiver<io::Result<()>>,
}

/// Ends the process when a worker panics: the others would go on with a share of the connections
/// accepted by nobody. The service manager starts it anew. (The release profile aborts by itself.)
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

impl Workers {
    /// How many there will be: one thread per core.
    pub(super) fn planned() -> usize {
        available_parallelism().map_or(1, usize::from)
    }

    /// Starts them.
    pub(super) fn start(shared: &Arc<Shared>, listeners: &Arc<Vec<Listener>>, drain: &Watch) -> io::Result<Self> {
        let count = Self::planned();
        let (tell, ended) = mpsc::unbounded_channel();
        for number in 0..count {
            let worker = Worker::new(Arc::clone(shared), Arc::clone(listeners), drain.clone());
            let tell = tell.clone();
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                let _abort = AbortOnPanic;
                // A closed channel means that the control plane has ended and nobody listens.
                let _ = tell.send(worker.run());
            })?;
        }
        Ok(Self { count, ended })
    }

    /// Waits for `stop` or a signal, then lets requests finish for at most `limit`.
    pub(super) async fn serve_until(
        mut self,
        stop: impl Future<Output = ()>,
        mut signals: Signals,
        drain: &Drain,
        lifecycle: &Lifecycle,
        limit: Duration,
    ) -> Ended {
        let asked = tokio::select! {
            () = stop => "the program",
            signal = signals.stop() => signal,
            result = self.ended.recv() => {
                tracing::error!(?result, "a worker ended, so the program does");
                return Ended::Failed;
            }
        };
        tracing::info!(by = asked, limit = ?limit, "stopping: running requests may finish");
        lifecycle.enter(Phase::Stopping);
        notify(&[NotifyState::Stopping]);
        drain.start();
        let why = tokio::select! {
            () = drain.finished() => return Ended::Clean,
            () = tokio::time::sleep(limit) => "the drain limit is over",
            signal = signals.stop() => signal,
        };
        // Each worker holds one watch, each connection another.
        let connections = drain.remaining().saturating_sub(self.count);
        tracing::warn!(connections, why, "stopped before every connection had finished");
        Ended::Forced
    }
}
