//! Orders, from their names to the certificate.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answers::{self, Reply};
use super::authorizations::Status;
use super::faults::{Fault, Flaw, Problem};
use super::issuing;
use super::jws;
use super::limits;
use super::records::{CertificateRecord, OrderRecord, Rule};
use super::state::State;

/// As many names as Let's Encrypt takes.
const MAX_NAMES: usize = 100;

/// How far an order is.
pub(super) enum Progress {
    /// Waits for authorisations, or to be finalised: which of both they say.
    Open,
    /// What becomes of it, and when; never without a time.
    Processing {
        until: Option<i64>,
        work: Work,
    },
    Valid {
        certificate: usize,
    },
    Invalid {
        error: Value,
    },
}

/// What is signed when the time has come.
pub(super) enum Work {
    Sign { request: Box<issuing::Request>, flaw: Option<Flaw> },
    Fail,
}

/// An order.
pub(super) struct Order {
    account: usize,
    /// Sorted.
    pub(super) names: Vec<String>,
    profile: Option<String>,
    replaces: Option<String>,
    /// Whether `replaces` is told back.
    echo: bool,
    authorizations: Vec<usize>,
    expires: i64,
    progress: Progress,
    finalized: bool,
    exempt: bool,
    renewal: bool,
}

pub(super) fn unauthorized(what: &str) -> Problem {
    Problem::new(403, "unauthorized", format!("the {what} belongs to another account"))
}

impl State {
    pub(super) fn new_order(
        &mut self,
        account: usize,
        payload: Option<&Value>,
        fault: Option<&Fault>,
        now: i64,
    ) -> Result<Reply, Problem> {
        let payload = payload.ok_or_else(|| Problem::malformed("a new order needs a payload"))?;
        if !payload["notBefore"].is_null() || !payload["notAfter"].is_null() {
            return Err(Problem::malformed("NotBefore and NotAfter are not supported"));
        }
        let names = read_names(payload)?;
        let profile = payload["profile"].as_str().map(str::to_owned);
        if profile.is_some() && self.settings.lifetime_of(profile.as_deref()).is_none() {
            let detail = format!("profile {:?} is not in the directory", profile.unwrap_or_default());
            return Err(Problem::new(400, "invalidProfile", detail));
        }
        let replaces = payload["replaces"].as_str().map(str::to_owned);
        let exempt = match &replaces {
            Some(ari_id) => self.check_replaces(account, ari_id, &names, now)?,
            None => false,
        };
        if self.settings.order_reuse && replaces.is_none() {
            for at in (0..self.orders.len()).rev() {
                let order = &self.orders[at];
                let same = order.account == account && order.names == names && order.profile == profile;
                // Nobody has that many orders under way.
                if order.expires + self.settings.order_lifetime < now {
                    break;
                }
                if same && order.replaces.is_none() && self.is_open(at, now) {
                    return Ok(self.order_reply(201, at));
                }
            }
        }
        let renewal = self.issued.get(&names).is_some_and(|at| now - at < limits::RENEWAL);
        if self.settings.enforce_limits && !exempt {
            let failures = |name: &str| self.failing.get(name).copied().unwrap_or_default();
            let mut bare = names.iter().map(|name| name.trim_start_matches("*."));
            if let Some(name) = bare.find(|name| failures(name) >= limits::PAUSED_AFTER) {
                return Err(Problem::paused(name));
            }
            limits::new_order(&self.records, account, &names, renewal, now)?;
        }
        let number = self.orders.len();
        let expires = now + self.settings.order_lifetime;
        let authorizations = names.iter().map(|name| self.authorize(account, name, expires, now)).collect();
        if let Some(ari_id) = &replaces {
            self.replaced_by.insert(ari_id.clone(), number);
        }
        let (record_names, record_profile, record_replaces) = (names.clone(), profile.clone(), replaces.clone());
        self.records.orders.push(OrderRecord {
            at: now,
            number,
            account,
            names: record_names,
            profile: record_profile,
            replaces: record_replaces,
            exempt,
            renewal,
        });
        self.orders.push(Order {
            account,
            names,
            profile,
            replaces,
            echo: !matches!(fault, Some(Fault::NoReplacesEcho)),
            authorizations,
            expires,
            progress: Progress::Open,
            finalized: false,
            exempt,
            renewal,
        });
        Ok(self.order_reply(201, number))
    }

