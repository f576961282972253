//! Takes requests and gives answers.

use super::answer::{Answer, Answered};
use super::command::{BadRequest, Command, LONGEST};
use super::frame::Frame;
use super::{AdminSocket, Call};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at a time: people and their scripts, with room for those that hang.
const CONNECTIONS: usize = 16;

/// For a request, from the connection to the end of its line; programs send it at once.
const REQUEST: Duration = Duration::from_secs(10);

/// For each line of an answer to be taken.
const WRITE: Duration = Duration::from_secs(10);

/// For the ends of answers at the end of the program.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// After a connection that could not be accepted: it would only fail again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// The exit status of a request that was refused, as of a usage error.
const USAGE: u8 = 64;

/// What stands in place of an exit status that nobody gave.
const STOPPING: &str = "vestibule is stopping";

/// Passes every request on to `calls`. Ends when nobody takes calls any more, after those under way
/// have been told, and removes the socket.
pub async fn serve(socket: AdminSocket, calls: mpsc::Sender<Call>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = calls.closed() => break,
            Some(_) = connections.join_next() => {}
            accepted = socket.listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() >= CONNECTIONS => refuse(&stream),
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, calls.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "an admin connection could not be accepted");
                    sleep(PAUSE).await;
                }
            },
        }
    }
    let told = async { while connections.join_next().await.is_some() {} };
    // Whoever does not read is cut off with the set.
    let _ = timeout(LAST_WORDS, told).await;
}

/// One more than there may be.
fn refuse(stream: &UnixStream) {
    let busy = Frame::Error(format!("there are {CONNECTIONS} admin connections already; try again when one has ended"));
    let text = format!("{}{}", busy.render(), Frame::Exit(1).render());
    // A new connection's buffer takes it.
    let _ = stream.try_write(text.as_bytes());
}

async fn connection(mut stream: UnixStream, calls: mpsc::Sender<Call>) {
    if let Err(error) = converse(&mut stream, &calls).await {
        tracing::debug!(%error, "an admin connection broke off");
    }
}

async fn converse(stream: &mut UnixStream, calls: &mpsc::Sender<Call>) -> io::Result<()> {
    let request = tokio::select! {
        request = timeout(REQUEST, read(stream)) => request.map_err(|_| io::ErrorKind::TimedOut)??,
        // Nothing was asked yet, and nothing will be done.
        () = calls.closed() => Some(Vec::new()),
    };
    let request = match request {
        // Whoever looks whether somebody answers says nothing.
        Some(request) if request.is_empty() && !calls.is_closed() => return Ok(()),
        Some(_) if calls.is_closed() => return end(stream, STOPPING, 1).await,
        Some(request) => Command::parse(&request),
        None => Err(BadRequest::TooLong),
    };
    let command = match request {
        Ok(command) => command,
        Err(refused) => return end(stream, &refused.to_string(), USAGE).await,
    };
    let peer = stream.peer_cred()?;
    tracing::info!(command = command.name(), uid = peer.uid(), gid = peer.gid(), pid = peer.pid(), "admin command");
    let (answer, mut answered) = Answer::new();
    // A call that is not taken is dropped with its answer, which tells the rest.
    let _ = calls.send(Call { command, answer }).await;
    match relay(stream, &mut answered).await? {
        Some(status) => write(stream, &Frame::Exit(status)).await,
        None => end(stream, STOPPING, 1).await,
    }
}

/// Writes lines until there is an exit status, or until there will be none.
async fn relay(stream: &mut UnixStream, answered: &mut Answered) -> io::Result<Option<u8>> {
    loop {
        tokio::select! {
            biased;
            Some(line) = answered.lines.recv() => write(stream, &Frame::Line(line)).await?,
            status = &mut answered.exit => {
                while let Ok(line) = answered.lines.try_recv() {
                    write(stream, &Frame::Line(line)).await?;
                }
                return Ok(status.ok());
            }
        }
    }
}

/// The request's line, `None` if it is too long. Its end may be that of the stream.
async fn read(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    let mut line = Vec::new();
    BufReader::new(stream).take(most).read_until(b'\n', &mut line).await?;
    Ok(if line.len() <= LONGEST { Some(line) } else { None })
}

async fn end(stream: &mut UnixStream, error: &str, status: u8) -> io::Result<()> {
    write(stream, &Frame::Error(error.to_owned())).await?;
    write(stream, &Frame::Exit(status)).await
}

async fn write(stream: &mut UnixStream, frame: &Frame) -> io::Result<()> {
    timeout(WRITE, stream.write_all(frame.render().as_bytes())).await.map_err(|_| io::ErrorKind::TimedOut)?
}
