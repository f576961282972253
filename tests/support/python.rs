//! The Python environment that `tests/peers/setup.sh` makes.

use std::path::{Path, PathBuf};

/// A program of it: `python`, `sslyze`, and what comes with Synapse.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/venv/bin").join(name);
    assert!(program.exists(), "{} is missing: run tests/peers/setup.sh", program.display());
    program
}
