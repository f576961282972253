//! What Matrix itself defines: names, documents, keys, signing form, error bodies.
//!
//! Pure types and functions with no I/O. Everything here follows the Matrix specification;
//! each file names its section.

pub mod authorization;
pub mod canonical_json;
pub mod error;
pub mod host_pattern;
pub mod keys;
pub mod server_name;
pub mod signing_key_file;
pub mod version;
pub mod well_known;

pub use error::MatrixError;
pub use host_pattern::HostPattern;
pub use server_name::{Host, ServerName};
