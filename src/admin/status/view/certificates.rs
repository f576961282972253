//! The certificates: what is served, what is kept up and how, what is missing.

use super::Moment;
use crate::acme::ledger::Budget;
use crate::acme::plan::{Validity, due};
use crate::acme::status::{CaBudget, KeptStatus};
use crate::certs::Certificate;
use crate::certs::expiry::{Rung, ratio_left, rung};
use crate::certs::keyring::Slot;
use crate::certs::x509::Facts;
use crate::clock::Timestamp;
use crate::config::{CertificateOrder, Config, Issuer};
use crate::matrix::HostPattern;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A certificate, or a set of names that needs one.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin::status) struct CertificateView {
    pub names: Vec<String>,
    pub source: Source,
    /// The file of the operator's own.
    pub file: Option<String>,
    pub state: CertificateState,
    pub issuer: Option<String>,
    pub serial: Option<String>,
    pub not_before: Option<Moment>,
    pub not_after: Option<Moment>,
    /// The part of its life that is left, from 1 to 0.
    pub life_left: Option<f64>,
    /// The next order that is planned.
    pub renewal: Option<RenewalView>,
    /// When the CA would like the renewal (RFC 9773).
    pub window: Option<WindowView>,
    /// What is left at each CA, in order of preference.
    pub budgets: Vec<BudgetView>,
    pub last_failure: Option<FailureView>,
    pub problems: Vec<String>,
}

/// Where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin::status) enum Source {
    Acme,
    Files,
    Internal,
}

/// How near it is to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin::status) enum CertificateState {
    /// More than a third of its life is left.
    Fine,
    /// A third or less.
    Third,
    /// A sixth or less.
    Sixth,
    /// A twelfth or less.
    Twelfth,
    /// Not valid yet.
    Early,
    Expired,
    /// There is none.
    Missing,
}

/// The next order.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin::status) struct RenewalView {
    pub at: Moment,
    pub reason: String,
    /// What postpones it.
    pub held_by: Option<String>,
}

/// What a CA suggests.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin::status) struct WindowView {
    pub start: Moment,
    pub end: Moment,
    /// The moment in it that was chosen.
    pub chosen: Moment,
    pub explanation: Option<String>,
}

/// What is left of a CA's patience for these names.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin::status) struct BudgetView {
    /// The CA's directory.
    pub ca: String,
    pub certificates_left_this_week: usize,
    pub certificates_a_week: usize,
    pub failures_left_this_hour: usize,
    pub failures_an_hour: usize,
    pub next_free: Option<Moment>,
}

/// What went wrong last, unless a certificate came after it.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin::status) struct FailureView {
    pub at: Moment,
    pub detail: String,
}

/// A certificate's life as a bar: places from 0, its first second, to 1000, its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin::status) struct Bar {
    pub now: u16,
    pub renewal: Option<u16>,
    pub window: Option<(u16, u16)>,
}

impl CertificateView {
    fn new(names: Vec<String>, source: Source, certificate: Option<&Certificate>, now: Timestamp) -> Self {
        let facts = certificate.map(Certificate::facts);
        Self {
            names,
            source,
            file: None,
            state: facts.map_or(CertificateState::Missing, |facts| CertificateState::of(facts, now)),
            issuer: facts.map(|facts| facts.issuer.clone()),
            serial: facts.map(|facts| facts.serial.clone()),
            not_before: facts.map(|facts| Moment(facts.not_before)),
            not_after: facts.map(|facts| Moment(facts.not_after)),
            life_left: facts.map(|facts| thousandths(ratio_left(now, facts.not_before, facts.not_after))),
            renewal: None,
            window: None,
            budgets: Vec::new(),
            last_failure: None,
            problems: Vec::new(),
        }
    }

    /// Its life as a bar.
    pub(in crate::admin::status) fn bar(&self, now: Timestamp) -> Option<Bar> {
        let (Moment(from), Moment(to)) = (self.not_before?, self.not_after?);
        let place = |at: Timestamp| {
            let (passed, life) = (i128::from(at.since(from)), i128::from(to.since(from).max(1)));
            u16::try_from((passed * 1000 / life).clamp(0, 1000)).unwrap_or(0)
        };
        let renewal = self.renewal.as_ref().filter(|renewal| renewal.at.0 >= now).map(|renewal| place(renewal.at.0));
        let window = self.window.as_ref().map(|window| (place(window.start.0), place(window.end.0)));
        Some(Bar { now: place(now), renewal, window })
    }
}

