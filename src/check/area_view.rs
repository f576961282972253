//! What a report shows of requests, of clients, and of the homeserver behind this program.

use super::observe::client_api::ClientSeen;
use super::observe::federation::Connection;
use super::observe::requests::Requests;
use super::observe::well_known::Visit;
use super::own::Own;
use serde::Serialize;

/// Requests to one address that only a homeserver can answer right.
#[derive(Clone, Debug, Serialize)]
pub struct RequestsView {
    /// How many were made.
    pub asked: usize,
    /// How many got an answer, good or bad.
    pub answered: usize,
    /// Whether HTTP/2 was spoken too.
    pub http2: bool,
    /// Whether all that there is to ask was asked.
    pub finished: bool,
}

/// What clients find.
#[derive(Clone, Debug, Serialize)]
pub struct ClientsView {
    /// Status of the client document.
    pub status: Option<u16>,
    /// The homeserver's `base_url` in it.
    pub base_url: Option<String>,
    /// Status of the homeserver's API versions below it.
    pub versions_status: Option<u16>,
    /// Status of the support document.
    pub support_status: Option<u16>,
}

/// The homeserver of an own server, seen from inside.
#[derive(Clone, Debug, Serialize)]
pub struct HomeserverView {
    /// Where requests are forwarded to.
    pub upstream: String,
    /// Status of its API versions, asked for there. Absent where it gave no answer, or was not asked.
    pub status: Option<u16>,
    /// Whose homeserver it is, by its own account.
    pub server_name: Option<String>,
    /// Its configuration file, where one could be read.
    pub file: Option<String>,
    /// How many endpoints of pools were asked.
    pub endpoints: usize,
}

impl RequestsView {
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        let seen = connection.requests()?;
        let Requests { each_character, decoded, double_slash, dot_segment, exposure, http2, finished, .. } = seen;
        let single = [decoded, double_slash, dot_segment];
        let exposed = [&exposure.admin, &exposure.metrics, &exposure.replication, &exposure.mas];
        let replies = seen.replies().map(|(_, reply)| reply).chain(each_character);
        let replies = replies.chain(single.into_iter().chain(exposed).flatten());
        let answers = replies.map(|reply| reply.answer.is_ok()).chain(http2.answers.iter().map(Result::is_ok));
        let answers: Vec<_> = answers.collect();
        let answered = answers.iter().filter(|ok| **ok).count();
        Some(Self { asked: answers.len(), answered, http2: http2.spoken, finished: *finished })
    }
}

impl ClientsView {
    pub(super) fn of(seen: &ClientSeen) -> Self {
        let homeserver = seen.homeserver.as_ref();
        let versions = homeserver.and_then(|homeserver| homeserver.versions.as_ref().ok());
        Self {
            status: status(&seen.document),
            base_url: homeserver.map(|homeserver| homeserver.base_url.clone()),
            versions_status: versions.and_then(|fetched| Some(fetched.answer.as_ref().ok()?.status)),
            support_status: status(&seen.support),
        }
    }
}

/// Status of the last answer of `visit`.
fn status(visit: &Visit) -> Option<u16> {
    Some(visit.last()?.answer.as_ref().ok()?.status)
}

impl HomeserverView {
    pub(super) fn of(own: &Own) -> Self {
        let inside = own.inside.as_ref();
        let file = own.file.as_ref().filter(|file| file.content.is_ok());
        Self {
            upstream: own.subject.server.homeserver.to_string(),
            status: inside.and_then(|inside| Some(inside.versions.as_ref().ok()?.status)),
            server_name: inside.and_then(|inside| inside.server_name().map(str::to_owned)),
            file: file.map(|file| file.path.display().to_string()),
            endpoints: inside.map(|inside| inside.endpoints.len()).unwrap_or_default(),
        }
    }
}
