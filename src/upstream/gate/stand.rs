//! A place before one gate: in its queue, let go, or sent.

use super::Gate;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Where a held request stands. Dropped, it makes room for those behind it.
pub(super) struct Stand {
    gate: Rc<Gate>,
    number: u64,
    place: Place,
}

enum Place {
    /// In the queue, or let go and not aware of it.
    Queued(oneshot::Receiver<()>),
    /// Let go.
    OnTheWay,
    /// It has a connection.
    Sent,
    /// Nowhere any more.
    Gone,
}

impl Stand {
    /// At the end of the queue.
    pub(super) fn enter(gate: &Rc<Gate>) -> Self {
        let mut inner = gate.inner.borrow_mut();
        let number = inner.next_number;
        inner.next_number += 1;
        drop(inner);
        let mut stand = Self { gate: Rc::clone(gate), number, place: Place::Gone };
        stand.queue();
        stand
    }

    /// At its number. Whoever has come since has a higher one.
    fn queue(&mut self) {
        let (wake, woken) = oneshot::channel();
        self.gate.inner.borrow_mut().queue.insert(self.number, wake);
        self.place = Place::Queued(woken);
    }

    pub(super) fn gate(&self) -> &Rc<Gate> {
        &self.gate
    }

    /// Ready when it has been let go.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Place::Queued(woken) = &mut self.place {
            // An error would say that the gate has dropped it, which it never does.
            let _woken = std::task::ready!(Pin::new(woken).poll(cx));
            self.place = Place::OnTheWay;
        }
        Poll::Ready(())
    }

    /// Whether it was let go without having seen it.
    pub(super) fn was_let_go(&self) -> bool {
        matches!(self.place, Place::Queued(_)) && !self.gate.inner.borrow().queue.contains_key(&self.number)
    }

    /// It has seen it.
    pub(super) fn see(&mut self) {
        self.place = Place::OnTheWay;
    }

    pub(super) fn is_on_the_way(&self) -> bool {
        matches!(self.place, Place::OnTheWay)
    }

    pub(super) fn is_sent(&self) -> bool {
        matches!(self.place, Place::Sent)
    }

    /// It has a connection now.
    pub(super) fn sent(&mut self) {
        self.leave();
        self.place = Place::Sent;
        // It still counts for the pace.
    }

    /// It found nobody, and takes its old place.
    pub(super) fn back(&mut self) {
        self.end();
        self.queue();
    }

    /// It found nobody, and does not wait. The gate is not told to let others go yet.
    pub(super) fn fail(mut self) {
        self.end();
    }

    /// Its answer has begun, which lets others go.
    pub(super) fn answered(mut self) {
        self.place = Place::Gone;
        self.gate.inner.borrow_mut().pace.answered();
        self.gate.let_go();
    }

    /// It is on the way no more.
    fn leave(&self) {
        if matches!(self.place, Place::Queued(_) | Place::OnTheWay) {
            self.gate.inner.borrow_mut().on_the_way -= 1;
        }
    }

    /// Whatever it was let go for has come to nothing.
    fn end(&mut self) {
        let waited =
            matches!(self.place, Place::Queued(_)) && self.gate.inner.borrow_mut().queue.remove(&self.number).is_some();
        if !waited && !matches!(self.place, Place::Gone) {
            self.leave();
            self.gate.inner.borrow_mut().pace.ended();
        }
        self.place = Place::Gone;
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if !matches!(self.place, Place::Gone) {
            self.end();
            self.gate.let_go();
        }
    }
}
