//! `[tls]` and `[acme]`: where certificates come from.

use super::acme_dns::{self, DnsProvider};
use super::command::{Command, command_or_unset};
use super::reader::{Reader, Wrong};
use super::tree::Node;
use super::values;
use crate::matrix::{Host, HostPattern};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Who issues certificates for names that no file covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// A CA that speaks ACME (RFC 8555).
    Acme,
    /// A CA of this program's own, for closed networks.
    Internal,
    /// Nobody: files must cover every name.
    Files,
}

/// The certificate for clients that send no server name indication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultCertificate {
    /// The one of the first server's name.
    ServerName,
    /// The one that covers this name.
    Name(Host),
    /// None: such clients are refused.
    None,
}

/// An operator's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM, leaf first.
    pub chain: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// For names no file covers.
    pub issuer: Issuer,
    /// For clients without SNI.
    pub default_certificate: DefaultCertificate,
    /// `max-age` of Strict-Transport-Security, if that header is wanted.
    pub hsts: Option<Duration>,
    /// The operator's own.
    pub certificates: Vec<CertificateFiles>,
}

/// Reads `[tls]`.
pub fn read_tls(reader: &Reader) -> Tls {
    let issuers = [("acme", Issuer::Acme), ("internal", Issuer::Internal), ("files", Issuer::Files)];
    let issuer = reader.read("issuer", "\"acme\"", |node| values::word(node, &issuers));
    let default_certificate = reader.read("default_certificate", "\"server_name\"", default_certificate);
    let hsts = reader.read("hsts", "\"off\"", values::duration_or_off);
    let tables = reader.tables("certificates");
    let certificates = tables.into_iter().filter_map(|table| {
        let chain = table.read_required("chain", "write chain = \"/path/to/fullchain.pem\"", values::path);
        let key = table.read_required("key", "write key = \"/path/to/privkey.pem\"", values::path);
        table.finish();
        Some(CertificateFiles { chain: chain?, key: key? })
    });
    let certificates: Vec<_> = certificates.collect();
    if issuer == Issuer::Files && certificates.is_empty() && !reader.is_set("certificates") {
        let right = "add [[tls.certificates]] with chain and key, or choose another issuer";
        reader.refuse("issuer", Wrong::new("\"files\" needs at least one certificate", right));
    }
    Tls { issuer, default_certificate, hsts, certificates }
}

fn default_certificate(node: &Node) -> Result<DefaultCertificate, Wrong> {
    let text = values::string(node)?;
    match text.as_str() {
        "server_name" => Ok(DefaultCertificate::ServerName),
        "none" => Ok(DefaultCertificate::None),
        // A bare word is more likely a slip than a host on somebody's own network.
        name if name.contains('.') || name.starts_with('[') => Host::parse(name)
            .map(DefaultCertificate::Name)
            .map_err(|error| Wrong::new(format!("{name:?} is not a host"), error.to_string())),
        name => Err(Wrong::new(
            format!("{name:?} is not known here"),
            "write \"server_name\", \"none\", or one of the served names",
        )),
    }
}

/// How control over a name is proved (RFC 8555 §8, RFC 8737).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Challenge {
    /// A handshake on port 443.
    TlsAlpn01,
    /// A file on port 80.
    Http01,
    /// A TXT record below `_acme-challenge`. The only way for wildcards (RFC 8555 §7.1.3), and not for
    /// addresses (RFC 8738 §7).
    Dns01,
}

impl Challenge {
    /// The type with this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::TlsAlpn01, Self::Http01, Self::Dns01].into_iter().find(|challenge| challenge.as_str() == text)
    }

    /// The name of RFC 8555 and of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
        }
    }
}

/// `[acme]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The CAs, in order of preference; never empty. Those after the first stand in when it fails.
    pub cas: Vec<AcmeCa>,
    /// In order of preference; never empty.
    pub challenges: Vec<Challenge>,
    /// Who writes DNS records: always set when `challenges` has DNS-01.
    pub dns: Option<DnsProvider>,
    /// Wildcards, each once, whose certificates serve the names that they cover. With any of them
    /// `challenges` has DNS-01.
    pub wildcards: Vec<HostPattern>,
    /// Run when a certificate passes 1/3, 1/6 and 1/12 of its life, and at its end.
    pub expiry_hook: Option<Command>,
}

