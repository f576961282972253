//! The form that checks any server: the one thing that a visitor can have done here, so it asks who
//! does.
//!
//! A check makes this machine connect to where a name leads. Another site's script must not be able to
//! start one through the operator's browser, neither from afar (the request would carry its `Origin`,
//! and no token) nor after it has led its own name to this address (DNS rebinding: the `Host` would be
//! that name). Whoever may connect to the listener may check, so where the check goes is for the
//! network to guard, and how often is bounded here.

use crate::check::report::Report;
use crate::matrix::{Host, ServerName};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use futures_util::future::LocalBoxFuture;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Checks started within [`SPAN`]. A person types no faster, and a check is a dozen connections to a
/// stranger.
const MOST: usize = 6;

/// See [`MOST`].
const SPAN: Duration = Duration::from_secs(60);

/// The longest body: a token, and a name of at most 255 bytes of which each may be escaped.
pub(super) const MAX_BODY: usize = 2 * 1024;

/// The longest name that is taken, in bytes.
const MAX_NAME: usize = 255;

/// Random bytes of the token.
const TOKEN_BYTES: usize = 16;

/// A check of a name, by whatever guards where it goes.
type Run = dyn Fn(String) -> LocalBoxFuture<'static, Report>;

/// The form.
pub struct CheckForm {
    run: Rc<Run>,
    token: String,
    busy: Cell<bool>,
    /// When the latest checks began.
    begun: RefCell<VecDeque<Instant>>,
}

impl fmt::Debug for CheckForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the token.
        f.debug_struct("CheckForm").field("busy", &self.busy).finish_non_exhaustive()
    }
}

/// Why nothing is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "The form works where the page was opened by this machine's own address or as localhost, and nowhere else."
    )]
    ForeignHost,
    #[error("The request does not come from this page.")]
    ForeignOrigin,
    #[error("The form is out of date. Open the status page anew.")]
    BadToken,
    #[error("Write a server name of at most 255 bytes, such as example.org.")]
    BadName,
    #[error("Another check is running. Try again when it has ended.")]
    Busy,
    #[error("There were {MOST} checks within a minute, which is as many as are made. Try again in {} s.", .0.as_secs().max(1))]
    TooMany(Duration),
}

/// A check that may run, until this is dropped.
#[derive(Debug)]
pub(super) struct Permit<'f>(&'f Cell<bool>);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl CheckForm {
    /// A form of which each use has `run` check a name. `None` when the machine has no randomness for
    /// its token.
    pub fn new(run: impl Fn(String) -> LocalBoxFuture<'static, Report> + 'static) -> Option<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        let token = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { run: Rc::new(run), token, busy: Cell::new(false), begun: RefCell::default() })
    }

    /// The token for the page, where the page may have the form.
    pub(super) fn token(&self, headers: &HeaderMap, own: IpAddr) -> Option<&str> {
        own_host(headers, own).map(|_| self.token.as_str())
    }

    /// Whether a submission with these headers is looked at.
    pub(super) fn receive(headers: &HeaderMap, own: IpAddr) -> Result<(), Refused> {
        let host = own_host(headers, own).ok_or(Refused::ForeignHost)?;
        let origin = single(headers, ORIGIN.as_str());
        let same = origin.and_then(|origin| origin.strip_prefix("http://")).is_some_and(|from| from == host);
        let fetched = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
        let encoding = single(headers, CONTENT_TYPE.as_str());
        let encoded = encoding.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        if same && fetched && encoded { Ok(()) } else { Err(Refused::ForeignOrigin) }
    }

    /// The name in a body, if the body comes from the page.
    pub(super) fn name(&self, body: &[u8]) -> Result<String, Refused> {
        let field = |wanted: &str| {
            form_urlencoded::parse(body).find(|(key, _)| key == wanted).map(|(_, value)| value.into_owned())
        };
        let token = field("token").unwrap_or_default();
        verify_slices_are_equal(token.as_bytes(), self.token.as_bytes()).map_err(|_| Refused::BadToken)?;
        let name = field("server_name").unwrap_or_default().trim().to_owned();
        if name.is_empty() || name.len() > MAX_NAME { Err(Refused::BadName) } else { Ok(name) }
    }

    /// Permits one check at a time, and so many within a minute.
    pub(super) fn permit(&self) -> Result<Permit<'_>, Refused> {
        if self.busy.get() {
            return Err(Refused::Busy);
        }
        let mut begun = self.begun.borrow_mut();
        while begun.front().is_some_and(|first| first.elapsed() >= SPAN) {
            begun.pop_front();
        }
        if let Some(first) = begun.front().filter(|_| begun.len() >= MOST) {
            return Err(Refused::TooMany(SPAN.saturating_sub(first.elapsed())));
        }
        begun.push_back(Instant::now());
        self.busy.set(true);
        Ok(Permit(&self.busy))
    }

    /// Checks `name`.
    pub(super) async fn check(&self, name: String, _permit: Permit<'_>) -> Report {
        (self.run)(name).await
    }
}

