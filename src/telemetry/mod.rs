//! What the program tells people and machines about itself while it runs.

pub mod log;
pub mod metrics;
