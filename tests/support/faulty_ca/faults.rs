//! What goes wrong, for whom, and when.

use super::DAY;
use super::state::Kind;

/// Which requests. All of them unless it is narrowed down.
#[derive(Clone, Debug)]
pub struct Matcher {
    kind: Option<Kind>,
    name: Option<String>,
    replacing: bool,
    skip: u32,
    times: u32,
    percent: u8,
    from: i64,
    until: i64,
}

impl Matcher {
    /// Requests of every kind.
    pub fn any() -> Self {
        Self {
            kind: None,
            name: None,
            replacing: false,
            skip: 0,
            times: u32::MAX,
            percent: 100,
            from: i64::MIN,
            until: i64::MAX,
        }
    }

    /// Requests of this kind.
    pub fn of(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::any() }
    }

    /// Only those about an order with this name.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Only new orders with `replaces`.
    pub fn replacing(mut self) -> Self {
        self.replacing = true;
        self
    }

    /// Lets so many of them pass first.
    pub fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// So many of them, and then no more.
    pub fn times(mut self, count: u32) -> Self {
        self.times = count;
        self
    }

    /// About this share of them, in percent; which ones depends on nothing but the CA's seed and their order.
    pub fn percent(mut self, percent: u8) -> Self {
        self.percent = percent;
        self
    }

    /// Only from this true time on, and before that one.
    pub fn between(mut self, from: i64, until: i64) -> Self {
        (self.from, self.until) = (from, until);
        self
    }
}

/// When an error asks clients to come again, counted in seconds from the answer.
#[derive(Clone, Debug)]
pub enum RetryAfter {
    None,
    Seconds(i64),
    /// As an HTTP date, by the clock that `Date` tells.
    Date(i64),
    /// No header; the detail ends in `retry after 2026-11-23 21:00:00 UTC`, as Let's Encrypt writes it.
    Detail(i64),
    /// No header; the detail ends in `retry after 2026-11-23T21:00:00Z`.
    DetailZulu(i64),
    /// This header, whatever it means.
    Text(String),
}

impl RetryAfter {
    /// Seconds, where it can be said.
    pub(super) fn seconds(&self) -> Option<i64> {
        match self {
            Self::Seconds(seconds) | Self::Date(seconds) | Self::Detail(seconds) | Self::DetailZulu(seconds) => {
                Some(*seconds)
            }
            Self::None | Self::Text(_) => None,
        }
    }
}

/// A problem document (RFC 8555 §6.7).
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: u16,
    /// What stands behind `urn:ietf:params:acme:error:`.
    pub kind: String,
    pub detail: String,
    pub retry_after: RetryAfter,
}

impl Problem {
    pub fn new(status: u16, kind: &str, detail: impl Into<String>) -> Self {
        Self { status, kind: kind.to_owned(), detail: detail.into(), retry_after: RetryAfter::None }
    }

    pub fn retry_after(mut self, retry_after: RetryAfter) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// A limit, as Let's Encrypt words it.
    pub fn rate_limited(retry_after: RetryAfter) -> Self {
        Self::new(429, "rateLimited", "too many new orders (300) from this account in the last 3h0m0s")
            .retry_after(retry_after)
    }

    /// An identifier that Let's Encrypt has paused until a human opens the link.
    pub fn paused(name: &str) -> Self {
        let detail = format!(
            "Your account is temporarily prevented from requesting certificates for {name} and possibly others. Please \
             visit: https://portal.ca.test/sfe/v1/unpause?jwt=abc"
        );
        Self::new(429, "rateLimited", detail).retry_after(RetryAfter::Seconds(DAY))
    }

    /// The certificate has a successor. `alreadyReplaced` is RFC 9773's type; older servers say `conflict` or
    /// `malformed`.
    pub fn replaced(kind: &str) -> Self {
        Self::new(
            409,
            kind,
            "cannot indicate an order replaces certificate with serial 04, which already has a replacement",
        )
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "malformed", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "malformed", detail)
    }
}

