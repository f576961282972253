//! One downstream connection, from accept to the protocol that speaks on it.

use super::downstream::Downstream;
use super::service::{Arrival, Local, Service};
use super::{http1, http2};
use crate::drain::Watch;
use crate::net::accept::Accepted;
use crate::net::admit::{Admitted, admit};
use crate::net::counted::Counted;
use crate::net::listen::Role;
use crate::telemetry::log::Chain;
use crate::tls;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;

/// How long a handshake under way may still take when the program stops.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

type Ended = Result<(), Box<dyn std::error::Error>>;

/// Serves an accepted connection to its end.
pub(super) async fn serve(accepted: Accepted, local: Rc<Local>, mut drain: Watch) {
    let (peer, role) = (accepted.peer, accepted.role);
    let serving = local.shared.serving.load_full();
    let admitted = tokio::select! {
        biased;
        admitted = admit(accepted, &serving.admission, &local.shared.connections) => admitted,
        // A client that says nothing must not delay the stop.
        () = async { drain.started().await; sleep(HANDSHAKE_GRACE).await } => return,
    };
    drop(serving);
    let ended = match admitted {
        Ok(admitted) => speak(admitted, role, local, drain).await,
        Err(refused) => Err(refused.into()),
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, listener = %role, error = %Chain(error.as_ref()), "a connection ended early");
    }
}

async fn speak(admitted: Admitted, role: Role, local: Rc<Local>, mut drain: Watch) -> Ended {
    // The permit is held to the end of the connection, a WebSocket's included.
    let Admitted { stream, client, time, permit: _permit } = admitted;
    if role == Role::Http {
        let service = Service::new(local, client.ip(), Arrival::Plain);
        return Ok(http1::serve(Downstream::Right(Counted::new(stream)), Rc::new(service), drain).await?);
    }
    let serving = local.shared.serving.load_full();
    let handshake = tokio::select! {
        biased;
        finished = tls::handshake(stream, &serving.tls, &local.shared.challenges, time) => finished?,
        () = async { drain.started().await; sleep(HANDSHAKE_GRACE).await } => return Ok(()),
    };
    let Some(handshake) = handshake else { return Ok(()) };
    drop(serving);
    let service = Rc::new(Service::new(local, client.ip(), Arrival::Tls(handshake.name)));
    let stream = Downstream::Left(Box::new(handshake.stream));
    // By what ALPN agreed on, never by sniffing.
    match handshake.http2 {
        true => http2::serve(stream, service, drain).await?,
        false => http1::serve(stream, service, drain).await?,
    }
    Ok(())
}
