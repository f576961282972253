//! The internal CA: for closed networks, tests and `demo`.
//!
//! Its root can sign for the served names only (critical name constraints, RFC 5280 §4.2.1.10), for
//! servers only, and for no further CA (path length 0), so whoever installs it trusts it no further
//! than that. A DNS constraint takes a name with everything below it, and that cannot be taken out
//! again: excluding `.name` is refused as malformed by verifiers in the field (Python's among
//! them). The key lives in the state directory, mode 0600, and no command exports it. The
//! constraint is part of the root, so each set of served names has a root of its own; going back to
//! an earlier set finds the earlier root.

use super::certificate::{Certificate, InvalidCertificate};
use super::sealed;
use super::store::{Store, StoreError};
use super::x509;
use crate::clock::{Clock, Timestamp};
use crate::matrix::{Host, HostPattern};
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where the CA for a sorted set of names is kept.
fn store_key(names: &[String]) -> String {
    let digest = digest(&SHA256, names.join(" ").as_bytes());
    let short: String = digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("internal/ca-{short}.json")
}

fn sorted(names: &[Host]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// Ten years: people install the root by hand.
const ROOT_LIFETIME: i64 = 10 * 365 * 86_400;

/// Ninety days, as public CAs used to: long enough to forget, short enough to be renewed often.
const LEAF_LIFETIME: i64 = 90 * 86_400;

/// Clocks of clients may be behind.
const BACKDATE: i64 = 3_600;

/// The CA with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
}

/// The form in the store.
#[derive(Serialize, Deserialize)]
struct Stored {
    names: Vec<String>,
    root_pem: String,
    key_pem: String,
}

/// Why the internal CA is not there.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The store failed: nothing was made in its place.
    #[error("the internal CA cannot be kept")]
    Store(#[from] StoreError),
    /// The stored CA cannot be read: it is left alone.
    #[error("{path} is damaged; move it away to have a new CA made, and install its root again: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Making a certificate failed.
    #[error("making a certificate failed")]
    Make(#[from] rcgen::Error),
    /// What was made does not hold together.
    #[error("the certificate that was made is invalid")]
    Invalid(#[from] InvalidCertificate),
}

impl Authority {
    /// Loads the CA for `names`, or makes one.
    pub async fn load_or_make(store: &Store, names: &[Host], clock: &Clock) -> Result<Self, AuthorityError> {
        let wanted = sorted(names);
        let key = store_key(&wanted);
        if let Some(content) = store.load(&key).await? {
            let damaged = |reason: String| AuthorityError::Damaged { path: store.describe(&key), reason };
            let stored: Stored = sealed::unseal(&content).map_err(|error| damaged(error.to_string()))?;
            let root = CertificateDer::from_pem_slice(stored.root_pem.as_bytes());
            let root = root.map_err(|error| damaged(error.to_string()))?;
            let facts = x509::facts(&root).map_err(|error| damaged(error.to_string()))?;
            if facts.not_after.since(clock.now()) > ROOT_LIFETIME / 3 {
                let private = KeyPair::from_pem(&stored.key_pem).map_err(|error| damaged(error.to_string()))?;
                return Ok(Self { issuer: Issuer::from_ca_cert_der(&root, private)?, root_pem: stored.root_pem });
            }
            // Kept for a person to find: the clock may have been wrong.
            store.set_aside(&key).await?;
            tracing::warn!(
                "two thirds of the internal CA's life are over; it is made anew, install the new root: vestibule certs root"
            );
        }
        let (authority, key_pem) = Self::make(names, clock.now())?;
        let stored = Stored { names: wanted, root_pem: authority.root_pem.clone(), key_pem };
        store.store(&key, &sealed::seal(&stored)).await?;
        Ok(authority)
    }

    fn make(names: &[Host], now: Timestamp) -> Result<(Self, String), AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let key_pem = key.serialize_pem();
        let mut params = CertificateParams::new([])?;
        params.distinguished_name = DistinguishedName::new();
        let first = names.first().map_or_else(String::new, ToString::to_string);
        params.distinguished_name.push(DnType::CommonName, format!("vestibule internal CA for {first}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.name_constraints = Some(constraints(names));
        set_validity(&mut params, now, ROOT_LIFETIME);
        let root = params.self_signed(&key)?;
        let root_pem = root.pem();
        Ok((Self { issuer: Issuer::new(params, key), root_pem }, key_pem))
    }

    /// The root certificate, for people to install.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Issues a certificate for `names`. It is not kept: the next start issues another.
    pub fn issue(&self, names: &[HostPattern], now: Timestamp) -> Result<Certificate, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names.iter().map(HostPattern::plain).collect::<Vec<_>>())?;
        params.distinguished_name = DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, LEAF_LIFETIME);
        let leaf = params.signed_by(&key, &self.issuer)?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| InvalidCertificate::NoKey)?;
        Ok(Certificate::new(vec![leaf.der().clone()], private)?)
    }
}

