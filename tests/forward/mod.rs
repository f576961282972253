//! A request on its way to the homeserver and back: what arrives, unchanged, and what does not.

mod bodies;
mod disconnects;
mod floods;
mod headers;
mod hold;
mod hosts;
mod limits;
pub mod outages;
mod patience;
mod pipelining;
mod rates;
mod streaming;
mod target;
mod upgrade;
mod waiting;

/// A request body of `length` bytes in which no stretch repeats, so that a lost or moved piece shows.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

/// A digest to compare bodies by.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
