//! One order at a CA: placed, or taken up again; authorised, finalised once, fetched, proved.

mod answers;
mod authorise;
mod error;
mod pending;
mod prove;

pub(super) use answers::Answers;
pub(super) use error::{OrderError, again, explain, refusal};
pub(super) use pending::Pending;

use super::wire::Wire;
use crate::certs::Certificate;
use crate::clock::Timestamp;
use crate::config::Challenge;
use crate::matrix::{Host, HostPattern};
use answers::Open;
use error::{look_again, patience_for};
use instant_acme::{Account, CertificateIdentifier, Error, Identifier, NewOrder, Order, OrderStatus};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// How long one attempt watches an order. A CA validates from several places, which takes seconds;
/// what takes longer is taken up again later.
const PATIENCE: Duration = Duration::from_secs(300);

/// The pause between two looks: soon at first, every two seconds while most CAs are done, patiently
/// later.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const SHORT_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const EAGER: Duration = Duration::from_secs(30);

/// A CA that asks for a longer pause between two looks means something else: some answer with a day
/// while they validate in seconds, and the challenge has to stay open meanwhile.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// How often a finalisation that got no answer, and did not arrive, is made again.
const FINALISATIONS: usize = 3;

/// What an order is to be.
pub(super) struct Wanted<'a> {
    pub names: &'a [HostPattern],
    pub challenge: Challenge,
    pub profile: Option<&'a str>,
    /// The certificate that it takes the place of (RFC 9773 §5).
    pub replaces: Option<&'a str>,
}

/// An order at the CA, and what is kept of it.
pub(super) struct Placed {
    order: Order,
    pub pending: Pending,
}

/// A finished order.
pub(super) struct Outcome {
    pub certificate: Certificate,
    /// Key and chain, for the store.
    pub pem: String,
    /// When the order was placed.
    pub placed: Timestamp,
    /// Whether it had come to its end before this attempt took it up: the certificate is not new then.
    pub ended_before: bool,
}

/// Places an order. A CA that does not like what it would replace gets it once more without: the
/// order matters more than the exemption.
pub(super) async fn place(account: &Account, wanted: &Wanted<'_>, now: Timestamp) -> Result<Placed, OrderError> {
    let identifiers: Vec<_> = wanted.names.iter().map(identifier).collect();
    let plain = wanted.profile.iter().fold(NewOrder::new(&identifiers), |order, profile| order.profile(profile));
    let replaces = wanted.replaces.and_then(|id| id.split_once('.'));
    let mut placed = None;
    if let Some((issuer, serial)) = replaces {
        let replaces =
            CertificateIdentifier { authority_key_identifier: Cow::Borrowed(issuer), serial: Cow::Borrowed(serial) };
        let mut new = NewOrder::new(&identifiers).replaces(replaces);
        if let Some(profile) = wanted.profile {
            new = new.profile(profile);
        }
        match again(async || account.new_order(&new).await).await {
            Err(error)
                if refusal(&error).is_some_and(super::wire::Refusal::is_final)
                    || matches!(error, Error::Unsupported(_)) =>
            {
                tracing::warn!(%error, "the CA does not take the order as a replacement; it is placed as a new one");
            }
            result => placed = Some(result.map(|order| (order, true))),
        }
    }
    let placed = match placed {
        Some(placed) => placed,
        None => again(async || account.new_order(&plain).await).await.map(|order| (order, false)),
    };
    let (order, exempt) = placed.map_err(|error| explain("placing the order", error))?;
    let pending = Pending {
        url: order.url().to_owned(),
        names: wanted.names.iter().map(ToString::to_string).collect(),
        challenge: wanted.challenge.as_str().to_owned(),
        key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem(),
        placed: now.0,
        exempt,
    };
    Ok(Placed { order, pending })
}

/// Takes up an order that was placed before. `None` when the CA does not know it any more, or has
/// given it up.
pub(super) async fn resume(account: &Account, pending: Pending) -> Result<Option<Placed>, OrderError> {
    match look_again(async || account.order(pending.url.clone()).await).await {
        Ok(mut order) => {
            let given_up = order.state().status == OrderStatus::Invalid;
            Ok((!given_up).then_some(Placed { order, pending }))
        }
        Err(error) if refusal(&error).is_some_and(super::wire::Refusal::is_final) => Ok(None),
        Err(error) => Err(explain("taking up the order", error)),
    }
}

impl Placed {
    /// Whether a challenge has to be answered still.
    pub(super) fn needs_proof(&mut self) -> bool {
        self.order.state().status == OrderStatus::Pending
    }

    /// Has the names authorised, if that is still to be done.
    pub(super) async fn authorise(
        &mut self,
        names: &[HostPattern],
        challenge: Challenge,
        answers: &Answers,
        wire: &Wire,
    ) -> Result<(), OrderError> {
        if self.order.state().status != OrderStatus::Pending {
            return Ok(());
        }
        let mut open = Vec::new();
        let authorised = async {
            authorise::authorise(&mut self.order, names, challenge, answers, &mut open).await?;
            self.await_end_of(OrderStatus::Pending, "waiting for validation", names, wire).await
        };
        let authorised = authorised.await;
        // Held until here: while one name has failed, the CA may still be asking for another.
        Open::close(open).await;
        authorised
    }

