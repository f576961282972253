//! The admin socket of the built program.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::support::process::Mark;
use crate::support::vestibule::{Vestibule, quoted};

const SOON: Duration = Duration::from_secs(15);

fn config(socket: &str) -> String {
    format!(
        r#"
        server_name = "a.test"
        [listen]
        https = ["127.0.0.1:0"]
        federation = ["127.0.0.1:0"]
        http = ["127.0.0.1:0"]
        status = "off"
        admin = {socket}
        [tls]
        issuer = "internal"
        [check]
        network = "private"
        "#
    )
}

fn at(socket: &Path) -> String {
    config(&quoted(Path::new(&format!("unix:{}", socket.display()))))
}

/// What comes back for `request`.
#[track_caller]
fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("somebody answers");
    stream.set_read_timeout(Some(SOON)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer with an end");
    answer
}

#[test]
fn it_answers_while_vestibule_runs_and_is_gone_afterwards() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("admin.sock");
    let mut vestibule = Vestibule::start(&at(&socket));
    let mode = socket.metadata().expect("the socket").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o660, "for its user and group");

    let answer = ask(&socket, "{\"command\":\"certs renew\"}\n");
    assert_eq!(answer, "{\"line\":\"this vestibule orders nothing: tls.issuer is \\\"internal\\\"\"}\n{\"exit\":1}\n");
    let logged = vestibule.process().wait_for_line("admin command", SOON);
    assert!(logged.contains(&format!("pid={}", std::process::id())), "who asked is told: {logged}");
    assert!(ask(&socket, "{\"command\":\"fly\"}\n").ends_with("{\"exit\":64}\n"));

    assert!(vestibule.terminate(SOON).success());
    assert!(!socket.exists());
}

#[test]
fn a_dead_ones_socket_is_replaced_and_a_live_ones_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("admin.sock");
    let killed = Vestibule::start(&at(&socket));
    drop(killed);
    assert!(socket.exists(), "a kill leaves it");
    let vestibule = Vestibule::start(&at(&socket));

    let mut second = Vestibule::spawn(&at(&socket));
    assert_eq!(second.process().wait(SOON).code(), Some(1));
    let said = second.process().find_line(Mark::default(), SOON, |line| line.contains("listen.admin cannot take"));
    assert!(said.as_ref().is_ok_and(|line| line.contains("another vestibule answers there")), "{said:?}");

    assert!(ask(&socket, "{\"command\":\"certs rehearse\"}\n").ends_with("{\"exit\":1}\n"), "the first still answers");
    assert!(vestibule.terminate(SOON).success());
}

#[test]
fn it_can_be_turned_off_and_must_be_possible_when_written() {
    assert!(Vestibule::start(&config("\"off\"")).terminate(SOON).success());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut refused = Vestibule::spawn(&at(&folder.path().join("none/admin.sock")));
    assert_eq!(refused.process().wait(SOON).code(), Some(1));
    let said = refused.process().lines().join("\n");
    assert!(said.contains("make its folder"), "{said}");

    let file = folder.path().join("file");
    fs::write(&file, "x").expect("a writable folder");
    let mut refused = Vestibule::spawn(&at(&file));
    assert_eq!(refused.process().wait(SOON).code(), Some(1));
    assert_eq!(fs::read_to_string(&file).expect("it is still there"), "x");
}
