//! Connections to ourselves, to see what others would see.
//!
//! [`reach`] asks whether an address leads to this very process, the way a CA does it; [`shown()`]
//! asks every own TLS listener which certificate it shows; [`loopback`] proves that requests arrive
//! as they were sent. What arrives is compared here, and nothing that was sent is ever echoed.

mod connection;
pub mod loopback;
mod nonce;
pub mod own;
pub mod reach;
pub mod shown;

pub use own::{OwnListeners, is_own};
pub use reach::Reach;
pub use shown::{Mismatch, shown};
