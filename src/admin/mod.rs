//! Administration: how a running vestibule is told what to do, and how things come here from other
//! programs.

pub mod socket;
