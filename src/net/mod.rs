//! Sockets: listeners, accepting, and bounded client exchanges.

pub mod accept;
pub mod exchange;
pub mod incoming;
pub mod listen;
pub mod outgoing;
mod owner;
pub mod roots;
pub mod stream;