/// A CA that speaks ACME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeCa {
    /// Its directory URL.
    pub directory: String,
    /// Extra trust root for the directory itself.
    pub ca_file: Option<PathBuf>,
    /// Profile to ask for; unset leaves the choice to the CA.
    pub profile: Option<String>,
    /// The account at the CA's own site that the ACME account is bound to.
    pub external_account: Option<ExternalAccount>,
    /// The directory of its rehearsal stage, where orders cost nothing and nobody trusts the
    /// certificates.
    pub staging: Option<String>,
}

/// An account elsewhere that an ACME account is bound to (RFC 8555 §7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The CA's name for it.
    pub key_id: String,
    /// A file with the shared key, base64url as CAs hand it out.
    pub hmac_key_file: PathBuf,
}

const LETSENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETSENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
const ZEROSSL: &str = "https://acme.zerossl.com/v2/DV90";

/// Reads `[acme]`.
pub fn read_acme(reader: &Reader) -> Acme {
    let letsencrypt = Some(reader.read("directory", "\"letsencrypt\"", directory));
    let mut cas = Vec::from_iter(read_ca(reader, letsencrypt));
    let challenges = reader.read("challenges", "[\"tls-alpn-01\", \"http-01\"]", challenges);
    let expiry_hook = reader.read("expiry_hook", "[]", command_or_unset);
    if let Some(trouble) = expiry_hook.as_ref().and_then(Command::trouble) {
        reader.note("expiry_hook", &trouble);
    }
    for fallback in reader.tables("fallback") {
        let directory = fallback.read_required("directory", "write directory = \"zerossl\"", directory);
        let authority = read_ca(&fallback, directory);
        let again = |authority: &&AcmeCa| {
            let known: Option<&AcmeCa> = cas.iter().find(|known| known.directory == authority.directory);
            known.is_some()
        };
        if let Some(authority) = authority.as_ref().filter(again) {
            let wrong = format!("{} is asked already", authority.directory);
            fallback.refuse("directory", Wrong::new(wrong, "name another CA, or remove this table"));
        }
        fallback.finish();
        cas.extend(authority);
    }
    let wildcards = reader.read("wildcards", "[]", wildcards);
    let dns_reader = reader.table("dns");
    let dns = acme_dns::read(&dns_reader);
    let writes_records = dns.is_some() || dns_reader.is_set("provider");
    dns_reader.finish();
    let over_dns = challenges.contains(&Challenge::Dns01);
    if over_dns && !writes_records {
        let right = "set provider = \"rfc2136\" or \"exec\" in [acme.dns]";
        reader.refuse("challenges", Wrong::new("\"dns-01\" needs somebody to write DNS records", right));
    } else if writes_records && !over_dns {
        reader.note("dns", "nothing uses it; add \"dns-01\" to acme.challenges");
    }
    if !wildcards.is_empty() && !over_dns {
        let right = "add \"dns-01\" to acme.challenges and set [acme.dns], or remove the wildcards";
        reader.refuse("wildcards", Wrong::new("CAs validate wildcards over DNS only", right));
    }
    Acme { cas, challenges, dns, wildcards, expiry_hook }
}

/// Without a listener on port 80 nobody answers HTTP-01, and each try would be a failed validation.
pub(super) fn leave_http_out(acme: &mut Acme, reader: &Reader) {
    if acme.challenges == [Challenge::Http01] {
        let right = "set listen.http = [\"[::]:80\"], or write another type";
        reader.refuse("challenges", Wrong::new("\"http-01\" needs a listener, and listen.http is empty", right));
        return;
    }
    let all = acme.challenges.len();
    acme.challenges.retain(|challenge| *challenge != Challenge::Http01);
    if acme.challenges.len() < all && reader.is_set("challenges") {
        reader.note("challenges", "\"http-01\" is left out, because listen.http is empty");
    }
}

