//! All that the CA remembers, and the way of a request through it.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use serde_json::{Value, json};

use super::Answer;
use super::accounts::Account;
use super::answers::{Clock, Reply};
use super::ari::Renewal;
use super::authorizations::Authorization;
use super::faults::{Circumstances, Fault, Plan, Problem, Random, RetryAfter};
use super::issuing::Issuing;
use super::jws::Signed;
use super::nonces::{Nonces, Spent};
use super::orders::Order;
use super::records::{Breach, Records, RequestRecord, Rule};
use super::settings::Settings;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Directory,
    NewNonce,
    NewAccount,
    /// An account's own URL.
    Account,
    NewOrder,
    /// A look at an order.
    Order,
    Authorization,
    Challenge,
    Finalize,
    Certificate,
    RenewalInfo,
    /// A path that the CA never gave out.
    Unknown,
}

impl Kind {
    /// Whether such requests are POST with a JWS.
    pub(super) fn is_signed(self) -> bool {
        !matches!(self, Self::Directory | Self::NewNonce | Self::RenewalInfo | Self::Unknown)
    }
}

/// What a path stands for.
pub(super) struct Target<'a> {
    kind: Kind,
    pub(super) number: usize,
    pub(super) rest: &'a str,
}

impl<'a> Target<'a> {
    fn read(path: &'a str) -> Self {
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let (head, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let number = second.and_then(|text| text.parse().ok());
        let kind = match (head, second, number) {
            ("directory", None, _) => Kind::Directory,
            ("new-nonce", None, _) => Kind::NewNonce,
            ("new-account", None, _) => Kind::NewAccount,
            ("new-order", None, _) => Kind::NewOrder,
            ("account", _, Some(_)) => Kind::Account,
            ("order", _, Some(_)) => Kind::Order,
            ("authz", _, Some(_)) => Kind::Authorization,
            ("challenge", _, Some(_)) => Kind::Challenge,
            ("finalize", _, Some(_)) => Kind::Finalize,
            ("cert", _, Some(_)) => Kind::Certificate,
            ("renewal-info", Some(_), _) => Kind::RenewalInfo,
            _ => Kind::Unknown,
        };
        let rest = if kind == Kind::RenewalInfo { second } else { third };
        Self { kind, number: number.unwrap_or_default(), rest: rest.unwrap_or_default() }
    }
}

/// Everything.
pub(super) struct State {
    pub(super) settings: Settings,
    directory: Bytes,
    /// The `Link` that leads from everywhere to the directory.
    index: HeaderValue,
    pub(super) issuing: Issuing,
    nonces: Nonces,
    pub(super) accounts: Vec<Account>,
    pub(super) orders: Vec<Order>,
    pub(super) authorizations: Vec<Authorization>,
    /// Those that wait for their validation.
    pub(super) waiting: Vec<usize>,
    /// Valid ones that serve later orders, by account and name.
    pub(super) reusable: HashMap<(usize, String), usize>,
    /// In step with the records of certificates.
    pub(super) chains: Vec<Bytes>,
    pub(super) by_ari_id: HashMap<String, usize>,
    /// The order that last named a certificate, by its identifier.
    pub(super) replaced_by: HashMap<String, usize>,
    /// When a set of names was last issued.
    pub(super) issued: HashMap<Vec<String>, i64>,
    /// Failures in a row.
    pub(super) failing: HashMap<String, usize>,
    pub(super) public_keys: HashSet<Vec<u8>>,
    pub(super) plan: Plan,
    pub(super) records: Records,
    pub(super) renewals: HashMap<String, Renewal>,
    pub(super) every_renewal: Renewal,
    pub(super) renewal_retry_after: RetryAfter,
    /// Until when somebody was told to wait, by what and whom it is about.
    /// Until then, by what was asked: kind, names and path.
    told_to_wait: HashMap<(Kind, Vec<String>, String), i64>,
    pub(super) random: Random,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        let directory = Bytes::from(directory(&settings).to_string());
        let index = format!("<{}/directory>;rel=\"index\"", settings.base);
        Self {
            directory,
            index: HeaderValue::from_str(&index).expect("a URL"),
            issuing: Issuing::new(settings.intermediates),
            nonces: Nonces::default(),
            accounts: Vec::new(),
            orders: Vec::new(),
            authorizations: Vec::new(),
            waiting: Vec::new(),
            reusable: HashMap::new(),
            chains: Vec::new(),
            by_ari_id: HashMap::new(),
            replaced_by: HashMap::new(),
            issued: HashMap::new(),
            failing: HashMap::new(),
            public_keys: HashSet::new(),
            plan: Plan::new(settings.seed),
            records: Records::default(),
            renewals: HashMap::new(),
            every_renewal: Renewal::Usual,
            renewal_retry_after: RetryAfter::Seconds(6 * 3600),
            told_to_wait: HashMap::new(),
            random: Random::new(settings.seed),
            settings,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.base)
    }

