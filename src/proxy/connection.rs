//! One downstream connection: HTTP/1.1 or HTTP/2 by what ALPN agreed on, never by sniffing.

use super::activity::{Activity, Expired, Noted};
use super::frames::Metered;
use super::service::{Arrival, Local, Service};
use crate::drain::Watch;
use crate::net::accept::Accepted;
use crate::net::listen::Role;
use crate::telemetry::log::Chain;
use crate::tls;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

/// Largest request head. Synapse itself takes 16 KiB; twice that leaves the verdict to it.
const MAX_HEAD: usize = 32 * 1024;

/// Most header lines in a head.
const MAX_HEADERS: usize = 128;

/// Largest piece of a body read at once: fewer, larger writes to the homeserver.
const BUFFER: usize = 64 * 1024;

/// Requests in flight on one HTTP/2 connection: what clients assume before they are told (RFC 9113
/// §6.5.2 wants at least so many), and the most that a connection which finishes none can ask.
const MAX_STREAMS: u32 = 100;

/// How much one upload, and one connection's uploads together, may send ahead.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// How much of a download may wait in memory for a slow client.
const SEND_BUFFER: usize = 256 * 1024;

/// How long a handshake under way may still take when the program stops.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

/// Serves an accepted connection to its end.
pub(super) async fn serve(accepted: Accepted, local: Rc<Local>, drain: Watch, alive: Watch) {
    let Accepted { stream, peer, role } = accepted;
    let ended = match role {
        Role::Http => {
            let activity = Activity::new(local.shared.serving.load().limits.header_timeout, false);
            let service = Service { local, activity, client: peer.ip(), arrival: Arrival::Plain, alive };
            http1(stream, Rc::new(service), drain).await
        }
        Role::Https | Role::Federation => tls(stream, peer.ip(), local, drain, alive).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, listener = %role, error = %Chain(error.as_ref()), "a connection ended early");
    }
}

type Ended = Result<(), Box<dyn std::error::Error>>;

async fn tls(stream: TcpStream, client: std::net::IpAddr, local: Rc<Local>, mut drain: Watch, alive: Watch) -> Ended {
    let serving = local.shared.serving.load_full();
    let limit = serving.limits.header_timeout;
    let handshake = tokio::select! {
        biased;
        finished = tls::handshake(stream, &serving.tls, &local.shared.challenges, limit) => finished?,
        // A client that says nothing must not delay the stop.
        () = async { drain.started().await; sleep(HANDSHAKE_GRACE).await } => return Ok(()),
    };
    let Some(handshake) = handshake else { return Ok(()) };
    drop(serving);
    let activity = Activity::new(limit, handshake.http2);
    let service = Rc::new(Service { local, activity, client, arrival: Arrival::Tls(handshake.name), alive });
    match handshake.http2 {
        true => http2(handshake.stream, service, drain).await,
        false => http1(handshake.stream, service, drain).await,
    }
}

async fn http1<S>(stream: S, service: Rc<Service>, drain: Watch) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::clone(&service.activity);
    let stream = Noted::new(TokioIo::new(stream), Arc::clone(&activity));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The deadlines are kept by `drive`, which can tell a rest from a drip.
        .header_read_timeout(None)
        .half_close(false)
        .max_buf_size(BUFFER)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    let connection = builder.serve_connection(stream, service_fn(move |request| Rc::clone(&service).call(request)));
    let connection = connection.with_upgrades();
    drive(pin!(connection), &activity, drain, |connection| connection.graceful_shutdown()).await
}

async fn http2<S>(stream: S, service: Rc<Service>, drain: Watch) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let activity = Arc::clone(&service.activity);
    let stream = Noted::new(TokioIo::new(Metered::new(stream)), Arc::clone(&activity));
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER);
    let connection = builder.serve_connection(stream, service_fn(move |request| Rc::clone(&service).call(request)));
    drive(pin!(connection), &activity, drain, |connection| connection.graceful_shutdown()).await
}

/// How long a connection that was told to end may take over its goodbye. (HTTP/2 sends two GOAWAY
/// frames and waits for an answer between them.)
const GOODBYE: Duration = Duration::from_secs(5);

/// Runs a connection until it ends, rests too long, drips a head, or draining lets it finish.
async fn drive<C>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    mut drain: Watch,
    shut_down: impl Fn(Pin<&mut C>),
) -> Ended
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut draining = pin!(drain.started());
    // Set once the connection has been told to end.
    let mut goodbye: Option<Instant> = None;
    // Armed late and re-armed only when it fires or must fire earlier, so that a busy connection
    // never touches the timer.
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended.map_err(Into::into));
            }
            if goodbye.is_none() && draining.as_mut().poll(cx).is_ready() {
                goodbye = Some(Instant::now() + GOODBYE);
                shut_down(connection.as_mut());
                continue;
            }
            let Some(waiting) = activity.waiting() else {
                return Poll::Pending;
            };
            // The last answer may still be on its way out when the rest begins.
            let deadline = goodbye.map_or(waiting.until, |goodbye| goodbye.max(waiting.since + GOODBYE));
            if deadline <= Instant::now() {
                // A rest ends as the protocol has it; a dripped head has nothing to end.
                if goodbye.is_none() && waiting.what == Expired::Resting {
                    goodbye = Some(Instant::now() + GOODBYE);
                    shut_down(connection.as_mut());
                    continue;
                }
                return Poll::Ready(Ok(()));
            }
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Runs HTTP/2 streams on the worker's own thread.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        #[expect(clippy::disallowed_methods, reason = "hyper owns the stream: it ends with its connection")]
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
