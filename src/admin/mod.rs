//! Administration: how a running vestibule is told what to do, what an operator sees of it, and how
//! things come here from other programs.

pub mod import;
pub mod socket;
pub mod status;
