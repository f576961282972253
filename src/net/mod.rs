//! Sockets: listeners, accepting, and bounded client exchanges.

pub mod exchange;
