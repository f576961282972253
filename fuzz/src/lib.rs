//! What must hold for any bytes from a network: one function a target. Each panics when it does not.
//!
//! The modules under test are compiled from vestibule's own files. They are pure, so that this needs few of
//! vestibule's dependencies, and a build takes seconds. `fuzz_targets/` hands these functions to libFuzzer,
//! `tests/corpus.rs` runs them over the corpus with nothing but stable Rust.

mod chunked_body;
/// The codec, as vestibule has it.
#[path = "../../src/http1/mod.rs"]
pub mod http1;
pub mod normalisers;
mod proxy;
mod proxy_header;
/// The PROXY protocol's parser, as vestibule has it.
#[path = "../../src/net/proxy_protocol.rs"]
pub mod proxy_protocol;
mod request_head;
mod request_target;
mod response_head;
mod split;

pub use chunked_body::chunked_body;
pub use proxy_header::proxy_header;
pub use request_head::request_head;
pub use request_target::request_target;
pub use response_head::response_head;

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 5] = [
    ("chunked_body", chunked_body),
    ("proxy_header", proxy_header),
    ("request_head", request_head),
    ("request_target", request_target),
    ("response_head", response_head),
];
