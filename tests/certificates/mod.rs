//! Certificates that come without a CA in the network: the operator's own files, and the internal CA.

mod files;
mod import;
mod internal;
mod permissions;
mod reload;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::vestibule::{command, quoted};

/// A configuration for `a.test` with these keys in `[tls]`, and a state folder in `folder`.
fn config(folder: &Path, tls: &str) -> String {
    format!(
        r#"
        server_name = "a.test"
        homeserver = "http://127.0.0.1:9"
        state_dir = {state}
        [listen]
        https = ["127.0.0.1:0"]
        federation = ["127.0.0.1:0"]
        http = ["127.0.0.1:0"]
        status = "off"
        [check]
        network = "private"
        [tls]
        {tls}
        "#,
        state = quoted(&folder.join("state")),
    )
}

/// `[[tls.certificates]]` with these files.
fn pair(chain: &Path, key: &Path) -> String {
    format!("[[tls.certificates]]\nchain = {}\nkey = {}\n", quoted(chain), quoted(key))
}

/// What a command said and how it ended.
#[derive(Debug)]
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

/// Runs a command of the program on a configuration; it must end by itself.
#[track_caller]
fn run(arguments: &[&str], folder: &Path, config: &str) -> Said {
    run_as(command(arguments), folder, config)
}

#[track_caller]
fn run_as(mut command: Command, folder: &Path, config: &str) -> Said {
    let file = folder.join("vestibule.toml");
    fs::write(&file, config).expect("a writable folder");
    let output: Output = command.arg("--config").arg(file).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
