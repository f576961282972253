//! A few questions over HTTP/2, where the server speaks it.

use super::http::{HttpAnswer, USER_AGENT};
use super::tls::{self, Offer};
use crate::check::network::Network;
use crate::matrix::Host;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Version replies and errors are a hundred bytes.
const MAX_BODY: usize = 16 * 1024;

/// So much of a head is read.
const MAX_HEAD: u32 = 64 * 1024;

/// As browsers offer it.
const OFFER: Offer = Offer { alpn: &["h2", "http/1.1"], ..Offer::PLAIN };

/// What was answered over HTTP/2.
#[derive(Clone, Debug, Default)]
pub struct Http2Seen {
    /// The server chose HTTP/2. Where it did not, nothing was asked.
    pub spoken: bool,
    /// The answers, in order of the questions.
    pub answers: Vec<Result<HttpAnswer, String>>,
}

/// hyper's own tasks.
#[derive(Clone, Debug, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

/// Ends them: a task may hold the executor, and with it the set that owns the task.
#[derive(Default)]
struct Ending(Tasks);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spawn(future);
    }
}

/// Asks `address` for each of `targets` by GET over one connection.
pub(super) async fn ask(
    network: &Network,
    address: SocketAddr,
    (name, host_header): (&Host, &str),
    targets: &[&str],
) -> Http2Seen {
    let mut seen = Http2Seen::default();
    let Ok((stream, handshake)) = tls::open(network, address, name, OFFER).await else { return seen };
    if handshake.alpn.as_deref() != Some("h2") {
        return seen;
    }
    seen.spoken = true;
    let tasks = Ending::default();
    let limit = network.limits.exchange;
    let asking = async {
        let shaken =
            http2::Builder::new(tasks.0.clone()).max_header_list_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = match shaken {
            Ok(shaken) => shaken,
            Err(error) => return seen.answers.push(Err(error.to_string())),
        };
        let questions = async {
            for target in targets {
                seen.answers.push(one(network, &mut sender, host_header, target).await);
            }
        };
        tokio::pin!(questions);
        tokio::select! {
            () = &mut questions => {}
            _ = connection => questions.await,
        }
    };
    let finished = timeout(limit, asking).await;
    if finished.is_err() {
        seen.answers.push(Err(format!("no answer within {} s", limit.as_secs_f32())));
    }
    seen
}

async fn one(
    network: &Network,
    sender: &mut http2::SendRequest<Empty<Bytes>>,
    host_header: &str,
    target: &str,
) -> Result<HttpAnswer, String> {
    let request = Request::builder()
        .uri(format!("https://{host_header}{target}"))
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    sender.ready().await.map_err(|error| error.to_string())?;
    let (parts, body) = sender.send_request(request).await.map_err(|error| error.to_string())?.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| error.to_string())?;
    let received = network.clock.now();
    Ok(HttpAnswer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes(), received })
}
