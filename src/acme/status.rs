//! How the kept certificates stand, read from the store: nothing is ordered, changed or told.

use super::ca::ca_key;
use super::ledger::{Budget, FailureKind, Ledger, LedgerError};
use super::plan::Step;
use super::schedule::Schedule;
use super::stored::{self, Stored};
use super::window::Window;
use crate::certs::store::StoreError;
use crate::certs::{Certificate, Store};
use crate::clock::Timestamp;
use crate::config::{Acme, CertificateOrder};
use crate::matrix::HostPattern;

/// How the certificate for one set of names stands.
#[derive(Debug)]
pub struct KeptStatus {
    /// The set.
    pub names: Vec<HostPattern>,
    /// What is stored, `None` when there is nothing.
    pub certificate: Option<Certificate>,
    /// The folder of the CA that it came from, where the file says.
    pub ca: Option<String>,
    /// When the next order is planned, where, why, and what holds it up.
    pub plan: Step,
    /// What the CA suggested for the renewal.
    pub window: Option<Window>,
    /// What went wrong last, unless a certificate came after it.
    pub last_failure: Option<Trouble>,
    /// What is left at each CA, in order of preference.
    pub budgets: Vec<CaBudget>,
    /// What is wrong, as sentences.
    pub problems: Vec<String>,
}

/// What is left of a CA's patience for one set of names.
#[derive(Clone, Debug)]
pub struct CaBudget {
    /// The CA's directory.
    pub directory: String,
    /// By its record, or by none where that is damaged.
    pub budget: Budget,
}

/// Something that went wrong at a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub at: Timestamp,
    /// How; `None` for an order that was interrupted, or a rehearsal.
    pub kind: Option<FailureKind>,
    /// For people.
    pub detail: String,
}

/// Reads how the certificates for `orders` stand.
pub async fn read(
    store: &Store,
    settings: &Acme,
    orders: &[CertificateOrder],
    now: Timestamp,
) -> Result<Vec<KeptStatus>, StoreError> {
    let mut all = Vec::new();
    for CertificateOrder { names } in orders {
        if let Some(first) = names.first() {
            all.push(one(store, settings, names, first, now).await?);
        }
    }
    Ok(all)
}

async fn one(
    store: &Store,
    settings: &Acme,
    names: &[HostPattern],
    first: &HostPattern,
    now: Timestamp,
) -> Result<KeptStatus, StoreError> {
    let folders = || settings.cas.iter().map(|ca| ca_key(&ca.directory));
    let mut problems = Vec::new();
    let mut ledgers = Vec::new();
    for ca in folders() {
        ledgers.push(match Ledger::look(store, &ca, first).await {
            Ok(ledger) => ledger,
            Err(LedgerError::Store(error)) => return Err(error),
            Err(damaged) => {
                problems.push(damaged.to_string());
                Ledger::default()
            }
        });
    }
    let key = stored::key(first);
    let content = store.load(&key).await?;
    let stored = match content.as_deref().map(Stored::parse).transpose() {
        Ok(stored) => stored,
        Err(error) => {
            problems.push(format!("{} is damaged: {error}", store.describe(&key)));
            None
        }
    };
    let ca = stored.as_ref().and_then(|stored| stored.ca_among(folders()));
    if let Some(stored) = &stored {
        if let (None, Some(other)) = (ca, &stored.ca) {
            problems.push(format!("it is from another CA, {other}; a new one is ordered"));
        }
        problems.extend(misfit(&stored.certificate, names, now));
    }
    let there = stored.as_ref().filter(|stored| ca.is_some() && stored.fits(names));
    let there = there.map(|stored| stored::there(&stored.certificate, ca));
    let schedule = Schedule { names, there, ledgers: &ledgers };
    let plan = schedule.step(now, &schedule.due(now));
    let window = there.and_then(|there| ledgers.get(there.ca?)?.window(there.renewal_id)).cloned();
    let failures = ledgers.iter().filter_map(Ledger::last_failure);
    let last_failure = failures.max_by_key(|failure| failure.at).map(|failure| Trouble {
        at: failure.at,
        kind: failure.kind.cloned(),
        detail: failure.detail.to_owned(),
    });
    let budgets = settings
        .cas
        .iter()
        .zip(&ledgers)
        .map(|(ca, ledger)| CaBudget { directory: ca.directory.clone(), budget: ledger.budget(now, names) });
    let budgets = budgets.collect();
    let (certificate, ca) = stored.map_or((None, None), |stored| (Some(stored.certificate), stored.ca));
    Ok(KeptStatus { names: names.to_vec(), certificate, ca, plan, window, last_failure, budgets, problems })
}

/// Why a certificate does not do for `names` now.
fn misfit(certificate: &Certificate, names: &[HostPattern], now: Timestamp) -> Option<String> {
    let facts = certificate.facts();
    let left_out: Vec<_> = names.iter().filter(|name| !certificate.includes(name)).cloned().collect();
    if !left_out.is_empty() {
        return Some(format!("it does not cover {}; a new one is ordered", HostPattern::list(&left_out)));
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
    use crate::acme::ledger::{Failure, Hold};
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
            let content = stored::content(ca, &pem(names));
            self.store.store(&stored::key(&self.orders[0].names[0]), content.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_good_certificate_has_a_renewal_and_no_problem() {
        let scene = Scene::new();
        let now = START.plus(10 * DAY);
        let none = scene.status(now).await;
        assert!(none.certificate.is_none() && none.problems.is_empty());
        assert_eq!((none.plan.at, none.plan.reason), (now, Reason::Missing));

        let names: Vec<_> = scene.orders[0].names.iter().map(ToString::to_string).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        scene.keep("ca.test_dir", &names).await;
        let good = scene.status(now).await;
        assert!(good.certificate.is_some() && good.problems.is_empty() && good.last_failure.is_none());
        assert!(good.plan.at > START.plus(220 * DAY) && good.plan.at < START.plus(250 * DAY), "{:?}", good.plan);
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
        ledger.placed(now, &scene.orders[0].names);
        let (detail, kind) = ("no".to_owned(), FailureKind::Refused);
        ledger.failed(now, Failure { kind, detail, retry_after: None, challenge: None, identifiers: Vec::new() });
        ledger.save(&scene.store, "ca.test_dir", first).await.unwrap();
        scene.store.remove(&stored::key(first)).await.unwrap();
        let failed = scene.status(now).await;
        assert!(failed.plan.at >= now.plus(60), "{:?}", failed.plan);
        assert_eq!(failed.plan.held_by, Some(Hold::BackOff { failures: 1 }));
        assert_eq!(failed.last_failure.unwrap().detail, "no");
        let [CaBudget { directory, budget }] = &failed.budgets[..] else { panic!("{:?}", failed.budgets) };
        assert_eq!((directory.as_str(), budget.certificates_left_this_week), ("https://ca.test/dir", 4));
        scene.store.store(&crate::acme::ledger::key("ca.test_dir", first), b"{").await.unwrap();
        scene.store.store(&stored::key(first), b"nothing").await.unwrap();
        let damaged = scene.status(now).await.problems;
        assert!(damaged.len() == 2 && damaged.iter().all(|problem| problem.contains("is damaged")), "{damaged:?}");
    }
}
