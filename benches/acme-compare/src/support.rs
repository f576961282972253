//! What vestibule's own tests stand on, compiled from their files.

#[path = "../../../tests/support/ca.rs"]
pub mod ca;
#[path = "../../../tests/support/curl.rs"]
pub mod curl;
#[path = "../../../tests/support/eventually.rs"]
pub mod eventually;
#[path = "../../../tests/support/pebble.rs"]
pub mod pebble;
#[path = "../../../tests/support/ports.rs"]
pub mod ports;
#[path = "../../../tests/support/process.rs"]
pub mod process;
