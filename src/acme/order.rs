//! One order: authorise every name with one challenge type, finalise, fetch, prove.

use super::account::AccountError;
use super::dns01::{Dns01, Dns01Error, OpenRecord};
use super::http::{Refusal, WireError, is_bad_nonce};
use crate::certs::certificate::InvalidCertificate;
use crate::certs::challenges::OpenChallenge;
use crate::certs::{Certificate, Challenges};
use crate::clock::Clock;
use crate::config::Challenge;
use crate::matrix::{Host, HostPattern};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeStatus, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a request that ends in `badNonce` is made again. The library tries three times each.
const NONCE_TRIES: usize = 10;

/// How often a look is tried while the CA cannot be reached, and the pause between.
const LOOKS: usize = 5;
const LOOK_PAUSE: Duration = Duration::from_secs(3);

/// How an order is polled: soon at first, patiently later, and given up after five minutes. A CA
/// validates from several places, which takes seconds, not minutes.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.3).timeout(Duration::from_secs(300));

/// Seconds by which this machine's clock may be behind the CA's.
const CLOCK_SLACK: i64 = 60;

/// A finished order.
pub(super) struct Outcome {
    pub certificate: Certificate,
    /// Key and chain, for the store.
    pub pem: String,
}

/// Why an order failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The CA tried and could not validate these names: another challenge type may work.
    #[error("validation failed")]
    Validation { failed: Vec<HostPattern>, reason: String },
    /// The CA refused a step, or could not be reached.
    #[error("{step} failed")]
    Step {
        step: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        retry_after: Option<i64>,
    },
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error("making a key or request failed")]
    Make(#[from] rcgen::Error),
    /// What the CA sent is not a certificate for this key and these names, valid now.
    #[error("the CA's certificate is unusable: {0}")]
    Unproved(String),
}

impl OrderError {
    /// Seconds that the CA asked to wait.
    pub(super) fn retry_after(&self) -> Option<i64> {
        match self {
            Self::Step { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl OrderError {
    /// Whether the CA was not reached or not told to look, so that nothing counts against its limits.
    pub(super) fn cost_nothing(&self) -> bool {
        matches!(self, Self::Step { source, .. } if source.is::<WireError>() || source.is::<Dns01Error>())
    }
}

impl From<Dns01Error> for OrderError {
    fn from(error: Dns01Error) -> Self {
        Self::Step { step: "publishing a DNS record", source: Box::new(error), retry_after: None }
    }
}

impl From<InvalidCertificate> for OrderError {
    fn from(error: InvalidCertificate) -> Self {
        Self::Unproved(error.to_string())
    }
}

/// Repeats a call that ends in `badNonce` (RFC 8555 §6.5).
pub(super) async fn again<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match call().await {
            Err(Error::Api(problem)) if is_bad_nonce(&problem) && tries < NONCE_TRIES => {}
            result => return result,
        }
    }
}

/// The same for a call that only looks: a lost connection is no reason to give up an order whose
/// validation is under way.
async fn look_again<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match again(&mut call).await {
            Err(Error::Other(error)) if error.is::<WireError>() && tries < LOOKS => {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            result => return result,
        }
    }
}

/// Names the step that failed.
pub(super) fn explain(step: &'static str, error: Error) -> OrderError {
    let retry_after = match &error {
        Error::Other(other) => other.downcast_ref::<Refusal>().and_then(|refusal| refusal.retry_after),
        Error::Timeout(Some(at)) => {
            let wait = Instant::from_std(*at).saturating_duration_since(Instant::now());
            i64::try_from(wait.as_secs()).ok()
        }
        _ => None,
    };
    let source = match error {
        Error::Other(other) => other,
        other => Box::new(other),
    };
    OrderError::Step { step, source, retry_after }
}

/// Where challenges are answered from.
#[derive(Clone, Copy)]
pub(super) struct Answers<'a> {
    pub challenges: &'a Challenges,
    pub dns01: Option<&'a Dns01>,
}

/// A challenge that is answered as long as this is kept.
enum Open {
    Here { _challenge: OpenChallenge },
    InDns(OpenRecord),
}

impl Open {
    async fn close(all: Vec<Self>) {
        for open in all {
            if let Self::InDns(record) = open {
                record.close().await;
            }
        }
    }
}

/// Takes one order from beginning to end.
pub(super) async fn order(
    account: &Account,
    names: &[HostPattern],
    challenge: Challenge,
    profile: Option<&str>,
    answers: Answers<'_>,
    clock: &Clock,
) -> Result<Outcome, OrderError> {
    let identifiers: Vec<_> = names.iter().map(identifier).collect();
    let new = profile.iter().fold(NewOrder::new(&identifiers), |order, profile| order.profile(profile));
    let placed = again(async || account.new_order(&new).await).await;
    let mut order = placed.map_err(|error| explain("placing the order", error))?;
    // Held until the CA has judged: while one name has failed, it may still be asking for another.
    let mut open = Vec::new();
    let validated = async {
        authorise(&mut order, names, challenge, answers, &mut open).await?;
        match look_again(async || order.poll_ready(&POLL).await).await {
            Ok(OrderStatus::Ready | OrderStatus::Valid) => Ok(()),
            Ok(_) => Err(validation_error(&mut order, names, None).await),
            Err(error @ Error::Timeout(_)) => Err(explain("waiting for validation", error)),
            Err(error) => Err(validation_error(&mut order, names, Some(error)).await),
        }
    };
    let validated = validated.await;
    Open::close(open).await;
    validated?;
    let (key, request) = signing_request(names)?;
    let finalised = again(async || order.finalize_csr(&request).await).await;
    finalised.map_err(|error| explain("finalising the order", error))?;
    let chain = look_again(async || order.poll_certificate(&POLL).await).await;
    let chain = chain.map_err(|error| explain("fetching the certificate", error))?;
    prove(&chain, &key, names, clock)
}

