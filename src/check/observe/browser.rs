//! What a browser and an uploader meet at the client API: CORS, and the size of media.

use super::announced::{Announced, Announcement, announce};
use super::client_api::Homeserver;
use super::exposure::{self, Exposure};
use super::federation::Connection;
use super::session::{Question, Replied, Session};
use super::well_known::Url;
use crate::check::network::Network;
use crate::matrix::version::ServerVersion;
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{Method, header};
use std::net::SocketAddr;
use tokio::time::timeout;

/// A page that no homeserver is configured for: clients come from anywhere.
const PAGE: &str = "https://vestibule.invalid";

const MIB: u64 = 1024 * 1024;

/// What was seen at the client API.
#[derive(Clone, Debug)]
pub struct BrowserSeen {
    /// The base URL, without a slash at its end.
    pub base_url: String,
    /// `GET /_matrix/client/versions`.
    pub versions: Option<Replied>,
    /// `OPTIONS` on the login endpoint, without a token.
    pub preflight: Option<Replied>,
    /// An error: `GET` of an account without a token.
    pub error: Option<Replied>,
    /// An upload of the software's default limit, announced.
    pub media: Option<Announced>,
    /// What should not be public, where this is no federation address too.
    pub exposure: Exposure,
}

/// Where the client API is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    url: Url,
    address: SocketAddr,
}

impl Place {
    /// Where `homeserver`'s base URL leads, if something answered there.
    pub(super) fn of(homeserver: &Homeserver) -> Option<Self> {
        let fetched = homeserver.versions.as_ref().ok().filter(|fetched| fetched.answer.is_ok())?;
        Some(Self { url: Url::parse(&homeserver.base_url).ok()?, address: fetched.address })
    }
}

/// Looks at the client API. `connections` are those of federation: what they have seen is not asked
/// for again.
pub(super) async fn look(network: &Network, place: &Place, connections: &[Connection]) -> BrowserSeen {
    let Place { url, address } = place;
    let base_url = url.to_string().trim_end_matches('/').to_owned();
    let mut seen = BrowserSeen {
        base_url,
        versions: None,
        preflight: None,
        error: None,
        media: None,
        exposure: Exposure::default(),
    };
    let target = |path| url.append(path).target().to_owned();
    let (versions, login, account, upload) = (
        target("/_matrix/client/versions"),
        target("/_matrix/client/v3/login"),
        target("/_matrix/client/v3/account/whoami"),
        target("/_matrix/media/v3/upload"),
    );
    let host = url.place().host;
    let (name, authority) = (&host, url.authority());
    let announcement = Announcement {
        address: *address,
        name,
        host_header: authority,
        method: "POST",
        target: &upload,
        media_type: "image/png",
        length: upload_limit(connections),
    };
    let known = connections.iter().any(|connection| connection.address == *address);
    let BrowserSeen { versions: first, preflight, error, media, exposure, .. } = &mut seen;
    let questions = async {
        let mut session = Session::new(network, *address, name, authority);
        *first = session.ask(&Question::get(&versions).header(ORIGIN, PAGE)).await;
        let options = Question { method: Method::OPTIONS, ..Question::get(&login) };
        let options = options.header(ORIGIN, PAGE).header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
        *preflight = session.ask(&options.header(ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type")).await;
        *error = session.ask(&Question::get(&account).header(ORIGIN, PAGE).header(header::ACCEPT, "*/*")).await;
        if !known {
            *exposure = exposure::look(network, *address, (name, authority)).await;
        }
    };
    let uploading = async { *media = Some(announce(network, &announcement).await) };
    // A third of all time: what is not asked by then stays unasked.
    let _ = timeout(network.limits.total / 3, async { tokio::join!(questions, uploading) }).await;
    seen
}

/// The largest upload that the software takes by default, in bytes: a smaller limit of its own is
/// no fault of anything in front.
fn upload_limit(connections: &[Connection]) -> u64 {
    let version =
        connections.iter().find_map(|seen| ServerVersion::parse(&seen.version.answer.as_ref().ok()?.body).ok());
    let name = version.and_then(|version| version.name).unwrap_or_default().to_ascii_lowercase();
    match name.as_str() {
        "dendrite" => 10 * MIB,
        "continuwuity" | "conduwuit" | "conduit" => 20 * MIB,
        "tuwunel" => 24 * MIB,
        _ => 50 * MIB,
    }
}
