//! The call back ends that a client document names (MSC4143, MSC4195).

use super::client_api::fetch;
use super::http::Fetched;
use super::well_known::{Stop, Url};
use crate::check::network::Network;
use crate::matrix::well_known::RTC_FOCI;
use futures_util::future::join_all;
use serde_json::Value;

/// More of them are not asked: a document must not make this machine open many connections.
const MAX_FOCI: usize = 4;

/// What the authorisation service for LiveKit answers with 200 while it runs.
const HEALTH: &str = "/healthz";

/// One LiveKit back end.
#[derive(Clone, Debug)]
pub struct Focus {
    /// `livekit_service_url`, as written.
    pub url: String,
    /// Its health, or why it cannot be asked.
    pub health: Result<Fetched, Stop>,
}

/// Asks the back ends of `document` how they are.
pub(super) async fn look(network: &Network, document: &Value) -> Vec<Focus> {
    let foci = document.get(RTC_FOCI).and_then(Value::as_array);
    let urls = foci.into_iter().flatten().filter_map(|focus| {
        let livekit = focus.get("type").and_then(Value::as_str) == Some("livekit");
        focus.get("livekit_service_url")?.as_str().filter(|_| livekit)
    });
    let looks = urls.take(MAX_FOCI).map(|url| async {
        let health = match Url::parse(url) {
            Ok(base) => fetch(network, &base.append(HEALTH)).await,
            Err(stop) => Err(stop),
        };
        Focus { url: url.to_owned(), health }
    });
    join_all(looks.collect::<Vec<_>>()).await
}
