//! The certificate manager: orders certificates over ACME (RFC 8555) and renews them.
//!
//! [`mod@plan`] decides when, where and why (pure); [`window`] is what a CA suggests (RFC 9773);
//! [`ledger`] remembers what happened at each CA across restarts. [`manager`] turns the wheel: it
//! wakes, plans, and has `order` take one order through validation over [`wire`]. The protocol
//! itself is instant-acme's; all it needs around it stays inside this module.

mod account;
pub mod ask;
mod ca;
mod directory;
pub mod dns01;
pub mod ledger;
mod manager;
mod order;
pub mod plan;
pub mod preflight;
mod schedule;
pub mod status;
pub mod stored;
pub mod window;
mod wire;

pub use account::{AccountError, check_external_account};
pub use ca::ca_key;
pub use manager::{Manager, Parts};
pub use wire::{CLOCK_TOLERANCE, Https, Transport, WireError};
