//! The chain that leads clients to the login of a server with OAuth 2.0: the issuer that the client
//! document names, what the homeserver says of it, its own metadata, its keys (client-server API,
//! "OAuth 2.0 API"; OpenID Connect Discovery 1.0 §4).

use super::client_api::{Homeserver, fetch};
use super::http::Fetched;
use super::well_known::{Stop, Url};
use crate::check::network::Network;
use serde_json::Value;

/// Key of the client document (MSC2965, as Synapse writes it).
pub const AUTHENTICATION: &str = "org.matrix.msc2965.authentication";

/// Where an issuer keeps its metadata.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An issuer, and what is behind it.
#[derive(Clone, Debug)]
pub struct Login {
    /// As the client document names it, or else the homeserver.
    pub issuer: String,
    /// Its metadata, or why it cannot be asked.
    pub discovery: Result<Fetched, Stop>,
    /// `jwks_uri` as written there, and what is found at it.
    pub keys: Option<(String, Result<Fetched, Stop>)>,
}

/// The issuer in a client document.
pub fn issuer(document: &Value) -> Option<&str> {
    document.get(AUTHENTICATION)?.get("issuer")?.as_str()
}

/// The object in a good answer.
pub fn object(fetched: &Fetched) -> Option<Value> {
    let answer = fetched.answer.as_ref().ok().filter(|answer| answer.status == 200)?;
    serde_json::from_slice(&answer.body).ok().filter(Value::is_object)
}

/// Follows the issuer that `document` names, or else the one that `homeserver` does.
pub(super) async fn look(network: &Network, document: &Value, homeserver: Option<&Homeserver>) -> Option<Login> {
    let metadata = homeserver.and_then(|seen| seen.metadata().find_map(|(_, fetched)| object(fetched)));
    let said = |value: &Value| value.get("issuer")?.as_str().map(str::to_owned);
    let issuer = issuer(document).map(str::to_owned).or_else(|| said(metadata.as_ref()?))?;
    let discovery = match Url::parse(&issuer) {
        Ok(base) => fetch(network, &base.append(DISCOVERY)).await,
        Err(stop) => Err(stop),
    };
    let own = discovery.as_ref().ok().and_then(object).or(metadata);
    let keys = match own.as_ref().and_then(|own| own.get("jwks_uri")?.as_str()) {
        Some(text) => {
            let found = match Url::parse(text) {
                Ok(url) => fetch(network, &url).await,
                Err(stop) => Err(stop),
            };
            Some((text.to_owned(), found))
        }
        None => None,
    };
    Some(Login { issuer, discovery, keys })
}
