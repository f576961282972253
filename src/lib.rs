//! x
pub mod backoff;
pub mod check;
pub mod clock;
pub mod dns;
pub mod drain;
pub mod matrix;
pub mod net;
