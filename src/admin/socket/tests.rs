//! The socket from both of its ends.

use super::*;
use crate::config::AdminAddress;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

struct Scene {
    folder: TempDir,
    calls: mpsc::Receiver<Call>,
    server: JoinHandle<()>,
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "the test ends the task, or its runtime does")]
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = bind(&written(folder.path())).unwrap().unwrap();
        let (send, calls) = mpsc::channel(1);
        Self { folder, calls, server: tokio::spawn(serve(socket, send)) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// Sends bytes, ends the sending side, and returns all that comes.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path()).await.unwrap();
        // A refusal may come before everything is sent.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an end");
        String::from_utf8(answer).unwrap()
    }

    async fn next(&mut self) -> Call {
        timeout(SOON, self.calls.recv()).await.expect("a call").unwrap()
    }
}

fn written(folder: &Path) -> AdminAddress {
    AdminAddress { path: folder.join("admin.sock"), by_default: false }
}

fn rehearse() -> Command {
    Command::CertsRehearse { names: Vec::new() }
}

#[tokio::test]
async fn a_command_is_answered_line_by_line() {
    let mut scene = Scene::start();
    let mode = scene.path().metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o660);
    let (path, command) = (scene.path(), rehearse());
    let mut lines = Vec::new();
    let (status, ()) = tokio::join!(call(&path, &command, |line| lines.push(line.to_owned())), async {
        let Call { command, answer } = scene.next().await;
        assert_eq!(command, rehearse());
        answer.line("one\ntwo");
        answer.line("three");
        answer.exit(7);
    });
    assert_eq!((status.unwrap(), lines), (7, vec!["one\ntwo".to_owned(), "three".to_owned()]));
}

#[tokio::test]
async fn the_protocol_is_plain_json_lines() {
    let mut scene = Scene::start();
    let request = b"{\"command\":\"certs renew\",\"names\":[\"a.example\"]}\n";
    let path = scene.path();
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(request).await.unwrap();
    let Call { command, answer } = scene.next().await;
    assert_eq!(command, Command::CertsRenew { names: vec!["a.example".to_owned()], force: false });
    answer.line("x");
    answer.exit(0);
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, "{\"line\":\"x\"}\n{\"exit\":0}\n");
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let scene = Scene::start();
    let long = vec![b' '; 70_000];
    for (request, words) in [
        (b"{nonsense\n".as_slice(), "no JSON object"),
        (b"\n", "no JSON object"),
        (b"{\"command\":\"fly\"}\n", "`fly`"),
        (b"{\"command\":\"fly\"}", "`fly`"),
        (b"{\"version\":9,\"command\":\"certs renew\"}\n", "version 9"),
        (&long, "longer than 65536 bytes"),
    ] {
        let answer = scene.raw(request).await;
        let lines: Vec<_> = answer.lines().collect();
        assert_eq!(lines.len(), 2, "{answer}");
        assert!(lines[0].starts_with("{\"error\":") && lines[0].contains(words), "{answer}");
        assert_eq!(lines[1], "{\"exit\":64}");
    }
    assert_eq!(scene.raw(b"").await, "", "whoever only looks in gets nothing");
}

#[tokio::test]
async fn two_clients_are_answered_at_once_and_one_too_many_is_told() {
    let mut scene = Scene::start();
    let (path, command) = (scene.path(), rehearse());
    let (one, two, ()) = tokio::join!(call(&path, &command, |_| ()), call(&path, &command, |_| ()), async {
        let (first, second) = (scene.next().await, scene.next().await);
        second.answer.exit(2);
        first.answer.exit(1);
    });
    let mut statuses = [one.unwrap(), two.unwrap()];
    statuses.sort_unstable();
    assert_eq!(statuses, [1, 2]);

    let mut idle = Vec::new();
    let refused = loop {
        assert!(idle.len() <= 20, "nobody is refused");
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let mut answer = String::new();
        // Those that are let in hear nothing.
        match timeout(Duration::from_millis(100), stream.read_to_string(&mut answer)).await {
            Ok(_) => break answer,
            Err(_) => idle.push(stream),
        }
    };
    assert_eq!(idle.len(), 16);
    assert!(refused.contains("try again") && refused.ends_with("{\"exit\":1}\n"), "{refused}");
    let error = call(&path, &command, |_| ()).await.unwrap_err();
    assert!(matches!(error, AdminError::Refused(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_come_is_not_waited_for() {
    let scene = Scene::start();
    let mut stream = UnixStream::connect(scene.path()).await.unwrap();
    stream.write_all(b"{\"command\":").await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn an_end_without_a_word_is_told() {
    let mut scene = Scene::start();
    let (path, command) = (scene.path(), rehearse());
    let (dropped, ()) = tokio::join!(call(&path, &command, |_| ()), async {
        drop(scene.next().await);
    });
    let error = dropped.unwrap_err().to_string();
    assert!(error.contains("is stopping"), "{error}");

    // The program ends: calls under way are told, the socket goes.
    let (asked, ()) = tokio::join!(call(&path, &command, |_| ()), async {
        let call = scene.next().await;
        scene.calls.close();
        drop(call);
        timeout(SOON, &mut scene.server).await.expect("it ends").unwrap();
    });
    assert!(matches!(asked, Err(AdminError::Refused(_))), "{asked:?}");
    assert!(!path.exists());
    let error = call(&path, &command, |_| ()).await.unwrap_err();
    assert!(matches!(error, AdminError::NotRunning(_)), "{error}");
}

#[tokio::test]
async fn a_dead_ones_socket_is_taken_over_and_a_live_ones_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let address = written(folder.path());
    // Dropping a listener of the standard library leaves its file, as a crash does.
    drop(std::os::unix::net::UnixListener::bind(&address.path).unwrap());
    let first = bind(&address).unwrap().unwrap();

    let error = bind(&address).unwrap_err().to_string();
    assert!(error.starts_with("listen.admin cannot take /") && error.contains("another vestibule"), "{error}");
    let offered = AdminAddress { by_default: true, ..address.clone() };
    assert!(bind(&offered).unwrap().is_none(), "nobody asked for it, so it is no error");
    assert!(UnixStream::connect(&address.path).await.is_ok(), "the first one's socket stays");

    // Moved away and replaced by hand: not ours any more.
    std::fs::rename(&address.path, folder.path().join("aside")).unwrap();
    let second = bind(&address).unwrap().unwrap();
    drop(first);
    assert!(address.path.exists());
    drop(second);
    assert!(!address.path.exists());
}

#[tokio::test]
async fn what_cannot_be_a_socket_is_told_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path());
    drop(std::fs::File::create(&file.path).unwrap());
    let error = bind(&file).unwrap_err().to_string();
    assert!(error.contains("no socket; move it away"), "{error}");
    assert!(file.path.is_file(), "it is left alone");

    let missing = AdminAddress { path: folder.path().join("none/admin.sock"), by_default: false };
    let error = bind(&missing).unwrap_err().to_string();
    assert!(error.contains("; make its folder"), "{error}");
    assert!(bind(&AdminAddress { by_default: true, ..missing }).unwrap().is_none());
}

#[tokio::test]
async fn an_answer_of_something_else_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    for (answer, expected) in [("HTTP/1.1 400\r\n", "does not speak"), ("{\"line\":\"x\"}\n{\"ex", "ended before")] {
        let command = rehearse();
        let (result, ()) = tokio::join!(call(&path, &command, |_| ()), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 256];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
