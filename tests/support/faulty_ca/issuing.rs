//! Root, intermediates, and the certificates they sign.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::CertificateSigningRequestDer;

use super::DAY;
use super::faults::Flaw;
use super::jws::base64url;

/// The keys of the CA.
pub(super) struct Issuing {
    root_pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// Of the issuer's key, as leaves name it.
    key_identifier: Vec<u8>,
    /// What follows the leaf.
    chain: String,
    /// The same of somebody else with the same names.
    foreign_chain: String,
    serial: u64,
}

/// What is to be signed.
pub(super) struct Request {
    params: CertificateSigningRequestParams,
    /// Sorted.
    pub(super) names: Vec<String>,
    pub(super) public_key: Vec<u8>,
}

/// What was signed.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) ari_id: String,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Request {
    /// Reads a request and verifies its signature.
    pub(super) fn read(der: Vec<u8>) -> Result<Self, String> {
        let params = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der));
        let params = params.map_err(|error| format!("the request: {error}"))?;
        let names = params.params.subject_alt_names.iter().map(|name| match name {
            SanType::DnsName(name) => Ok(name.as_str().to_ascii_lowercase()),
            other => Err(format!("{other:?} is no DNS name")),
        });
        let mut names: Vec<_> = names.collect::<Result<_, _>>()?;
        names.sort();
        names.dedup();
        let public_key = params.public_key.der_bytes().to_vec();
        Ok(Self { params, names, public_key })
    }
}

impl Issuing {
    pub(super) fn new(intermediates: usize) -> Self {
        let (root_pem, issuer, key_identifier, chain) = hierarchy(intermediates);
        let (.., foreign_chain) = hierarchy(intermediates.max(1));
        Self { root_pem, issuer, key_identifier, chain, foreign_chain, serial: 0 }
    }

    pub(super) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Signs for the names of the order, with the flaw if there is to be one.
    pub(super) fn sign(
        &mut self,
        mut request: Request,
        (not_before, not_after): (i64, i64),
        flaw: Option<Flaw>,
        now: i64,
    ) -> Result<Issued, String> {
        let mut names = request.names;
        match flaw {
            Some(Flaw::OtherNames) => names = vec!["other.test".to_owned()],
            Some(Flaw::MissingName) => drop(names.pop()),
            _ => {}
        }
        let (not_before, not_after) = match flaw {
            Some(Flaw::Expired) => (not_before.min(now - 30 * DAY), now - DAY),
            Some(Flaw::NotYetValid) => (now + DAY, not_after.max(now + 2 * DAY)),
            _ => (not_before, not_after),
        };
        let serial = self.next_serial();
        let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
        params.distinguished_name = DistinguishedName::new();
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(not_before);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(not_after);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = if flaw == Some(Flaw::ForeignKey) {
            params.signed_by(&KeyPair::generate().expect("a fresh key"), &self.issuer)
        } else {
            request.params.params = params;
            request.params.signed_by(&self.issuer)
        };
        let leaf = leaf.map_err(|error| error.to_string())?.pem();
        let rest = match flaw {
            Some(Flaw::ForeignChain) => &self.foreign_chain,
            Some(Flaw::NoChain) => "",
            _ => &self.chain,
        };
        // As DER has it: a number whose first bit is set would be negative without a zero before it.
        let sign = if serial[0] & 0x80 == 0 { &[][..] } else { &[0] };
        let ari_id = format!("{}.{}", base64url(&self.key_identifier), base64url([sign, &serial].concat()));
        Ok(Issued { chain: format!("{leaf}{rest}"), ari_id, not_before, not_after })
    }

    /// Every other one begins with a set bit. Two CAs never have the same.
    fn next_serial(&mut self) -> [u8; 16] {
        self.serial += 1;
        let mut serial = [0; 16];
        serial[0] = if self.serial.is_multiple_of(2) { 0x04 } else { 0xa4 };
        serial[1..8].copy_from_slice(&self.key_identifier[..7]);
        serial[8..].copy_from_slice(&self.serial.to_be_bytes());
        serial
    }
}

/// The root as PEM, the last issuer with its key identifier, and what follows a leaf.
fn hierarchy(intermediates: usize) -> (String, Issuer<'static, KeyPair>, Vec<u8>, String) {
    let key = KeyPair::generate().expect("a fresh key");
    let params = authority("faulty root");
    let root_pem = params.self_signed(&key).expect("a root").pem();
    let mut key_identifier = params.key_identifier(&key);
    let mut issuer = Issuer::new(params, key);
    let mut chain = String::new();
    for number in 1..=intermediates {
        let key = KeyPair::generate().expect("a fresh key");
        let params = authority(&format!("faulty intermediate {number}"));
        // Nearest to the leaf first.
        chain.insert_str(0, &params.signed_by(&key, &issuer).expect("an intermediate").pem());
        key_identifier = params.key_identifier(&key);
        issuer = Issuer::new(params, key);
    }
    (root_pem, issuer, key_identifier, chain)
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn since_1970(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).expect("a time after 1970"))
}
