//! What the program tells people and machines about itself while it runs.

pub mod complaint;
pub mod exposition;
pub mod log;
pub mod metrics;
pub mod names;
pub mod origins;
