//! Times and numbers as people read them: pure.

use crate::clock::Timestamp;

/// Seconds as one or two units: "12 s", "5 min", "5 h 48 min", "3 days".
pub(super) fn span(seconds: i64) -> String {
    let (seconds, minutes) = (seconds.max(0), seconds.max(0) / 60);
    let (hours, days) = (minutes / 60, minutes / 60 / 24);
    match (days, hours, minutes) {
        (2.., ..) => format!("{days} days"),
        (_, 1.., _) if hours < 24 && minutes % 60 != 0 => format!("{hours} h {} min", minutes % 60),
        (_, 1.., _) => format!("{hours} h"),
        (_, _, 1..) => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    }
}

/// How long before or after `now` something is.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    match now.since(at) {
        passed @ 1.. => format!("{} ago", span(passed)),
        0 => "now".to_owned(),
        ahead => format!("in {}", span(ahead.saturating_neg())),
    }
}

/// Date and time of day, in UTC, to the minute.
pub(super) fn clock(at: Timestamp) -> String {
    let text = at.to_string().replacen('T', " ", 1);
    match text.strip_suffix('Z').and_then(|text| text.rsplit_once(':')) {
        Some((minute, _)) => format!("{minute} UTC"),
        // A time that no calendar has.
        None => text,
    }
}

/// "one server", "7 servers".
pub(super) fn count(number: u64, one: &str, several: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {several}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (seconds, expected) in [
            (-5, "0 s"),
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (20_880, "5 h 48 min"),
            (100_000, "27 h"),
            (172_800, "2 days"),
            (i64::MAX, "106751991167300 days"),
        ] {
            assert_eq!(span(seconds), expected, "{seconds}");
        }
        let now = Timestamp(1_790_000_000);
        assert_eq!(relative(now.plus(-61), now), "1 min ago");
        assert_eq!(relative(now.plus(7_200), now), "in 2 h");
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative(Timestamp(i64::MIN), Timestamp(i64::MAX)), "106751991167300 days ago");
        assert_eq!(clock(now), "2026-09-21 14:13 UTC");
        assert_eq!((count(1, "server", "servers").as_str(), count(0, "a", "b").as_str()), ("1 server", "0 b"));
    }
}
