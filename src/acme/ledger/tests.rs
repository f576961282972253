//! The record's rules, one by one and then all at once over random lives.

use super::*;
use crate::acme::plan::{Validity, due, is_emergency, step};
use crate::acme::window::{NoSuggestion, Suggestion, merge};
use crate::certs::Store;
use proptest::prelude::*;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;
const BOTH: [Challenge; 2] = [Challenge::TlsAlpn01, Challenge::Http01];
const START: Timestamp = Timestamp(1_800_000_000);

fn names(list: &[&str]) -> Vec<HostPattern> {
    list.iter().map(|name| HostPattern::parse(name).unwrap()).collect()
}

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, detail: "said the CA".to_owned(), retry_after: None, challenge: None, identifiers: Vec::new() }
}

fn validation(challenge: Challenge, identifiers: &[&str]) -> Failure {
    let identifiers = identifiers.iter().map(ToString::to_string).collect();
    Failure { challenge: Some(challenge), identifiers, ..failure(FailureKind::Validation) }
}

fn issue(names: &[HostPattern]) -> Issued<'_> {
    let (challenge, placed) = (Some(Challenge::Http01), Timestamp(i64::MAX));
    Issued { names, challenge, lifetime: 90 * DAY, renewal_exempt: false, window: None, placed }
}

fn earliest(ledger: &Ledger, now: Timestamp, names: &[HostPattern]) -> Standing {
    ledger.earliest(now, names, false, 0)
}

/// An attempt for `names` that fails at once.
fn fail(ledger: &mut Ledger, now: Timestamp, names: &[HostPattern], failure: Failure) {
    ledger.placed(now, names);
    ledger.failed(now, failure);
}

/// As it comes back from the disk.
fn reloaded(ledger: &Ledger) -> Ledger {
    serde_json::from_str(&serde_json::to_string(ledger).unwrap()).unwrap()
}

#[test]
fn a_new_record_holds_nothing() {
    let standing = earliest(&Ledger::default(), START, &names(&["a.example"]));
    let expected = Standing {
        at: START,
        because: None,
        limits_until: START,
        limit: None,
        ca_side: false,
        issued: None,
        issued_before: None,
    };
    assert_eq!(standing, expected);
}

#[test]
fn delays_by_kind() {
    let set = names(&["a.example"]);
    let delays = |kind: &FailureKind, emergency, jitter| {
        let mut ledger = Ledger::default();
        let mut now = START;
        let mut delays = Vec::new();
        for _ in 0..5 {
            fail(&mut ledger, now, &set, failure(kind.clone()));
            ledger = reloaded(&ledger);
            let next = ledger.earliest(now, &set, emergency, jitter).at;
            delays.push(next.since(now));
            now = next;
        }
        delays
    };
    let day = [60, 600, 6_000, DAY, DAY];
    assert_eq!(delays(&FailureKind::Refused, false, 0), day);
    assert_eq!(delays(&FailureKind::RateLimited, false, 0), day);
    assert_eq!(delays(&FailureKind::Unreachable, false, 0), [60, 600, 600, 600, 600]);
    assert_eq!(delays(&FailureKind::Unavailable, false, 0), [60, 600, HOUR, HOUR, HOUR]);
    assert_eq!(delays(&FailureKind::Paused { link: None }, false, 0), [DAY; 5]);
    // The second failed validation within an hour.
    assert_eq!(delays(&FailureKind::Validation, false, 0), [60, HOUR - 60, 6_000, DAY, DAY]);
    assert_eq!(delays(&FailureKind::Refused, true, 0), [60, 600, HOUR, HOUR, HOUR]);
    assert_eq!(delays(&FailureKind::Paused { link: None }, true, 0), [DAY; 5], "only a person can end it");
    assert_eq!(delays(&FailureKind::Refused, false, 1_000), [66, 660, 6_600, DAY + DAY / 10, DAY + DAY / 10]);
    assert_eq!(delays(&FailureKind::Refused, false, u16::MAX), delays(&FailureKind::Refused, false, 1_000));
    // Four certificates within a week, though none was of use.
    assert_eq!(delays(&FailureKind::Unproved, false, 0), [60, 600, 6_000, WEEK - 6_660, DAY]);
}

#[test]
fn an_outage_leaves_the_ladder_where_it_is() {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    fail(&mut ledger, START, &set, failure(FailureKind::Refused));
    let mut now = START.plus(60);
    for _ in 0..1_440 {
        fail(&mut ledger, now, &set, failure(FailureKind::Unreachable));
        now = earliest(&ledger, now, &set).at;
    }
    assert_eq!(ledger.last_failure().unwrap().times, 1_440, "ten days are one event");
    assert!(earliest(&ledger, now, &set).ca_side);
    fail(&mut ledger, now, &set, failure(FailureKind::Refused));
    assert_eq!(earliest(&ledger, now, &set).at.since(now), 600, "the second failure of its kind");
    assert_eq!(ledger.totals(), Totals { placed: 1_442, issued: 0, failed: 1_442 });
}

