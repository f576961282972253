//! Letting requests in by their rate, and learning from their answers.

use super::{Rates, Verdict, claimed_origin};
use crate::proxy::error::ProxyError;
use http::{HeaderMap, Method, StatusCode};
use std::net::IpAddr;
use tokio::time::{Instant, sleep};

/// A request as far as rates look at it.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Arriving<'a> {
    /// The name of its class.
    pub class: &'static str,
    pub client: IpAddr,
    pub method: &'a Method,
    /// The decoded path, which the homeserver acts on.
    pub path: &'a str,
    pub headers: &'a HeaderMap,
}

/// A request that was let in, until its answer.
#[derive(Debug)]
pub(in crate::proxy) struct Admitted {
    class: &'static str,
    client: IpAddr,
    origin: Option<String>,
}

impl Rates {
    /// Lets a request in, perhaps after a wait of some seconds. Dropping the future gives nothing back.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Limited`] where there are too many.
    pub(in crate::proxy) async fn admit(&self, arriving: Arriving<'_>) -> Result<Admitted, ProxyError> {
        let Arriving { class, client, method, path, headers } = arriving;
        // A preflight is the browser's own; and as nobody signs it, it would confirm any origin.
        if *method == Method::OPTIONS || !self.limits(class) {
            return Ok(Admitted { class, client, origin: None });
        }
        let origin = claimed_origin(path, headers);
        match self.check(Instant::now(), class, client, origin) {
            Verdict::Pass => {}
            Verdict::Delay(delay) => sleep(delay).await,
            Verdict::Refuse { retry_after } => return Err(ProxyError::Limited { retry_after }),
        }
        Ok(Admitted { class, client, origin: origin.map(str::to_owned) })
    }

    /// The homeserver has answered a request that was let in.
    pub(in crate::proxy) fn settle(&self, admitted: &Admitted, status: StatusCode) {
        self.answered(Instant::now(), admitted.class, admitted.client, admitted.origin.as_deref(), status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rate;
    use http::HeaderValue;
    use http::header::AUTHORIZATION;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn waits_refusals_and_answers() {
        let rates = Rates::new(&[Rate { class: "federation", per: Duration::from_secs(60), burst: 60 }]);
        let headers: HeaderMap =
            [(AUTHORIZATION, HeaderValue::from_static("X-Matrix origin=a.example,key=k,sig=s"))].into_iter().collect();
        let arriving = |method| Arriving {
            class: "federation",
            client: [192, 0, 2, 1].into(),
            method,
            path: "/_matrix/federation/v1/send/1",
            headers: &headers,
        };
        let began = Instant::now();
        for _ in 0..60 {
            rates.admit(arriving(&Method::PUT)).await.unwrap();
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        // Preflights neither count nor confirm.
        for _ in 0..100 {
            let admitted = rates.admit(arriving(&Method::OPTIONS)).await.unwrap();
            rates.settle(&admitted, StatusCode::OK);
        }
        let admitted = rates.admit(arriving(&Method::PUT)).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 1, "it waited for its token");
        let all = futures_util::future::join_all((0..20).map(|_| rates.admit(arriving(&Method::PUT)))).await;
        assert_eq!(all.iter().filter(|outcome| outcome.is_ok()).count(), 10);
        assert_eq!(began.elapsed().as_secs(), 11);
        rates.settle(&admitted, StatusCode::OK);
        rates.admit(arriving(&Method::PUT)).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 11, "a bucket of its own");
    }
}
