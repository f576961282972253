//! Which servers ask: noted for [`crate::telemetry::origins`], as they claim to be called.
//!
//! Only what the homeserver has answered 2xx counts, since it verifies the claim: strangers cannot
//! make up servers. A request without `Authorization` or of another class is not looked at.

use super::class::Class;
use super::destination::Destination;
use super::rates::claimed_origin;
use super::serving::Serving;
use super::target::Target;
use crate::http1::RequestHead;
use crate::telemetry::origins::{Origins, Sketch};
use std::cell::RefCell;
use std::sync::Arc;

/// One worker's sketches, by homeserver: a few, so a list does.
pub(super) struct Callers {
    origins: Arc<Origins>,
    sketches: RefCell<Vec<(String, Arc<Sketch>)>>,
}

/// Who has sent a request that is not answered yet.
pub(super) struct Caller {
    sketch: Arc<Sketch>,
    hash: u64,
}

impl Callers {
    pub(super) fn new(origins: Arc<Origins>) -> Self {
        Self { origins, sketches: RefCell::default() }
    }

    /// The server that claims to have sent a request.
    pub(super) fn of(&self, serving: &Serving, destination: &Destination, head: &RequestHead) -> Option<Caller> {
        if destination.class != Class::Federation || head.fields().all("authorization").next().is_none() {
            return None;
        }
        let origin = claimed_origin(&Target::new(head.path()).literal(), head.fields().all("authorization"))?;
        let hash = self.origins.hash(origin);
        Some(Caller { sketch: self.sketch(serving.server_name(destination)?), hash })
    }

    fn sketch(&self, server: &str) -> Arc<Sketch> {
        let mut sketches = self.sketches.borrow_mut();
        if let Some((_, sketch)) = sketches.iter().find(|(name, _)| name == server) {
            return Arc::clone(sketch);
        }
        let sketch = self.origins.sketch_of(server);
        sketches.push((server.to_owned(), Arc::clone(&sketch)));
        sketch
    }
}

impl Caller {
    /// The homeserver has answered with this status.
    pub(super) fn answered(&self, status: u16) {
        if (200..300).contains(&status) {
            self.sketch.note(self.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::http1::Limits;
    use crate::proxy::destination::UpstreamId;
    use crate::tls::TlsTable;
    use std::path::Path;

    #[tokio::test]
    async fn those_whom_the_homeserver_has_answered_count() {
        let text = "[[server]]\nserver_name = \"a.example\"\n[[server]]\nserver_name = \"b.example\"\n";
        let serving = Serving::new(&Config::parse(text, Path::new("t.toml")).unwrap(), TlsTable::default());
        let origins = Arc::new(Origins::new());
        let callers = Callers::new(Arc::clone(&origins));
        let ask = |upstream: usize, class, path: &str, authorization: Option<&str>, status| {
            let line = authorization.map(|value| (&b"authorization"[..], value.as_bytes()));
            let limits = Limits { head: 1024, target: 1024 };
            let head = RequestHead::build("PUT", None, path, line.into_iter(), (true, limits)).unwrap();
            let destination = Destination::to(UpstreamId(upstream), class);
            if let Some(caller) = callers.of(&serving, &destination, &head) {
                caller.answered(status);
            }
        };
        let send = "/_matrix/federation/v1/send/1";
        let x = Some("X-Matrix origin=x.example,key=k,sig=s");
        let y = Some("X-Matrix origin=y.example,key=k,sig=s");
        ask(0, Class::Federation, send, x, 401);
        ask(0, Class::Federation, send, None, 200);
        ask(0, Class::Client, send, x, 200);
        ask(0, Class::Federation, "/_matrix/federation/v1/version", x, 200);
        ask(0, Class::Federation, send, Some("Bearer x"), 200);
        assert!(origins.answered().get("a.example").is_none_or(|answered| answered.day == 0));
        ask(0, Class::Federation, send, x, 200);
        ask(0, Class::Federation, send, x, 200);
        ask(0, Class::Federation, send, y, 201);
        ask(1, Class::Federation, send, y, 200);
        let answered = origins.answered();
        assert_eq!((answered["a.example"].hour, answered["b.example"].hour), (2, 1));
    }
}