#[test]
fn retry_after_counts_when_it_is_longer() {
    let set = names(&["a.example"]);
    let delay = |retry_after, emergency| {
        let mut ledger = Ledger::default();
        fail(&mut ledger, START, &set, Failure { retry_after, ..failure(FailureKind::RateLimited) });
        let standing = reloaded(&ledger).earliest(START, &set, emergency, 0);
        (standing.at.since(START), standing.limits_until.since(START))
    };
    assert_eq!(delay(None, false), (60, 0));
    assert_eq!(delay(Some(30), false), (60, 30));
    assert_eq!(delay(Some(7_200), false), (7_200, 7_200));
    assert_eq!(delay(Some(7_200), true), (7_200, 7_200), "even in an emergency");
    assert_eq!(delay(Some(34 * HOUR), false), (34 * HOUR, 34 * HOUR), "a duplicate comes back after 34 hours");
    assert_eq!(delay(Some(i64::MAX), false), (DAY, DAY), "a mistake");
    assert_eq!(delay(Some(i64::MIN), false), (60, 0));
}

#[test]
fn two_failed_authorisations_an_hour_for_a_name() {
    let (a, both) = (names(&["a.example"]), names(&["a.example", "b.example"]));
    let mut ledger = Ledger::default();
    fail(&mut ledger, START, &both, validation(Challenge::Http01, &["b.example"]));
    fail(&mut ledger, START.plus(60), &both, validation(Challenge::Http01, &[]));
    let now = START.plus(120);
    let hold = |set: &[HostPattern]| ledger.earliest(now, set, true, 0);
    let limit = hold(&both);
    assert_eq!(limit.limit, Some(Hold::FailedAuthorisations { identifier: "b.example".to_owned() }));
    assert_eq!((limit.at, limit.limits_until), (START.plus(HOUR), START.plus(HOUR)));
    assert_eq!((hold(&a).limit, hold(&a).at), (None, START.plus(660)), "one name has one left");
    let budget = |set: &[HostPattern]| ledger.budget(now, set);
    assert_eq!((budget(&both).failures_left_this_hour, budget(&a).failures_left_this_hour), (0, 1));
    assert_eq!(budget(&both).next_free, Some(START.plus(HOUR)));
    assert!(!hold(&both).ca_side);
}

#[test]
fn identifiers_count_whatever_the_kind() {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    for kind in [FailureKind::Unavailable, FailureKind::Refused] {
        let identifiers = vec!["a.example".to_owned()];
        fail(&mut ledger, START, &set, Failure { identifiers, ..failure(kind) });
    }
    assert_eq!(earliest(&ledger, START, &set).at, START.plus(HOUR));
}

#[test]
fn four_certificates_a_week_for_a_set() {
    let (set, turned, other) =
        (names(&["a.example", "b.example"]), names(&["b.example", "a.example"]), names(&["a.example"]));
    let mut ledger = Ledger::default();
    for (day, left) in [(0, 4), (1, 3), (2, 2), (3, 1)] {
        assert_eq!(ledger.budget(START.plus(day * DAY), &set).certificates_left_this_week, left);
        ledger.placed(START.plus(day * DAY), &set);
        ledger.issued(START.plus(day * DAY), Issued { renewal_exempt: day == 1, ..issue(&set) });
    }
    let now = START.plus(4 * DAY);
    let standing = reloaded(&ledger).earliest(now, &turned, true, 0);
    assert_eq!((standing.at, standing.because), (START.plus(WEEK), Some(Hold::Certificates)));
    assert_eq!((standing.issued, standing.issued_before), (Some(START.plus(3 * DAY)), Some(START.plus(2 * DAY))));
    assert_eq!(earliest(&ledger, now, &other).at, now, "another set has its own");
    let budget = ledger.budget(now, &set);
    assert_eq!((budget.exempt_this_week, budget.next_free), (1, Some(START.plus(WEEK))));
    assert_eq!(ledger.budget(START.plus(WEEK), &set).certificates_left_this_week, 1);
}

