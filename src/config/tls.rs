//! `[tls]` and `[acme]`: where certificates come from.

use super::command::{Command, command_or_unset};
use super::reader::{Reader, Wrong};
use super::tree::Node;
use super::values;
use crate::matrix::Host;
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
}

impl Challenge {
    /// The name of RFC 8555 and of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// `[acme]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The CA's directory URL.
    pub directory: String,
    /// Extra trust root for the directory itself.
    pub ca_file: Option<PathBuf>,
    /// In order of preference; never empty.
    pub challenges: Vec<Challenge>,
    /// Profile to ask for; unset leaves the choice to the CA.
    pub profile: Option<String>,
    /// Run when a certificate passes 1/3, 1/6 and 1/12 of its life, and at its end.
    pub expiry_hook: Option<Command>,
}

/// ZeroSSL's directory.
const ZEROSSL: &str = "https://acme.zerossl.com/v2/DV90";

/// Reads `[acme]`.
pub fn read_acme(reader: &Reader) -> Acme {
    let directory = reader.read("directory", "\"letsencrypt\"", directory);
    if directory == ZEROSSL {
        reader.note("directory", "ZeroSSL asks for an external account binding, which this version cannot give");
    }
    let ca_file = reader.read("ca_file", "\"\"", values::string_or_unset).map(PathBuf::from);
    let challenges = reader.read("challenges", "[\"tls-alpn-01\", \"http-01\"]", challenges);
    let profile = reader.read("profile", "\"\"", values::string_or_unset);
    let expiry_hook = reader.read("expiry_hook", "[]", command_or_unset);
    if let Some(trouble) = expiry_hook.as_ref().and_then(Command::trouble) {
        reader.note("expiry_hook", &trouble);
    }
    let account = reader.table("external_account");
    account.read("key_id", "\"\"", values::string_or_unset);
    account.read("hmac_key_file", "\"\"", values::string_or_unset);
    account.finish();
    for fallback in reader.tables("fallback") {
        fallback.read_required("directory", "write directory = \"zerossl\"", directory_text);
        fallback.finish();
    }
    let dns = reader.table("dns");
    dns.read_optional("provider", |node| values::word(node, &[("rfc2136", ()), ("exec", ())]));
    for key in ["server", "key_name", "key_file"] {
        dns.read_optional(key, values::string);
    }
    dns.finish();
    for key in ["external_account", "fallback", "dns"] {
        reader.without_effect(key);
    }
    Acme { directory, ca_file, challenges, profile, expiry_hook }
}

fn directory_text(node: &Node) -> Result<String, Wrong> {
    directory(node)
}

fn directory(node: &Node) -> Result<String, Wrong> {
    let known = match values::string(node)?.as_str() {
        "letsencrypt" => "https://acme-v02.api.letsencrypt.org/directory",
        "letsencrypt-staging" => "https://acme-staging-v02.api.letsencrypt.org/directory",
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
    const RIGHT: &str = "write [\"tls-alpn-01\", \"http-01\"], one of them or both";
    let words = [("tls-alpn-01", Challenge::TlsAlpn01), ("http-01", Challenge::Http01)];
    let mut challenges = Vec::new();
    for text in values::list(node, values::string)? {
        if text == "dns-01" {
            return Err(Wrong::new("\"dns-01\" is not offered by this version", RIGHT));
        }
        let known = words.iter().find(|(word, _)| *word == text);
        let (_, challenge) = known.ok_or_else(|| Wrong::new(format!("{text:?} is not a challenge type"), RIGHT))?;
        if !challenges.contains(challenge) {
            challenges.push(*challenge);
        }
    }
    if challenges.is_empty() { Err(Wrong::new("the list is empty", RIGHT)) } else { Ok(challenges) }
}