/// The `Host` of a request, if it is the address that was connected to (`own`) or this machine's own
/// loop. The port plays no part: a tunnel changes it, and who can choose a port cannot choose these.
fn own_host(headers: &HeaderMap, own: IpAddr) -> Option<&str> {
    let written = single(headers, HOST.as_str())?;
    let is_own = match ServerName::parse(written).ok()?.host() {
        Host::Ip(address) => address.to_canonical() == own.to_canonical() || address.to_canonical().is_loopback(),
        Host::Dns(name) => name == "localhost",
    };
    is_own.then_some(written)
}

/// The value of a header that is there once.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    only.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        let mut headers = HeaderMap::new();
        lines.iter().map(line).for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn form() -> CheckForm {
        CheckForm::new(|_| unreachable!("nothing is checked here")).unwrap()
    }

    #[test]
    fn hosts() {
        let own = "192.0.2.1".parse().unwrap();
        for (host, good) in [
            ("192.0.2.1:9464", true),
            ("192.0.2.1", true),
            ("[::ffff:192.0.2.1]:9464", true),
            ("127.0.0.1:9000", true),
            ("[::1]:9464", true),
            ("localhost:9464", true),
            ("LOCALHOST", true),
            ("192.0.2.2:9464", false),
            ("localhost.evil.example", false),
            ("evil.example:9464", false),
            ("0.0.0.0:9464", false),
            ("a b", false),
            ("", false),
        ] {
            let form = form();
            assert_eq!(form.token(&headers(&[("host", host)]), own).is_some(), good, "{host}");
        }
        assert_eq!(form().token(&headers(&[]), own), None);
        assert_eq!(form().token(&headers(&[("host", "localhost"), ("host", "localhost")]), own), None);
    }

    #[test]
    fn submissions() {
        let encoded = ("content-type", "application/x-www-form-urlencoded");
        let good = [("host", "localhost:1"), ("origin", "http://localhost:1"), encoded];
        let with = |more: &[(&'static str, &'static str)]| headers(&[&good[..], more].concat());
        let own = "127.0.0.1".parse().unwrap();
        assert_eq!(CheckForm::receive(&with(&[]), own), Ok(()));
        assert_eq!(CheckForm::receive(&with(&[("sec-fetch-site", "same-origin")]), own), Ok(()));
        for (lines, refused) in [
            (with(&[("sec-fetch-site", "cross-site")]), Refused::ForeignOrigin),
            (with(&[("sec-fetch-site", "same-site")]), Refused::ForeignOrigin),
            (with(&[("origin", "http://localhost:1")]), Refused::ForeignOrigin),
            (with(&[("host", "localhost:1")]), Refused::ForeignHost),
            (headers(&good[..2]), Refused::ForeignOrigin),
            (headers(&[good[0], encoded]), Refused::ForeignOrigin),
            (headers(&[good[0], ("origin", "null"), encoded]), Refused::ForeignOrigin),
            (headers(&[good[0], ("origin", "http://localhost:2"), encoded]), Refused::ForeignOrigin),
            (headers(&[good[0], ("origin", "https://localhost:1"), encoded]), Refused::ForeignOrigin),
            (headers(&[good[0], good[1], ("content-type", "text/plain")]), Refused::ForeignOrigin),
            (headers(&[("host", "evil.example"), ("origin", "http://evil.example"), encoded]), Refused::ForeignHost),
        ] {
            assert_eq!(CheckForm::receive(&lines, own), Err(refused), "{lines:?}");
        }
    }

    #[test]
    fn bodies() {
        let form = form();
        let body = |token: &str, name: &str| format!("token={token}&server_name={name}").into_bytes();
        assert_eq!(form.name(&body(&form.token, "+%5B2001%3adb8::1%5D:8448+")).unwrap(), "[2001:db8::1]:8448");
        assert_eq!(form.name(&body(&form.token, "")), Err(Refused::BadName));
        assert_eq!(form.name(&body(&form.token, &"a".repeat(256))), Err(Refused::BadName));
        for token in ["", "0", form.token.get(1..).unwrap(), &self::form().token] {
            assert_eq!(form.name(&body(token, "a.example")), Err(Refused::BadToken));
        }
        assert_eq!(form.name(b"server_name=a.example"), Err(Refused::BadToken));
        assert!(form.token.len() == 32 && !format!("{form:?}").contains(&form.token));
    }

    #[tokio::test(start_paused = true)]
    async fn permits() {
        let form = form();
        let first = form.permit().unwrap();
        assert_eq!(form.permit().unwrap_err(), Refused::Busy);
        drop(first);
        for _ in 1..MOST {
            tokio::time::advance(Duration::from_secs(5)).await;
            form.permit().unwrap();
        }
        let Err(Refused::TooMany(wait)) = form.permit() else { panic!("too many") };
        assert_eq!(wait.as_secs(), 35);
        tokio::time::advance(wait).await;
        form.permit().unwrap();
        assert!(matches!(form.permit(), Err(Refused::TooMany(_))));
    }
}