    /// Whether an order may name this certificate, and whether it then is exempt from limits (Boulder's
    /// `validateReplacementOrder`).
    fn check_replaces(&mut self, account: usize, ari_id: &str, names: &[String], now: i64) -> Result<bool, Problem> {
        if !self.settings.renewal_info {
            return Ok(false);
        }
        if ari_id.split('.').count() != 2 || ari_id.split('.').any(|part| jws::decode(part).is_none()) {
            return Err(Problem::malformed(format!("{ari_id:?} identifies no certificate")));
        }
        let at = *self.by_ari_id.get(ari_id).ok_or_else(|| Problem::not_found("no such certificate to replace"))?;
        if let Some(&order) = self.replaced_by.get(ari_id)
            && (matches!(self.orders[order].progress, Progress::Valid { .. }) || self.is_open(order, now))
        {
            return Err(Problem::replaced("alreadyReplaced"));
        }
        let certificate = &self.records.certificates[at];
        if certificate.account != account {
            return Err(unauthorized("certificate"));
        }
        if !names.iter().any(|name| certificate.names.contains(name)) {
            return Err(Problem::malformed("the order has no name of the certificate it replaces"));
        }
        Ok(self.window(certificate).is_some_and(|(start, end)| (start..end).contains(&now)))
    }

    /// Moves an order on by the time alone.
    fn advance(&mut self, number: usize, now: i64) {
        let order = &mut self.orders[number];
        match &mut order.progress {
            Progress::Open => {
                let failed = order
                    .authorizations
                    .iter()
                    .any(|at| matches!(self.authorizations[*at].status, Status::Invalid | Status::Deactivated));
                if failed || now >= order.expires {
                    let error = json!({"type": "urn:ietf:params:acme:error:unauthorized", "status": 403,
                        "detail": if failed { "an authorization failed" } else { "the order has expired" }});
                    order.progress = Progress::Invalid { error };
                }
            }
            Progress::Processing { until: Some(until), .. } if *until <= now => {
                let error = json!({"type": "urn:ietf:params:acme:error:serverInternal", "status": 500,
                    "detail": "Error finalizing order"});
                let done = std::mem::replace(&mut order.progress, Progress::Invalid { error });
                if let Progress::Processing { work, .. } = done
                    && let Work::Sign { request, flaw } = work
                {
                    self.issue(number, *request, flaw, now);
                }
            }
            _ => {}
        }
    }

    /// Whether an order may still become a certificate.
    fn is_open(&mut self, number: usize, now: i64) -> bool {
        self.advance(number, now);
        let order = &self.orders[number];
        now < order.expires && matches!(order.progress, Progress::Open | Progress::Processing { .. })
    }

    /// Whether an order waits to be finalised.
    pub(super) fn is_ready(&mut self, number: usize, now: i64) -> bool {
        if number >= self.orders.len() {
            return false;
        }
        self.advance(number, now);
        self.status(number) == "ready"
    }

