//! The socket's file: made, taken over from a vestibule that is dead, and removed.

use crate::config::AdminAddress;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// The owner and the group of vestibule may give commands.
const MODE: u32 = 0o660;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;

/// A bound socket. Dropping it removes the file.
#[derive(Debug)]
pub struct AdminSocket {
    pub(super) listener: UnixListener,
    _file: SocketFile,
}

/// The file that was made here. One that somebody has put in its place since stays.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// A socket that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listen.admin cannot take {path}: {reason}; {remedy}", path = .path.display())]
pub struct AdminBindError {
    path: PathBuf,
    reason: String,
    remedy: String,
}

/// Who is at an address that is taken.
enum Standing {
    /// Nobody any more.
    Left,
    /// A process that takes connections.
    Answers,
    /// A file of another kind.
    NoSocket,
}

/// Binds the socket. An address that nobody wrote is an offer: where it cannot be had, vestibule does
/// without and says so. Must run inside a runtime.
pub fn bind(address: &AdminAddress) -> Result<Option<AdminSocket>, AdminBindError> {
    let AdminAddress { path, by_default } = address;
    if *by_default && !path.parent().is_some_and(Path::is_dir) {
        tracing::debug!(path = %path.display(), "no admin socket: there is no such folder, and listen.admin is not set");
        return Ok(None);
    }
    match take(path) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if *by_default => {
            tracing::warn!("{error}; until then there is no admin socket");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn take(path: &Path) -> Result<AdminSocket, AdminBindError> {
    let failed =
        |reason: String, remedy: &str| AdminBindError { path: path.to_owned(), reason, remedy: remedy.to_owned() };
    let system = |error: io::Error| failed(error.to_string(), remedy(&error));
    match open(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
        other => return other.map_err(system),
    }
    match standing(path).map_err(system)? {
        Standing::Answers => {
            let remedy = "stop that one, or give each a listen.admin of its own";
            Err(failed("another vestibule answers there".to_owned(), remedy))
        }
        Standing::NoSocket => {
            Err(failed("there is a file that is no socket".to_owned(), "move it away, or name another path"))
        }
        Standing::Left => {
            // Two that start at the same moment and find it so have bound their listeners before: on one
            // machine they listen elsewhere, and the later one's socket stays.
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(system(error)),
                _ => {}
            }
            open(path).map_err(system)
        }
    }
}

fn open(path: &Path) -> io::Result<AdminSocket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let made = fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.to_owned(), identity: (made.dev(), made.ino()) };
    // Before it takes connections: until then the process's umask decided who may open it.
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)?;
    let listener = UnixListener::from_std(socket.into())?;
    Ok(AdminSocket { listener, _file: file })
}

fn standing(path: &Path) -> io::Result<Standing> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Ok(Standing::NoSocket),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Left),
        found => found.map(drop)?,
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A live one with a full queue is told by an error too, instead of by waiting for it.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(Standing::Left)
        }
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(Standing::Answers),
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "make its folder (under systemd, RuntimeDirectory=vestibule in the unit does), or set listen.admin = \"off\""
        }
        io::ErrorKind::PermissionDenied => {
            "give its folder to the user that vestibule runs as, or set listen.admin = \"off\""
        }
        _ => "name another path, or set listen.admin = \"off\"",
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let own = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if own && let Err(error) = fs::remove_file(&self.path) {
            // The next start replaces it.
            tracing::debug!(path = %self.path.display(), %error, "the admin socket's file stays");
        }
    }
}
