//! What an operator sees and handles of a running program, apart from its log.

pub mod status;
