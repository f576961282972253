//! Server signing keys: `GET /_matrix/key/v2/server` (server-server API, "Retrieving server keys").
//!
//! Parsing keeps the raw JSON, because signatures are over the canonical form of exactly what was
//! published. Ed25519 comes from aws-lc-rs, the one crypto provider of the house.

use super::canonical_json;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Unpadded standard base64 on output. On input, padding and stray trailing bits are tolerated: the
/// specification asks for the first, and its own test vectors have the second.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The published keys of a server, as received.
#[derive(Clone, Debug)]
pub struct ServerKeys {
    /// The name the response claims to speak for.
    pub server_name: String,
    /// Milliseconds since the epoch until which the keys may be used.
    pub valid_until_ts: i64,
    /// Key id (`ed25519:abc`) to base64 key, as published.
    pub verify_keys: BTreeMap<String, String>,
    /// Retired keys: id to `expired_ts`, or `None` where it is missing.
    pub old_verify_keys: BTreeMap<String, Option<i64>>,
    raw: Map<String, Value>,
}

/// Why a response is not a key document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// Not a JSON object.
    #[error("the answer is not a JSON object")]
    NotAnObject,
    /// A required field is missing or of another type.
    #[error("the field {0:?} is missing or not of its type")]
    Field(&'static str),
}

/// The outcome for one published ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyCheck {
    /// The document is signed by this key.
    Good,
    /// Not 32 bytes of base64.
    BadKey,
    /// No signature by this key in the document.
    Unsigned,
    /// The signature is there and does not verify.
    BadSignature,
    /// The document has no canonical form, so nothing could have been signed.
    NotCanonical(String),
}

impl ServerKeys {
    /// Reads a response body.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidKeys> {
        let Ok(Value::Object(raw)) = serde_json::from_slice(body) else {
            return Err(InvalidKeys::NotAnObject);
        };
        let server_name = raw.get("server_name").and_then(Value::as_str);
        let valid_until_ts = raw.get("valid_until_ts").and_then(Value::as_i64);
        let verify_keys = raw.get("verify_keys").and_then(Value::as_object);
        let verify_keys = verify_keys.ok_or(InvalidKeys::Field("verify_keys"))?;
        let mut keys = BTreeMap::new();
        for (id, entry) in verify_keys {
            let key = entry.get("key").and_then(Value::as_str).ok_or(InvalidKeys::Field("verify_keys"))?;
            keys.insert(id.clone(), key.to_owned());
        }
        let old = raw.get("old_verify_keys").and_then(Value::as_object);
        let old_verify_keys = old.into_iter().flatten();
        Ok(Self {
            server_name: server_name.ok_or(InvalidKeys::Field("server_name"))?.to_owned(),
            valid_until_ts: valid_until_ts.ok_or(InvalidKeys::Field("valid_until_ts"))?,
            verify_keys: keys,
            old_verify_keys: old_verify_keys
                .map(|(id, entry)| (id.clone(), entry.get("expired_ts").and_then(Value::as_i64)))
                .collect(),
            raw,
        })
    }

    /// Verifies the document with each of its own `ed25519:` keys, in order of key id.
    pub fn check_signatures(&self) -> Vec<(String, KeyCheck)> {
        let mut unsigned = self.raw.clone();
        let signatures = unsigned.remove("signatures");
        unsigned.remove("unsigned");
        let message = canonical_json::to_string(&Value::Object(unsigned));
        let ours = signatures.as_ref().and_then(|all| all.get(&self.server_name));
        let ed25519 = self.verify_keys.iter().filter(|(id, _)| id.starts_with("ed25519:"));
        ed25519
            .map(|(id, key)| {
                let signature = ours.and_then(|ours| ours.get(id)).and_then(Value::as_str);
                let check = match &message {
                    Err(error) => KeyCheck::NotCanonical(error.to_string()),
                    Ok(message) => check_signature(key, signature, message.as_bytes()),
                };
                (id.clone(), check)
            })
            .collect()
    }
}

fn check_signature(key: &str, signature: Option<&str>, message: &[u8]) -> KeyCheck {
    let Some(key) = BASE64.decode(key).ok().filter(|key| key.len() == 32) else {
        return KeyCheck::BadKey;
    };
    let Some(signature) = signature else {
        return KeyCheck::Unsigned;
    };
    let verified = BASE64
        .decode(signature)
        .is_ok_and(|signature| UnparsedPublicKey::new(&ED25519, &key).verify(message, &signature).is_ok());
    if verified { KeyCheck::Good } else { KeyCheck::BadSignature }
}

/// A server's own signing key.
pub struct SigningKey {
    id: String,
    pair: Ed25519KeyPair,
}

