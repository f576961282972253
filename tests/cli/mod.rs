//! The command line: what is printed, and with which status it ends.

mod check;
mod configuration;
mod formats;
mod help;
mod log;
mod stop;

use std::process::{Output, Stdio};

use crate::support::vestibule::command;

/// Usage and configuration errors (EX_USAGE of sysexits(3)).
const USAGE: i32 = 64;

/// Runs the program to its end.
#[track_caller]
fn run<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    // A terminal, or what the environment says of one, would change how wide the help is.
    let mut command = command(arguments);
    command.env_remove("COLUMNS").env("NO_COLOR", "1").stdin(Stdio::null());
    command.output().expect("the program starts")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