impl CertificateState {
    fn of(facts: &Facts, now: Timestamp) -> Self {
        match rung(now, facts.not_before, facts.not_after) {
            Rung::NotYet => Self::Early,
            Rung::Fine => Self::Fine,
            Rung::Third => Self::Third,
            Rung::Sixth => Self::Sixth,
            Rung::Twelfth => Self::Twelfth,
            Rung::Expired => Self::Expired,
        }
    }
}

/// Per mille are enough, and print without a tail of nines.
fn thousandths(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}

/// What the operator's files give, and then a row for each of `orders`, which the files leave. `kept`
/// is how the manager's certificates stand, or why that cannot be read.
pub(in crate::admin::status) fn certificates(
    config: &Config,
    served: &BTreeMap<Slot, Arc<Certificate>>,
    orders: &[CertificateOrder],
    kept: Result<Vec<KeptStatus>, String>,
    now: Timestamp,
) -> Vec<CertificateView> {
    let files = config.tls.certificates.iter().enumerate().map(|(index, pair)| {
        let certificate = served.get(&Slot::Files(index));
        let names = certificate.map(|certificate| list(&certificate.facts().names)).unwrap_or_default();
        let file = Some(pair.chain.display().to_string());
        CertificateView { file, ..CertificateView::new(names, Source::Files, certificate.map(Arc::as_ref), now) }
    });
    let mut all: Vec<_> = files.collect();
    let by_order = |source| {
        move |order: &CertificateOrder| {
            let slot = order.names.first().map(|first| Slot::Issued(first.to_string()));
            let certificate = slot.and_then(|slot| served.get(&slot)).map(Arc::as_ref);
            CertificateView::new(list(&order.names), source, certificate, now)
        }
    };
    match (config.tls.issuer, kept) {
        (Issuer::Acme, Ok(kept)) => all.extend(kept.into_iter().map(|status| kept_view(status, now))),
        (Issuer::Acme, Err(failed)) => all.extend(orders.iter().map(by_order(Source::Acme)).map(|mut view| {
            view.problems.push(failed.clone());
            view
        })),
        (Issuer::Internal, _) => all.extend(orders.iter().map(by_order(Source::Internal)).map(|view| {
            let (Some(Moment(not_before)), Some(Moment(not_after))) = (view.not_before, view.not_after) else {
                return view;
            };
            // As the internal CA plans it: no CA outside has a say.
            let next = due(now, Some(Validity { not_before, not_after }), None, 0);
            let renewal = RenewalView { at: Moment(next.at), reason: next.reason.to_string(), held_by: None };
            CertificateView { renewal: Some(renewal), ..view }
        })),
        (Issuer::Files, _) => all.extend(orders.iter().map(by_order(Source::Files)).map(|mut view| {
            view.problems.push("no file covers these names: add [[tls.certificates]]".to_owned());
            view
        })),
    }
    all
}

fn kept_view(status: KeptStatus, now: Timestamp) -> CertificateView {
    let KeptStatus { names, certificate, ca: _, plan, window, last_failure, budgets, problems } = status;
    CertificateView {
        renewal: Some(RenewalView {
            at: Moment(plan.at),
            reason: plan.reason.to_string(),
            held_by: plan.held_by.map(|hold| hold.to_string()),
        }),
        window: window.map(|window| WindowView {
            start: Moment(window.start),
            end: Moment(window.end),
            chosen: Moment(window.chosen),
            explanation: window.explanation,
        }),
        budgets: budgets.into_iter().map(budget_view).collect(),
        last_failure: last_failure.map(|trouble| FailureView { at: Moment(trouble.at), detail: trouble.detail }),
        problems,
        ..CertificateView::new(list(&names), Source::Acme, certificate.as_ref(), now)
    }
}

fn budget_view(CaBudget { directory, budget }: CaBudget) -> BudgetView {
    BudgetView {
        ca: directory,
        certificates_left_this_week: budget.certificates_left_this_week,
        certificates_a_week: Budget::CERTIFICATES_A_WEEK,
        failures_left_this_hour: budget.failures_left_this_hour,
        failures_an_hour: Budget::FAILURES_AN_HOUR,
        next_free: budget.next_free.map(Moment),
    }
}

fn list(names: &[HostPattern]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
