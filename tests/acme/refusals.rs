//! A CA that says no, wait, or nothing of sense: what it asks for is kept to, and what it cost is written down.

use std::net::IpAddr;

use super::lab::{self, HTTP, Lab, PATIENCE, asks, made, next_attempt_in, wait_for};
use super::{ADDRESS, HOSTS, LIMIT, NAMES, stop};
use crate::support::faulty_ca::{DAY, Fault, FaultyCa, Kind, Matcher, Problem, RetryAfter};
use crate::support::faulty_server::FaultyServer;
use crate::support::process::Mark;
use crate::support::sandbox;
use crate::support::vestibule::Vestibule;

/// The failure of one of several certificates.
#[track_caller]
fn failure(vestibule: &mut Vestibule, name: &str) -> String {
    let names = format!("names={name} ");
    let failed = |line: &str| line.contains("ordering a certificate failed") && line.contains(&names);
    let line = vestibule.process().find_line(Mark::default(), PATIENCE, failed);
    line.unwrap_or_else(|reason| panic!("{name}: no failure: {reason}"))
}

/// Host names below `.test`, and a site for each.
fn sites(names: &[String]) -> (Vec<(IpAddr, &str)>, String) {
    let site = |name: &String| format!("[[site]]\nhost = {name:?}\nupstream = \"http://127.0.0.1:9\"\n");
    let tables = format!("[[server]]\nserver_name = \"a.test\"\n{}", names.iter().map(site).collect::<String>());
    let hosts = names.iter().map(|name| (ADDRESS, name.as_str())).chain([(ADDRESS, NAMES[0])]);
    (hosts.collect(), tables)
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("site{number}.test")).collect()
}

/// One CA, one vestibule, and a name of its own for each thing that goes wrong. `a.test` is for what goes well.
#[track_caller]
fn each_with<T>(
    test: &str,
    cases: Vec<(Fault, Kind, T)>,
    settings: impl Fn() -> FaultyServer,
    check: impl Fn(&mut Vestibule, &FaultyServer, &str, T),
) {
    let names = numbered(cases.len());
    let (hosts, tables) = sites(&names);
    sandbox::run(module_path!(), test, &hosts, LIMIT, || {
        let server = settings();
        let lab = Lab::serving(&tables);
        for ((fault, kind, _), name) in cases.iter().zip(&names) {
            server.ca().fault(Matcher::of(*kind).name(name), fault.clone());
        }
        let mut vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
        for ((_, _, expected), name) in cases.into_iter().zip(&names) {
            check(&mut vestibule, &server, name, expected);
        }
        stop(vestibule);
        let breaches = server.ca().records().breaches;
        assert!(breaches.is_empty(), "{breaches:?}");
    });
}

#[test]
fn a_time_to_wait_is_kept_to_in_whatever_form_it_comes() {
    let limited = |retry_after| Fault::Problem(Problem::rate_limited(retry_after));
    let html = |retry_after| Fault::Html { status: 503, retry_after };
    // Seconds to the next attempt; the back-off alone would be one minute, lengthened by up to a tenth.
    let cases = vec![
        (limited(RetryAfter::Seconds(7200)), Kind::NewOrder, 7200),
        (limited(RetryAfter::Date(5400)), Kind::NewOrder, 5400),
        (limited(RetryAfter::Detail(3600)), Kind::NewOrder, 3600),
        (limited(RetryAfter::DetailZulu(4000)), Kind::NewOrder, 4000),
        (limited(RetryAfter::Seconds(5)), Kind::NewOrder, 60),
        (limited(RetryAfter::Text("soon".to_owned())), Kind::NewOrder, 60),
        (limited(RetryAfter::None), Kind::NewOrder, 60),
        (html(RetryAfter::Seconds(900)), Kind::NewOrder, 900),
        (html(RetryAfter::None), Kind::NewOrder, 60),
        (html(RetryAfter::Seconds(1000)), Kind::Authorization, 1000),
        (html(RetryAfter::Seconds(1100)), Kind::Challenge, 1100),
        (html(RetryAfter::Seconds(1200)), Kind::Finalize, 1200),
    ];
    let name = "a_time_to_wait_is_kept_to_in_whatever_form_it_comes";
    each_with(name, cases, lab::good_ca, |vestibule, _, name, seconds| {
        let line = failure(vestibule, name);
        let expected = if seconds == 60 { 45..=67 } else { seconds - 20..=seconds + 5 };
        assert!(expected.contains(&next_attempt_in(&line)), "{seconds}: {line}");
        assert!(line.contains(" ERROR ") && (line.contains("429") || line.contains("503")), "{line}");
    });
}

