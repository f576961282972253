//! Out of file descriptors: nothing spins, those connected are served, and service returns as soon as it can.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::support::front::{Front, NAME, SOON, get};
use crate::support::origin::Origin;
use crate::support::process::Process;

/// Within this after the descriptors are free again.
const RETURN: Duration = Duration::from_secs(1);

fn config(origin: &Origin) -> String {
    format!("server_name = \"{NAME}\"\nhomeserver = \"{}\"\n", origin.url())
}

/// So many clients that connect, successfully or not, and say nothing.
fn flood(address: SocketAddr, clients: usize) -> Vec<Socket> {
    // They take more descriptors than a test usually may have.
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).expect("its own limit");
    let sockets = (0..clients).map(|_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("an option");
        // In progress: whether anybody accepts it is not waited for.
        let _begun = socket.connect(&address.into());
        socket
    });
    sockets.collect()
}

/// Processor time that `process` uses in `span` while nobody asks for anything.
fn used_in(span: Duration, process: &Process) -> Duration {
    let before = process.cpu_time();
    thread::sleep(span);
    process.cpu_time() - before
}

#[track_caller]
fn assert_fresh_request_within(front: &Front, limit: Duration) {
    let started = Instant::now();
    let mut client = front.raw();
    client.send(get("/_matrix/client/versions"));
    assert_eq!(client.answer().status, 200);
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());
}

#[test]
fn a_flood_beyond_the_limit_on_open_files_waits_outside() {
    let origin = Origin::answering("ok");
    let mut front = Front::start_with_open_files(256, &config(&origin));
    let line = front.vestibule().process().wait_for_line("the limit on open files is low", SOON);
    assert!(line.contains("open_files=256") && line.contains("LimitNOFILE"), "{line}");
    let mut early = front.raw();
    let clients = flood(front.https(), 3000);
    front.vestibule().process().wait_for_line("others wait", SOON);

    let used = used_in(Duration::from_secs(3), front.vestibule().process());
    assert!(used < Duration::from_millis(600), "{used:?} of processor time in three seconds");
    early.send(get("/_matrix/client/versions"));
    assert_eq!(early.answer().status, 200, "who is connected is served");
    // Accepting stopped before descriptors ran out, so there is room for what serves no client.
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", front.vestibule().process().id())).expect("it runs");
    assert!(descriptors.count() < 200);

    drop(clients);
    assert_fresh_request_within(&front, RETURN);
    let lines = front.vestibule().process().lines();
    assert_eq!(lines.iter().filter(|line| line.contains("others wait")).count(), 1, "said once");
}

#[test]
fn without_descriptors_accepting_pauses() {
    let origin = Origin::answering("ok");
    let mut front = Front::start(&config(&origin));
    let mut early = front.raw();
    early.send(get("/_matrix/client/versions"));
    assert_eq!(early.answer().status, 200);

    let process = front.vestibule().process().id();
    let limit_open_files = |most: usize| {
        let limited = Command::new("prlimit").args([format!("--pid={process}"), format!("--nofile={most}:")]).status();
        assert!(limited.expect("util-linux is there").success());
    };
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count();
    // Too few for one more, since none below it are free.
    limit_open_files(open);
    let clients = flood(front.https(), 50);
    front.vestibule().process().wait_for_line("cannot accept connections", SOON);
    let used = used_in(Duration::from_secs(1), front.vestibule().process());
    assert!(used < Duration::from_millis(250), "{used:?} of processor time in a second");
    early.send(get("/_matrix/client/versions"));
    assert_eq!(early.answer().status, 200, "who is connected is served");

    limit_open_files(512);
    assert_fresh_request_within(&front, RETURN);
    let lines = front.vestibule().process().lines();
    let complaints = lines.iter().filter(|line| line.contains("cannot accept connections")).count();
    assert_eq!(complaints, 1, "said once");
    drop(clients);
}
