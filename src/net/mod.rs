//! Sockets: listeners, accepting and admitting, and bounded client exchanges.

pub mod accept;
pub mod admit;
pub mod client;
pub mod connections;
pub mod counted;
pub mod descriptors;
pub mod exchange;
pub mod incoming;
pub mod listen;
pub mod looker;
pub mod outgoing;
mod owner;
pub mod proxy_protocol;
pub mod range;
pub mod roots;
pub mod stream;
