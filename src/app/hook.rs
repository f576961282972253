//! Running a program of the operator's: without a shell, bounded in time and output, with everything
//! it starts ended when its time is over.

use crate::config::Command;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command as Builder};
use tokio::time::timeout;

/// How long a program may run. Posting to a chat or sending a mail takes seconds.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// How much of each output is kept for the log; the rest is read and dropped, so that the program
/// never waits for us.
const MAX_OUTPUT: usize = 4 * 1024;

/// What systemd tells its own child, and nobody else.
const PRIVATE_ENVIRONMENT: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ran {
    /// The program's status; `None` when it was killed because its time was over.
    pub(super) status: Option<ExitStatus>,
    /// What it wrote to standard output and standard error, the beginning of each.
    pub(super) output: String,
}

/// A process group with its leader, killed with it when this is dropped. The leader is not waited for
/// before, so the number cannot have become somebody else's.
struct Group {
    leader: Child,
    id: Option<Pid>,
}

impl Group {
    /// Ends them all.
    fn kill(&mut self) {
        if let Some(id) = self.id.take() {
            // An error means that nobody is left.
            let _gone = kill_process_group(id, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `command` with `environment` added to this program's own, for at most `limit`.
pub(super) async fn run(
    command: &Command,
    environment: impl IntoIterator<Item = (&'static str, impl AsRef<OsStr>)>,
    limit: Duration,
) -> io::Result<Ran> {
    let mut builder = Builder::new(&command.program);
    builder.args(&command.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in PRIVATE_ENVIRONMENT {
        builder.env_remove(name);
    }
    // A group of its own: what it starts can be ended with it, and a Ctrl-C is not for it.
    builder.envs(environment).process_group(0);
    let mut leader = builder.spawn()?;
    let (out, err) = (leader.stdout.take(), leader.stderr.take());
    let id = leader.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let mut group = Group { leader, id };
    let (mut out_kept, mut err_kept) = (Vec::new(), Vec::new());
    let work = async {
        // Whoever it has left running in the background with these pipes still belongs to the run.
        tokio::join!(read(out, &mut out_kept), read(err, &mut err_kept));
        group.leader.wait().await
    };
    let status = match timeout(limit, work).await {
        Ok(status) => {
            group.id = None;
            Some(status?)
        }
        Err(_) => {
            group.kill();
            let _killed = group.leader.wait().await;
            None
        }
    };
    let text = |kept: &[u8]| String::from_utf8_lossy(kept).trim_end().to_owned();
    let outputs = [text(&out_kept), text(&err_kept)];
    let outputs: Vec<_> = outputs.into_iter().filter(|text| !text.is_empty()).collect();
    Ok(Ran { status, output: outputs.join("\n") })
}

/// Reads to the end and keeps the beginning.
async fn read(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = pipe.read(&mut piece).await {
        let room = MAX_OUTPUT.saturating_sub(kept.len());
        kept.extend(piece.iter().take(length.min(room)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    async fn shell(script: &str, limit: Duration) -> Ran {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        let command = Command { program: "/bin/sh".to_owned(), arguments };
        run(&command, [("VESTIBULE_RUNG", "warn")], limit).await.unwrap()
    }

    #[tokio::test]
    async fn the_environment_and_both_outputs_pass() {
        let ran = shell("echo $VESTIBULE_RUNG; echo to-err >&2; cat; exit 3", LIMIT).await;
        assert_eq!(ran.status.and_then(|status| status.code()), Some(3));
        assert_eq!(ran.output, "warn\nto-err");
    }

    #[tokio::test]
    async fn more_output_than_is_kept_blocks_nobody() {
        let ran = shell("head -c 1000000 /dev/zero | tr '\\0' x", LIMIT).await;
        assert!(ran.status.is_some_and(|status| status.success()));
        assert_eq!(ran.output.len(), MAX_OUTPUT);
    }

    #[tokio::test]
    async fn what_hangs_is_killed_with_what_it_has_started() {
        let started = Instant::now();
        let ran = shell("sleep 600 & echo $!; sleep 600", Duration::from_millis(300)).await;
        assert!(ran.status.is_none() && started.elapsed() < Duration::from_secs(20));
        let child: u32 = ran.output.parse().unwrap();
        // The kernel may need a moment; a process that is gone or only waits to be reaped is ended.
        let deadline = Instant::now() + Duration::from_secs(10);
        let ended = |stat: io::Result<String>| stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "));
        while !ended(std::fs::read_to_string(format!("/proc/{child}/stat"))) {
            assert!(Instant::now() < deadline, "{child} runs on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let command = Command { program: "/nowhere/hook".to_owned(), arguments: Vec::new() };
        let error = run(&command, [("A", "b")], LIMIT).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
