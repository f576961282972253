//! Delegation: the plan of a change, and what other web servers are told, by those web servers themselves.

mod plan;
mod snippets;

use std::path::Path;
use std::process::Output;

use crate::support::vestibule::command;

/// Runs `delegate` with a configuration file.
#[track_caller]
fn delegate(config: &Path, arguments: &[&str]) -> Output {
    let mut command = command(["delegate"]);
    command.args(arguments).arg("--config").arg(config);
    command.output().expect("the program starts")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