/// The CA was away when the certificate was to be fetched; the order is taken up again, and its certificate is the one
/// that the failure may have left behind.
#[test]
fn a_certificate_that_comes_at_the_second_try_counts_once() {
    let set = names(&["a.example"]);
    let left = |placed: i64, interrupted: bool| {
        let mut ledger = Ledger::default();
        ledger.placed(START, &set);
        ledger.finalising();
        if !interrupted {
            ledger.failed(START.plus(20), failure(FailureKind::Unavailable));
        }
        ledger.placed(START.plus(200), &set);
        ledger.issued(START.plus(210), Issued { placed: START.plus(placed), ..issue(&set) });
        reloaded(&ledger).budget(START.plus(300), &set).certificates_left_this_week
    };
    assert_eq!((left(1, false), left(1, true)), (3, 3), "the same order");
    assert_eq!((left(200, false), left(200, true)), (2, 2), "another order");
}

#[test]
fn certificates_that_live_for_hours() {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    for hour in 0..200 {
        let now = START.plus(hour * 12 * HOUR);
        assert_eq!(earliest(&ledger, now, &set).at, now, "a renewal at half its life is no duplicate");
        ledger.placed(now, &set);
        ledger.issued(now, Issued { lifetime: 24 * HOUR, ..issue(&set) });
    }
    let now = START.plus(200 * 12 * HOUR);
    for _ in 0..6 {
        fail(&mut ledger, now, &set, failure(FailureKind::Refused));
    }
    assert_eq!(earliest(&ledger, now, &set).at, now.plus(4 * HOUR), "a day's delay would outlive it");
}

#[test]
fn a_crash_counts_for_all_that_it_may_have_cost() {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    ledger.placed(START, &set);
    ledger = reloaded(&ledger);
    assert_eq!(ledger.open_since(), Some(START));
    assert_eq!(earliest(&ledger, START.plus(5), &set).at, START.plus(60));
    assert_eq!(ledger.last_failure().unwrap().detail, "interrupted");
    ledger.placed(START.plus(60), &set);
    ledger = reloaded(&ledger);
    let standing = earliest(&ledger, START.plus(100), &set);
    let limit = Some(Hold::FailedAuthorisations { identifier: "a.example".to_owned() });
    assert_eq!((standing.because, standing.limit.clone()), (limit.clone(), limit));
    assert!(standing.at > START.plus(HOUR), "either may have failed a little later");
    assert_eq!(ledger.budget(START.plus(100), &set).certificates_left_this_week, 4);
    ledger.finalising();
    ledger = reloaded(&ledger);
    assert_eq!(ledger.budget(START.plus(100), &set).certificates_left_this_week, 3, "one may exist");
    ledger.failed(START.plus(120), failure(FailureKind::Unreachable));
    assert_eq!(ledger.budget(START.plus(130), &set).certificates_left_this_week, 3, "it was never fetched");
    assert_eq!((ledger.open_since(), ledger.totals().failed), (None, 2));
}

#[test]
fn a_crash_says_nothing_about_the_ca() {
    let (names, mut ledger, now) = (names(&["a.example"]), Ledger::default(), Timestamp(1_000_000));
    fail(&mut ledger, now, &names, failure(FailureKind::Refused));
    assert!(earliest(&ledger, now, &names).ca_side);
    ledger.placed(now.plus(60), &names);
    assert!(earliest(&ledger, now.plus(90), &names).ca_side, "another CA may still be asked");
    fail(&mut ledger, now.plus(120), &names, validation(Challenge::Http01, &["a.example"]));
    assert!(!earliest(&ledger, now.plus(130), &names).ca_side);
}

#[test]
fn what_is_kept_back_is_kept_back_since_then() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.kept_back(Timestamp(100)), Timestamp(100));
    let mut ledger = reloaded(&ledger);
    assert_eq!(ledger.kept_back(Timestamp(900)), Timestamp(100), "over restarts");
    assert_eq!(ledger.kept_back(Timestamp(50)), Timestamp(50), "a clock that went back begins anew");
    ledger.let_through();
    assert_eq!(ledger.kept_back(Timestamp(1_000)), Timestamp(1_000));
}

#[test]
fn an_outage_forgets_nothing() {
    let (names, mut ledger, now) = (names(&["a.example"]), Ledger::default(), Timestamp(1_000_000));
    ledger.placed(now, &names);
    ledger.issued(now, issue(&names));
    let wrong = now.plus(60 * 86_400);
    ledger.failed(wrong, failure(FailureKind::Unreachable));
    assert_eq!(ledger.budget(now.plus(60), &names).certificates_left_this_week, 3);
}

#[test]
fn what_cost_nothing_is_taken_back() {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    fail(&mut ledger, START, &set, failure(FailureKind::Refused));
    let before = ledger.clone();
    ledger.placed(START.plus(60), &set);
    ledger.forgiven();
    assert_eq!(ledger, before);
    ledger.forgiven();
    assert_eq!(ledger, before);
}

