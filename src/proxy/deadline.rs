//! A timer that is seldom touched.
//!
//! Most waits end long before their deadline, and the next one's is later. So a timer that fires too
//! early is cheaper than one that is set anew for each wait.

use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// The timer of one connection or body.
#[derive(Debug, Default)]
pub(super) struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Ready once `at` has passed; wakes the task then at the latest.
    pub(super) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if at <= Instant::now() {
                return Poll::Ready(());
            }
            let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if at < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_moves_both_ways() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        let mut pending = async |seconds| {
            let at = start + Duration::from_secs(seconds);
            poll_fn(|cx| Poll::Ready(deadline.poll(at, cx).is_pending())).await
        };
        assert!(pending(10).await);
        assert!(pending(5).await);
        tokio::time::advance(Duration::from_secs(7)).await;
        assert!(pending(20).await);
        assert!(!pending(6).await);
        poll_fn(|cx| deadline.poll(start + Duration::from_secs(20), cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(20));
    }
}
