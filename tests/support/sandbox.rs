//! A test inside network, mount and process namespaces of its own.
//!
//! There it may bind ports 80, 443 and 8448 on loopback addresses, name hosts as it likes and start what it wants,
//! and the machine outside sees none of it: no file is edited, no port taken, and when the first process inside ends,
//! the kernel ends all others. The test binary runs itself again as that first process.

use std::env;
use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use super::process::Process;

/// Tells the inner run that it is one, by naming the network namespace it must not find itself in.
const OUTER_NETWORK: &str = "VESTIBULE_TESTS_OUTER_NETWORK";

/// Runs `body` for the test `name` of `module` (its `module_path!()`) in a sandbox where `hosts` are the known names.
#[track_caller]
pub fn run(module: &str, name: &str, hosts: &[(IpAddr, &str)], within: Duration, body: impl FnOnce()) {
    let here = network_namespace();
    match env::var(OUTER_NETWORK) {
        Ok(outer) => {
            // The next steps mount over /etc/hosts; they must never happen outside.
            assert_ne!(outer, here, "{OUTER_NETWORK} is set, but this is no sandbox");
            end_with_owner();
            furnish(hosts);
            body();
        }
        Err(_) => run_again_inside(module, name, &here, within),
    }
}

#[track_caller]
fn run_again_inside(module: &str, name: &str, here: &str, within: Duration) {
    // The harness knows tests by their path below the crate.
    let path = module.split_once("::").map_or(name.to_owned(), |(_, module)| format!("{module}::{name}"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !is_root() {
        // Root of a user namespace of one's own may do all this as well.
        command.arg("--map-root-user");
    }
    command.arg("--").arg(env::current_exe().expect("a test binary knows itself"));
    command.args([&path, "--exact", "--nocapture"]);
    command.env(OUTER_NETWORK, here).env("TMPDIR", folder.path());

    let mut inside = Process::spawn("the sandbox", &mut command);
    let status = inside.wait(within);
    let ran =
        |outcome: &str| inside.lines().iter().any(|line| line.starts_with("test result:") && line.contains(outcome));
    assert!(!ran("FAILED"), "{path} failed in its sandbox; its own words are below");
    assert!(
        status.success(),
        "no sandbox for {path}: `unshare` ended with {status}. If this machine or container forbids namespaces, run the \
         tests as root, or permit them"
    );
    assert!(ran("1 passed"), "the sandbox ran no test named {path}");
    for line in inside.lines() {
        println!("| {line}");
    }
}

/// Ends this process, and with it the whole sandbox, when the process outside is gone for whatever reason: it holds
/// the other end of standard input and never writes to it.
fn end_with_owner() {
    thread::spawn(|| {
        let _end = io::stdin().read(&mut [0; 1]);
        process::exit(130);
    });
}

fn furnish(hosts: &[(IpAddr, &str)]) {
    // Files of the test live in memory: nothing is left behind, even after a kill.
    mount(&["-t", "tmpfs", "tmpfs"], &env::temp_dir());
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(status.is_ok_and(|status| status.success()), "the loopback interface does not come up");

    let names = hosts.iter().map(|(address, name)| format!("{address} {name}\n"));
    replace("/etc/hosts", &format!("127.0.0.1 localhost\n{}", names.collect::<String>()));
    // No name server that this machine knows: an unknown name fails at once instead of after a resolver's timeout.
    // The C library asks 127.0.0.1 then, where nobody answers.
    replace("/etc/resolv.conf", "options timeout:1 attempts:1\n");
    // A resolver daemon behind a socket file would still be reachable, and knows other names.
    replace("/etc/nsswitch.conf", "hosts: files dns\n");
}

/// Makes 127.0.0.1 the name server of this sandbox, where the test has put one.
#[track_caller]
pub fn resolve_here() {
    fs::write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        .expect("a file of the sandbox");
}

fn replace(original: &str, text: &str) {
    let original = Path::new(original);
    if !original.exists() {
        // Nothing to mount on; the C library's defaults for a missing file are harmless here.
        return;
    }
    let name = original.file_name().expect("a file");
    let replacement = env::temp_dir().join(name);
    fs::write(&replacement, text).expect("a writable folder");
    mount(&["--bind", &replacement.to_string_lossy()], original);
}

fn mount(arguments: &[&str], target: &Path) {
    let status = Command::new("mount").args(arguments).arg(target).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot mount {arguments:?} on {}", target.display());
}

fn network_namespace() -> String {
    let link = fs::read_link("/proc/self/ns/net").expect("Linux with network namespaces");
    link.to_string_lossy().into_owned()
}

/// Whether this process may do everything, here or in its sandbox.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id is part of every Debian");
    id.stdout.trim_ascii() == b"0"
}
