//! Account keys of other programs, in the one form that the ACME library reads.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

/// A JSON Web Key (RFC 7517, RFC 7518 §6.2), as far as it matters here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    d: String,
}

/// A PEM key, as Caddy keeps it, as PKCS#8 DER.
pub(super) fn from_pem(pem: &[u8]) -> Result<Vec<u8>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("no private key can be read: {error}"))?;
    let pair = match &key {
        PrivateKeyDer::Pkcs1(_) => return Err(other_kind("RSA")),
        key => EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_der()),
    };
    pkcs8(&pair.map_err(|_| other_kind("not ECDSA P-256"))?)
}

/// A JSON Web Key, as certbot keeps it, as PKCS#8 DER.
pub(super) fn from_jwk(json: &[u8]) -> Result<Vec<u8>, String> {
    let jwk: Jwk = serde_json::from_slice(json).map_err(|error| format!("no JSON Web Key: {error}"))?;
    if (jwk.kty.as_str(), jwk.crv.as_str()) != ("EC", "P-256") {
        return Err(other_kind(if jwk.kty == "RSA" { "RSA" } else { "not ECDSA P-256" }));
    }
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| format!("no JSON Web Key: {error}"));
    // An uncompressed point (SEC 1 §2.3.3).
    let public = [vec![4], decode(&jwk.x)?, decode(&jwk.y)?].concat();
    let pair =
        EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &decode(&jwk.d)?, &public);
    pkcs8(&pair.map_err(|error| format!("the key does not hold together: {error}"))?)
}

fn pkcs8(pair: &EcdsaKeyPair) -> Result<Vec<u8>, String> {
    pair.to_pkcs8v1().map(|document| document.as_ref().to_vec()).map_err(|error| error.to_string())
}

/// What an account that stays behind means, which sounds worse than it is.
fn other_kind(kind: &str) -> String {
    format!(
        "not carried over: its key is {kind}, and only ECDSA P-256 keys can be used here. A new account is made at the \
         first renewal; imported certificates are served until then, nothing is ordered and no limit touched. The old \
         account stays as it is, for going back. A CAA record with accounturi has to name the new account by then"
    )
}

/// The content of the account file: the key alone, for which the CA says what the account is. Two orders
/// of Caddy that begin together register a key each, and may leave the URL of one beside the key of the
/// other.
pub(super) fn credentials(pkcs8: &[u8], directory: &str) -> Vec<u8> {
    let key = URL_SAFE_NO_PAD.encode(pkcs8);
    serde_json::json!({ "key_pkcs8": key, "directory": directory }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::KeyPair as _;

    /// As Caddy writes it.
    const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----\n\
        MHcCAQEEIKymZ+I/0e+PmMbMxn1xP2WIeieB6xGWDONJayDE9JzHoAoGCCqGSM49\n\
        AwEHoUQDQgAELEaeQxpkOHqL3xC3OGnapeCbXZleHscMruZoRE/kBWg/OguyGoCm\n\
        1UbAz5AkrZX/Z3D59+QIO0QYODTYZPTUXw==\n-----END EC PRIVATE KEY-----\n";

    fn public(pkcs8: &[u8]) -> Vec<u8> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap();
        pair.public_key().as_ref().to_vec()
    }

    #[test]
    fn every_form_of_a_p256_key_is_the_same_key() {
        let from_sec1 = from_pem(SEC1.as_bytes()).unwrap();
        let point = public(&from_sec1);
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let PrivateKeyDer::Sec1(sec1) = PrivateKeyDer::from_pem_slice(SEC1.as_bytes()).unwrap() else { panic!() };
        let jwk = serde_json::json!({
            "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]),
            "d": encode(&sec1.secret_sec1_der()[7..39]),
        });
        assert_eq!(from_jwk(jwk.to_string().as_bytes()).unwrap(), from_sec1);

        let made = rcgen::KeyPair::generate().unwrap();
        let again = from_pem(made.serialize_pem().as_bytes()).unwrap();
        assert_eq!(public(&again), public(&made.serialize_der()));
    }

    #[test]
    fn the_key_is_taken_and_no_url() {
        let key = from_pem(SEC1.as_bytes()).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&credentials(&key, "https://ca.example/dir")).unwrap();
        let expected =
            serde_json::json!({ "key_pkcs8": URL_SAFE_NO_PAD.encode(&key), "directory": "https://ca.example/dir" });
        assert_eq!(written, expected);
    }

    #[test]
    fn other_keys_stay_behind_with_the_consequence() {
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        for refused in [from_pem(p384.as_bytes()), from_jwk(br#"{"kty":"RSA","n":"AQ","e":"AQAB"}"#)] {
            assert!(refused.unwrap_err().contains("A new account is made at the first renewal"));
        }
        for damaged in [from_pem(b"nonsense"), from_jwk(b"{}"), from_jwk(br#"{"kty":"EC","crv":"P-256","d":"AA"}"#)] {
            assert!(damaged.is_err());
        }
    }
}