#[test]
fn a_certificate_ends_the_ladder() {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    for _ in 0..9 {
        let failure = Failure { retry_after: Some(HOUR), ..failure(FailureKind::Paused { link: None }) };
        fail(&mut ledger, START, &set, failure);
    }
    assert!(matches!(earliest(&ledger, START, &set).because, Some(Hold::Paused { .. })));
    ledger.placed(START, &set);
    ledger.issued(START.plus(9), issue(&set));
    let standing = earliest(&ledger, START.plus(9), &set);
    assert_eq!((standing.at, standing.ca_side, ledger.last_failure()), (START.plus(9), false, None));
    fail(&mut ledger, START.plus(DAY), &set, failure(FailureKind::Refused));
    assert_eq!(earliest(&ledger, START.plus(DAY), &set).at, START.plus(DAY + 60), "from its first step again");
}

#[test]
fn a_row_of_failures_ends_with_time_too() {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    for _ in 0..4 {
        fail(&mut ledger, START, &set, failure(FailureKind::Refused));
    }
    // In between, another CA has issued, with a ledger of its own.
    let now = START.plus(60 * DAY);
    fail(&mut ledger, now, &set, failure(FailureKind::Refused));
    assert_eq!(earliest(&ledger, now, &set).at, now.plus(60));
    assert_eq!(ledger.totals().failed, 5);
}

#[test]
fn types_take_turns() {
    let set = names(&["a.example", "b.example"]);
    let mut ledger = Ledger::default();
    let choose = |ledger: &Ledger, set: &[HostPattern]| ledger.choose(&BOTH, set);
    assert_eq!(choose(&ledger, &set), Some(Challenge::TlsAlpn01));
    fail(&mut ledger, START, &set, validation(Challenge::TlsAlpn01, &["b.example"]));
    ledger = reloaded(&ledger);
    assert_eq!(choose(&ledger, &set), Some(Challenge::Http01));
    assert_eq!(choose(&ledger, &set[..1]), Some(Challenge::TlsAlpn01), "remembered per name");
    fail(&mut ledger, START, &set, validation(Challenge::Http01, &["a.example"]));
    assert_eq!(choose(&ledger, &set), Some(Challenge::TlsAlpn01), "all have failed: the first to fail is first");
    fail(&mut ledger, START, &set, validation(Challenge::TlsAlpn01, &[]));
    assert_eq!(choose(&ledger, &set), Some(Challenge::Http01));
    fail(&mut ledger, START, &set, failure(FailureKind::Unreachable));
    assert_eq!(choose(&ledger, &set), Some(Challenge::Http01), "an outage says nothing about a type");
    ledger.placed(START, &set);
    ledger.issued(START, issue(&set));
    assert_eq!(choose(&ledger, &set), Some(Challenge::Http01), "worked last");
    assert_eq!(ledger.choose(&BOTH[..1], &set), Some(Challenge::TlsAlpn01), "is configured no more");
    fail(&mut ledger, START, &set, validation(Challenge::Http01, &[]));
    assert_eq!(choose(&ledger, &set), Some(Challenge::TlsAlpn01));
}

#[test]
fn what_a_type_can_prove() {
    let ledger = Ledger::default();
    assert_eq!(ledger.choose(&BOTH, &names(&["a.example", "127.0.0.1"])), Some(Challenge::Http01));
    assert_eq!(ledger.choose(&BOTH[..1], &names(&["[::1]"])), None);
    assert_eq!(ledger.choose(&BOTH, &[HostPattern::Wildcard("a.example".to_owned())]), None);
    assert_eq!(ledger.choose(&[], &names(&["a.example"])), None);
}

#[test]
fn a_rehearsal_before_production_is_asked_again() {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    assert!(!ledger.rehearse_first(START));
    fail(&mut ledger, START, &set, failure(FailureKind::Unreachable));
    assert!(!ledger.rehearse_first(START), "only a failed validation is worth one");
    fail(&mut ledger, START, &set, validation(Challenge::TlsAlpn01, &[]));
    ledger = reloaded(&ledger);
    assert!(ledger.rehearse_first(START));
    assert_eq!(earliest(&ledger, START, &set).at, START.plus(60));
    let now = START.plus(60);
    ledger.rehearsed(now, Err(validation(Challenge::Http01, &["a.example"])));
    assert_eq!(earliest(&ledger, now, &set).at, now.plus(600), "the ladder goes on");
    assert_eq!(ledger.budget(now, &set).failures_left_this_hour, 1, "production counts its own");
    assert_eq!(ledger.choose(&BOTH, &set), Some(Challenge::TlsAlpn01));
    assert!(ledger.rehearse_first(now) && !earliest(&ledger, now, &set).ca_side);
    let now = now.plus(600);
    ledger.rehearsed(now, Ok(Challenge::TlsAlpn01));
    ledger = reloaded(&ledger);
    assert!(!ledger.rehearse_first(now));
    assert_eq!(earliest(&ledger, now, &set).at, now, "production at once");
    assert_eq!(ledger.choose(&BOTH, &set), Some(Challenge::TlsAlpn01), "with what has just worked");
    fail(&mut ledger, now, &set, validation(Challenge::TlsAlpn01, &[]));
    assert!(!ledger.rehearse_first(now));
    assert!(earliest(&ledger, now, &set).at > now, "back to the ladder");
    ledger.issued(now, issue(&set));
    fail(&mut ledger, now, &set, validation(Challenge::TlsAlpn01, &[]));
    assert!(ledger.rehearse_first(now), "a new certificate begins anew");
}

