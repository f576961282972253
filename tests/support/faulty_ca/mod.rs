//! A small ACME CA (RFC 8555, RFC 9773) of our own, for what Pebble cannot do: limits, lies, silence, and any date.
//!
//! [`FaultyCa`] is a plain synchronous state machine. It has no clock and no sockets: every request comes with the true
//! time, so that a simulation may live through five years in a second. `super::faulty_server` puts it on a socket.
//!
//! It is a CA to test clients with, not to trust. Signatures of requests are not verified; their URLs, nonces, keys,
//! account URLs and payloads are, and the MAC of an external account binding is.

mod accounts;
mod answers;
mod ari;
mod authorizations;
mod faults;
mod in_process;
mod issuing;
mod jws;
mod limits;
mod nonces;
mod orders;
mod records;
mod settings;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Request, Response};

pub use ari::Renewal;
pub use faults::{Fault, Flaw, Matcher, Problem, RetryAfter};
pub use in_process::InProcess;
pub use jws::base64url;
#[allow(unused_imports, reason = "the types of public fields, for whoever has to name one")]
pub use records::{AccountRecord, Breach, CertificateRecord, FailureRecord, OrderRecord, Records, RequestRecord, Rule};
#[allow(unused_imports, reason = "as above")]
pub use settings::{DateHeader, Profile, Settings};
pub use state::Kind;

/// Seconds of a day.
pub const DAY: i64 = 24 * 60 * 60;

/// What comes back.
#[derive(Debug)]
pub enum Answer {
    Respond(Response<Bytes>),
    /// Nothing, and the connection stays open.
    Hang,
    /// Nothing, and the connection is cut off.
    Reset,
}

/// What the CA wants to see proved.
#[derive(Clone, Debug)]
pub struct Validation {
    /// `http-01`, `tls-alpn-01` or `dns-01`.
    pub kind: String,
    /// Without `*.`.
    pub identifier: String,
    pub token: String,
    /// `token.thumbprint`: the body of http-01; its SHA-256 is in the other two.
    pub key_authorization: String,
}

impl Validation {
    /// What the TXT record of dns-01 holds (RFC 8555 §8.4).
    pub fn dns_value(&self) -> String {
        base64url(self.digest())
    }

    /// What the certificate of tls-alpn-01 holds (RFC 8737 §3).
    pub fn digest(&self) -> Vec<u8> {
        jws::sha256(self.key_authorization.as_bytes())
    }
}

/// Looks whether a challenge is met; the error is what the CA tells.
pub type Validator = dyn Fn(&Validation) -> Result<(), String> + Send + Sync;

/// The CA. Clones are handles to the same one.
#[derive(Clone)]
pub struct FaultyCa {
    state: Arc<Mutex<state::State>>,
    validator: Arc<Validator>,
}

impl fmt::Debug for FaultyCa {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("FaultyCa")
    }
}

impl FaultyCa {
    /// A CA that behaves like Let's Encrypt and counts, but enforces no limit.
    pub fn settings() -> Settings {
        Settings::default()
    }

    fn start(settings: Settings, validator: Arc<Validator>) -> Self {
        Self { state: Arc::new(Mutex::new(state::State::new(settings))), validator }
    }

    /// Answers one request. `now` is the true time in seconds since 1970 and should not go back.
    ///
    /// Only the path of the target is looked at. Challenges that are due are validated before and after, without the
    /// lock, so that the validator may take its time and other requests are answered meanwhile.
    pub fn answer(&self, request: &Request<Bytes>, now: i64) -> Answer {
        self.validate_due(now);
        let answer = self.state().answer(request, now);
        self.validate_due(now);
        answer
    }

    fn validate_due(&self, now: i64) {
        let due = self.state().take_due(now);
        for (at, validation) in due {
            let result = (self.validator)(&validation);
            self.state().decide(at, result, now);
        }
    }

    /// Where clients begin.
    pub fn directory(&self) -> String {
        self.state().url("/directory")
    }

    /// The root that issued certificates lead to, as PEM.
    pub fn issuing_root(&self) -> String {
        self.state().issuing.root_pem().to_owned()
    }

    /// From now on requests that match get this instead. Earlier ones win.
    ///
    /// Panics if such requests cannot have this fault: a fault that never acts proves nothing.
    #[track_caller]
    pub fn fault(&self, matcher: Matcher, fault: Fault) {
        self.state().plan.add(matcher, fault);
    }

    /// Between these true times nothing answers.
    pub fn outage(&self, from: i64, to: i64) {
        self.state().plan.outage(from, to);
    }

    /// No faults and outages any more, whether they have acted or not.
    pub fn heal(&self) {
        self.state().heal();
    }

    /// Revokes every certificate: the windows of those issued so far move into the past, with an explanation.
    pub fn revoke_all(&self, now: i64) {
        self.state().revoke_all(now);
    }

    /// What is told about one certificate, by its [`CertificateRecord::ari_id`].
    pub fn renewal(&self, ari_id: &str, renewal: Renewal) {
        self.state().renewals.insert(ari_id.to_owned(), renewal);
    }

    /// What is told about all certificates without an entry of their own.
    pub fn every_renewal(&self, renewal: Renewal) {
        self.state().every_renewal = renewal;
    }

    /// When clients are asked to look for renewals again; six hours at first.
    pub fn renewal_retry_after(&self, retry_after: RetryAfter) {
        self.state().renewal_retry_after = retry_after;
    }

    /// What clients are told about the time.
    pub fn date(&self, date: DateHeader) {
        self.state().settings.date = date;
    }

    /// How long new certificates of a profile live, in seconds; `None` is for orders without one.
    #[track_caller]
    pub fn lifetime(&self, profile: Option<&str>, seconds: i64) {
        self.state().settings.set_lifetime(profile, seconds);
    }

    /// How long the CA takes before it validates, in seconds.
    pub fn validation_delay(&self, seconds: i64) {
        self.state().settings.validation_delay = seconds;
    }

    /// Loses all accounts: their URLs and keys are unknown.
    pub fn forget_accounts(&self) {
        self.state().forget_accounts();
    }

    /// Everything so far, as a copy.
    pub fn records(&self) -> Records {
        self.state().records.clone()
    }

    /// Looks at everything so far without a copy. Must not call the CA.
    pub fn with_records<T>(&self, look: impl FnOnce(&Records) -> T) -> T {
        look(&self.state().records)
    }

    fn state(&self) -> MutexGuard<'_, state::State> {
        // A test that panicked while it looked at records has left nothing half done.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