/// Whoever is refused every nonce asks ten times more, and then leaves the CA in peace.
#[test]
fn no_step_is_repeated_without_end() {
    const MOST: usize = 11;
    let steps = [Kind::NewOrder, Kind::Authorization, Kind::Challenge, Kind::Order, Kind::Finalize, Kind::Certificate];
    let cases = steps.map(|step| (Fault::BadNonce, step, step)).to_vec();
    each_with("no_step_is_repeated_without_end", cases, lab::good_ca, |vestibule, server, name, step| {
        let line = failure(vestibule, name);
        assert!(line.contains("badNonce") && (45..=67).contains(&next_attempt_in(&line)), "{step:?}: {line}");
        let refused = server.ca().with_records(|records| {
            let refused = records.requests.iter().filter(|request| request.status == Some(400));
            refused.filter(|request| request.kind == step).count()
        });
        assert!((2..=MOST).contains(&refused), "{step:?}: {refused}");
    });
}

#[test]
fn nonsense_is_an_outage() {
    let page = || Fault::Html { status: 200, retry_after: RetryAfter::None };
    let cases = vec![
        (Fault::Reset, Kind::NewOrder, "placing the order failed"),
        (Fault::Truncated, Kind::NewOrder, "placing the order failed"),
        (page(), Kind::NewOrder, "placing the order failed"),
        (Fault::Huge(2 << 20), Kind::NewOrder, "placing the order failed"),
        (Fault::Truncated, Kind::Authorization, "authorising a name failed"),
        (page(), Kind::Authorization, "authorising a name failed"),
        (Fault::Huge(2 << 20), Kind::Authorization, "authorising a name failed"),
        (Fault::Truncated, Kind::Certificate, "fetching the certificate"),
        (page(), Kind::Certificate, "fetching the certificate"),
    ];
    each_with("nonsense_is_an_outage", cases, lab::good_ca, |vestibule, _, name, step| {
        let line = failure(vestibule, name);
        assert!(line.contains(" ERROR ") && line.contains(step), "{line}");
        assert!((45..=67).contains(&next_attempt_in(&line)), "{line}");
    });
}

/// Refused for what it is, or given up by the CA after everything went well: an order is tried again, not at once.
#[test]
fn an_order_that_is_refused_is_tried_again_later() {
    let problem = |kind: &str| Fault::Problem(Problem::new(400, kind, "no"));
    let cases = vec![
        (problem("rejectedIdentifier"), Kind::NewOrder, "rejectedIdentifier"),
        (problem("invalidProfile"), Kind::NewOrder, "invalidProfile"),
        (problem("serverInternal"), Kind::Authorization, "serverInternal"),
        (problem("badCSR"), Kind::Finalize, "badCSR"),
        (Fault::OrderInvalid, Kind::Order, "Rechecking CAA failed"),
        (Fault::OrderInvalid, Kind::Finalize, "the CA gave the order up"),
    ];
    each_with("an_order_that_is_refused_is_tried_again_later", cases, lab::good_ca, |vestibule, server, name, said| {
        let line = failure(vestibule, name);
        assert!(line.contains(" ERROR ") && line.contains(said), "{line}");
        assert!((45..=67).contains(&next_attempt_in(&line)), "{line}");
        let orders = server.ca().records().orders.iter().filter(|order| order.names == [name]).count();
        assert!(orders <= 1, "{name}: {orders}");
    });
}