#[test]
fn rehearsals_do_not_keep_production_from_being_asked() {
    let set = names(&["a.example"]);
    let after = |outcome| {
        let mut ledger = Ledger::default();
        fail(&mut ledger, START, &set, validation(Challenge::TlsAlpn01, &[]));
        ledger.rehearsed(START.plus(60), outcome);
        ledger
    };
    let away = after(Err(failure(FailureKind::Unreachable)));
    assert!(!away.rehearse_first(START.plus(60)), "staging is away");
    let broken = after(Err(validation(Challenge::TlsAlpn01, &[])));
    assert!(broken.rehearse_first(START.plus(DAY - 1)) && !broken.rehearse_first(START.plus(DAY)));
    let mut passed = after(Ok(Challenge::Http01));
    fail(&mut passed, START.plus(60), &set, failure(FailureKind::Unreachable));
    assert_eq!(earliest(&passed, START.plus(60), &set).at, START.plus(120), "its turn was taken");
    let mut passed = after(Ok(Challenge::Http01));
    passed.placed(START.plus(60), &set);
    passed.placed(START.plus(61), &set);
    passed.forgiven();
    assert!(earliest(&passed, START.plus(61), &set).at > START.plus(61), "by a crash as well");
}

#[test]
fn a_window_is_answered_once() {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    assert_eq!(ledger.ask_at("a.b", START), START, "never asked");
    ledger.not_suggested("a.b", NoSuggestion::Temporary, None, START);
    assert_eq!((ledger.ask_at("a.b", START), ledger.window("a.b")), (START.plus(60), None));
    ledger.not_suggested("a.b", NoSuggestion::Temporary, None, START);
    ledger = reloaded(&ledger);
    assert_eq!(ledger.ask_at("a.b", START), START.plus(600), "a first question that failed is repeated");
    assert_eq!(ledger.ask_at("a.b", START.plus(-60 * DAY)), START.plus(-60 * DAY), "the clock was set");
    let past = Suggestion { start: START.plus(-HOUR), end: START.plus(-1), explanation: None };
    let window = merge("a.b", None, &past, None, START, 0);
    ledger.suggested(window.clone());
    ledger.not_suggested("a.b", NoSuggestion::LongTerm, None, START);
    ledger = reloaded(&ledger);
    assert_eq!((ledger.window("a.b"), ledger.window_to_plan_by("a.b")), (Some(&window), Some(&window)), "kept");
    assert_eq!(ledger.window("c.d"), None, "of another certificate");
    fail(&mut ledger, START, &set, failure(FailureKind::Refused));
    assert!(ledger.window_to_plan_by("a.b").is_some(), "until there is a certificate");
    ledger.placed(START, &set);
    ledger.issued(START, Issued { window: Some(&window), ..issue(&set) });
    assert_eq!(ledger.ask_at("c.d", START), START);
    ledger.suggested(merge("c.d", None, &past, None, START, 0));
    ledger = reloaded(&ledger);
    assert_eq!(ledger.window_to_plan_by("c.d"), None, "the CA repeats itself");
    let moved = Suggestion { end: START.plus(-2), ..past };
    ledger.suggested(merge("c.d", None, &moved, None, START, 0));
    assert!(ledger.window_to_plan_by("c.d").is_some());
}

