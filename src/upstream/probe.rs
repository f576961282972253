//! Asking an endpoint whether it is up.

use super::connect::connect;
use super::health::{Verdict, is_absence, is_outage, judge};
use crate::config::UpstreamAddress;
use crate::net::exchange::{Bounds, ExchangeError, exchange};
use crate::telemetry::log::Chain;
use bytes::Bytes;
use http::Request;
use http::header::{CONNECTION, HOST};
use http_body_util::Empty;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// How long `/health` may take. A Python homeserver under load answers it late, behind all that it has
/// to do, and is no outage.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Synapse says `OK`. Only the status matters.
const MAX_BODY: usize = 16 * 1024;

/// What shows that an endpoint is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// A connection opens. `/health` of some other service, or of a web server's default host, says
    /// whatever it likes, and nothing of what is asked of it.
    Connect,
    /// It answers `/health`, as processes of a homeserver do.
    Health,
    /// The same, and while it is in use it is asked now and then though nothing has failed: others can
    /// take over its requests.
    Watch,
}

/// How long a check may take with the lookup of a name and the connect, which have five seconds each.
pub(super) const WHOLE: Duration = Duration::from_secs(15);

/// Checks once, over a connection of its own. `resolved` is where the endpoint's name led when it was
/// last asked. The caller bounds it by [`WHOLE`].
pub(super) async fn ask(address: UpstreamAddress, resolved: Rc<Cell<Option<SocketAddr>>>, check: Check) -> Verdict {
    let stream = match connect(&address, &resolved).await {
        Ok(_) if check == Check::Connect => return Verdict::Healthy,
        Ok(stream) => stream,
        Err(error) if is_absence(&error) => return Verdict::Absent(Chain(&error).to_string()),
        Err(error) if is_outage(&error) => return Verdict::Unhealthy(Chain(&error).to_string()),
        Err(error) => {
            tracing::debug!(upstream = %address, error = %Chain(&error), "the upstream could not be asked");
            return Verdict::Unknown;
        }
    };
    let host = match &address {
        UpstreamAddress::Tcp(address) => address.to_string(),
        UpstreamAddress::Name(name, port) => format!("{name}:{port}"),
        UpstreamAddress::Unix(_) => "localhost".to_owned(),
    };
    let request = Request::get("/health").header(HOST, host).header(CONNECTION, "close").body(Empty::<Bytes>::new());
    let Ok(request) = request else {
        return Verdict::Unknown;
    };
    match exchange(stream, request, Bounds { deadline: LIMIT, max_body: MAX_BODY }).await {
        Ok(answer) => judge(answer.status()),
        // Whoever has so much to say is there.
        Err(ExchangeError::TooLarge(_)) => Verdict::Healthy,
        Err(error) => Verdict::Unhealthy(format!("/health: {}", Chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A homeserver by name is up though the resolver is not.
    #[tokio::test]
    async fn the_remembered_address_is_asked_while_the_name_has_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let resolved = Rc::new(Cell::new(Some(listener.local_addr().unwrap())));
        let address = UpstreamAddress::Name("hs.invalid".to_owned(), 1);
        let verdict = ask(address.clone(), resolved, Check::Connect).await;
        assert_eq!(verdict, Verdict::Healthy);
        let verdict = ask(address, Rc::default(), Check::Connect).await;
        assert!(matches!(verdict, Verdict::Unhealthy(_)), "{verdict:?}");
    }
}
