//! Facts read out of a DER certificate. Names come from the subject alternative names only: the
//! common name has been dead for servers since RFC 6125.

use crate::clock::Timestamp;
use crate::matrix::{Host, HostPattern};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

/// The facts about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Names it is valid for.
    pub names: Vec<HostPattern>,
    /// First second of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// Serial number in lower-case hexadecimal.
    pub serial: String,
    /// The issuer's distinguished name, for people.
    pub issuer: String,
    /// The subject's distinguished name, for people.
    pub subject: String,
    /// The subject's name as DER, to follow a chain.
    pub subject_der: Vec<u8>,
    /// The issuer's name as DER, to follow a chain.
    pub issuer_der: Vec<u8>,
    /// What RFC 9773 §4.1 calls the certificate: its issuer's key identifier and its serial number,
    /// base64url with a dot between. `None` where the issuer gives its key no identifier.
    pub renewal_id: Option<String>,
}

/// Not a certificate that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a readable X.509 certificate: {0}")]
pub struct Unreadable(String);

/// Reads the facts of a DER certificate.
pub fn facts(der: &[u8]) -> Result<Facts, Unreadable> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| Unreadable(error.to_string()))?;
    let names = certificate.subject_alternative_name().map_err(|error| Unreadable(error.to_string()))?;
    let names = names.map(|extension| extension.value.general_names.iter().filter_map(name).collect());
    Ok(Facts {
        names: names.unwrap_or_default(),
        not_before: Timestamp(certificate.validity().not_before.timestamp()),
        not_after: Timestamp(certificate.validity().not_after.timestamp()),
        serial: certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
        issuer: certificate.issuer().to_string(),
        subject: certificate.subject().to_string(),
        subject_der: certificate.subject().as_raw().to_vec(),
        issuer_der: certificate.issuer().as_raw().to_vec(),
        renewal_id: renewal_id(&certificate),
    })
}

fn renewal_id(certificate: &X509Certificate<'_>) -> Option<String> {
    let issuer = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(issuer) => issuer.key_identifier.as_ref(),
        _ => None,
    })?;
    let encode = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Some(format!("{}.{}", encode(issuer.0), encode(certificate.raw_serial())))
}

fn name(name: &GeneralName<'_>) -> Option<HostPattern> {
    match name {
        GeneralName::DNSName(text) => HostPattern::parse(text).ok(),
        GeneralName::IPAddress(bytes) => {
            let address = match bytes.len() {
                4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).ok()?)),
                _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?)),
            };
            Some(HostPattern::Exact(Host::Ip(address)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_a_made_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["Example.com".to_owned(), "*.example.com".to_owned(), "2001:db8::1".to_owned()];
        let params = rcgen::CertificateParams::new(names).unwrap();
        let facts = facts(params.self_signed(&key).unwrap().der()).unwrap();
        let names: Vec<_> = facts.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["example.com", "*.example.com", "[2001:db8::1]"]);
        assert!(super::facts(b"nonsense").is_err());
    }
}
