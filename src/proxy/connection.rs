//! One downstream connection, from accept to the protocol that speaks on it.

use super::downstream::Downstream;
use super::service::{Arrival, Local, Service};
use super::{http1, http2};
use crate::drain::Watch;
use crate::net::accept::Accepted;
use crate::net::listen::Role;
use crate::telemetry::log::Chain;
use crate::tls;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long a handshake under way may still take when the program stops.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

type Ended = Result<(), Box<dyn std::error::Error>>;

/// Serves an accepted connection to its end.
pub(super) async fn serve(accepted: Accepted, local: Rc<Local>, drain: Watch) {
    let Accepted { stream, peer, role } = accepted;
    let ended = match role {
        Role::Http => {
            let service = Service::new(local, peer.ip(), Arrival::Plain);
            http1::serve(Downstream::Plain(stream), Rc::new(service), drain).await.map_err(Into::into)
        }
        Role::Https | Role::Federation => tls(stream, peer.ip(), local, drain).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, listener = %role, error = %Chain(error.as_ref()), "a connection ended early");
    }
}

async fn tls(stream: TcpStream, client: IpAddr, local: Rc<Local>, mut drain: Watch) -> Ended {
    let serving = local.shared.serving.load_full();
    let handshake = tokio::select! {
        biased;
        finished = tls::handshake(stream, &serving.tls, &local.shared.challenges, serving.limits.timeouts.header) => {
            finished?
        }
        // A client that says nothing must not delay the stop.
        () = async { drain.started().await; sleep(HANDSHAKE_GRACE).await } => return Ok(()),
    };
    let Some(handshake) = handshake else { return Ok(()) };
    drop(serving);
    let service = Rc::new(Service::new(local, client, Arrival::Tls(handshake.name)));
    let stream = Downstream::Tls(Box::new(handshake.stream));
    // By what ALPN agreed on, never by sniffing.
    match handshake.http2 {
        true => http2::serve(stream, service, drain).await?,
        false => http1::serve(stream, service, drain).await?,
    }
    Ok(())
}
