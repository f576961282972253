//! The strict HTTP/1.1 codec, for both sides: heads, framing, bodies. Pure: bytes in, decisions out.
//!
//! Two programs that read the same bytes differently are how one client's request becomes part of
//! another's (request smuggling). So whatever RFC 9112 lets a recipient guess at is refused here:
//! bare line feeds, folded lines, two lengths, a length beside a transfer coding, any coding but a
//! single `chunked`, signs and spaces around numbers. What passes is kept as the bytes it came in:
//! homeservers sign and route on them.
//!
//! [`RequestHead`] is also what a request over HTTP/2 is turned into ([`RequestHead::build`]), so
//! that everything behind the protocols knows one form.
//!
//! httparse splits the lines. The framing, and everything that is refused above, is decided here.

mod body;
mod chunked;
mod fields;
mod request;
mod response;

pub use body::{Decoded, Decoder, Framing, Malformed};
pub use chunked::{FINAL_CHUNK, write_chunk_size};
pub use fields::Fields;
pub use request::{HeadReader, Limits, RequestError, RequestHead, Version};
pub use response::{ResponseError, ResponseHead};
