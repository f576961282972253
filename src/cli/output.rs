//! Printing. A closed pipe (`vestibule … | head`) ends quietly.

use super::NOT_OK;
use crate::telemetry::log::Chain;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

/// Whether standard output takes colour: a terminal whose user has not said no.
pub(super) fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
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