fn identifier(name: &HostPattern) -> Identifier {
    match name {
        HostPattern::Exact(Host::Ip(address)) => Identifier::Ip(*address),
        name => Identifier::Dns(name.plain()),
    }
}

/// Opens and announces a challenge for every name that is not authorised yet. Each is announced
/// once: a CA takes a second announcement for a faulty client.
async fn authorise(
    order: &mut Order,
    names: &[HostPattern],
    challenge: Challenge,
    answers: Answers<'_>,
    open: &mut Vec<Open>,
) -> Result<(), OrderError> {
    const STEP: &str = "authorising a name";
    let kind = match challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::Dns01 => ChallengeType::Dns01,
    };
    let mut announced = Vec::new();
    // The library's iterator skips the entry that failed, so a bad nonce starts it again.
    let mut tries = 0;
    'restart: loop {
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = match next {
                Err(Error::Api(problem)) if is_bad_nonce(&problem) && tries < NONCE_TRIES => {
                    tries += 1;
                    continue 'restart;
                }
                other => other.map_err(|error| explain(STEP, error))?,
            };
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let name = authorization.identifier().to_string();
            if announced.contains(&name) {
                continue;
            }
            let Some(mut handle) = authorization.challenge(kind.clone()) else {
                let failed = names.iter().filter(|host| host.plain() == name).cloned().collect();
                let reason = format!("the CA does not offer {} for this name", challenge.as_str());
                return Err(OrderError::Validation { failed, reason });
            };
            open.push(open_challenge(&handle, challenge, &name, answers).await?);
            if handle.status == ChallengeStatus::Pending {
                again(async || handle.set_ready().await).await.map_err(|error| explain(STEP, error))?;
            }
            announced.push(name);
        }
        return Ok(());
    }
}

async fn open_challenge(
    handle: &ChallengeHandle<'_>,
    challenge: Challenge,
    name: &str,
    Answers { challenges, dns01 }: Answers<'_>,
) -> Result<Open, OrderError> {
    let authorization = handle.key_authorization();
    let challenge = match challenge {
        Challenge::Http01 => challenges.open_http(&handle.token, authorization.as_str()),
        Challenge::TlsAlpn01 => {
            let certificate = challenge_certificate(name, authorization.digest().as_ref())?;
            challenges.open_tls(name, Arc::new(certificate))
        }
        Challenge::Dns01 => {
            let Some(dns01) = dns01 else {
                let reason = "nobody here writes DNS records; set [acme.dns]".to_owned();
                return Err(OrderError::Validation { failed: Vec::new(), reason });
            };
            let identifier = name.strip_prefix("*.").unwrap_or(name);
            return Ok(Open::InDns(dns01.open(identifier, &authorization.dns_value()).await?));
        }
    };
    Ok(Open::Here { _challenge: challenge })
}

/// The certificate of TLS-ALPN-01 (RFC 8737 §3): one name, and the digest in a critical extension.
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, OrderError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let private =
        PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| OrderError::Unproved(error.to_owned()))?;
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private);
    let signer = signer.map_err(|error| OrderError::Unproved(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}

/// Which names failed, and what the CA says of each.
async fn validation_error(order: &mut Order, names: &[HostPattern], error: Option<Error>) -> OrderError {
    let mut failed = Vec::new();
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if again(async || authorization.refresh().await.map(drop)).await.is_err() {
            continue;
        }
        if authorization.status != AuthorizationStatus::Invalid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let said = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(said.map(|problem| format!("{name}: {problem}")));
        failed.extend(names.iter().filter(|host| host.plain() == name).cloned());
    }
    match error {
        // Not a validation: the CA refused, or is away.
        Some(error) if failed.is_empty() => explain("waiting for validation", error),
        _ if failed.is_empty() => {
            OrderError::Validation { failed: names.to_vec(), reason: "the order became invalid".to_owned() }
        }
        _ => OrderError::Validation { failed, reason: reasons.join("; ") },
    }
}

/// A fresh P-256 key and a request for `names`.
fn signing_request(names: &[HostPattern]) -> Result<(KeyPair, Vec<u8>), OrderError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names.iter().map(HostPattern::plain).collect::<Vec<_>>())?;
    // A default subject would be somebody else's; CAs put the names where they belong.
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    Ok((key, request.der().to_vec()))
}

/// Nothing is stored or shown that is not proved: the key fits, the chain links, every name is
/// covered, and it is valid now.
fn prove(chain: &str, key: &KeyPair, names: &[HostPattern], clock: &Clock) -> Result<Outcome, OrderError> {
    let pem = format!("{}{chain}", key.serialize_pem());
    let certificate = Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes())?;
    if let Some(missing) = names.iter().find(|name| !certificate.includes(name)) {
        return Err(OrderError::Unproved(format!("it does not cover {missing}")));
    }
    let now = clock.now();
    certificate.verify_links(now)?;
    // A CA that does not backdate is ahead of a clock that is a little behind.
    if !certificate.is_valid_at(now) && !certificate.is_valid_at(now.plus(CLOCK_SLACK)) {
        let (from, until) = (certificate.facts().not_before, certificate.facts().not_after);
        return Err(OrderError::Unproved(format!(
            "it is valid from {from} to {until}, and this machine's clock says {now}"
        )));
    }
    Ok(Outcome { certificate, pem })
}
