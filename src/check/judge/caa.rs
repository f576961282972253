//! The rule about CAA records (RFC 8659): may the CA that issued a certificate issue the next one?

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::caa::CaaSeen;
use crate::dns::permission::{Asked, Verdict, permits};
use crate::dns::{FailureKind, Outcome};

pub(super) const RULES: &[Rule] = &[caa];

/// What CAs are called in their certificates, and in CAA records by their own documents (CCADB lists
/// them). A CA that is missing here is not judged.
const CAS: &[(&str, &[&str])] = &[
    ("Let's Encrypt", &["letsencrypt.org"]),
    ("Google Trust Services", &["pki.goog"]),
    ("ZeroSSL", SECTIGO),
    ("Sectigo", SECTIGO),
    ("COMODO CA", SECTIGO),
    ("DigiCert", DIGICERT),
    ("GeoTrust", DIGICERT),
    ("Buypass", &["buypass.com", "buypass.no"]),
    ("SSL Corp", &["ssl.com"]),
    ("Amazon", &["amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"]),
    ("GlobalSign", &["globalsign.com"]),
    ("GoDaddy", &["godaddy.com", "starfieldtech.com"]),
    ("Starfield", &["godaddy.com", "starfieldtech.com"]),
    ("Actalis", &["actalis.it"]),
    ("Asseco Data Systems", &["certum.pl", "certum.eu"]),
    ("Hellenic Academic", &["harica.gr"]),
    ("IdenTrust", &["identrust.com"]),
];
const SECTIGO: &[&str] =
    &["sectigo.com", "comodoca.com", "comodo.com", "usertrust.com", "trust-provider.com", "zerossl.com", "entrust.net"];
const DIGICERT: &[&str] = &[
    "digicert.com",
    "digicert.ne.jp",
    "cybertrust.ne.jp",
    "symantec.com",
    "thawte.com",
    "geotrust.com",
    "rapidssl.com",
    "digitalcertvalidation.com",
];

/// What the CA with this distinguished name is called in CAA records.
fn identities(issuer: &str) -> Option<Vec<String>> {
    let organisation = issuer.split(", ").find_map(|part| part.strip_prefix("O="))?;
    let (_, names) = CAS.iter().find(|(name, _)| organisation.starts_with(name))?;
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

fn caa(case: &Case<'_>) -> Vec<Finding> {
    let finding = |seen: &CaaSeen| {
        let subject = if seen.wildcard { format!("*.{}", seen.name) } else { seen.name.clone() };
        let finding = |detail: String| case.finding(Code::DnsCaa, &subject, detail).for_host(&seen.name);
        let ca_identities = identities(&seen.issuer);
        match &seen.answer.outcome {
            Outcome::Found(set) => {
                let ca_identities = ca_identities?;
                let (wildcard, method) = (seen.wildcard, None);
                let asked = Asked { ca_identities: &ca_identities, wildcard, account_uri: None, method };
                match permits(set, &asked) {
                    Verdict::Forbidden { by, remedy } => {
                        Some(finding(format!("the certificate is from {:?}, and {by}", seen.issuer)).fix(remedy))
                    }
                    Verdict::Allowed | Verdict::Unknown(_) => None,
                }
            }
            // Only where a public CA is to ask the same name servers.
            Outcome::Failed(failure) if matches!(failure.kind, FailureKind::ServFail | FailureKind::Timeout) => {
                ca_identities?;
                Some(finding(format!("{failure}; a CA that gets no answer either does not issue")))
            }
            Outcome::Failed(_) | Outcome::NoRecords => None,
        }
    };
    case.seen.caa.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cas_are_known_by_their_organisation() {
        let first = |issuer| identities(issuer).and_then(|names| names.into_iter().next());
        assert_eq!(first("C=US, O=Let's Encrypt, CN=R12").as_deref(), Some("letsencrypt.org"));
        assert_eq!(first("C=US, O=DigiCert, Inc., CN=DigiCert G2").as_deref(), Some("digicert.com"));
        assert_eq!(first("C=US, O=Google Trust Services, CN=WE1").as_deref(), Some("pki.goog"));
        assert_eq!(first("CN=Let's Encrypt"), None);
        assert_eq!(first("O=A Company, CN=x"), None);
    }
}
