//! Printing. A closed pipe (`vestibule … | head`) ends quietly.

use super::NOT_OK;
use crate::check::render::Look;
use crate::telemetry::log::Chain;
use rustix::termios::tcgetwinsize;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::os::fd::AsFd;

/// What standard output is like. It takes colour if it is a terminal, unless the user says
/// otherwise by NO_COLOR or CLICOLOR_FORCE (not empty, and for the second not 0).
pub(super) fn look() -> Look {
    let said = |name| std::env::var(name).is_ok_and(|value| !value.is_empty() && (name == "NO_COLOR" || value != "0"));
    let columns = columns(&io::stdout());
    let able = columns.is_some() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let colour = !said("NO_COLOR") && (able || said("CLICOLOR_FORCE"));
    Look::new(colour, columns.unwrap_or(Look::PLAIN.width()))
}

/// Columns for a line of progress on standard error; `None` where nobody would see it.
pub(super) fn progress_width() -> Option<usize> {
    let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    columns(&io::stderr()).filter(|_| able)
}

/// The width of a terminal; `None` for everything else.
fn columns(output: &(impl io::IsTerminal + AsFd)) -> Option<usize> {
    if !output.is_terminal() {
        return None;
    }
    // Some terminals, such as a serial line, say 0: they do not know.
    let known = tcgetwinsize(output).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    Some(known.unwrap_or(Look::PLAIN.width()))
}

/// To standard error, as it is: progress, which is no line.
pub(super) fn print_error(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// To standard output, as it is.
pub(super) fn print(text: &str) {
    // Nobody is left to be told of a closed pipe.
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

/// To standard output, with a line end.
pub(super) fn line(text: impl Display) {
    print(&format!("{text}\n"));
}

/// To standard error, as one line of this program.
pub(super) fn error(text: &impl Display) {
    let _ = writeln!(io::stderr(), "vestibule: {text}");
}

/// The same for an error with its causes, and the exit status that goes with it.
pub(super) fn failure(failed: &(dyn Error + 'static)) -> u8 {
    error(&Chain(failed));
    NOT_OK
}

/// What the argument parser has to say, where it wants to say it.
pub(super) fn rendered(message: &clap::Error) {
    let _ = message.print();
}
