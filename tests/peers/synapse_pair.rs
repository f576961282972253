//! What all of this is for: people on two homeservers talk to each other through two vestibules.

use std::fs;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};

use super::matrix_client::MatrixClient;
use super::pair::{HOSTS, Pair};
use crate::support::sandbox;

/// A minute is usual on two busy cores; the rest is for machines that are worse off.
const LIMIT: Duration = Duration::from_secs(300);

const MEDIA_BYTES: usize = 5 * 1024 * 1024;

#[test]
fn synapse_pair() {
    sandbox::run(module_path!(), "synapse_pair", &HOSTS, LIMIT, || {
        let mut step = Steps::new();
        let mut pair = Pair::start();
        step.done("pebble, two Synapses, two fronts with certificates");

        pair.assert_discoverable();
        pair.wait_for_verdicts();
        // The self-check keeps the keys it saw, to notice when one is lost.
        let kept = pair.a.front.state_folder().join("check/keys-a.fed.test.json");
        assert!(fs::read_to_string(kept).is_ok_and(|kept| kept.contains("ed25519:a_test")));
        step.done("well-known, keys, verdicts");

        pair.a.synapse.register("ua", "pwa");
        pair.b.synapse.register("ub", "pwb");
        let mut ua = MatrixClient::log_in(pair.a.name, pair.roots(), "ua", "pwa");
        let mut ub = MatrixClient::log_in(pair.b.name, pair.roots(), "ub", "pwb");
        step.done("log in");

        let room = ua.create_room();
        ua.invite(&room, ub.user());
        ub.accept_invitation(&room);
        ua.wait_for_membership(&room, ub.user(), "join");
        step.done("create, invite, join across");

        talk(&room, &mut ua, &ub);
        talk(&room, &mut ub, &ua);
        step.done("ten messages each way");

        exchange_media(&ua, &ub);
        exchange_media(&ub, &ua);
        step.done("5 MiB media each way");

        ua.set_display_name("Ada of a");
        assert_eq!(ub.display_name_of(ua.user()), "Ada of a");
        step.done("profile across");

        ub.leave(&room);
        ua.wait_for_membership(&room, ub.user(), "leave");
        step.done("leave");
    });
}

/// Ten messages, which arrive complete and in order.
fn talk(room: &str, speaker: &mut MatrixClient, listener: &MatrixClient) {
    let words: Vec<String> = (1..=10).map(|n| format!("{n} of ten from {}", speaker.user())).collect();
    for line in &words {
        speaker.say(room, line);
    }
    listener.wait_for_words(room, speaker.user(), &words);
}

/// A file uploaded to one server is the same file when the other one fetches it.
fn exchange_media(sender: &MatrixClient, receiver: &MatrixClient) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("media");
    let mut sent = vec![0; MEDIA_BYTES];
    aws_lc_rs::rand::fill(&mut sent).expect("randomness");
    fs::write(&file, &sent).expect("a writable folder");

    let (server, id) = sender.upload(&file);
    let received = receiver.download(&server, &id);
    assert_eq!(received.len(), MEDIA_BYTES);
    // Digests, as a difference of five megabytes is nothing to print.
    assert_eq!(digest(&SHA256, &received).as_ref(), digest(&SHA256, &sent).as_ref());
}

/// Tells what took how long; shown when the test fails, or on request.
struct Steps(Instant);

impl Steps {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn done(&mut self, what: &str) {
        println!("{:6.2} s  {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}
