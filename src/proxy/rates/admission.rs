//! Letting requests in by their rate, and learning from their answers.

use super::{Rates, Verdict, claimed_origin};
use crate::http1::Fields;
use crate::net::client::ClientKey;
use crate::proxy::error::ProxyError;
use crate::proxy::target::Target;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A request as far as rates look at it.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Arriving<'a> {
    /// The name of its class.
    pub class: &'static str,
    pub client: ClientKey,
    /// Whether it is an OPTIONS.
    pub preflight: bool,
    /// The raw path.
    pub path: &'a str,
    pub fields: &'a Fields,
}

/// A request that was let in, until its answer.
#[derive(Debug)]
pub(in crate::proxy) struct Admitted {
    class: &'static str,
    client: ClientKey,
    origin: Option<String>,
    waited: Duration,
}

impl Admitted {
    /// How long it was delayed. Its sender's patience is shorter by that.
    pub(in crate::proxy) fn waited(&self) -> Duration {
        self.waited
    }
}

impl Rates {
    /// Lets a request in, perhaps after a wait of some seconds. Dropping the future gives nothing back.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Limited`] where there are too many.
    pub(in crate::proxy) async fn admit(&self, arriving: Arriving<'_>) -> Result<Admitted, ProxyError> {
        let Arriving { class, client, preflight, path, fields } = arriving;
        // A preflight is the browser's own; and as nobody signs it, it would confirm any origin.
        if preflight || !self.limits(class) {
            return Ok(Admitted { class, client, origin: None, waited: Duration::ZERO });
        }
        let origin = claimed_origin(&Target::new(path).literal(), fields.all("authorization"));
        let waited = match self.check(Instant::now(), class, client, origin) {
            Verdict::Pass => Duration::ZERO,
            Verdict::Delay(delay) => {
                sleep(delay).await;
                delay
            }
            Verdict::Refuse { retry_after } => return Err(ProxyError::Limited { retry_after }),
        };
        Ok(Admitted { class, client, origin: origin.map(str::to_owned), waited })
    }

    /// The homeserver has answered a request that was let in.
    pub(in crate::proxy) fn settle(&self, admitted: &Admitted, status: u16) {
        self.answered(Instant::now(), admitted.class, admitted.client, admitted.origin.as_deref(), status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rate;
    use crate::http1::{Limits, RequestHead};
    use std::net::IpAddr;

    #[tokio::test(start_paused = true)]
    async fn waits_refusals_and_answers() {
        let rates = Rates::new(&[Rate { class: "federation", per: Duration::from_secs(60), burst: 60 }]);
        let line = (&b"authorization"[..], &b"X-Matrix origin=a.example,key=k,sig=s"[..]);
        let head =
            RequestHead::build("PUT", None, "/", std::iter::once(line), (true, Limits { head: 1024, target: 1024 }))
                .unwrap();
        let arriving = |preflight| Arriving {
            class: "federation",
            client: IpAddr::from([192, 0, 2, 1]).into(),
            preflight,
            path: "/_matrix/federation/v1/send/1",
            fields: head.fields(),
        };
        let began = Instant::now();
        for _ in 0..60 {
            rates.admit(arriving(false)).await.unwrap();
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        // Preflights neither count nor confirm.
        for _ in 0..100 {
            let admitted = rates.admit(arriving(true)).await.unwrap();
            rates.settle(&admitted, 200);
        }
        let admitted = rates.admit(arriving(false)).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 1, "it waited for its token");
        let all = futures_util::future::join_all((0..20).map(|_| rates.admit(arriving(false)))).await;
        assert_eq!(all.iter().filter(|outcome| outcome.is_ok()).count(), 10);
        assert_eq!(began.elapsed().as_secs(), 11);
        rates.settle(&admitted, 200);
        rates.admit(arriving(false)).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 11, "a bucket of its own");
    }
}
