//! The client: one command to the vestibule that runs.

use super::command::Command;
use super::frame::{Frame, LONGEST};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// For the connection, and for the request to be taken. What the command does may take as long as it
/// needs.
const REACH: Duration = Duration::from_secs(10);

/// Why a command was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody answers there.
    #[error(
        "nobody answers at {path}: vestibule does not run, or runs with another listen.admin; see systemctl status \
         vestibule, and name its configuration with --config",
        path = .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket is closed to this user.
    #[error(
        "{path} is closed to this user; run the command as root, or as vestibule's user: sudo -u vestibule vestibule …",
        path = .0.display()
    )]
    Denied(PathBuf),
    /// The request was refused, or its end not waited for.
    #[error("the command was not done: {0}")]
    Refused(String),
    /// The answer ended before it was whole.
    #[error("vestibule ended before it was done; its log says why: journalctl -u vestibule")]
    Ended,
    /// What came is no answer.
    #[error("what answers at {path} does not speak as vestibule does; look at listen.admin", path = .0.display())]
    Strange(PathBuf),
    /// The connection failed otherwise.
    #[error("the connection to {path} failed", path = .path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Sends `command` to the vestibule at `path`, hands every line of the answer to `on_line`, and returns
/// the exit status.
pub async fn call(path: &Path, command: &Command, mut on_line: impl FnMut(&str)) -> Result<u8, AdminError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AdminError::NotRunning(path.to_owned()),
        io::ErrorKind::PermissionDenied => AdminError::Denied(path.to_owned()),
        _ => AdminError::Failed { path: path.to_owned(), source },
    };
    let request = command.render().map_err(|refused| AdminError::Refused(refused.to_string()))?;
    let reach = async {
        let mut stream = UnixStream::connect(path).await?;
        match stream.write_all(request.as_bytes()).await {
            // One that has too much to do says so and hangs up without reading.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(stream),
            written => written.map(|()| stream),
        }
    };
    let reached = timeout(REACH, reach).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let mut stream = BufReader::new(reached.map_err(failed)?);
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    let mut refused = None;
    loop {
        let mut line = Vec::new();
        match (&mut stream).take(most).read_until(b'\n', &mut line).await {
            Ok(0) => return Err(AdminError::Ended),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(AdminError::Ended),
            read => read.map_err(failed)?,
        };
        match serde_json::from_slice(&line) {
            Ok(Frame::Line(text)) => on_line(&text),
            Ok(Frame::Error(reason)) => refused = Some(reason),
            Ok(Frame::Exit(status)) => return refused.map_or(Ok(status), |reason| Err(AdminError::Refused(reason))),
            Err(_) if line.last() != Some(&b'\n') && line.len() < LONGEST => return Err(AdminError::Ended),
            Err(_) => return Err(AdminError::Strange(path.to_owned())),
        }
    }
}
