//! A program of the operator's that writes and removes the record.
//!
//! It is called as lego's: `PROGRAM [ARGUMENTS…] present|cleanup FQDN VALUE`, with the same in its
//! environment ([`variables`]). No shell is in between. Status 0 is success. It must leave other values
//! of the name alone, and must not mind being told the same twice.

use super::{Action, Record};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// How long one call may take. Slow providers answer within a minute; waiting for the record to
/// spread is not the program's work.
const LIMIT: Duration = Duration::from_secs(120);

/// How long its messages are waited for once it has ended: a child of it may hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How much of the end of its messages is kept, and how many lines are told.
const KEPT: usize = 4096;
const LINES: usize = 5;

/// Why a record was not written or removed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It could not be started.
    #[error("acme.dns.command: {program} cannot be started; see that it is there and may be executed")]
    Start {
        /// Its path.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("acme.dns.command: {program} {action} ended with {status}{said}")]
    Failed {
        /// Its path.
        program: String,
        /// `present` or `cleanup`.
        action: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines, after a colon; empty if it said nothing.
        said: String,
    },
    /// It was ended because it took too long.
    #[error("acme.dns.command: {program} {action} took longer than {} s and was killed{said}", LIMIT.as_secs())]
    TooLong {
        /// Its path.
        program: String,
        /// `present` or `cleanup`.
        action: &'static str,
        /// As in [`HookError::Failed`].
        said: String,
    },
}

/// The program. Calls come one after the other: it may read, change and write a whole zone.
pub(super) struct Hook {
    command: Vec<String>,
    turn: Mutex<()>,
}

impl Hook {
    pub(super) fn new(command: Vec<String>) -> Self {
        Self { command, turn: Mutex::new(()) }
    }

    pub(super) async fn run(&self, record: &Record, action: Action) -> Result<(), HookError> {
        let _turn = self.turn.lock().await;
        self.run_within(record, action, LIMIT).await
    }

    async fn run_within(&self, record: &Record, action: Action, limit: Duration) -> Result<(), HookError> {
        let program = self.command.first().cloned().unwrap_or_default();
        let action = word(action);
        let mut command = Command::new(&program);
        command.args(self.command.iter().skip(1)).args([action, &fqdn(record), &record.value]);
        command.envs(variables(record, action));
        // A group of its own, so that what it starts can be ended with it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().map_err(|source| HookError::Start { program: program.clone(), source })?;
        let mut running = Running { child };
        let mut said = Tail::default();
        let pipe = running.child.stderr.take();
        let ended = tokio::time::timeout(limit, running.end(pipe, &mut said)).await;
        let said = said.lines();
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(HookError::Failed { program, action, status, said }),
            Ok(Err(source)) => Err(HookError::Start { program, source }),
            Err(_) => {
                running.kill();
                let _ = running.child.wait().await;
                Err(HookError::TooLong { program, action, said })
            }
        }
    }
}

/// Whether the program is there and may be executed by somebody.
pub(super) fn check(command: &[String]) -> Result<(), HookError> {
    let program = command.first().cloned().unwrap_or_default();
    let is_program = |metadata: &Metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    match std::fs::metadata(&program) {
        Ok(metadata) if is_program(&metadata) => Ok(()),
        Ok(_) => Err(HookError::Start { program, source: io::ErrorKind::PermissionDenied.into() }),
        Err(source) => Err(HookError::Start { program, source }),
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Present => "present",
        Action::CleanUp => "cleanup",
    }
}

fn fqdn(record: &Record) -> String {
    format!("{}.", record.name)
}

