//! The product itself, as its user runs it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Mark, Process};

/// Generous, for a debug build on a busy machine.
const START: Duration = Duration::from_secs(20);

/// A running `vestibule run` with a state folder of its own.
pub struct Vestibule {
    process: Process,
    folder: TempDir,
}

/// The binary under test with `arguments`, unaffected by the environment of whoever runs the tests.
pub fn command<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = without_settings(Command::new(env!("CARGO_BIN_EXE_vestibule")));
    command.args(arguments);
    command
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VESTIBULE_") {
            command.env_remove(name);
        }
    }
    command
}

impl Vestibule {
    /// Starts with this configuration and waits until it says that it is ready.
    #[track_caller]
    pub fn start(config: &str) -> Self {
        Self::ready(Self::spawn(config))
    }

    /// The same with at most so many open files.
    #[track_caller]
    pub fn start_with_open_files(most: u32, config: &str) -> Self {
        // `prlimit` becomes the program, so the process is the same.
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--nofile={most}:{most}")).arg(env!("CARGO_BIN_EXE_vestibule"));
        Self::ready(Self::spawn_as(limited, config))
    }

    /// The same as systemd starts it, which is told at this socket how it goes.
    #[track_caller]
    pub fn start_notifying(socket: &Path, config: &str) -> Self {
        let mut notifying = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        notifying.env("NOTIFY_SOCKET", socket);
        Self::ready(Self::spawn_as(notifying, config))
    }

    /// The same by another program, which becomes it.
    #[track_caller]
    pub fn start_through(program: Command, config: &str) -> Self {
        Self::ready(Self::spawn_as(program, config))
    }

    #[track_caller]
    fn ready(started: Self) -> Self {
        let ready = |line: &str| line.split_whitespace().any(|word| word == "ready");
        if let Err(reason) = started.process.find_line(Mark::default(), START, ready) {
            panic!("vestibule is not ready: {reason}");
        }
        started
    }

    /// Starts with this configuration and waits for nothing.
    #[track_caller]
    pub fn spawn(config: &str) -> Self {
        Self::spawn_as(Command::new(env!("CARGO_BIN_EXE_vestibule")), config)
    }

    #[track_caller]
    fn spawn_as(program: Command, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("vestibule.toml");
        // The state folder is no business of most tests; those that restart on it name their own. Drop-in files
        // cannot carry it: a scalar there would replace the test's.
        let config = match config.contains("state_dir") {
            true => config.to_owned(),
            false => format!("state_dir = {:?}\n{config}", folder.path().join("state")),
        };
        fs::write(&file, config).expect("a writable folder");
        let mut run = without_settings(program);
        run.args(["run", "--config"]);
        Self { process: Process::spawn("vestibule", run.arg(&file)), folder }
    }

    /// The configuration file, for changes before a reload.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("vestibule.toml")
    }

    /// Where certificates and accounts are kept unless the configuration says otherwise.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The addresses bound for a listener (`https`, `federation`, `http`, …), as logged.
    pub fn addresses(&self, listener: &str) -> Vec<SocketAddr> {
        let wanted = format!("listener={listener}");
        let lines = self.process.lines();
        let bound = lines.iter().filter(|line| line.contains("listening"));
        let bound = bound.filter(|line| line.split_whitespace().any(|word| word == wanted));
        let address =
            |line: &String| line.split_whitespace().find_map(|word| word.strip_prefix("address=")?.parse().ok());
        bound.filter_map(address).collect()
    }

    /// The one address bound for a listener.
    #[track_caller]
    pub fn address(&self, listener: &str) -> SocketAddr {
        match self.addresses(listener)[..] {
            [address] => address,
            ref other => panic!("{listener}: {} addresses where one is expected: {other:?}", other.len()),
        }
    }

    /// Asks it to end and waits for that.
    #[track_caller]
    pub fn terminate(mut self, within: Duration) -> ExitStatus {
        self.process.terminate(within)
    }

    /// The process, for what it logs and for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until a certificate that covers `name` is in use.
    #[track_caller]
    pub fn wait_for_certificate(&self, name: &str, within: Duration) {
        let published = |line: &str| line.contains("certificate published") && line.contains(name);
        if let Err(reason) = self.process.find_line(Mark::default(), within, published) {
            panic!("no certificate for {name}: {reason}");
        }
    }
}

/// A path as a TOML string.
pub fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}
