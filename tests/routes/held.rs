//! Requests that wait while every endpoint that would do is down: whichever is back first gets them.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use super::said;
use crate::support::front::{Front, SOON, url};
use crate::support::origin::Origin;
use crate::support::ports;

fn nowhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()))
}

/// Requests that wait, over several connections and so with both workers, until `back` is there. Who answered them.
fn held_until(front: &mut Front, target: &str, back: impl FnOnce() -> Origin) -> (Vec<String>, Duration) {
    let requests = (0..12).map(|number| {
        let (request, target) = (front.curl().method("GET"), url(&format!("{target}{number}")));
        thread::spawn(move || said(request.send(&target)))
    });
    let requests: Vec<_> = requests.collect();
    front.vestibule().process().wait_for_line("the upstream is down", SOON);
    // Nothing outside tells when all of them wait: they get a second for it.
    thread::sleep(Duration::from_secs(1));
    assert!(requests.iter().all(|request| !request.is_finished()), "they wait");
    let (_origin, started) = (back(), Instant::now());
    let answers = requests.into_iter().map(|request| request.join().expect("an answer")).collect();
    (answers, started.elapsed())
}

#[test]
fn the_endpoint_that_is_back_first_gets_them_all() {
    let addresses = [nowhere(), nowhere()];
    let pool = addresses.map(|address| format!("\"http://{address}\"")).join(", ");
    let more = format!(
        "[[upstream]]\nname = \"pool\"\nendpoints = [{pool}]\nbalance = \"round_robin\"\n[[route]]\npath = \"^/_matrix/media/\"\nupstream = \"pool\"\n"
    );
    let main = Origin::answering("main");
    let mut front = Front::with(&main, &more);
    let back = || Origin::start_at(addresses[0], |talk| talk.answer_all("one"));
    let (answers, took) = held_until(&mut front, "/_matrix/media/v3/", back);
    assert_eq!(answers, ["one"; 12]);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn workers_that_are_back_before_the_main_process_get_their_requests() {
    let (main, worker) = (nowhere(), nowhere());
    let more = format!("[[upstream]]\nname = \"sync\"\nendpoints = [\"http://{worker}\"]\nserves = [\"sync\"]\n");
    let mut front = Front::at(&format!("http://{main}"), &more);
    let back = || Origin::start_at(worker, |talk| talk.answer_all("worker"));
    let (answers, took) = held_until(&mut front, "/_matrix/client/v3/sync?since=", back);
    assert_eq!(answers, ["worker"; 12]);
    assert!(took < Duration::from_secs(5), "{took:?}");
}
