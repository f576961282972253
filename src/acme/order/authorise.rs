//! Authorising the names of an order: challenges are opened, announced once, and held open until
//! the CA has made up its mind.

use super::answers::{Answers, Open};
use super::error::{OrderError, again, explain, look_again, patience_for, refusal};
use crate::acme::wire::Refusal;
use crate::config::Challenge;
use crate::matrix::HostPattern;
use instant_acme::{AuthorizationStatus, ChallengeStatus, ChallengeType, Order};

const STEP: &str = "authorising a name";

/// How often the walk through the authorisations is begun again after a bad nonce.
const RESTARTS: usize = 10;

/// Opens a challenge for every name that is not authorised yet, and announces them once all are open: one that could not
/// be opened would end the order while the CA looks for the others, in vain, and each of those counts. Each is announced
/// once, over restarts too: a CA takes a second announcement for a faulty client. What is opened goes
/// to `open`, for the caller to close however this ends.
pub(super) async fn authorise(
    order: &mut Order,
    names: &[HostPattern],
    challenge: Challenge,
    answers: &Answers,
    open: &mut Vec<Open>,
) -> Result<(), OrderError> {
    // The library's iterator skips the entry that failed, so a bad nonce starts it again.
    let mut restarts = 0;
    for announcing in [false, true] {
        let mut done: Vec<String> = Vec::new();
        'restart: loop {
            let mut authorizations = order.authorizations();
            while let Some(next) = authorizations.next().await {
                let mut authorization = match next {
                    Err(error) if restarts < RESTARTS && refusal(&error).is_some_and(Refusal::is_bad_nonce) => {
                        restarts += 1;
                        continue 'restart;
                    }
                    other => other.map_err(|error| explain(STEP, error))?,
                };
                let url = authorization.url().to_owned();
                if authorization.status != AuthorizationStatus::Pending || done.contains(&url) {
                    continue;
                }
                let name = authorization.identifier().to_string();
                let mut handle =
                    authorization.challenge(kind(challenge)).ok_or_else(|| not_offered(challenge, &name, names))?;
                done.push(url.clone());
                if !announcing {
                    open.push(answers.open(&handle, challenge, &name).await?);
                    continue;
                }
                if handle.status != ChallengeStatus::Pending {
                    // Announced before a crash: the CA is at it, or will look again.
                    continue;
                }
                if let Err(error) = again(async || handle.set_ready().await).await {
                    let Some(wait) = patience_for(&error) else { return Err(explain(STEP, error)) };
                    tokio::time::sleep(wait).await;
                    if !was_heard(order, &url, &kind(challenge)).await? {
                        return Err(explain(STEP, error));
                    }
                    continue 'restart;
                }
            }
            break;
        }
    }
    Ok(())
}

fn not_offered(challenge: Challenge, name: &str, names: &[HostPattern]) -> OrderError {
    let failed = names.iter().filter(|host| host.plain() == name).cloned().collect();
    let reason = format!("the CA does not offer {} for {name}", challenge.as_str());
    OrderError::Validation { failed, reason }
}

/// Whether an announcement arrived whose answer was lost, or which the CA refused because it had
/// heard already. Only a look can tell.
async fn was_heard(order: &mut Order, url: &str, kind: &ChallengeType) -> Result<bool, OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next.map_err(|error| explain(STEP, error))?;
        if authorization.url() != url {
            continue;
        }
        look_again(async || authorization.refresh().await.map(drop)).await.map_err(|error| explain(STEP, error))?;
        let mut challenges = authorization.challenges.iter().filter(|challenge| challenge.r#type == *kind);
        let begun = challenges.any(|challenge| challenge.status != ChallengeStatus::Pending);
        return Ok(begun || authorization.status != AuthorizationStatus::Pending);
    }
    Ok(false)
}

fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::Dns01 => ChallengeType::Dns01,
    }
}

/// Which names failed, and what the CA says of each. Empty when none did.
pub(super) async fn failures(order: &mut Order, names: &[HostPattern]) -> (Vec<HostPattern>, Vec<String>) {
    let mut failed = Vec::new();
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if look_again(async || authorization.refresh().await.map(drop)).await.is_err() {
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
    (failed, reasons)
}
