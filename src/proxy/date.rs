//! The `Date` of answers (RFC 9110 §6.6.1), written once a second.

use crate::clock::Clock;
use http::HeaderValue;
use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

/// The end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// A worker's date.
pub(super) struct DateLine {
    clock: Clock,
    line: RefCell<Option<(Instant, HeaderValue)>>,
}

impl DateLine {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, line: RefCell::default() }
    }

    /// The current date.
    pub(super) fn now(&self) -> HeaderValue {
        let mut line = self.line.borrow_mut();
        match &*line {
            Some((since, text)) if since.elapsed() < Duration::from_secs(1) => text.clone(),
            _ => {
                // The format has four digits for the year, whatever the clock says.
                let seconds = u64::try_from(self.clock.now().0).unwrap_or(0).min(LAST_SECOND);
                let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
                let text = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
                *line = Some((Instant::now(), text.clone()));
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[tokio::test]
    async fn it_has_the_form_of_imf_fixdate() {
        let at = |seconds| DateLine::new(Clock::fixed(Timestamp(seconds))).now();
        assert_eq!(at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(i64::MIN), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(at(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
