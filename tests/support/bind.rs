//! BIND: authoritative name servers with dynamic updates, for tests in a sandbox.
//!
//! BIND and not one of the smaller servers, because it is what operators with RFC 2136 have: its `tsig-keygen` writes
//! the key files, its words are what refusals look like, and its `nsupdate` is what hooks are made of.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;

/// A running server on port 53 of its address.
pub struct Bind {
    process: Process,
    _folder: TempDir,
}

impl Bind {
    /// Starts one at `address`, which it gives to the loopback interface, with more `options`, this text in its
    /// configuration and these files beside it.
    #[track_caller]
    pub fn start(address: IpAddr, options: &str, config: &str, files: &[(&str, &str)]) -> Self {
        // It listens on addresses that interfaces have, and loopback has but one of its many. The first is there.
        let _ = Command::new("ip").args(["address", "add", &format!("{address}/8"), "dev", "lo"]).output();
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("a writable folder");
        }
        let text = format!(
            "options {{ directory {folder:?}; listen-on port 53 {{ {address}; }}; listen-on-v6 {{ none; }}; \
             pid-file none; dnssec-validation no; empty-zones-enable no; notify no; \
             allow-transfer {{ any; }}; min-refresh-time 3; max-refresh-time 4; min-retry-time 1; {options} }};\n\
             controls {{ }};\n{config}\n",
            folder = folder.path(),
        );
        let file = folder.path().join("named.conf");
        fs::write(&file, text).expect("a writable folder");
        // Where AppArmor confines the program, it does so by its path, and keeps it from folders of tests.
        let program = folder.path().join("named");
        let installed = Path::new("/usr/sbin/named");
        fs::copy(installed, &program).expect("bind9 is installed; tests/peers/setup.sh sees to it");
        let mut command = Command::new(program);
        command.args(["-g", "-n", "1", "-c"]).arg(&file);
        let mut process = Process::spawn("named", &mut command);
        process.wait_until_listening(SocketAddr::new(address, 53), Duration::from_secs(20));
        process.wait_for_line("running", Duration::from_secs(20));
        Self { process, _folder: folder }
    }

    /// What it has logged.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Writes a new key into `folder`, as `tsig-keygen` prints it, and returns where it is and what was printed.
#[track_caller]
pub fn key(folder: &Path, algorithm: &str, name: &str) -> (PathBuf, String) {
    let output = Command::new("/usr/sbin/tsig-keygen").args(["-a", algorithm, name]).output();
    let output = output.expect("bind9-utils is installed; tests/peers/setup.sh sees to it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let file = folder.join(format!("{name}.key"));
    fs::write(&file, &printed).expect("a writable folder");
    (file, printed)
}

/// The TXT records that `server` has at `name`, as dig prints them.
#[track_caller]
pub fn txt(server: IpAddr, name: &str) -> Vec<String> {
    let output =
        Command::new("dig").args(["+short", "+tries=2", "+time=2", &format!("@{server}"), name, "TXT"]).output();
    let output = output.expect("bind9-dnsutils is installed; tests/peers/setup.sh sees to it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
