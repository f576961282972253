//! A homeserver's own signing key, from the file in which the homeserver keeps it.
//!
//! Synapse writes one line for each key, `ed25519 VERSION SEED`, the seed in unpadded base64; the
//! first line is the key it signs with. Dendrite writes PEM blocks `MATRIX PRIVATE KEY` with a header
//! `Key-ID: ed25519:VERSION` around the same 32 bytes. Conduit's descendants keep the key in their
//! database, so there is no file to read.

use super::keys::{BASE64, SigningKey};
use base64::Engine as _;

/// Where a PEM block of Dendrite's begins and ends.
const PEM_BEGIN: &str = "-----BEGIN MATRIX PRIVATE KEY-----";
const PEM_END: &str = "-----END MATRIX PRIVATE KEY-----";

/// An ed25519 seed.
const SEED: usize = 32;

/// Why a file holds no signing key. None of the texts repeats a line of the file: it is secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyFile {
    /// Nothing in it looks like a key.
    #[error("there is no line `ed25519 VERSION SEED` (Synapse) and no block MATRIX PRIVATE KEY (Dendrite) in it")]
    NoKey,
    /// A line has another shape.
    #[error("line {0} is not `ed25519 VERSION SEED`")]
    Line(usize),
    /// The key itself is not what it should be.
    #[error("the key {0:?} is not {SEED} bytes of base64")]
    Seed(String),
    /// A PEM block without its end, or without its header.
    #[error("a block MATRIX PRIVATE KEY has no end, or no header `Key-ID: ed25519:VERSION`")]
    Block,
}

/// Every signing key in the text of a key file, in order.
pub fn read(text: &str) -> Result<Vec<SigningKey>, BadKeyFile> {
    let keys = if text.contains(PEM_BEGIN) { blocks(text)? } else { lines(text)? };
    if keys.is_empty() { Err(BadKeyFile::NoKey) } else { Ok(keys) }
}

fn lines(text: &str) -> Result<Vec<SigningKey>, BadKeyFile> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let keys = lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("ed25519"), Some(version), Some(seed), None) => key(version, seed),
            _ => Err(BadKeyFile::Line(number)),
        }
    });
    keys.collect()
}

fn blocks(text: &str) -> Result<Vec<SigningKey>, BadKeyFile> {
    text.split(PEM_BEGIN).skip(1).map(block).collect()
}

fn block(text: &str) -> Result<SigningKey, BadKeyFile> {
    let (inside, _) = text.split_once(PEM_END).ok_or(BadKeyFile::Block)?;
    let (headers, body): (Vec<_>, Vec<_>) = inside.lines().map(str::trim).partition(|line| line.contains(':'));
    let id = headers.iter().find_map(|line| line.split_once(':').filter(|(name, _)| *name == "Key-ID"));
    let version = id.and_then(|(_, id)| id.trim().strip_prefix("ed25519:")).ok_or(BadKeyFile::Block)?;
    key(version, &body.concat())
}

fn key(version: &str, seed: &str) -> Result<SigningKey, BadKeyFile> {
    let bad = || BadKeyFile::Seed(version.to_owned());
    let seed = BASE64.decode(seed).ok().filter(|seed| seed.len() == SEED).ok_or_else(bad)?;
    SigningKey::from_seed(version, &seed).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED_TEXT: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";
    const PUBLIC: &str = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI";

    fn ids(text: &str) -> Result<Vec<(String, String)>, BadKeyFile> {
        let keys = read(text)?;
        Ok(keys.iter().map(|key| (key.id().to_owned(), key.public_base64())).collect())
    }

    #[test]
    fn both_forms_give_the_same_key() {
        let expected = vec![("ed25519:a_1".to_owned(), PUBLIC.to_owned())];
        let synapse = format!("ed25519 a_1 {SEED_TEXT}\n");
        assert_eq!(ids(&synapse), Ok(expected.clone()));
        let two = format!("\r\n{synapse}ed25519 a_2 {SEED_TEXT}=\r\n");
        assert_eq!(
            ids(&two).unwrap().iter().map(|key| key.0.as_str()).collect::<Vec<_>>(),
            ["ed25519:a_1", "ed25519:a_2"]
        );
        let dendrite = format!("{PEM_BEGIN}\nKey-ID: ed25519:a_1\n\n{SEED_TEXT}=\n{PEM_END}\n");
        assert_eq!(ids(&dendrite), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_key() {
        for (text, expected) in [
            ("", BadKeyFile::NoKey),
            ("\n \n", BadKeyFile::NoKey),
            ("hello\n", BadKeyFile::Line(1)),
            ("ed25519 a_1", BadKeyFile::Line(1)),
            ("\nrsa a_1 AAAA", BadKeyFile::Line(2)),
            ("ed25519 a_1 AAAA extra", BadKeyFile::Line(1)),
            ("ed25519 a_1 AAAA", BadKeyFile::Seed("a_1".to_owned())),
            ("ed25519 a_1 ???", BadKeyFile::Seed("a_1".to_owned())),
            ("-----BEGIN MATRIX PRIVATE KEY-----\nKey-ID: ed25519:a\n\nAAAA", BadKeyFile::Block),
            ("-----BEGIN MATRIX PRIVATE KEY-----\n\nAAAA\n-----END MATRIX PRIVATE KEY-----", BadKeyFile::Block),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", BadKeyFile::Line(1)),
        ] {
            assert_eq!(ids(text).unwrap_err(), expected, "{text:?}");
        }
    }
}
