//! A [`Report`](super::Report) as text: for people, for test harnesses, for monitoring.

mod areas;
mod chain;
mod go;
mod json;
mod nagios;
mod paint;
mod pretty;
mod tap;
mod text;

pub use go::GoReport;
pub use json::{SCHEMA, json, json_pretty};
pub use nagios::{nagios, status as nagios_status};
pub use paint::Look;
pub use pretty::{render, several};
pub use tap::tap;
pub use text::{harmless, printable};

#[cfg(test)]
mod tests;
