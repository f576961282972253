//! x
pub mod backoff;
pub mod clock;
pub mod config;
pub mod drain;
pub mod matrix;
pub mod net;
