//! Sockets: listeners, accepting, and bounded client exchanges.

pub mod accept;
pub mod exchange;
pub mod listen;
mod owner;
pub mod proxy_protocol;
pub mod roots;
pub mod stream;
