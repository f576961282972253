//! Renewal information (RFC 9773).

use super::answers::{self, Clock, Reply};
use super::faults::Problem;
use super::state::State;
use super::{CertificateRecord, DAY};

/// What is told about when to renew.
#[derive(Clone, Debug, Default)]
pub enum Renewal {
    /// As Let's Encrypt: around two thirds of the lifetime, or half of it below ten days.
    #[default]
    Usual,
    /// This window, whatever sense it makes. True times.
    Window { start: i64, end: i64, explanation: Option<String> },
    /// This body.
    Body(String),
    /// Not found.
    Missing,
}

/// A hundredth of the lifetime to either side (Boulder's core/objects.go).
fn usual(certificate: &CertificateRecord) -> (i64, i64) {
    let lifetime = certificate.not_after - certificate.not_before + 1;
    let offset = if lifetime < 10 * DAY { lifetime / 2 } else { lifetime / 3 };
    let ideal = certificate.not_after + 1 - offset;
    (ideal - lifetime / 100, ideal + lifetime / 100)
}

impl State {
    fn renewal_of(&self, ari_id: &str) -> &Renewal {
        self.renewals.get(ari_id).unwrap_or(&self.every_renewal)
    }

    /// The window that the CA itself believes in.
    pub(super) fn window(&self, certificate: &CertificateRecord) -> Option<(i64, i64)> {
        match self.renewal_of(&certificate.ari_id) {
            Renewal::Usual => Some(usual(certificate)),
            Renewal::Window { start, end, .. } => Some((*start, *end)),
            Renewal::Body(_) | Renewal::Missing => None,
        }
    }

    pub(super) fn renewal_info(&self, ari_id: &str, clock: Clock) -> Result<Reply, Problem> {
        let certificate = self.by_ari_id.get(ari_id).map(|at| &self.records.certificates[*at]);
        let certificate = certificate.ok_or_else(|| Problem::not_found("no such certificate"))?;
        let body = match self.renewal_of(ari_id) {
            Renewal::Usual => {
                let (start, end) = usual(certificate);
                window(start, end, None)
            }
            Renewal::Window { start, end, explanation } => window(*start, *end, explanation.as_deref()),
            Renewal::Body(body) => body.clone(),
            Renewal::Missing => return Err(Problem::not_found("no such certificate")),
        };
        let (retry_after, _) = answers::told(&self.renewal_retry_after, clock);
        Ok(Reply::raw_json(body).retry_after(retry_after))
    }

    /// As after an incident: the window lies in the past (Boulder's `RenewalInfoImmediate`).
    pub(super) fn revoke_all(&mut self, now: i64) {
        for certificate in &self.records.certificates {
            let explanation = Some("https://ca.test/incident".to_owned());
            let window = Renewal::Window { start: now - 7200, end: now - 3600, explanation };
            self.renewals.insert(certificate.ari_id.clone(), window);
        }
    }
}

fn window(start: i64, end: i64, explanation: Option<&str>) -> String {
    let (start, end) = (answers::rfc3339(start), answers::rfc3339(end));
    let explanation = explanation.map(|url| format!(",\"explanationURL\":{url:?}")).unwrap_or_default();
    format!("{{\"suggestedWindow\":{{\"start\":\"{start}\",\"end\":\"{end}\"}}{explanation}}}")
}