fn wildcards(node: &Node) -> Result<Vec<HostPattern>, Wrong> {
    let pattern = |node: &Node| {
        let text = values::string(node)?;
        match HostPattern::parse(&text) {
            Ok(pattern) if pattern.is_wildcard() => Ok(pattern),
            _ => Err(Wrong::new(format!("{text:?} is not a wildcard"), "write a name such as \"*.example.com\"")),
        }
    };
    let mut wildcards = values::list(node, pattern)?;
    let mut seen = BTreeSet::new();
    wildcards.retain(|wildcard| seen.insert(wildcard.clone()));
    Ok(wildcards)
}

/// Reads what `[acme]` and each `[[acme.fallback]]` say about one CA.
fn read_ca(reader: &Reader, directory: Option<String>) -> Option<AcmeCa> {
    let ca_file = reader.read("ca_file", "\"\"", values::string_or_unset).map(PathBuf::from);
    let profile = reader.read("profile", "\"\"", values::string_or_unset);
    let staging = reader.read("staging", "\"\"", values::string_or_unset);
    let staging = staging.filter(|url| {
        let is_url = url.starts_with("https://");
        if !is_url {
            let right = "write the https URL of the directory of its staging environment";
            reader.refuse("staging", Wrong::new(format!("{url:?} is not an https URL"), right));
        }
        is_url
    });
    let account = reader.table("external_account");
    let key_id = account.read("key_id", "\"\"", values::string_or_unset);
    let hmac_key_file = account.read("hmac_key_file", "\"\"", values::string_or_unset).map(PathBuf::from);
    let external_account = match (key_id, hmac_key_file) {
        (Some(key_id), Some(hmac_key_file)) => Some(ExternalAccount { key_id, hmac_key_file }),
        (None, None) => None,
        (set, _) => {
            let (there, missing) =
                if set.is_some() { ("key_id", "hmac_key_file") } else { ("hmac_key_file", "key_id") };
            account.refuse(
                there,
                Wrong::new(format!("{missing} is not set"), format!("set {missing} as well, or neither")),
            );
            None
        }
    };
    account.finish();
    let directory = directory?;
    if directory == ZEROSSL && external_account.is_none() {
        let missing = "ZeroSSL makes accounts only with an external account binding; set external_account.key_id and hmac_key_file";
        reader.note("directory", missing);
    }
    let staging = staging.or_else(|| (directory == LETSENCRYPT).then(|| LETSENCRYPT_STAGING.to_owned()));
    Some(AcmeCa { directory, ca_file, profile, external_account, staging })
}

fn directory(node: &Node) -> Result<String, Wrong> {
    let known = match values::string(node)?.as_str() {
        "letsencrypt" => LETSENCRYPT,
        "letsencrypt-staging" => LETSENCRYPT_STAGING,
        "zerossl" => ZEROSSL,
        _ => {
            return values::https_url(node).map_err(|wrong| {
                let right = "write \"letsencrypt\", \"letsencrypt-staging\", \"zerossl\", or a directory URL";
                Wrong::new(wrong.wrong, right)
            });
        }
    };
    Ok(known.to_owned())
}

fn challenges(node: &Node) -> Result<Vec<Challenge>, Wrong> {
    const RIGHT: &str = "write some of [\"tls-alpn-01\", \"http-01\", \"dns-01\"]";
    let words = [Challenge::TlsAlpn01, Challenge::Http01, Challenge::Dns01];
    let mut challenges = Vec::new();
    for text in values::list(node, values::string)? {
        let known = words.iter().find(|challenge| challenge.as_str() == text);
        let challenge = known.ok_or_else(|| Wrong::new(format!("{text:?} is not a challenge type"), RIGHT))?;
        if !challenges.contains(challenge) {
            challenges.push(*challenge);
        }
    }
    if challenges.is_empty() { Err(Wrong::new("the list is empty", RIGHT)) } else { Ok(challenges) }
}
