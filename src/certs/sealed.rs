//! Records that notice a flipped bit: JSON objects with a digest over all their other members.
//!
//! Disks and memory flip bits, and most of them would go unnoticed: in the URL of an order, in a
//! root's name, in a signature that only clients verify. A record without a digest is taken as it
//! is: other programs write such, and so did earlier versions.

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The member that holds the digest: SHA-256 over the object without it, in hexadecimal.
const DIGEST: &str = "digest";

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It is no such record.
    #[error(transparent)]
    Form(#[from] serde_json::Error),
    /// It is one, and not as it was written.
    #[error("its content does not match its digest")]
    Digest,
}

/// Writes a record, which must be an object.
pub fn seal(record: &impl Serialize) -> Vec<u8> {
    let mut record = serde_json::json!(record);
    let digest = hexadecimal(record.to_string().as_bytes());
    if let Some(object) = record.as_object_mut() {
        object.insert(DIGEST.to_owned(), Value::String(digest));
    }
    record.to_string().into_bytes()
}

/// Reads a record.
pub fn unseal<T: DeserializeOwned>(content: &[u8]) -> Result<T, Broken> {
    let mut record: Value = serde_json::from_slice(content)?;
    let written = record.as_object_mut().and_then(|object| object.remove(DIGEST));
    if written.is_some_and(|written| written != hexadecimal(record.to_string().as_bytes())) {
        return Err(Broken::Digest);
    }
    Ok(serde_json::from_value(record)?)
}

/// SHA-256 in hexadecimal.
pub fn hexadecimal(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_flipped_bit_changes_what_is_read() {
        let record = json!({"url": "https://ca.example/1", "names": ["a.example"], "placed": 1});
        let sealed = seal(&record);
        assert_eq!(unseal::<Value>(&sealed).unwrap(), record);
        for position in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[position / 8] ^= 1 << (position % 8);
            if let Ok(mut read) = unseal::<Value>(&flipped) {
                // In the name of the digest itself, which is then a member like any other.
                read.as_object_mut().unwrap().retain(|name, _| record.get(name).is_some());
                assert_eq!(read, record, "bit {position}");
            }
        }
    }

    #[test]
    fn a_record_of_somebody_else_has_no_digest() {
        assert_eq!(unseal::<Value>(br#"{"a":1}"#).unwrap(), json!({"a": 1}));
        assert!(matches!(unseal::<Value>(br#"{"a":1,"digest":"00"}"#), Err(Broken::Digest)));
        assert!(matches!(unseal::<Value>(br#"{"a":1,"digest":null}"#), Err(Broken::Digest)));
        assert!(matches!(unseal::<Value>(b"{"), Err(Broken::Form(_))));
    }
}