    pub(super) fn breach(&mut self, now: i64, rule: Rule, detail: impl Into<String>) {
        self.records.breaches.push(Breach { at: now, rule, detail: detail.into() });
    }

    pub(super) fn heal(&mut self) {
        self.plan = Plan::new(self.settings.seed);
    }

    pub(super) fn answer(&mut self, request: &Request<Bytes>, now: i64) -> Answer {
        let target = Target::read(request.uri().path());
        let signed = target.kind.is_signed().then(|| read(request));
        let account = signed.as_ref().and_then(|signed| signed.as_ref().ok()).and_then(|signed| self.account(signed));
        let kind = target.kind;
        let answer = match self.plan.is_out(now) {
            true => Answer::Reset,
            false => self.respond(request, &target, signed, now),
        };
        let status = match &answer {
            Answer::Respond(response) => Some(response.status().as_u16()),
            Answer::Hang | Answer::Reset => None,
        };
        self.records.requests.push(RequestRecord { at: now, kind, status, account });
        answer
    }

    fn respond(
        &mut self,
        request: &Request<Bytes>,
        target: &Target<'_>,
        signed: Option<Result<Signed, Problem>>,
        now: i64,
    ) -> Answer {
        let kind = target.kind;
        let payload = signed.as_ref().and_then(|signed| signed.as_ref().ok()?.payload.as_ref());
        let names = self.names(target, payload);
        let replacing = kind == Kind::NewOrder && payload.is_some_and(|payload| payload["replaces"].is_string());
        // Retry-After is about what was asked for (RFC 9110 §10.2.3): another order or certificate is another matter.
        let asked = (kind, names.clone(), request.uri().path().to_owned());
        if let Some(until) = self.told_to_wait.remove(&asked)
            && now < until
        {
            self.breach(now, Rule::BeforeRetryAfter, format!("{kind:?} of {names:?}, {} s early", until - now));
            self.told_to_wait.insert(asked.clone(), until);
        }
        let ready = matches!(kind, Kind::Order | Kind::Finalize) && self.is_ready(target.number, now);
        let fault = self.plan.choose(&Circumstances { kind, names: &names, replacing, ready, now });
        let clock = Clock { now, date: self.settings.date };
        let plain = |reply: Reply, index: &HeaderValue| Answer::Respond(reply.into_response(None, index, clock));
        match &fault {
            Some(Fault::Hang) => return Answer::Hang,
            Some(Fault::Reset) => return Answer::Reset,
            Some(Fault::Huge(size)) => return plain(Reply::raw_json(vec![b' '; *size]), &self.index),
            Some(Fault::Html { status, retry_after }) => {
                self.remember_to_wait(asked.clone(), *status, retry_after, now);
                let (retry_after, _) = super::answers::told(retry_after, clock);
                let page = "<html><body><h1>Be right back.</h1></body></html>";
                return plain(Reply::html(*status, page).retry_after(retry_after), &self.index);
            }
            _ => {}
        }
        let result = match signed {
            Some(signed) => signed.and_then(|signed| self.signed(request, target, &signed, fault.as_ref(), now)),
            None => match &fault {
                Some(Fault::Problem(problem)) => Err(problem.clone()),
                _ => self.unsigned(request.method(), target, clock),
            },
        };
        let mut reply = result.unwrap_or_else(|problem| {
            self.remember_to_wait(asked.clone(), problem.status, &problem.retry_after, now);
            Reply::problem(&problem, clock)
        });
        match fault {
            Some(Fault::LostAnswer) => return Answer::Reset,
            Some(Fault::Truncated) => reply.body.truncate(reply.body.len() / 2),
            _ => {}
        }
        let nonce = (kind.is_signed() || kind == Kind::NewNonce).then(|| self.nonces.make());
        Answer::Respond(reply.into_response(nonce, &self.index, clock))
    }

    fn remember_to_wait(
        &mut self,
        asked: (Kind, Vec<String>, String),
        status: u16,
        retry_after: &RetryAfter,
        now: i64,
    ) {
        if let (429 | 503, Some(seconds)) = (status, retry_after.seconds()) {
            self.told_to_wait.insert(asked, now + seconds);
        }
    }

    /// The names of the order that a request is about, sorted.
    fn names(&self, target: &Target<'_>, payload: Option<&Value>) -> Vec<String> {
        let order = |number: usize| self.orders.get(number).map(|order| order.names.clone());
        let names = match target.kind {
            Kind::NewOrder => payload.map(|payload| {
                let identifiers = payload["identifiers"].as_array().into_iter().flatten();
                let mut names: Vec<_> =
                    identifiers.filter_map(|identifier| identifier["value"].as_str().map(str::to_owned)).collect();
                names.sort();
                names
            }),
            Kind::Order | Kind::Finalize => order(target.number),
            Kind::Authorization | Kind::Challenge => {
                self.authorizations.get(target.number).map(|authorization| vec![authorization.name()])
            }
            Kind::Certificate => self.records.certificates.get(target.number).map(|record| record.names.clone()),
            Kind::RenewalInfo => self.by_ari_id.get(target.rest).map(|at| self.records.certificates[*at].names.clone()),
            _ => None,
        };
        names.unwrap_or_default()
    }

