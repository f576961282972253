//! A new account (RFC 8555 §7.3), bound to one at the CA's own site where it asks for that
//! (§7.3.4).
//!
//! The library registers too, but only with a key that it makes itself and hands out afterwards: a
//! crash, or an answer that is lost, would cost the account and the binding with it.

use crate::acme::directory::Directory;
use crate::acme::wire::Wire;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, LOCATION};
use instant_acme::Error;
use serde_json::{Value, json};

/// What is registered.
pub(super) struct Registration<'a> {
    pub signer: &'a EcdsaKeyPair,
    pub contact: &'a [String],
    pub purpose: Purpose<'a>,
}

/// What is asked for.
pub(super) enum Purpose<'a> {
    /// The URL of the account that the CA has for the key already (RFC 8555 §7.3.1).
    Existing,
    /// A new account, and the name of the one on the CA's site that it belongs to with the key shared
    /// with that.
    New(Option<(&'a str, Vec<u8>)>),
}

impl Registration<'_> {
    /// Asks, and returns the account's URL.
    pub(super) async fn send(&self, wire: &Wire, directory: &Directory) -> Result<String, Error> {
        let nonce = wire.send(Request::head(directory.new_nonce()).body(Bytes::new())?).await?;
        let nonce = nonce.headers().get("replay-nonce").and_then(|nonce| nonce.to_str().ok());
        let nonce = nonce.ok_or(Error::Str("the CA gave no nonce"))?;
        let body = self.body(directory.new_account(), nonce)?;
        let request = Request::post(directory.new_account()).header(CONTENT_TYPE, "application/jose+json");
        let response = wire.send(request.body(Bytes::from(body))?).await?;
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        location.map(str::to_owned).ok_or(Error::Str("the CA did not say where the account is"))
    }

    fn body(&self, url: &str, nonce: &str) -> Result<String, Error> {
        let jwk = self.jwk()?;
        let payload = match &self.purpose {
            Purpose::Existing => json!({ "onlyReturnExisting": true }),
            Purpose::New(None) => json!({ "termsOfServiceAgreed": true, "contact": self.contact }),
            Purpose::New(Some((key_id, key))) => {
                let header = json!({ "alg": "HS256", "kid": key_id, "url": url });
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                let binding = jws(&header, &jwk, |text| Ok(hmac::sign(&key, text).as_ref().to_vec()))?;
                json!({ "termsOfServiceAgreed": true, "contact": self.contact, "externalAccountBinding": binding })
            }
        };
        let header = json!({ "alg": "ES256", "jwk": jwk, "nonce": nonce, "url": url });
        let sign = |text: &[u8]| {
            let signature = self.signer.sign(&SystemRandom::new(), text).map_err(|_| Error::Crypto)?;
            Ok(signature.as_ref().to_vec())
        };
        Ok(jws(&header, &payload, sign)?.to_string())
    }

    /// The public key (RFC 7518 §6.2.1): an uncompressed point, without the byte that says so.
    fn jwk(&self) -> Result<Value, Error> {
        let point = self.signer.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else { return Err(Error::KeyRejected) };
        let encode = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        Ok(json!({ "crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y) }))
    }
}

/// A signed message in the flattened form of RFC 7515 §7.2.2.
fn jws(header: &Value, payload: &Value, sign: impl Fn(&[u8]) -> Result<Vec<u8>, Error>) -> Result<Value, Error> {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (protected, payload) = (encode(header.to_string().as_bytes()), encode(payload.to_string().as_bytes()));
    let signature = sign(format!("{protected}.{payload}").as_bytes())?;
    Ok(json!({ "protected": protected, "payload": payload, "signature": encode(&signature) }))
}
