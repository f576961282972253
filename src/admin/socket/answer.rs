//! A request on its way through the program, and the way back for its answer.

use super::Command;
use tokio::sync::{mpsc, oneshot};

/// Lines that may wait for a client that reads slowly. It gets what comes later without them.
const WAITING: usize = 256;

/// A request that was read.
#[derive(Debug)]
pub struct Call {
    /// What is asked for.
    pub command: Command,
    /// Where the answer goes.
    pub answer: Answer,
}

/// The way back. Dropped without an exit status, it tells the client that vestibule is stopping.
#[derive(Debug)]
pub struct Answer {
    lines: mpsc::Sender<String>,
    exit: oneshot::Sender<u8>,
}

/// The other end.
pub(super) struct Answered {
    pub(super) lines: mpsc::Receiver<String>,
    pub(super) exit: oneshot::Receiver<u8>,
}

impl Answer {
    /// Both ends.
    pub(super) fn new() -> (Self, Answered) {
        let (lines, received) = mpsc::channel(WAITING);
        let (exit, ended) = oneshot::channel();
        (Self { lines, exit }, Answered { lines: received, exit: ended })
    }

    /// Sends a line for people. A client that is gone, or does not read, is nobody's trouble here.
    pub fn line(&self, text: impl Into<String>) {
        let _ = self.lines.try_send(text.into());
    }

    /// Ends the answer.
    pub fn exit(self, status: u8) {
        let _ = self.exit.send(status);
    }
}