/// The root of the stored CA for `names`, for `certs root`.
pub async fn stored_root(store: &Store, names: &[Host]) -> Result<Option<String>, AuthorityError> {
    let key = store_key(&sorted(names));
    let Some(content) = store.load(&key).await? else {
        return Ok(None);
    };
    let stored: Stored = sealed::unseal(&content)
        .map_err(|error| AuthorityError::Damaged { path: store.describe(&key), reason: error.to_string() })?;
    Ok(Some(stored.root_pem))
}

/// These names. A constraint of one kind leaves the other kinds free, so a kind that none of the
/// names has is closed whole. (Mail addresses are closed by the root's extended key usage.)
fn constraints(names: &[Host]) -> NameConstraints {
    let permitted = names.iter().map(|name| match name {
        Host::Dns(name) => GeneralSubtree::DnsName(name.clone()),
        Host::Ip(address) => {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*address, bits))
        }
    });
    let permitted = permitted.collect();
    let mut excluded = Vec::new();
    if names.iter().all(Host::is_ip) {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    if !names.iter().any(Host::is_ip) {
        for unspecified in [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0_u16; 8])] {
            excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(unspecified, 0)));
        }
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, lifetime: i64) {
    let at = |time: Timestamp| {
        let base = rcgen::date_time_ymd(1970, 1, 1);
        base + std::time::Duration::from_secs(u64::try_from(time.0).unwrap_or(0))
    };
    params.not_before = at(now.plus(-BACKDATE));
    params.not_after = at(now.plus(lifetime));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::sync::Arc;

    fn hosts(names: &[&str]) -> Vec<Host> {
        names.iter().map(|name| Host::parse(name).unwrap()).collect()
    }

    /// What a client that trusts only this root says of a leaf for `name`.
    fn verdict(authority: &Authority, name: &str) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.root_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let leaf = authority.issue(&[HostPattern::parse(name).unwrap()], Clock::System.now()).unwrap();
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).unwrap();
        let chain = &leaf.certified_key().cert;
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now()).map(drop)
    }

    #[tokio::test]
    async fn the_root_is_good_for_the_served_names_only() {
        let store = Store::memory();
        let authority =
            Authority::load_or_make(&store, &hosts(&["a.example", "m.example"]), &Clock::System).await.unwrap();
        verdict(&authority, "a.example").unwrap();
        verdict(&authority, "m.example").unwrap();
        for foreign in ["b.example", "example", "127.0.0.1", "[::1]"] {
            assert!(verdict(&authority, foreign).is_err(), "{foreign} is not served");
        }
    }

    #[tokio::test]
    async fn it_is_kept_and_made_anew_only_for_other_names() {
        let store = Store::memory();
        let names = hosts(&["a.example", "127.0.0.1"]);
        let first = Authority::load_or_make(&store, &names, &Clock::System).await.unwrap();
        let again = Authority::load_or_make(&store, &names, &Clock::System).await.unwrap();
        assert_eq!(first.root_pem(), again.root_pem());
        verdict(&again, "127.0.0.1").unwrap();
        let other = Authority::load_or_make(&store, &hosts(&["c.example"]), &Clock::System).await.unwrap();
        assert_ne!(first.root_pem(), other.root_pem());
        let back = Authority::load_or_make(&store, &names, &Clock::System).await.unwrap();
        assert_eq!(first.root_pem(), back.root_pem(), "an installed root comes back with its names");
        store.store(&store_key(&sorted(&names)), b"{").await.unwrap();
        let damaged = Authority::load_or_make(&store, &names, &Clock::System).await;
        assert!(matches!(damaged, Err(AuthorityError::Damaged { .. })), "a damaged CA is not replaced");
    }

    /// A root that differs by a bit from the one that people have installed would break all of them.
    #[tokio::test]
    async fn no_flipped_bit_goes_unnoticed() {
        let store = Store::memory();
        let names = hosts(&["a.example"]);
        let root = Authority::load_or_make(&store, &names, &Clock::System).await.unwrap().root_pem().to_owned();
        let key = store_key(&sorted(&names));
        let content = store.load(&key).await.unwrap().unwrap();
        for position in 0..content.len() {
            let mut flipped = content.clone();
            flipped[position] ^= 1 << (position % 8);
            store.store(&key, &flipped).await.unwrap();
            match Authority::load_or_make(&store, &names, &Clock::System).await {
                Ok(again) => assert_eq!(again.root_pem(), root, "byte {position}"),
                Err(error) => assert!(matches!(error, AuthorityError::Damaged { .. }), "byte {position}: {error}"),
            }
            assert_eq!(store.load(&key).await.unwrap().unwrap(), flipped, "it is left alone");
        }
    }

    #[tokio::test]
    async fn constraints_are_critical_and_the_path_ends_here() {
        use x509_parser::prelude::{FromDer as _, X509Certificate};
        let authority =
            Authority::load_or_make(&Store::memory(), &hosts(&["a.example"]), &Clock::System).await.unwrap();
        let der = CertificateDer::from_pem_slice(authority.root_pem().as_bytes()).unwrap();
        let (_, root) = X509Certificate::from_der(&der).unwrap();
        assert!(root.name_constraints().unwrap().unwrap().critical);
        assert_eq!(root.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
    }
}