    fn unsigned(&mut self, method: &Method, target: &Target<'_>, clock: Clock) -> Result<Reply, Problem> {
        match (target.kind, method) {
            (Kind::Directory, &Method::GET) => Ok(Reply::raw_json(self.directory.clone())),
            (Kind::NewNonce, &Method::HEAD) => Ok(Reply::empty(200)),
            (Kind::NewNonce, &Method::GET) => Ok(Reply::empty(204)),
            (Kind::RenewalInfo, &Method::GET) if self.settings.renewal_info => self.renewal_info(target.rest, clock),
            (kind, _) => {
                self.breach(clock.now, Rule::Malformed, format!("{method} for {kind:?}"));
                Err(Problem::not_found("no such resource"))
            }
        }
    }

    fn signed(
        &mut self,
        request: &Request<Bytes>,
        target: &Target<'_>,
        signed: &Signed,
        fault: Option<&Fault>,
        now: i64,
    ) -> Result<Reply, Problem> {
        let bad_nonce = || Problem::new(400, "badNonce", "JWS has an invalid anti-replay nonce");
        match self.nonces.spend(signed.nonce.as_deref()) {
            Spent::Good => {}
            Spent::Again => {
                self.breach(now, Rule::NonceReused, request.uri().path());
                return Err(bad_nonce());
            }
            Spent::Unknown => return Err(bad_nonce()),
        }
        match fault {
            Some(Fault::BadNonce) => return Err(bad_nonce()),
            Some(Fault::Problem(problem)) => return Err(problem.clone()),
            _ => {}
        }
        if signed.url != self.url(request.uri().path()) {
            let detail = format!("the JWS is for {}, the request is for {}", signed.url, request.uri().path());
            self.breach(now, Rule::Malformed, &detail);
            return Err(Problem::malformed(detail));
        }
        if target.kind == Kind::NewAccount {
            return self.new_account(signed, now);
        }
        let account = self.account(signed);
        if let (Some(Fault::AccountGone), Some(account)) = (fault, account) {
            self.accounts[account].gone = true;
        }
        let unknown = || Problem::new(400, "accountDoesNotExist", "No account exists with the provided URL");
        let account = account.filter(|account| !self.accounts[*account].gone).ok_or_else(unknown)?;
        if self.accounts[account].deactivated {
            return Err(Problem::new(403, "unauthorized", "Account is not valid, has status \"deactivated\""));
        }
        let payload = signed.payload.as_ref();
        match target.kind {
            Kind::Account if target.number == account => Ok(self.update_account(account, payload)),
            Kind::Account => Err(Problem::new(403, "unauthorized", "Request signing key did not match account key")),
            Kind::NewOrder => self.new_order(account, payload, fault, now),
            Kind::Order => self.look_at_order(account, target.number, fault, now),
            Kind::Authorization => self.authorization(account, target.number, payload, now),
            Kind::Challenge => self.challenge(account, target, payload, now),
            Kind::Finalize => self.finalize(account, target.number, payload, fault, now),
            Kind::Certificate => self.certificate(account, target.number),
            _ => Err(Problem::not_found("no such resource")),
        }
        .inspect_err(|problem| {
            if problem.kind == "malformed" && problem.status != 409 {
                let detail = format!("{:?}: {}", target.kind, problem.detail);
                self.records.breaches.push(Breach { at: now, rule: Rule::Malformed, detail });
            }
        })
    }
}

fn read(request: &Request<Bytes>) -> Result<Signed, Problem> {
    if request.method() != Method::POST {
        return Err(Problem::new(405, "malformed", "Method not allowed"));
    }
    if request.headers().get(http::header::CONTENT_TYPE).is_none_or(|kind| kind != "application/jose+json") {
        return Err(Problem::new(415, "malformed", "Content-Type must be application/jose+json"));
    }
    Signed::read(request.body()).map_err(Problem::malformed)
}

fn directory(settings: &Settings) -> Value {
    let base = &settings.base;
    let mut meta = json!({
        "termsOfService": format!("{base}/terms"),
        "website": format!("{base}/"),
        "externalAccountRequired": settings.external_account_required,
    });
    if !settings.caa_identities.is_empty() {
        meta["caaIdentities"] = json!(settings.caa_identities);
    }
    if !settings.profiles.is_empty() {
        let pairs = settings
            .profiles
            .iter()
            .map(|profile| (profile.name.clone(), json!(format!("{base}/docs/profiles#{}", profile.name))));
        meta["profiles"] = Value::Object(pairs.collect());
    }
    let mut directory = json!({
        "newNonce": format!("{base}/new-nonce"),
        "newAccount": format!("{base}/new-account"),
        "newOrder": format!("{base}/new-order"),
        "meta": meta,
    });
    if settings.renewal_info {
        directory["renewalInfo"] = json!(format!("{base}/renewal-info"));
    }
    directory
}
