//! The deadlines of an HTTP/2 connection.

use crate::drain::Watch;
use crate::proxy::activity::{Activity, Expired};
use crate::proxy::deadline::Deadline;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long a connection that was told to end may take over its goodbye: HTTP/2 sends two GOAWAY
/// frames and waits for an answer between them.
const GOODBYE: Duration = Duration::from_secs(5);

/// Runs a connection until it ends, rests too long, takes nothing of what is sent, or draining lets
/// it finish.
pub(super) async fn drive<C>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    mut drain: Watch,
    shut_down: impl Fn(Pin<&mut C>),
) -> Result<(), hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut draining = pin!(drain.started());
    // Set once the connection has been told to end.
    let mut goodbye: Option<Instant> = None;
    // Armed late and re-armed only when it fires or must fire earlier, so that a busy connection
    // never touches the timer.
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut stalled = Deadline::default();
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if goodbye.is_none() && draining.as_mut().poll(cx).is_ready() {
                goodbye = Some(Instant::now() + GOODBYE);
                shut_down(connection.as_mut());
                continue;
            }
            if let Some(until) = activity.stalled()
                && stalled.poll(until, cx).is_ready()
            {
                return Poll::Ready(Ok(()));
            }
            let Some(waiting) = activity.waiting() else {
                return Poll::Pending;
            };
            // The last answer may still be on its way out when the rest begins.
            let deadline = goodbye.map_or(waiting.until, |goodbye| goodbye.max(waiting.since + GOODBYE));
            if deadline <= Instant::now() {
                // A rest ends as the protocol has it; a dripped head has nothing to end.
                if goodbye.is_none() && waiting.what == Expired::Resting {
                    goodbye = Some(Instant::now() + GOODBYE);
                    shut_down(connection.as_mut());
                    continue;
                }
                return Poll::Ready(Ok(()));
            }
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}
