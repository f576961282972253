//! Signed requests (RFC 8555 §6.2), read but not verified.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Who signed.
pub(super) enum Signer {
    /// A key, as its thumbprint.
    Key { jwk: Value, thumbprint: String },
    /// An account's URL.
    Account(String),
}

/// A request's envelope.
pub(super) struct Signed {
    pub(super) url: String,
    pub(super) nonce: Option<String>,
    pub(super) signer: Signer,
    /// `None` for POST-as-GET.
    pub(super) payload: Option<Value>,
}

/// Without padding, as ACME has it everywhere.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_owned()
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key].as_str().ok_or_else(|| format!("no {key} in the JWS"))
}

fn header(envelope: &Value) -> Result<Value, String> {
    let bytes = decode(text(envelope, "protected")?).ok_or("the protected header is not base64url")?;
    serde_json::from_slice(&bytes).map_err(|error| format!("the protected header: {error}"))
}

impl Signed {
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let envelope: Value = serde_json::from_slice(body).map_err(|error| format!("the JWS: {error}"))?;
        if text(&envelope, "signature")?.is_empty() {
            return Err("the signature is empty".to_owned());
        }
        let mut header = header(&envelope)?;
        if !matches!(text(&header, "alg")?, "ES256" | "ES384" | "RS256" | "EdDSA") {
            return Err("alg is none of ES256, ES384, RS256, EdDSA".to_owned());
        }
        let signer = match (header["jwk"].take(), header["kid"].as_str()) {
            (Value::Null, Some(kid)) => Signer::Account(kid.to_owned()),
            (jwk @ Value::Object(_), None) => Signer::Key { thumbprint: thumbprint(&jwk)?, jwk },
            _ => return Err("exactly one of jwk and kid is needed".to_owned()),
        };
        let payload = match text(&envelope, "payload")? {
            "" => None,
            payload => {
                let bytes = decode(payload).ok_or("the payload is not base64url")?;
                Some(serde_json::from_slice(&bytes).map_err(|error| format!("the payload: {error}"))?)
            }
        };
        let nonce = header["nonce"].as_str().map(str::to_owned);
        Ok(Self { url: text(&header, "url")?.to_owned(), nonce, signer, payload })
    }
}

/// Of a public key (RFC 7638 §3.2).
fn thumbprint(jwk: &Value) -> Result<String, String> {
    let members: &[&str] = match text(jwk, "kty")? {
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        "OKP" => &["crv", "kty", "x"],
        other => return Err(format!("unknown kty {other}")),
    };
    // Written out: the order of members is part of the definition.
    let members = members.iter().map(|name| Ok(format!("\"{name}\":{}", json!(text(jwk, name)?))));
    let members: Vec<String> = members.collect::<Result<_, String>>()?;
    Ok(base64url(sha256(format!("{{{}}}", members.join(",")).as_bytes())))
}

/// The key identifier of an external account binding (RFC 8555 §7.3.4) that is right.
pub(super) fn binding(binding: &Value, jwk: &Value, url: &str, keys: &[(String, Vec<u8>)]) -> Result<String, String> {
    let header = header(binding)?;
    if text(&header, "alg")? != "HS256" || text(&header, "url")? != url || !header["nonce"].is_null() {
        return Err("the binding needs alg HS256, the URL of newAccount and no nonce".to_owned());
    }
    let kid = text(&header, "kid")?;
    let (_, key) = keys.iter().find(|(known, _)| known == kid).ok_or_else(|| format!("unknown kid {kid}"))?;
    let payload = text(binding, "payload")?;
    let bound: Value = decode(payload).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    if bound != *jwk {
        return Err("the binding is for another account key".to_owned());
    }
    let input = format!("{}.{payload}", text(binding, "protected")?);
    let mac = decode(text(binding, "signature")?).ok_or("the MAC is not base64url")?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::verify(&key, input.as_bytes(), &mac).map_err(|_| "the MAC is wrong".to_owned())?;
    Ok(kid.to_owned())
}
