//! What an operator does beside serving.

pub mod import;
