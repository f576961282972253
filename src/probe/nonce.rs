//! Texts that nobody else can know.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

/// A new random text of 128 bits, in hexadecimal.
pub(super) fn nonce() -> Result<String, Unspecified> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_is_new() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!((one.len(), other.len()), (32, 32));
        assert_ne!(one, other);
    }
}