    fn status(&self, number: usize) -> &'static str {
        let order = &self.orders[number];
        match &order.progress {
            Progress::Open => {
                let valid = |at: &usize| self.authorizations[*at].status == Status::Valid;
                if order.authorizations.iter().all(valid) { "ready" } else { "pending" }
            }
            Progress::Processing { .. } => "processing",
            Progress::Valid { .. } => "valid",
            Progress::Invalid { .. } => "invalid",
        }
    }

    fn order_reply(&self, code: u16, number: usize) -> Reply {
        let order = &self.orders[number];
        let status = self.status(number);
        let identifiers: Vec<_> = order.names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let authorizations = order.authorizations.iter().map(|at| self.url(&format!("/authz/{at}")));
        let mut body = json!({
            "status": status,
            "expires": answers::rfc3339(order.expires),
            "identifiers": identifiers,
            "authorizations": authorizations.collect::<Vec<_>>(),
            "finalize": self.url(&format!("/finalize/{number}")),
        });
        if let Some(profile) = &order.profile {
            body["profile"] = json!(profile);
        }
        if let (Some(ari_id), true) = (&order.replaces, order.echo) {
            body["replaces"] = json!(ari_id);
        }
        match &order.progress {
            Progress::Valid { certificate } => body["certificate"] = json!(self.url(&format!("/cert/{certificate}"))),
            Progress::Invalid { error } => body["error"] = error.clone(),
            _ => {}
        }
        let unfinished = matches!(status, "pending" | "processing");
        let wait = self.settings.poll_after.filter(|_| unfinished && code == 200);
        Reply::json(code, &body)
            .location(self.url(&format!("/order/{number}")))
            .retry_after(wait.map(|seconds| seconds.to_string()))
    }

    fn own_order(&mut self, account: usize, number: usize, now: i64) -> Result<(), Problem> {
        let order = self.orders.get(number).ok_or_else(|| Problem::not_found("no such order"))?;
        if order.account != account {
            return Err(unauthorized("order"));
        }
        self.advance(number, now);
        Ok(())
    }

    pub(super) fn look_at_order(
        &mut self,
        account: usize,
        number: usize,
        fault: Option<&Fault>,
        now: i64,
    ) -> Result<Reply, Problem> {
        self.own_order(account, number, now)?;
        if matches!(fault, Some(Fault::OrderInvalid)) {
            let error = json!({"type": "urn:ietf:params:acme:error:caa", "status": 403,
                "detail": "Rechecking CAA failed"});
            self.orders[number].progress = Progress::Invalid { error };
        }
        Ok(self.order_reply(200, number))
    }

    pub(super) fn finalize(
        &mut self,
        account: usize,
        number: usize,
        payload: Option<&Value>,
        fault: Option<&Fault>,
        now: i64,
    ) -> Result<Reply, Problem> {
        self.own_order(account, number, now)?;
        let status = self.status(number);
        if status != "ready" {
            let rule = if self.orders[number].finalized { Rule::FinalizeTwice } else { Rule::FinalizeEarly };
            self.breach(now, rule, format!("order {number} is {status}"));
            let detail = format!("Order's status (\"{status}\") is not acceptable for finalization");
            return Err(Problem::new(403, "orderNotReady", detail));
        }
        let bad = |detail: String| Problem::new(400, "badCSR", detail);
        let csr = payload.and_then(|payload| jws::decode(payload["csr"].as_str()?));
        let request = issuing::Request::read(csr.ok_or_else(|| bad("there is no request".to_owned()))?);
        let request = Box::new(request.map_err(bad)?);
        if request.names != self.orders[number].names {
            return Err(bad(format!("the request is for {:?}", request.names)));
        }
        if !self.public_keys.insert(request.public_key.clone()) {
            self.breach(now, Rule::KeyReused, self.orders[number].names.join(", "));
        }
        let delay = self.settings.issuance_delay;
        let (until, work) = match fault {
            Some(Fault::Stuck(seconds)) => (seconds.map(|seconds| now + seconds), Work::Sign { request, flaw: None }),
            Some(Fault::OrderInvalid) => (Some(now + delay.max(1)), Work::Fail),
            Some(Fault::Certificate(flaw)) => (Some(now + delay), Work::Sign { request, flaw: Some(*flaw) }),
            _ => (Some(now + delay), Work::Sign { request, flaw: None }),
        };
        let order = &mut self.orders[number];
        order.finalized = true;
        order.progress = Progress::Processing { until, work };
        self.advance(number, now);
        Ok(self.order_reply(200, number))
    }

    fn issue(&mut self, number: usize, request: issuing::Request, flaw: Option<Flaw>, now: i64) {
        let order = &self.orders[number];
        let lifetime = self.settings.lifetime_of(order.profile.as_deref()).unwrap_or(self.settings.lifetime);
        let not_before = now - self.settings.backdate;
        let public_key = request.public_key.clone();
        // Both ends of the validity count (RFC 5280 §4.1.2.5).
        let issued = self.issuing.sign(request, (not_before, not_before + lifetime - 1), flaw, now);
        let issued = match issued {
            Ok(issued) => issued,
            Err(detail) => {
                self.orders[number].progress = Progress::Invalid { error: json!({"detail": detail}) };
                return;
            }
        };
        let certificate = self.chains.len();
        self.chains.push(Bytes::from(issued.chain));
        self.by_ari_id.insert(issued.ari_id.clone(), certificate);
        self.issued.insert(order.names.clone(), now);
        self.records.certificates.push(CertificateRecord {
            at: now,
            order: number,
            account: order.account,
            names: order.names.clone(),
            profile: order.profile.clone(),
            replaces: order.replaces.clone(),
            exempt: order.exempt,
            renewal: order.renewal,
            ari_id: issued.ari_id,
            not_before: issued.not_before,
            not_after: issued.not_after,
            public_key,
        });
        self.orders[number].progress = Progress::Valid { certificate };
    }

    pub(super) fn certificate(&self, account: usize, number: usize) -> Result<Reply, Problem> {
        let chain = self.chains.get(number).ok_or_else(|| Problem::not_found("no such certificate"))?;
        if self.records.certificates[number].account != account {
            return Err(unauthorized("certificate"));
        }
        Ok(Reply::chain(chain.clone()))
    }
}

/// The names of a new order, sorted.
fn read_names(payload: &Value) -> Result<Vec<String>, Problem> {
    let identifiers = payload["identifiers"].as_array().filter(|list| !list.is_empty());
    let identifiers = identifiers.ok_or_else(|| Problem::malformed("an order needs identifiers"))?;
    let mut names = Vec::new();
    for identifier in identifiers {
        if identifier["type"] != "dns" {
            return Err(Problem::new(400, "unsupportedIdentifier", "only names are certified"));
        }
        let name = identifier["value"].as_str().unwrap_or_default();
        let bare = name.strip_prefix("*.").unwrap_or(name);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        if !bare.contains('.') || bare.len() > 253 || !bare.split('.').all(label) {
            return Err(Problem::new(400, "rejectedIdentifier", format!("{name:?} is no public name")));
        }
        names.push(name.to_owned());
    }
    names.sort();
    names.dedup();
    if names.len() > MAX_NAMES {
        return Err(Problem::malformed("an order has at most 100 names"));
    }
    Ok(names)
}
