//! The admin socket: how a command reaches the vestibule that runs.
//!
//! It is a unix socket (`listen.admin`) of mode 0660 and the only place with power: whoever may open
//! it may do what the commands do, and nobody else can. Who asked (SO_PEERCRED) stands in the log.
//!
//! A connection is one command. The client sends one JSON object on one line of 64 KiB at most, and
//! gets JSON objects back, each on a line:
//!
//! ```text
//! > {"version":1,"command":"certs renew","names":["a.example"]}
//! < {"line":"a.example: ordering a certificate"}
//! < {"exit":0}
//! ```
//!
//! `line` is for people, as the command line prints it; only `check loop-back` answers programs. `error` says why a request was refused.
//! `exit` comes last and is the exit status of the command; without it, the answer is not whole.
//! `version` may be left out; a version, a command or a key that this vestibule does not know is
//! refused and never guessed at.
//!
//! [`bind`] makes the socket, [`serve`] takes requests and passes each on as a [`Call`], and
//! [`call()`] is the client.

mod answer;
mod client;
mod command;
mod frame;
mod place;
mod server;

pub use answer::{Answer, Call};
pub use client::{AdminError, call};
pub use command::Command;
pub use place::{AdminBindError, AdminSocket, bind};
pub use server::serve;

#[cfg(test)]
mod tests;