/// What it finds in its environment beside our own: the arguments once more, and the zone.
fn variables(record: &Record, action: &str) -> [(&'static str, String); 4] {
    [
        ("VESTIBULE_DNS_ACTION", action.to_owned()),
        ("VESTIBULE_DNS_NAME", fqdn(record)),
        ("VESTIBULE_DNS_VALUE", record.value.clone()),
        ("VESTIBULE_DNS_ZONE", format!("{}.", record.zone)),
    ]
}

/// A started program. Dropped before its end, as when vestibule stops, it is killed with its group.
struct Running {
    child: Child,
}

impl Running {
    async fn end(&mut self, pipe: Option<impl AsyncRead + Unpin>, said: &mut Tail) -> io::Result<ExitStatus> {
        let Some(pipe) = pipe else { return self.child.wait().await };
        let mut reading = std::pin::pin!(said.read(pipe));
        let status = tokio::select! {
            status = self.child.wait() => status?,
            () = &mut reading => return self.child.wait().await,
        };
        let _ = tokio::time::timeout(LAST_WORDS, reading).await;
        Ok(status)
    }

    fn kill(&self) {
        // No id once it has been waited for: the number may be another's by then.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = id {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of what was said.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    async fn read(&mut self, mut pipe: impl AsyncRead + Unpin) {
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
            self.0.extend(buffer.iter().take(length));
            let surplus = self.0.len().saturating_sub(KEPT);
            self.0.drain(..surplus);
        }
    }

    /// The last lines in one, for a message: `: one / two`.
    fn lines(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned();
        let mut lines: Vec<_> = text.lines().map(clean).filter(|line| !line.is_empty()).collect();
        lines.drain(..lines.len().saturating_sub(LINES));
        if lines.is_empty() { String::new() } else { format!(": {}", lines.join(" / ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use tokio::time::Instant;

    fn record() -> Record {
        let [zone, name, value] = ["a.test", "_acme-challenge.a.test", "va lue"].map(str::to_owned);
        Record { zone, name, value }
    }

    /// A hook that is this script.
    fn script(text: &str) -> Hook {
        Hook::new(["/bin/sh", "-c", text, "hook"].map(str::to_owned).to_vec())
    }

    async fn said(hook: &Hook) -> String {
        hook.run(&record(), Action::Present).await.expect_err("a failure").to_string()
    }

    #[tokio::test]
    async fn arguments_and_environment_say_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("told");
        let told = format!(
            "printf '%s|' \"$@\" \"$VESTIBULE_DNS_ACTION\" \"$VESTIBULE_DNS_NAME\" \"$VESTIBULE_DNS_VALUE\" \"$VESTIBULE_DNS_ZONE\" >> {}",
            file.display()
        );
        let hook = script(&told);
        hook.run(&record(), Action::Present).await.unwrap();
        hook.run(&record(), Action::CleanUp).await.unwrap();
        let name = "_acme-challenge.a.test.";
        let once = |action: &str| format!("{action}|{name}|va lue|{action}|{name}|va lue|a.test.|");
        assert_eq!(std::fs::read_to_string(file).unwrap(), once("present") + &once("cleanup"));
    }

    #[tokio::test]
    async fn a_failure_is_told_with_the_last_lines() {
        let failed = said(&script("yes noise | head -n 5000 >&2; echo; echo 'no such zone' >&2; exit 3")).await;
        assert!(
            failed.contains("/bin/sh present ended with exit status: 3: noise / noise / noise / noise / no such zone"),
            "{failed}"
        );
        assert!(said(&script("kill -TERM $$")).await.ends_with("ended with signal: 15 (SIGTERM)"));
        let absent = Hook::new(vec!["/nowhere/hook".to_owned()]);
        assert_eq!(
            said(&absent).await,
            "acme.dns.command: /nowhere/hook cannot be started; see that it is there and may be executed"
        );
    }

    #[test]
    fn a_program_that_cannot_run_is_seen_beforehand() {
        for (program, runs) in [("/bin/sh", true), ("/nowhere/hook", false), ("/etc/passwd", false), ("/etc", false)] {
            assert_eq!(check(&[program.to_owned()]).is_ok(), runs, "{program}");
        }
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let hook = script(&format!("sleep 1000 & echo $! > {}; echo waiting >&2; wait", pid_file.display()));
        let ended = hook.run_within(&record(), Action::Present, Duration::from_millis(500)).await;
        let failed = ended.expect_err("too long").to_string();
        assert!(failed.ends_with("was killed: waiting"), "{failed}");
        let child = std::fs::read_to_string(pid_file).unwrap();
        let state = Path::new("/proc").join(child.trim()).join("stat");
        // Whoever adopts the killed child takes it from the table when it gets to it.
        let is_gone = || std::fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z "));
        let end = Instant::now() + Duration::from_secs(5);
        while !is_gone() {
            assert!(Instant::now() < end, "the child of the hook lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_child_that_stays_behind_delays_nothing() {
        let started = Instant::now();
        script("sleep 30 & exit 0").run(&record(), Action::Present).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