#[tokio::test]
async fn records_on_the_disk() {
    let store = Store::memory();
    let host = HostPattern::parse("a.example").unwrap();
    let set = [host.clone()];
    let load = async |now| Ledger::load(&store, "ca.example_directory", &host, now).await;
    assert_eq!(load(START).await.unwrap(), Ledger::default());
    let mut ledger = Ledger::default();
    fail(&mut ledger, START, &set, validation(Challenge::Http01, &[]));
    fail(&mut ledger, START, &set, failure(FailureKind::Paused { link: Some("https://ca.example/".to_owned()) }));
    ledger.rehearsed(START, Err(failure(FailureKind::Unavailable)));
    ledger.placed(START, &set);
    ledger.issued(START, issue(&set));
    ledger.placed(START, &set);
    ledger.finalising();
    ledger.suggested(merge(
        "a.b",
        None,
        &Suggestion { start: START, end: START.plus(9), explanation: None },
        None,
        START,
        1,
    ));
    ledger.save(&store, "ca.example_directory", &host).await.unwrap();
    assert_eq!(load(START).await.unwrap(), ledger);
    let key = key("ca.example_directory", &host);
    let content = store.load(&key).await.unwrap().unwrap();
    for position in 0..content.len() {
        let mut flipped = content.clone();
        flipped[position] ^= 1;
        store.store(&key, &flipped).await.unwrap();
        match load(START).await {
            Ok(read) => assert_eq!(read, ledger, "byte {position}"),
            Err(LedgerError::Damaged { .. } | LedgerError::Later { .. }) => {}
            Err(error) => panic!("byte {position}: {error}"),
        }
    }
    for damaged in ["", "{", "{}", "null", "[]", r#"{"version":1,"digest":"","record":{}}"#] {
        store.store(&key, damaged.as_bytes()).await.unwrap();
        let error = load(START).await.unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{damaged}");
        assert!(error.to_string().contains("remove it"), "{error}");
    }
    store.store(&key, br#"{"version":2,"digest":"","record":{}}"#).await.unwrap();
    assert!(matches!(load(START).await, Err(LedgerError::Later { version: 2, .. })));
}

/// A later version of this format may add fields.
#[test]
fn a_lost_record_opens_no_gap() {
    let set = names(&["a.example"]);
    let until = |emergency: Option<i64>| {
        let ledger = Ledger::spent(START, &set, emergency.map(|seconds| START.plus(seconds)));
        ledger.earliest(START, &set, false, 0).limits_until.since(START)
    };
    assert_eq!((until(None), until(Some(30 * DAY))), (7 * DAY, 7 * DAY));
    let soon = until(Some(3 * DAY));
    assert!((3 * DAY..=3 * DAY + HOUR).contains(&soon), "a short life's emergency: {soon}");
    let over = until(Some(-DAY));
    assert!((HOUR..=2 * HOUR).contains(&over), "not at once: {over}");
}

#[test]
fn unknown_fields_are_tolerated() {
    let mut value = serde_json::json!(Ledger::default());
    value["news"] = serde_json::json!({"of": "tomorrow"});
    assert_eq!(serde_json::from_value::<Ledger>(value).unwrap(), Ledger::default());
}

#[tokio::test]
async fn a_clock_that_was_ahead_blocks_for_a_day() {
    let store = Store::memory();
    let host = HostPattern::parse("a.example").unwrap();
    let set = [host.clone()];
    let mut ledger = Ledger::default();
    let ahead = START.plus(60 * DAY);
    for _ in 0..4 {
        ledger.placed(ahead, &set);
        ledger.issued(ahead, issue(&set));
    }
    let failure = Failure { retry_after: Some(WEEK), ..failure(FailureKind::Paused { link: None }) };
    fail(&mut ledger, ahead, &set, failure);
    ledger.save(&store, "ca", &host).await.unwrap();
    let load = async |now| Ledger::load(&store, "ca", &host, now).await.unwrap();
    let at = earliest(&load(START).await, START, &set).at;
    assert_eq!(at, START.plus(DAY));
    let later = START.plus(HOUR);
    assert_eq!(earliest(&load(later).await, later, &set).at, at, "it counts from the moment that was noticed");
    assert_eq!(earliest(&load(at).await, at, &set).at, at);
    let back = ahead.plus(HOUR);
    let right_again = load(back).await;
    let standing = earliest(&right_again, back, &set);
    assert_eq!((standing.at, standing.because), (ahead.plus(WEEK), Some(Hold::Certificates)), "nothing was forgotten");
    load(START).await;
    let forgotten = load(START.plus(8 * DAY)).await;
    assert!(forgotten.events.is_empty(), "which is as long as anything is remembered");
    let standing = earliest(&forgotten, ahead, &set);
    assert_eq!(standing.at, ahead, "and does not come back");
}

#[test]
fn the_record_is_bounded() {
    let set: Vec<HostPattern> =
        (0..100).map(|number| HostPattern::parse(&format!("n{number}.example")).unwrap()).collect();
    let mut ledger = Ledger::default();
    for second in 0..1_000 {
        let detail = "x".repeat(10_000);
        fail(&mut ledger, START.plus(second), &set, Failure { detail, ..failure(FailureKind::Validation) });
    }
    assert!(serde_json::to_string(&ledger).unwrap().len() < 1 << 20);
    assert_eq!(ledger.totals().failed, 1_000);
    ledger.placed(START.plus(8 * DAY + 1_000), &set);
    assert!(ledger.events.is_empty());
}

/// What happens in a random life.
#[derive(Clone, Debug)]
enum Act {
    Wait(i64),
    /// An attempt, if one is permitted, that takes so many seconds and ends thus.
    Attempt(i64, End),
    Restart,
}

#[derive(Clone, Debug)]
enum End {
    /// A set of bits: which of the names.
    Invalid(u8),
    Failed(FailureKind, Option<i64>),
    Issued,
    /// A crash; whether validations had failed by then, and whether it was being finalised.
    Crash {
        invalid: bool,
        finalising: bool,
    },
    Forgiven,
}

fn act() -> impl Strategy<Value = Act> {
    let kind = prop_oneof![
        Just(FailureKind::Refused),
        Just(FailureKind::RateLimited),
        Just(FailureKind::Paused { link: None }),
        Just(FailureKind::Unavailable),
        Just(FailureKind::Unreachable),
        Just(FailureKind::Unproved),
    ];
    let end = prop_oneof![
        3 => (1_u8..8).prop_map(End::Invalid),
        2 => (kind, prop::option::of(0_i64..2 * DAY)).prop_map(|(kind, wait)| End::Failed(kind, wait)),
        3 => Just(End::Issued),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(invalid, finalising)| End::Crash { invalid, finalising }),
        1 => Just(End::Forgiven),
    ];
    let wait = prop_oneof![0_i64..120, 0_i64..2 * HOUR, 0_i64..2 * DAY];
    prop_oneof![
        2 => wait.prop_map(Act::Wait),
        5 => (0_i64..600, end).prop_map(|(takes, end)| Act::Attempt(takes, end)),
        1 => Just(Act::Restart),
    ]
}