    /// Takes an authorised order to its end, from wherever it stands.
    pub(super) async fn fetch(&mut self, names: &[HostPattern], wire: &Wire) -> Result<Outcome, OrderError> {
        let key = KeyPair::from_pem(&self.pending.key)?;
        let ended = self.order.state().status == OrderStatus::Valid;
        if self.order.state().status == OrderStatus::Ready {
            self.finalise(&signing_request(&key, names)?).await?;
        }
        self.await_end_of(OrderStatus::Processing, "waiting for the certificate", names, wire).await?;
        let chain = look_again(async || self.order.certificate().await).await;
        let chain = chain.map_err(|error| explain("fetching the certificate", error))?;
        // Half a download says nothing about the certificate: the order is kept and asked again.
        let chain = chain.filter(|chain| prove::is_chain(chain));
        let chain = chain.ok_or(Error::Str("what came is no chain of certificates"));
        let chain = chain.map_err(|error| explain("fetching the certificate", error))?;
        let certificate = prove::prove(&chain, &self.pending.key, names, wire.now())?;
        let (pem, placed) = (format!("{}{chain}", self.pending.key), Timestamp(self.pending.placed));
        Ok(Outcome { certificate, pem, placed, ended_before: ended })
    }

    /// Looks until the order has left `status`.
    async fn await_end_of(
        &mut self,
        status: OrderStatus,
        step: &'static str,
        names: &[HostPattern],
        wire: &Wire,
    ) -> Result<(), OrderError> {
        let (begin, end) = (Instant::now(), Instant::now() + PATIENCE);
        let mut pause = FIRST_PAUSE;
        // What is known now may be older than the wait before this one.
        let mut fresh = status != OrderStatus::Pending;
        loop {
            if !fresh {
                let looked = look_again(async || self.order.refresh().await.map(drop)).await;
                looked.map_err(|error| explain(step, error))?;
            }
            fresh = false;
            let state = self.order.state();
            match state.status {
                OrderStatus::Invalid => return Err(self.explain_invalid(step, names).await),
                now if now != status => return Ok(()),
                _ => {}
            }
            let asked = wire.retry_after().and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
            let wait = asked.map_or(pause, |asked| asked.min(LONGEST_ASKED).max(pause));
            if Instant::now() + wait > end {
                return Err(OrderError::Unfinished { step, limit: PATIENCE, retry_after: wire.retry_after() });
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(if begin.elapsed() < EAGER { SHORT_PAUSE } else { LONGEST_PAUSE });
        }
    }

    /// Finalises, and never blindly twice: when the answer is lost, a look tells whether the
    /// request arrived. A CA that refuses has answered; what it asks for then, this order waits for
    /// like any other.
    async fn finalise(&mut self, request: &[u8]) -> Result<(), OrderError> {
        const STEP: &str = "finalising the order";
        let mut tries = 0;
        loop {
            tries += 1;
            let Err(error) = again(async || self.order.finalize_csr(request).await).await else { return Ok(()) };
            let refused = refusal(&error).is_some();
            let Some(wait) = patience_for(&error) else { return Err(explain(STEP, error)) };
            tokio::time::sleep(wait).await;
            match look_again(async || self.order.refresh().await.map(drop)).await {
                Ok(()) if self.order.state().status != OrderStatus::Ready => return Ok(()),
                Ok(()) if !refused && tries < FINALISATIONS => {}
                // What the CA asked last is what counts.
                Err(look) if patience_for(&look).is_none_or(|wait| !wait.is_zero()) => return Err(explain(STEP, look)),
                _ => return Err(explain(STEP, error)),
            }
        }
    }

    /// Why the CA gave the order up.
    async fn explain_invalid(&mut self, step: &'static str, names: &[HostPattern]) -> OrderError {
        let said = self.order.state().error.clone();
        let (failed, reasons) = authorise::failures(&mut self.order, names).await;
        if failed.is_empty() {
            let detail = said.as_ref().map_or_else(|| "it did not say why".to_owned(), ToString::to_string);
            return OrderError::GivenUp { step, kind: said.and_then(|problem| problem.r#type), detail };
        }
        OrderError::Validation { failed, reason: reasons.join("; ") }
    }
}

fn identifier(name: &HostPattern) -> Identifier {
    match name {
        HostPattern::Exact(Host::Ip(address)) => Identifier::Ip(*address),
        name => Identifier::Dns(name.plain()),
    }
}

/// A request for `names`, signed with `key`.
fn signing_request(key: &KeyPair, names: &[HostPattern]) -> Result<Vec<u8>, OrderError> {
    let mut params = CertificateParams::new(names.iter().map(HostPattern::plain).collect::<Vec<_>>())?;
    // A default subject would be somebody else's; CAs put the names where they belong.
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}