/// What a request gets instead, or what becomes of its order.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An error of the CA. The request is not carried out; its nonce is spent.
    Problem(Problem),
    /// An error of somebody in front of the CA, who never heard of ACME: an HTML page and no nonce.
    Html { status: u16, retry_after: RetryAfter },
    /// A good nonce is refused. Signed requests only.
    BadNonce,
    /// No answer, and nothing done.
    Hang,
    /// The connection is cut off, and nothing done.
    Reset,
    /// The request is carried out, and then the connection is cut off.
    LostAnswer,
    /// The request is carried out, and half of the answer's body arrives in good form.
    Truncated,
    /// A body of so many bytes.
    Huge(usize),
    /// The account is unknown from now on. Requests with an account.
    AccountGone,
    /// `replaces` is accepted and not told back. New orders with `replaces`.
    NoReplacesEcho,
    /// The order stays in processing for so many seconds, or for ever. Finalising.
    Stuck(Option<i64>),
    /// The order fails after it was ready. Finalising, or a look at an order that is ready.
    OrderInvalid,
    /// The certificate is not what was ordered. Finalising.
    Certificate(Flaw),
}

/// What may be wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The intermediate is somebody else's.
    ForeignChain,
    /// No intermediate at all.
    NoChain,
    /// Another key than that of the request.
    ForeignKey,
    /// Expired a day ago.
    Expired,
    /// Valid from tomorrow.
    NotYetValid,
    /// For `other.test` alone.
    OtherNames,
    /// The last name is missing.
    MissingName,
}

impl Fault {
    fn suits(&self, matcher: &Matcher) -> bool {
        let kind = matcher.kind;
        match self {
            Self::Stuck(_) | Self::Certificate(_) => kind == Some(Kind::Finalize),
            Self::OrderInvalid => matches!(kind, Some(Kind::Finalize | Kind::Order)),
            Self::NoReplacesEcho => kind == Some(Kind::NewOrder) && matcher.replacing,
            Self::BadNonce => kind.is_none_or(Kind::is_signed),
            Self::AccountGone => kind.is_none_or(|kind| kind.is_signed() && kind != Kind::NewAccount),
            _ => true,
        }
    }
}

/// What a fault is chosen by.
pub(super) struct Circumstances<'a> {
    pub(super) kind: Kind,
    pub(super) names: &'a [String],
    pub(super) replacing: bool,
    /// The order it is about waits to be finalised.
    pub(super) ready: bool,
    pub(super) now: i64,
}

/// All that is to go wrong.
pub(super) struct Plan {
    faults: Vec<(Matcher, Fault)>,
    outages: Vec<(i64, i64)>,
    random: Random,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        Self { faults: Vec::new(), outages: Vec::new(), random: Random::new(seed) }
    }

    #[track_caller]
    pub(super) fn add(&mut self, matcher: Matcher, fault: Fault) {
        assert!(fault.suits(&matcher), "{matcher:?} never meets {fault:?}");
        self.faults.push((matcher, fault));
    }

    pub(super) fn outage(&mut self, from: i64, to: i64) {
        self.outages.push((from, to));
    }

    pub(super) fn is_out(&self, now: i64) -> bool {
        self.outages.iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    /// The first fault that this request is to have.
    pub(super) fn choose(&mut self, of: &Circumstances<'_>) -> Option<Fault> {
        for (matcher, fault) in &mut self.faults {
            let kind = match fault {
                Fault::BadNonce => of.kind.is_signed(),
                Fault::AccountGone => of.kind.is_signed() && of.kind != Kind::NewAccount,
                Fault::OrderInvalid => of.ready,
                _ => true,
            };
            let matches = kind
                && matcher.times > 0
                && matcher.kind.is_none_or(|kind| kind == of.kind)
                && (!matcher.replacing || of.replacing)
                && (matcher.from..matcher.until).contains(&of.now)
                && matcher.name.as_ref().is_none_or(|name| of.names.contains(name));
            if !matches || self.random.next() % 100 >= u64::from(matcher.percent) {
                continue;
            }
            if matcher.skip > 0 {
                matcher.skip -= 1;
                continue;
            }
            matcher.times -= 1;
            return Some(fault.clone());
        }
        None
    }
}

/// SplitMix64: what is drawn is the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