/// What the CA has counted, in true time.
#[derive(Default)]
struct Counted {
    failed: std::collections::BTreeMap<String, Vec<i64>>,
    certificates: Vec<i64>,
    retry_at: i64,
}

impl Counted {
    /// Whether no span of time has more than `most` of `times`.
    fn within(times: &[i64], most: usize, span: i64) -> bool {
        times.windows(most + 1).all(|run| run[most] - run[0] >= span)
    }
}

/// One order that the record permitted, from the CA's point of view.
fn attempt(ledger: &mut Ledger, counted: &mut Counted, now: &mut Timestamp, set: &[HostPattern], takes: i64, end: End) {
    assert!(now.0 >= counted.retry_at, "Retry-After");
    ledger.placed(*now, set);
    *ledger = reloaded(ledger);
    *now = now.plus(takes);
    let mut invalid = |bits: u8| {
        let chosen = set.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
        let chosen: Vec<_> = chosen.map(|(_, host)| host.plain()).collect();
        for name in &chosen {
            counted.failed.entry(name.clone()).or_default().push(now.0);
        }
        chosen
    };
    match end {
        End::Invalid(bits) => {
            let identifiers = invalid(bits);
            ledger.failed(*now, Failure { identifiers, ..failure(FailureKind::Validation) });
        }
        End::Failed(kind, retry_after) => {
            if kind == FailureKind::Unproved {
                counted.certificates.push(now.0);
            }
            counted.retry_at = now.0 + retry_after.unwrap_or(0);
            ledger.failed(*now, Failure { retry_after, ..failure(kind) });
        }
        End::Issued => {
            ledger.finalising();
            counted.certificates.push(now.0);
            ledger.issued(*now, issue(set));
        }
        End::Crash { invalid: failed, finalising } => {
            if finalising {
                ledger.finalising();
                counted.certificates.push(now.0);
            } else if failed {
                invalid(7);
            }
        }
        End::Forgiven => ledger.forgiven(),
    }
}

