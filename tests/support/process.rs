//! A child process: its output kept in memory, its end certain.
//!
//! The output is read by threads, so a chatty child never blocks on a full pipe. When the owning test panics the
//! output is printed, which makes a failure on a machine one cannot log in to readable.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::eventually::eventually;

/// A running child. Dropping it kills exactly this child, by its id.
pub struct Process {
    name: String,
    /// Holds the child's standard input open as well: a child that watches it learns when its owner is gone.
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    open_pipes: usize,
}

/// A place in a child's output: what was already written when it was taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(usize);

/// A signal, by the name that `kill` takes.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    Cont,
    Hup,
    Int,
    Kill,
    Stop,
    Term,
}

impl fmt::Display for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Cont => "CONT",
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Term => "TERM",
        })
    }
}

impl Process {
    /// Starts `command`; `name` is what messages call it.
    #[track_caller]
    pub fn spawn(name: impl Into<String>, command: &mut Command) -> Self {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: cannot start {:?}: {error}", command.get_program()));
        let log = Arc::new(Log::default());
        Log::follow(&log, child.stdout.take().expect("stdout is piped"));
        Log::follow(&log, child.stderr.take().expect("stderr is piped"));
        Self { name, child, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory it holds (VmRSS), in KiB.
    #[track_caller]
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Processor time it has used.
    #[track_caller]
    pub fn cpu_time(&self) -> Duration {
        /// What /proc counts in (USER_HZ), the same on every Linux that Rust runs on.
        const TICK: Duration = Duration::from_millis(10);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        // The name in brackets may hold anything; user and system time are the 12th and 13th behind it.
        let (_, fields) = stat.rsplit_once(") ").expect("Linux tells it");
        let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>().expect("a number"));
        TICK * ticks.sum::<u32>()
    }

    /// Everything written so far, standard output and standard error in the order they arrived.
    pub fn lines(&self) -> Vec<String> {
        self.log.state.lock().expect("no reader panics").lines.clone()
    }

    /// Everything written since `mark`.
    pub fn lines_since(&self, mark: Mark) -> Vec<String> {
        self.lines().split_off(mark.0)
    }

    /// Where the output stands now, for [`Self::wait_for_line_since`].
    pub fn mark(&self) -> Mark {
        Mark(self.log.state.lock().expect("no reader panics").lines.len())
    }

    /// The first line that contains `pattern`, from the start of the output.
    #[track_caller]
    pub fn wait_for_line(&self, pattern: &str, within: Duration) -> String {
        self.wait_for_line_since(Mark::default(), pattern, within)
    }

    /// The first line after `mark` that contains `pattern`.
    #[track_caller]
    pub fn wait_for_line_since(&self, mark: Mark, pattern: &str, within: Duration) -> String {
        self.find_line(mark, within, |line| line.contains(pattern))
            .unwrap_or_else(|reason| panic!("{}: no line with {pattern:?}: {reason}", self.name))
    }

    /// The first line after `mark` that `wanted` accepts, or why there will be none.
    pub fn find_line(&self, mark: Mark, within: Duration, wanted: impl Fn(&str) -> bool) -> Result<String, String> {
        let deadline = Instant::now() + within;
        let mut seen = mark.0;
        let mut state = self.log.state.lock().expect("no reader panics");
        loop {
            if let Some(line) = state.lines.iter().skip(seen).find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            seen = seen.max(state.lines.len());
            if state.open_pipes == 0 {
                return Err("it ended".to_owned());
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Err(format!("not within {within:?}"));
            };
            state = self.log.changed.wait_timeout(state, left).expect("no reader panics").0;
        }
    }

    /// Waits until somebody accepts connections on `address`, or this child has ended.
    #[track_caller]
    pub fn wait_until_listening(&mut self, address: SocketAddr, within: Duration) {
        let what = format!("{} listens on {address}", self.name);
        eventually(&what, within, || {
            if let Some(status) = self.try_wait() {
                panic!("{}: ended with {status} before it listened on {address}", self.name);
            }
            TcpStream::connect_timeout(&address, Duration::from_secs(1))
        });
    }

    /// Sends `signal` to this child.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        // The `kill` program, as the standard library sends only SIGKILL and this tree holds no unsafe code.
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "{}: cannot send SIG{signal}", self.name);
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for the end that the child finds by itself.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, within, || self.try_wait().ok_or("it still runs"))
    }

    /// Asks the child to end with SIGTERM and waits for it.
    #[track_caller]
    pub fn terminate(&mut self, within: Duration) -> ExitStatus {
        self.signal(Signal::Term);
        self.wait(within)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already, which is all that is wanted here.
        let _ended = self.child.kill();
        let _status = self.child.wait();
        if thread::panicking() {
            eprintln!("---- output of {} ----", self.name);
            for line in self.lines() {
                // Marked, so that a test result in there is not taken for ours.
                eprintln!("| {line}");
            }
        }
    }
}

impl Log {
    fn follow(log: &Arc<Self>, pipe: impl Read + Send + 'static) {
        log.state.lock().expect("no reader panics").open_pipes += 1;
        let log = Arc::clone(log);
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                log.change(|state| state.lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
            log.change(|state| state.open_pipes -= 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut LogState)) {
        change(&mut self.state.lock().expect("no reader panics"));
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        Process::spawn("shell", Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn lines_of_both_outputs_are_found_after_a_mark() {
        let mut child = shell("echo first; echo second >&2; read -r _; echo third");
        child.wait_for_line("second", SOON);
        child.wait_for_line("first", SOON);
        let mark = child.mark();
        drop(child.child.stdin.take());
        assert_eq!(child.wait_for_line_since(mark, "r", SOON), "third");
        assert!(child.wait(SOON).success());
    }

    #[test]
    fn a_line_that_cannot_come_any_more_is_not_waited_for() {
        let child = shell("echo only");
        let started = Instant::now();
        assert_eq!(child.find_line(Mark::default(), SOON, |line| line == "other"), Err("it ended".to_owned()));
        assert!(started.elapsed() < SOON);
    }

    #[test]
    fn a_deadline_is_kept() {
        let child = shell("exec sleep 60");
        let missing = child.find_line(Mark::default(), Duration::from_millis(50), |_| true);
        assert!(missing.is_err_and(|reason| reason.starts_with("not within")));
    }

    #[test]
    fn sigterm_can_be_answered() {
        let mut child = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
        child.wait_for_line("up", SOON);
        assert_eq!(child.terminate(SOON).code(), Some(7));
    }

    #[test]
    fn dropping_ends_it() {
        let child = shell("exec sleep 60");
        let entry = format!("/proc/{}", child.id());
        assert!(std::path::Path::new(&entry).exists());
        drop(child);
        assert!(!std::path::Path::new(&entry).exists());
    }
}
