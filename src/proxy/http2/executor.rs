//! Where hyper's streams run.

use super::stream_body::Reading;
use crate::proxy::deadline::Deadline;
use crate::proxy::pace::Bounds;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

tokio::task_local! {
    /// The state of the stream whose task is running: the way from its executor to its body.
    static READING: Rc<Reading>;
}

/// How the client reads the stream in whose task this is called; hyper calls its service in one.
pub(super) fn reading(bounds: Bounds) -> Rc<Reading> {
    READING.try_with(Rc::clone).unwrap_or_else(|_| Rc::new(Reading::new(bounds)))
}

/// Runs streams on the worker's own thread, and ends one whose client does not read.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExecutor {
    pub(super) bounds: Bounds,
}

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        let reading = Rc::new(Reading::new(self.bounds));
        let watched = {
            let reading = Rc::clone(&reading);
            async move {
                let mut stream = pin!(future);
                let mut deadline = Deadline::default();
                poll_fn(|cx| match stream.as_mut().poll(cx) {
                    Poll::Ready(_) => Poll::Ready(()),
                    // Dropping the stream resets it. The client may read only once it has sent everything.
                    Poll::Pending if !reading.sends_on(cx) => Poll::Ready(()),
                    Poll::Pending => reading.due().map_or(Poll::Pending, |due| deadline.poll(due, cx)),
                })
                .await;
            }
        };
        #[expect(clippy::disallowed_methods, reason = "hyper owns the stream: it ends with its connection")]
        tokio::task::spawn_local(READING.scope(reading, watched));
    }
}
