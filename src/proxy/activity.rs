//! What an HTTP/2 connection is doing, and until when it may go on doing it.
//!
//! hyper does not tell a connection that rests between two requests from one that has work. Here
//! the service notes requests and the stream notes answers that leave; the deadline follows from both.

use super::pace::{Bounds, Pace};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    header_timeout: Duration,
    idle_timeout: Duration,
    in_flight: Cell<u32>,
    resting_since: Cell<Instant>,
    /// Whether a request has come: the first is due soon after the handshake.
    begun: Cell<bool>,
    /// How the client takes what is sent, whatever stream it belongs to: a stream whose last piece is in
    /// hyper's buffers is nobody's any more.
    pace: RefCell<Pace>,
    blocked: Cell<bool>,
}

/// What a connection that is not busy lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// No request for too long.
    Resting,
    /// A first head that does not arrive.
    Head,
}

impl Activity {
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration, bounds: Bounds) -> Rc<Self> {
        let (in_flight, resting_since, begun) = (Cell::new(0), Cell::new(Instant::now()), Cell::new(false));
        let (pace, blocked) = (RefCell::new(Pace::new(bounds)), Cell::new(false));
        Rc::new(Self { header_timeout, idle_timeout, in_flight, resting_since, begun, pace, blocked })
    }

    /// The socket takes nothing.
    pub(super) fn is_blocked(&self) {
        self.blocked.set(true);
        self.pace.borrow_mut().waiting();
    }

    /// The socket has taken so many bytes.
    pub(super) fn has_moved(&self, bytes: usize) {
        if self.blocked.replace(false) {
            self.pace.borrow_mut().moved(bytes);
        }
    }

    /// Until when a client that takes nothing must have taken something.
    pub(super) fn stalled(&self) -> Option<Instant> {
        self.blocked.get().then(|| self.pace.borrow_mut().waiting())
    }

    /// How long a head may take.
    pub(super) fn header_timeout(&self) -> Duration {
        self.header_timeout
    }

    /// Some of an answer has left. Without a request in flight it waited in a buffer. What answers a PING
    /// is none: a client that says nothing else rests.
    pub(super) fn answer_left(&self) {
        if self.in_flight.get() == 0 && self.begun.get() {
            self.resting_since.set(Instant::now());
        }
    }

    /// A request has arrived whole; the guard is held until its answer is sent.
    pub(super) fn request(self: &Rc<Self>) -> InFlight {
        self.begun.set(true);
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(Rc::clone(self))
    }

    /// What this connection waits for, if it is not busy.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        if self.in_flight.get() > 0 {
            return None;
        }
        let since = self.resting_since.get();
        Some(match self.begun.get() {
            true => Waiting { since, until: since + self.idle_timeout, what: Expired::Resting },
            false => Waiting { since, until: since + self.header_timeout, what: Expired::Head },
        })
    }
}

/// A wait for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// When it began.
    pub(super) since: Instant,
    /// When it must be over.
    pub(super) until: Instant,
    /// What is waited for.
    pub(super) what: Expired,
}

/// A request whose answer has not been handed to the protocol whole.
#[derive(Debug)]
pub(super) struct InFlight(Rc<Activity>);

impl InFlight {
    /// How many there are with this one.
    pub(super) fn on_this_connection(&self) -> u32 {
        self.0.in_flight.get()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.resting_since.set(Instant::now());
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(60), rate: 1024 };

    #[tokio::test(start_paused = true)]
    async fn deadlines_follow_what_happens() {
        let activity = Activity::new(Duration::from_secs(10), Duration::from_secs(75), BOUNDS);
        let due_in = || activity.waiting().map(|wait| ((wait.until - Instant::now()).as_secs(), wait.what));
        assert_eq!(due_in(), Some((10, Expired::Head)), "the first head is due at once");
        activity.answer_left();
        let request = activity.request();
        assert_eq!(due_in(), None);
        tokio::time::advance(Duration::from_secs(600)).await;
        drop(request);
        assert_eq!(due_in(), Some((75, Expired::Resting)));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(due_in(), Some((45, Expired::Resting)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_takes_nothing_is_noticed_whatever_is_in_flight() {
        let activity = Activity::new(Duration::from_secs(10), Duration::from_secs(75), BOUNDS);
        let _request = activity.request();
        assert_eq!(activity.stalled(), None);
        activity.is_blocked();
        let until = activity.stalled().unwrap();
        assert_eq!((until - Instant::now()).as_secs(), 60);
        tokio::time::advance(Duration::from_secs(50)).await;
        activity.is_blocked();
        assert_eq!(activity.stalled(), Some(until), "it is one wait");
        activity.has_moved(1 << 20);
        assert_eq!(activity.stalled(), None);
    }
}
