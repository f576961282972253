//! The loop-back proof of an own server, which only the vestibule that runs can make.

use crate::admin::socket::{AdminError, Command, call};
use crate::check::loop_back::LoopSource;
use crate::config::AdminAddress;
use crate::probe::loopback::LoopSeen;
use std::time::Duration;
use tokio::time::timeout;

/// What an idle minute takes on top, with room for its connection.
const IDLE: Duration = Duration::from_secs(75);

/// Asks the vestibule at `admin` for its proof for the server `name`, for as long as a check may take.
/// That nobody answers is no failure: the rest can be checked all the same.
pub(super) async fn ask(admin: Option<&AdminAddress>, name: &str, deep: bool, limit: Duration) -> LoopSource {
    let Some(admin) = admin else {
        return LoopSource::Told(Err("listen.admin is \"off\", so the vestibule that runs cannot be asked".to_owned()));
    };
    let limit = if deep { limit.saturating_add(IDLE) } else { limit };
    let mut lines = Vec::new();
    let command = Command::CheckLoopBack { name: name.to_owned(), deep };
    let asked = timeout(limit, call(&admin.path, &command, |line| lines.push(line.to_owned()))).await;
    LoopSource::Told(match asked {
        Err(_) => Err(format!("the vestibule that runs did not answer within {} s", limit.as_secs())),
        Ok(Err(error)) => Err(in_words(&error)),
        Ok(Ok(0)) => seen(&lines),
        Ok(Ok(_)) => Err(lines.join("; ")),
    })
}

/// Short, as it stands in a finding that has a remedy of its own.
fn in_words(error: &AdminError) -> String {
    match error {
        AdminError::NotRunning(path) => format!("no vestibule runs that answers at {}", path.display()),
        AdminError::Denied(path) => format!("{} is closed to this user", path.display()),
        other => other.to_string(),
    }
}

fn seen(lines: &[String]) -> Result<Vec<LoopSeen>, String> {
    let read = lines.iter().map(|line| serde_json::from_str(line));
    let read: Result<_, serde_json::Error> = read.collect();
    read.map_err(|_| "the vestibule that runs is of another version; restart it".to_owned())
}
