//! The one integration binary: every family in it drives the built program from outside.
//!
//! `tests/peers/setup.sh` installs the other programs that take part; a missing one is a failure, never a skipped
//! test.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test ends by panicking, prints what it saw, waits on the wall clock, and has no users outside"
)]

mod acme;
mod admin;
mod architecture;
mod browser;
mod catalogue;
mod certificates;
mod check_loop;
mod check_names;
mod check_requests;
mod check_tls;
mod cli;
mod contract;
mod crowds;
mod delegate;
mod descriptors;
mod expiry;
mod forward;
mod identity;
mod listen;
mod own_check;
mod packaging;
mod peers;
mod port80;
mod probes;
mod readme;
mod routes;
mod routing;
mod signals;
mod status;
mod support;
mod survival;
mod tls;
mod well_known;
mod years;
