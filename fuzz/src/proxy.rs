//! Routing's pure part, as vestibule has it.

#[path = "../../src/proxy/readings.rs"]
mod readings;
// Routing uses more of it than the fuzz target does.
#[allow(dead_code)]
#[path = "../../src/proxy/target.rs"]
mod target;

/// How closed a path is: the order of `target::Access`.
pub(crate) fn access(path: &str) -> u8 {
    target::Target::new(path).access() as u8
}

/// Whether a path belongs to a homeserver, so that an apex site does not get it.
pub(crate) fn is_matrix(path: &str) -> bool {
    target::Target::new(path).is_matrix()
}

/// Whether a path belongs to what no route opens that does not name it, or to the admin API.
pub(crate) fn is_kept(path: &str) -> bool {
    let target = target::Target::new(path);
    target.private().is_some() || target.is_admin()
}
