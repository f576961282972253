//! A CA's directory (RFC 8555 §7.1.1): where its services are, and what it says of itself.

use super::wire::Wire;
use bytes::Bytes;
use http::Request;
use instant_acme::Error;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The profile that is asked for where none is configured and the CA has it: Let's Encrypt's name
/// for what it has always issued. Without a name, the CA may choose, and change its mind.
const CLASSIC: &str = "classic";

/// The profile for addresses: Let's Encrypt gives those short lives only.
const SHORT_LIVED: &str = "shortlived";

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    services: Services,
    /// As it came, for the library.
    whole: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Services {
    new_nonce: String,
    new_account: String,
    renewal_info: Option<String>,
    #[serde(default)]
    meta: Meta,
}

/// What a CA says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    external_account_required: bool,
    /// What CAA records call the CA.
    #[serde(default)]
    caa_identities: Vec<String>,
    #[serde(default)]
    profiles: BTreeMap<String, String>,
}

/// A profile that the CA does not offer.
#[derive(Debug, thiserror::Error)]
#[error("acme.profile: the CA does not offer {wanted:?}; it offers {offered}")]
pub(super) struct UnknownProfile {
    wanted: String,
    offered: String,
}

impl Directory {
    /// Asks for it. This costs no quota, and its answer tells the CA's time.
    pub(super) async fn fetch(wire: &Wire, url: &str) -> Result<Self, Error> {
        let request = Request::get(url).body(Bytes::new())?;
        let response = wire.send(request).await?;
        let whole: Value = serde_json::from_slice(response.body())?;
        Ok(Self { services: Services::deserialize(&whole)?, whole })
    }

    pub(super) fn as_json(&self) -> &Value {
        &self.whole
    }

    pub(super) fn new_nonce(&self) -> &str {
        &self.services.new_nonce
    }

    pub(super) fn new_account(&self) -> &str {
        &self.services.new_account
    }

    /// Where the CA's suggestion for the certificate `id` is (RFC 9773 §4.1).
    pub(super) fn renewal_info(&self, id: &str) -> Option<String> {
        let base = self.services.renewal_info.as_deref()?;
        Some(format!("{}/{id}", base.trim_end_matches('/')))
    }

    pub(super) fn needs_external_account(&self) -> bool {
        self.services.meta.external_account_required
    }

    pub(super) fn caa_identities(&self) -> &[String] {
        &self.services.meta.caa_identities
    }

    /// The profile to name in an order: the configured one, which must be there; else the stated
    /// default, where the CA has profiles at all.
    pub(super) fn profile(
        &self,
        configured: Option<&str>,
        has_address: bool,
    ) -> Result<Option<String>, UnknownProfile> {
        let offered = &self.services.meta.profiles;
        let Some(wanted) = configured else {
            let default = if has_address { SHORT_LIVED } else { CLASSIC };
            return Ok(offered.contains_key(default).then(|| default.to_owned()));
        };
        if offered.contains_key(wanted) {
            return Ok(Some(wanted.to_owned()));
        }
        let offered = match offered.is_empty() {
            true => "none".to_owned(),
            false => offered.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        };
        Err(UnknownProfile { wanted: wanted.to_owned(), offered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(profiles: &[&str]) -> Directory {
        let profiles: BTreeMap<_, _> = profiles.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        let whole = serde_json::json!({
            "newNonce": "https://ca.example/nonce", "newAccount": "https://ca.example/account",
            "newOrder": "https://ca.example/order", "renewalInfo": "https://ca.example/ari/",
            "meta": { "profiles": profiles, "website": "https://ca.example" },
        });
        Directory { services: Services::deserialize(&whole).unwrap(), whole }
    }

    #[test]
    fn profiles_are_checked_and_the_default_is_stated() {
        let all = directory(&["classic", "shortlived", "tlsserver"]);
        let of = |directory: &Directory, wanted, ip| directory.profile(wanted, ip).map_err(|error| error.to_string());
        assert_eq!(of(&all, None, false).unwrap().as_deref(), Some("classic"));
        assert_eq!(of(&all, None, true).unwrap().as_deref(), Some("shortlived"));
        assert_eq!(of(&all, Some("tlsserver"), false).unwrap().as_deref(), Some("tlsserver"));
        assert_eq!(
            of(&all, Some("long"), false).unwrap_err(),
            "acme.profile: the CA does not offer \"long\"; it offers classic, shortlived, tlsserver"
        );
        assert_eq!(of(&directory(&[]), None, false).unwrap(), None);
        assert!(of(&directory(&[]), Some("classic"), false).unwrap_err().ends_with("it offers none"));
        assert_eq!(all.renewal_info("a.b").as_deref(), Some("https://ca.example/ari/a.b"));
    }
}