#[test]
fn a_paused_name_is_shown_with_its_link() {
    sandbox::run(module_path!(), "a_paused_name_is_shown_with_its_link", &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        server.ca().fault(Matcher::of(Kind::NewOrder).times(1), Fault::Problem(Problem::paused(NAMES[0])));
        let acme = format!("{}{HTTP}", asks(&server));
        let mut vestibule = lab.start(&acme);
        let paused = vestibule.process().wait_for_line("the CA has paused these names", PATIENCE);
        assert!(paused.contains("link=https://portal.ca.test/sfe/v1/unpause?jwt=abc"), "{paused}");
        let waiting = vestibule.process().wait_for_line("waiting for a certificate", PATIENCE);
        assert!((DAY - 60..=DAY * 11 / 10).contains(&next_attempt_in(&waiting)), "{waiting}");
        assert!(waiting.contains("https://portal.ca.test/sfe/v1/unpause?jwt=abc"), "{waiting}");
        // The CA asked for a day, and a person cannot know better.
        let early = lab.renew(&[]);
        assert!(!early.good && early.text.contains("not before"), "{early:?}");
        stop(vestibule);
        assert_eq!(made(&server), (1, 0, 0));
    });
}

/// A CA may ration its directory too.
#[test]
fn a_directory_that_is_rationed_is_not_asked_for_sooner() {
    let name = "a_directory_that_is_rationed_is_not_asked_for_sooner";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        let limited = Problem::rate_limited(RetryAfter::Date(1800));
        server.ca().fault(Matcher::of(Kind::Directory).times(1), Fault::Problem(limited));
        let acme = format!("{}{HTTP}", asks(&server));
        for _ in 0..2 {
            let mut vestibule = lab.start(&acme);
            let line = vestibule.process().wait_for_line("waiting for a certificate", PATIENCE);
            assert!((1770..=1805).contains(&next_attempt_in(&line)), "{line}");
            let early = lab.renew(&[]);
            assert!(!early.good && early.text.contains("the CA asked to wait"), "{early:?}");
            stop(vestibule);
        }
        assert_eq!(server.ca().records().count(Kind::Directory), 1);
    });
}

/// A directory that is not one, in every way, and then one that is.
#[test]
fn a_directory_that_is_none() {
    sandbox::run(module_path!(), "a_directory_that_is_none", &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        let faults = [
            Fault::Html { status: 200, retry_after: RetryAfter::None },
            Fault::Truncated,
            Fault::Huge(2 << 20),
            Fault::Reset,
            Fault::Html { status: 404, retry_after: RetryAfter::None },
        ];
        let count = faults.len();
        for fault in faults {
            server.ca().fault(Matcher::of(Kind::Directory).times(1), fault);
        }
        let mut vestibule = lab.start(&format!("{}{HTTP}", asks(&server)));
        for asked in 1..=count {
            wait_for(&server, Kind::Directory, asked);
            if asked == 1 {
                vestibule.process().wait_for_line("ordering a certificate failed", PATIENCE);
            }
            let again = lab.renew(&[]);
            assert_eq!(again.good, asked == count, "{asked}: {again:?}");
        }
        vestibule.wait_for_certificate(NAMES[0], PATIENCE);
        assert_eq!(made(&server), (1, 1, 1));
        stop(vestibule);
    });
}

/// A CA that takes the request and says nothing gets half a minute, as one under load may need it.
#[test]
fn a_ca_that_hangs_is_left_after_half_a_minute() {
    sandbox::run(module_path!(), "a_ca_that_hangs_is_left_after_half_a_minute", &HOSTS, LIMIT, || {
        let server = FaultyServer::settings(FaultyCa::settings()).start();
        let lab = Lab::new();
        server.ca().fault(Matcher::of(Kind::NewOrder).times(1), Fault::Hang);
        let mut vestibule = lab.start(&format!("{}{HTTP}", asks(&server)));
        let line = vestibule.process().wait_for_line("ordering a certificate failed", PATIENCE);
        assert!(line.contains("within 30s") && next_attempt_in(&line) > 45, "{line}");
        assert!(lab.renew(&[]).good);
        assert_eq!(made(&server), (1, 1, 1));
        stop(vestibule);
    });
}