/// The id and nothing more: the key is secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A fresh key. `version` is the part after `ed25519:`.
    pub fn generate(version: &str) -> Result<Self, aws_lc_rs::error::Unspecified> {
        Ok(Self { id: format!("ed25519:{version}"), pair: Ed25519KeyPair::generate()? })
    }

    /// The key made from a 32-byte seed, as homeservers store it.
    pub fn from_seed(version: &str, seed: &[u8]) -> Result<Self, aws_lc_rs::error::KeyRejected> {
        Ok(Self { id: format!("ed25519:{version}"), pair: Ed25519KeyPair::from_seed_unchecked(seed)? })
    }

    /// Its id: `ed25519:` and the version.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether its public half is `published`, base64 of any padding.
    pub fn is(&self, published: &str) -> bool {
        BASE64.decode(published).is_ok_and(|key| key == self.pair.public_key().as_ref())
    }

    /// The public half in unpadded base64.
    pub fn public_base64(&self) -> String {
        BASE64.encode(self.pair.public_key().as_ref())
    }

    /// Signs `object` as `server_name`: `signatures` and `unsigned` are left out of what is signed
    /// (appendices, "Signing JSON").
    pub fn sign(&self, server_name: &str, object: &mut Map<String, Value>) -> Result<(), canonical_json::NotCanonical> {
        let signatures = object.remove("signatures");
        let unsigned = object.remove("unsigned");
        let message = canonical_json::to_string(&Value::Object(object.clone()))?;
        let signature = BASE64.encode(self.pair.sign(message.as_bytes()).as_ref());
        let mut signatures = signatures.unwrap_or_else(|| json!({}));
        if let Some(all) = signatures.as_object_mut() {
            let entry = all.entry(server_name).or_insert_with(|| json!({}));
            if let Some(entry) = entry.as_object_mut() {
                entry.insert(self.id.clone(), Value::String(signature));
            }
        }
        object.insert("signatures".to_owned(), signatures);
        if let Some(unsigned) = unsigned {
            object.insert("unsigned".to_owned(), unsigned);
        }
        Ok(())
    }

    /// The `Authorization` of a request without a body (server-server API, "Request Authentication").
    /// `target` is signed byte for byte as it stands in the request line. Both names must be server
    /// names: nothing is escaped.
    pub fn authorization(
        &self,
        (origin, destination): (&str, &str),
        method: &str,
        target: &str,
    ) -> Result<String, canonical_json::NotCanonical> {
        let request = json!({ "method": method, "uri": target, "origin": origin, "destination": destination });
        let message = canonical_json::to_string(&request)?;
        let signature = BASE64.encode(self.pair.sign(message.as_bytes()).as_ref());
        let id = &self.id;
        Ok(format!(r#"X-Matrix origin="{origin}",destination="{destination}",key="{id}",sig="{signature}""#))
    }

    /// The signed key document for `server_name`, valid until `valid_until_ts` (milliseconds).
    pub fn document(&self, server_name: &str, valid_until_ts: i64) -> Result<Value, canonical_json::NotCanonical> {
        let mut object = Map::new();
        object.insert("server_name".to_owned(), json!(server_name));
        object.insert("valid_until_ts".to_owned(), json!(valid_until_ts));
        object.insert("verify_keys".to_owned(), json!({ self.id.as_str(): { "key": self.public_base64() } }));
        object.insert("old_verify_keys".to_owned(), json!({}));
        self.sign(server_name, &mut object)?;
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the specification's appendix ("Cryptographic Test Vectors").
    #[test]
    fn specification_vectors() {
        let seed = BASE64.decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1").unwrap();
        let key = SigningKey::from_seed("1", &seed).unwrap();
        assert_eq!(key.public_base64(), "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI");
        let sign = |value: Value| {
            let Value::Object(mut object) = value else { unreachable!("the vectors are objects") };
            key.sign("domain", &mut object).unwrap();
            object["signatures"]["domain"]["ed25519:1"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            sign(json!({})),
            "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"
        );
        assert_eq!(
            sign(json!({"one": 1, "two": "Two"})),
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"
        );
    }

    #[test]
    fn a_signed_document_verifies_and_an_altered_one_does_not() {
        let key = SigningKey::generate("a_Test").unwrap();
        let mut document = key.document("example.com", 1_900_000_000_000).unwrap();
        let parsed = ServerKeys::parse(document.to_string().as_bytes()).unwrap();
        assert_eq!(parsed.check_signatures(), [("ed25519:a_Test".to_owned(), KeyCheck::Good)]);
        document["valid_until_ts"] = json!(1);
        let parsed = ServerKeys::parse(document.to_string().as_bytes()).unwrap();
        assert_eq!(parsed.check_signatures(), [("ed25519:a_Test".to_owned(), KeyCheck::BadSignature)]);
        document["valid_until_ts"] = serde_json::from_str("1").unwrap();
        document["extra"] = serde_json::from_str("1.5").unwrap();
        let parsed = ServerKeys::parse(document.to_string().as_bytes()).unwrap();
        assert!(matches!(parsed.check_signatures()[0].1, KeyCheck::NotCanonical(_)));
    }

    #[test]
    fn a_request_is_signed_over_its_raw_target() {
        let key = SigningKey::generate("a_Test").unwrap();
        let target = "/_matrix/federation/v1/event/%24x%21%40%3Ay?a=%2F";
        let header = key.authorization(("ex.org", "ex.org:8448"), "GET", target).unwrap();
        let start = r#"X-Matrix origin="ex.org",destination="ex.org:8448",key="ed25519:a_Test",sig=""#;
        let signature = header.strip_prefix(start).unwrap().strip_suffix('"').unwrap();
        assert_eq!(crate::matrix::authorization::x_matrix_origin(header.as_bytes()), Some("ex.org"));
        // Canonical: keys in order, no space, the target as it stands.
        let message = format!(r#"{{"destination":"ex.org:8448","method":"GET","origin":"ex.org","uri":"{target}"}}"#);
        assert_eq!(check_signature(&key.public_base64(), Some(signature), message.as_bytes()), KeyCheck::Good);
        assert!(!format!("{key:?}").contains("pair"), "{key:?}");
    }

    #[test]
    fn broken_documents_are_named() {
        assert_eq!(ServerKeys::parse(b"[]").unwrap_err(), InvalidKeys::NotAnObject);
        assert_eq!(ServerKeys::parse(b"{\"verify_keys\":{}}").unwrap_err(), InvalidKeys::Field("server_name"));
    }
}
