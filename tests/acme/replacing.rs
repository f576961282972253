//! Renewals that say which certificate they take the place of (RFC 9773 §5), and CAs that mind.

use super::lab::{self, HTTP, Lab, PATIENCE, asks, assert_pleased, assert_unsaid, made, served_serial};
use super::{HOSTS, LIMIT, NAMES, stop};
use crate::support::faulty_ca::{DAY, Fault, Kind, Matcher, Problem, Renewal};
use crate::support::sandbox;

/// What the orders so far said that they replace.
fn replaced(server: &crate::support::faulty_server::FaultyServer) -> Vec<Option<String>> {
    server.ca().with_records(|records| records.orders.iter().map(|order| order.replaces.clone()).collect())
}

fn last_id(server: &crate::support::faulty_server::FaultyServer) -> String {
    server.ca().with_records(|records| records.certificates.last().expect("a certificate").ari_id.clone())
}

#[test]
fn a_renewal_says_what_it_replaces_and_does_without_where_the_ca_minds() {
    let name = "a_renewal_says_what_it_replaces_and_does_without_where_the_ca_minds";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        // Three types of one refusal, and another that means the same; a good renewal between them, as no more than
        // four certificates a week are ordered with one record.
        for kinds in [["alreadyReplaced", "conflict"], ["malformed", "orderNotReady"]] {
            let (server, lab) = (lab::good_ca(), Lab::new());
            let mut vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
            let first = last_id(&server);
            let serial = served_serial(NAMES[0]);
            let renewed = lab.renew(&["--force"]);
            assert!(renewed.good, "{renewed:?}");
            assert_ne!(served_serial(NAMES[0]), serial);
            assert_eq!(replaced(&server), [None, Some(first)]);
            assert_unsaid(&mut vestibule, "as a replacement");
            for kind in kinds {
                let serial = served_serial(NAMES[0]);
                let mark = vestibule.process().mark();
                server
                    .ca()
                    .fault(Matcher::of(Kind::NewOrder).replacing().times(1), Fault::Problem(Problem::replaced(kind)));
                let renewed = lab.renew(&["--force"]);
                assert!(renewed.good, "{kind}: {renewed:?}");
                let line = vestibule.process().wait_for_line_since(mark, "as a replacement", PATIENCE);
                assert!(line.contains("already has a replacement"), "{line}");
                assert_ne!(served_serial(NAMES[0]), serial, "{kind}");
                assert_eq!(replaced(&server).last(), Some(&None), "{kind}");
            }
            assert_eq!(made(&server), (1, 4, 4));
            // That was the week's share, and force is no way around it.
            let fifth = lab.renew(&["--force"]);
            assert!(!fifth.good && fifth.text.contains("4 certificates for these names within a week"), "{fifth:?}");
            assert_eq!(made(&server), (1, 4, 4));
            assert_pleased(&server);
            stop(vestibule);
        }
    });
}

/// Its order counts all the same, so it is taken for what it is.
#[test]
fn a_ca_that_does_not_say_what_is_replaced_gets_one_order() {
    let name = "a_ca_that_does_not_say_what_is_replaced_gets_one_order";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        let vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
        let first = last_id(&server);
        server.ca().fault(Matcher::of(Kind::NewOrder).replacing().times(1), Fault::NoReplacesEcho);
        let renewed = lab.renew(&["--force"]);
        assert!(renewed.good, "{renewed:?}");
        assert_eq!((made(&server), replaced(&server)), ((1, 2, 2), vec![None, Some(first)]));
        assert_pleased(&server);
        stop(vestibule);
    });
}

/// Refused for a reason that has nothing to do with the replaced certificate, the order is not placed a second time.
#[test]
fn a_limit_on_a_replacement_is_a_limit() {
    sandbox::run(module_path!(), "a_limit_on_a_replacement_is_a_limit", &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        let mut vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
        let serial = served_serial(NAMES[0]);
        let limited = Problem::rate_limited(crate::support::faulty_ca::RetryAfter::Seconds(600));
        server.ca().fault(Matcher::of(Kind::NewOrder).times(1), Fault::Problem(limited));
        let refused = lab.renew(&["--force"]);
        assert!(!refused.good && refused.text.contains("429"), "{refused:?}");
        assert_unsaid(&mut vestibule, "as a replacement");
        assert_eq!((made(&server), server.ca().records().count(Kind::NewOrder)), ((1, 1, 1), 2));
        assert_eq!(served_serial(NAMES[0]), serial);
        stop(vestibule);
    });
}

/// One demand is answered once, even if the CA says the same of the next certificate.
#[test]
fn a_window_in_the_past_is_answered_once() {
    sandbox::run(module_path!(), "a_window_in_the_past_is_answered_once", &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        let (start, end) = (server.now() - DAY, server.now() - 3600);
        let explanation = Some("https://ca.test/incident".to_owned());
        server.ca().every_renewal(Renewal::Window { start, end, explanation });
        let mut vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
        lab::wait_until(&server, "a renewal, and a question about it", |records| {
            records.certificates.len() == 2 && records.count(Kind::RenewalInfo) == 2
        });
        let told = vestibule.process().wait_for_line("the CA wants this certificate replaced now", PATIENCE);
        assert!(told.contains("explanation=https://ca.test/incident"), "{told}");
        let ordering = vestibule.process().wait_for_line("reason=the CA wants it replaced now", PATIENCE);
        assert!(ordering.contains("see https://ca.test/incident"), "{ordering}");
        let replaced = replaced(&server);
        assert!(matches!(&replaced[..], [None, Some(_)]), "{replaced:?}");
        // A restart finds nothing to do either.
        stop(vestibule);
        let vestibule = lab.start(&format!("{}{HTTP}", asks(&server)));
        lab.assert_nothing_due();
        stop(vestibule);
        assert_eq!(made(&server), (1, 2, 2));
        assert_pleased(&server);
    });
}

/// The order is there, its URL is not: the CA knows of a replacement, and the next order is one without.
#[test]
fn a_replacement_whose_answer_was_lost_is_in_nobody_s_way() {
    let name = "a_replacement_whose_answer_was_lost_is_in_nobody_s_way";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        let mut vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
        let serial = served_serial(NAMES[0]);
        server.ca().fault(Matcher::of(Kind::NewOrder).replacing().times(1), Fault::LostAnswer);
        let lost = lab.renew(&["--force"]);
        assert!(!lost.good, "{lost:?}");
        assert_eq!((made(&server), served_serial(NAMES[0])), ((1, 2, 1), serial.clone()));
        let renewed = lab.renew(&["--force"]);
        assert!(renewed.good, "{renewed:?}");
        vestibule.process().wait_for_line("as a replacement", PATIENCE);
        assert_eq!(made(&server), (1, 3, 2));
        assert_ne!(served_serial(NAMES[0]), serial);
        assert_pleased(&server);
        stop(vestibule);
    });
}
