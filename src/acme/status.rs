//! How the kept certificates stand, read from the store: nothing is ordered, changed or told.

use super::ledger::{Ledger, LedgerError};
use super::plan::{Plan, plan};
use super::{CA_LINE, ca_key, certificate_key};
use crate::certs::certificate::InvalidCertificate;
use crate::certs::store::StoreError;
use crate::certs::{Certificate, Store};
use crate::clock::Timestamp;
use crate::config::{Acme, CertificateOrder};
use crate::matrix::Host;

/// How the certificate for one set of names stands.
#[derive(Debug)]
pub struct KeptStatus {
    /// The set.
    pub names: Vec<Host>,
    /// What is stored, `None` when there is nothing.
    pub certificate: Option<Certificate>,
    /// When the next order is planned, and why.
    pub plan: Plan,
    /// The end of the wait after the last attempt, which has failed or is under way; `None` when the last
    /// one has succeeded.
    pub next_attempt: Option<Timestamp>,
    /// What is wrong, as sentences.
    pub problems: Vec<String>,
}

/// Reads how the certificates for `orders` stand.
pub async fn read(
    store: &Store,
    settings: &Acme,
    orders: &[CertificateOrder],
    now: Timestamp,
) -> Result<Vec<KeptStatus>, StoreError> {
    let ca = ca_key(&settings.directory);
    let mut all = Vec::new();
    for CertificateOrder { names } in orders {
        let Some(first) = names.first() else { continue };
        let mut problems = Vec::new();
        let ledger = match Ledger::load(store, &ca, first, now).await {
            Ok(ledger) => ledger,
            Err(LedgerError::Store(error)) => return Err(error),
            Err(damaged) => {
                problems.push(damaged.to_string());
                Ledger::default()
            }
        };
        let key = certificate_key(first);
        let content = store.load(&key).await?;
        let certificate = match content.as_deref().map(proved).transpose() {
            Ok(certificate) => certificate,
            Err(error) => {
                problems.push(format!("{} is damaged: {error}", store.describe(&key)));
                None
            }
        };
        let other_ca = content.as_deref().and_then(ca_of).filter(|of| certificate.is_some() && *of != ca);
        problems.extend(other_ca.map(|of| format!("it is from another CA, {of}; a new one is ordered")));
        if let Some(certificate) = &certificate {
            problems.extend(misfit(certificate, names, now));
        }
        let usable = certificate
            .as_ref()
            .filter(|certificate| other_ca.is_none() && names.iter().all(|name| certificate.covers(name)));
        let next = if usable.is_some() { ledger.next_renewal() } else { ledger.next_attempt() };
        let plan = plan(now, usable.map(Certificate::facts), next);
        let next_attempt = Some(ledger.next_attempt()).filter(|at| *at > Timestamp(0));
        all.push(KeptStatus { names: names.clone(), certificate, plan, next_attempt, problems });
    }
    Ok(all)
}

fn proved(content: &[u8]) -> Result<Certificate, InvalidCertificate> {
    Certificate::from_pem(content, content)
}

/// The CA that the first line of a stored certificate names.
fn ca_of(content: &[u8]) -> Option<&str> {
    let line = content.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line.strip_prefix(CA_LINE.as_bytes())?).ok()
}

/// Why a certificate does not do for `names` now.
fn misfit(certificate: &Certificate, names: &[Host], now: Timestamp) -> Option<String> {
    let facts = certificate.facts();
    let left_out: Vec<_> = names.iter().filter(|name| !certificate.covers(name)).cloned().collect();
    if !left_out.is_empty() {
        return Some(format!("it does not cover {}; a new one is ordered", Host::list(&left_out)));
    }
    if facts.not_after < now {
        return Some(format!("it has expired at {}", facts.not_after));
    }
    (facts.not_before > now)
        .then(|| format!("it is not valid before {}: is this machine's clock right?", facts.not_before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::plan::Reason;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use std::path::Path;

    /// Valid for the year 2026.
    fn pem(names: &[&str]) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        format!("{}{}", key.serialize_pem(), params.self_signed(&key).unwrap().pem())
    }

    const START: Timestamp = Timestamp(1_767_225_600);
    const DAY: i64 = 86_400;

    struct Scene {
        store: Store,
        settings: Acme,
        orders: Vec<CertificateOrder>,
    }

    impl Scene {
        fn new() -> Self {
            let text = "server_name = \"a.example\"\npublic_host = \"matrix.a.example\"\n[acme]\ndirectory = \"https://ca.test/dir\"\n";
            let config = crate::config::Config::parse(text, Path::new("t.toml")).unwrap();
            Self { store: Store::memory(), settings: config.acme, orders: config.names.orders().to_vec() }
        }

        async fn status(&self, now: Timestamp) -> KeptStatus {
            read(&self.store, &self.settings, &self.orders, now).await.unwrap().remove(0)
        }

        async fn keep(&self, ca: &str, names: &[&str]) {
            let first = &self.orders[0].names[0];
            let content = format!("{CA_LINE}{ca}\n{}", pem(names));
            self.store.store(&certificate_key(first), content.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_good_certificate_has_a_renewal_and_no_problem() {
        let scene = Scene::new();
        let now = START.plus(10 * DAY);
        let none = scene.status(now).await;
        assert!(none.certificate.is_none() && none.problems.is_empty());
        assert_eq!(none.plan, Plan { at: now, reason: Reason::Missing });

        let names: Vec<_> = scene.orders[0].names.iter().map(ToString::to_string).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        scene.keep("ca.test_dir", &names).await;
        let good = scene.status(now).await;
        assert!(good.certificate.is_some() && good.problems.is_empty() && good.next_attempt.is_none());
        assert!(good.plan.at > START.plus(240 * DAY) && good.plan.at < START.plus(250 * DAY), "{:?}", good.plan);
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        let scene = Scene::new();
        let now = START.plus(DAY);
        let names: Vec<_> = scene.orders[0].names.iter().map(ToString::to_string).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        scene.keep("other.test_dir", &names).await;
        let foreign = scene.status(now).await;
        assert!(foreign.problems[0].contains("another CA, other.test_dir"), "{:?}", foreign.problems);
        assert_eq!(foreign.plan.reason, Reason::Missing);

        scene.keep("ca.test_dir", &names[..1]).await;
        let partial = scene.status(now).await;
        assert!(partial.problems[0].contains("does not cover"), "{:?}", partial.problems);
        scene.keep("ca.test_dir", &names).await;
        assert!(scene.status(START.plus(400 * DAY)).await.problems[0].contains("expired at"));
        assert!(scene.status(START.plus(-DAY)).await.problems[0].contains("not valid before"));

        let first = &scene.orders[0].names[0];
        let mut ledger = Ledger::default();
        ledger.begin(now);
        ledger.save(&scene.store, "ca.test_dir", first).await.unwrap();
        assert_eq!(scene.status(now).await.next_attempt, Some(now.plus(60)));
        scene.store.store(&crate::acme::ledger::key("ca.test_dir", first), b"{").await.unwrap();
        scene.store.store(&certificate_key(first), b"nothing").await.unwrap();
        let damaged = scene.status(now).await.problems;
        assert!(damaged.len() == 2 && damaged.iter().all(|problem| problem.contains("is damaged")), "{damaged:?}");
    }
}