proptest! {
    #[test]
    fn no_life_exceeds_a_limit(
        acts in prop::collection::vec((act(), 0_u16..1_000, any::<bool>()), 1..120),
        asked: bool,
    ) {
        let set = names(&["a.example", "b.example", "192.0.2.1"]);
        let mut ledger = Ledger::default();
        let mut counted = Counted::default();
        let mut now = START;
        for (act, jitter, emergency) in acts {
            match act {
                Act::Wait(seconds) => now = now.plus(seconds),
                Act::Restart => ledger = reloaded(&ledger),
                Act::Attempt(takes, end) => {
                    let standing = ledger.earliest(now, &set, emergency, jitter);
                    prop_assert!(standing.at <= now.plus(WEEK) && standing.limits_until <= standing.at);
                    prop_assert_eq!(standing.because.is_some(), standing.at > now);
                    let at = if asked { standing.limits_until } else { standing.at };
                    // Half of the time it is waited for, to the second.
                    now = if jitter % 2 == 0 { at.max(now) } else { now };
                    if at <= now {
                        attempt(&mut ledger, &mut counted, &mut now, &set, takes, end);
                    }
                }
            }
        }
        for (name, times) in &counted.failed {
            prop_assert!(Counted::within(times, 2, HOUR), "{name}: {times:?}");
        }
        prop_assert!(Counted::within(&counted.certificates, 4, WEEK), "{:?}", counted.certificates);
    }

    #[test]
    fn no_clock_ends_ordering(
        acts in prop::collection::vec((act(), -60 * DAY..60 * DAY, 0_u8..5), 1..60),
    ) {
        let set = names(&["a.example", "b.example", "192.0.2.1"]);
        let mut ledger = Ledger::default();
        let mut now = START;
        for (act, jump, jumps) in acts {
            if jumps == 0 {
                now = now.plus(jump);
                ledger.look_at_the_clock(now);
            }
            match act {
                Act::Wait(seconds) => now = now.plus(seconds),
                Act::Restart => {
                    ledger = reloaded(&ledger);
                    ledger.look_at_the_clock(now);
                }
                Act::Attempt(takes, end) => {
                    if ledger.earliest(now, &set, false, 0).at <= now {
                        attempt(&mut ledger, &mut Counted::default(), &mut now, &set, takes, end);
                    }
                }
            }
        }
        // From here on the clock goes right.
        let end = now.plus(8 * DAY);
        while ledger.earliest(now, &set, false, 0).at > now {
            now = now.plus(600);
            ledger.look_at_the_clock(now);
            ledger = reloaded(&ledger);
            prop_assert!(now <= end, "{:?}", ledger.earliest(now, &set, false, 0));
        }
    }
}

/// Two years with one CA: it is away for days, it fails up to four times in a row, it revokes.
/// Returns the orders placed, and the least seconds that a certificate had left.
fn two_years(lifetime: i64, away: (i64, i64), troubles: &[u8], jitter: u16, with_windows: bool) -> (u64, i64) {
    let set = names(&["a.example"]);
    let mut ledger = Ledger::default();
    let (mut now, mut least) = (START, lifetime);
    let mut current: Option<(String, Validity)> = None;
    let mut troubles = troubles.iter().cycle();
    while now < START.plus(730 * DAY) {
        let (id, validity) = (current.as_ref().map(|(id, _)| id.as_str()), current.as_ref().map(|(_, v)| *v));
        let window = id.and_then(|id| ledger.window_to_plan_by(id)).cloned();
        let due = due(now, validity, window.as_ref(), jitter);
        let emergency = validity.is_some_and(|validity| is_emergency(now, validity));
        let step = step(now, &due, validity, &[ledger.earliest(now, &set, emergency, jitter)]);
        if step.at > now {
            now = step.at;
            continue;
        }
        if let Some(validity) = validity {
            least = least.min(validity.not_after.since(now));
        }
        ledger.placed(now, &set);
        now = now.plus(60);
        let day = now.since(START) / DAY;
        let trouble = match *troubles.next().unwrap() {
            _ if (away.0..away.0 + away.1).contains(&(day % 100)) => 1,
            1..=4 if ledger.failures >= 4 => 0,
            trouble => trouble,
        };
        match trouble {
            1 => ledger.failed(now, failure(FailureKind::Unreachable)),
            2 => ledger.failed(now, Failure { retry_after: Some(2 * HOUR), ..failure(FailureKind::RateLimited) }),
            3 => ledger.failed(now, validation(Challenge::Http01, &[])),
            4 => ledger = reloaded(&ledger),
            trouble => {
                ledger.issued(now, Issued { lifetime, window: window.as_ref(), ..issue(&set) });
                let validity = Validity { not_before: now.plus(-HOUR), not_after: now.plus(lifetime - HOUR) };
                let id = format!("a.{}", ledger.totals().issued);
                let at = if trouble == 5 { -HOUR } else { lifetime / 2 };
                let suggestion = Suggestion { start: now.plus(at), end: now.plus(at + HOUR / 2), explanation: None };
                if with_windows {
                    ledger.suggested(merge(&id, None, &suggestion, None, now, u64::from(jitter)));
                }
                current = Some((id, validity));
            }
        }
    }
    (ledger.totals().placed, least)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn two_years_without_a_gap(
        days in prop::sample::select(vec![6_i64, 45, 64, 90, 398]),
        begin in 0_i64..90,
        troubles in prop::collection::vec(0_u8..12, 40),
        jitter in 0_u16..1_000,
        with_windows: bool,
    ) {
        let outage = (days / 5).min(10);
        let (orders, least) = two_years(days * DAY, (begin, outage), &troubles, jitter, with_windows);
        prop_assert!(least > 0, "{least} s left of {days} d, {orders} orders");
        prop_assert!(orders < 15_000, "{orders} orders");
    }
}
