//! Looks at what is served, by the true time.

use vestibule::certs::Certificate;

use crate::support::faulty_ca::CertificateRecord;

use super::time::{HOUR, shown};
use super::troubles::{Cause, Span, Troubles};

/// A CA that wants a certificate replaced is asked every six hours, and the order may be held for a day.
const REPLACED_WITHIN: i64 = 34 * HOUR;

/// A certificate that is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its name at the CA.
    id: String,
    ca: usize,
    issued: i64,
    span: Span,
}

/// A time without a valid certificate that has an excuse.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    pub from: i64,
    pub to: i64,
    pub why: Why,
}

/// The excuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The CA was away for longer than the certificate lived.
    Outage,
    /// The clock was wrong and no CA could be reached.
    Clock,
    /// The state directory could not be read at a start.
    Unreadable,
}

/// Watches one set of names.
#[derive(Debug)]
pub struct Oracle {
    pub first: String,
    served: Option<Served>,
    /// There was one, once.
    began: bool,
    /// Up to when everything was judged.
    judged: i64,
    /// When the CA of a number revoked all that it had issued, and was seen to be obeyed.
    revoked: Vec<(usize, i64)>,
    pub gaps: Vec<Gap>,
    /// Those that were served, one after the other.
    pub history: Vec<String>,
    /// The least that was left when the next one came, in seconds and in thousandths of the lifetime. Gaps aside.
    pub least_left: Option<(i64, i64)>,
}

impl Oracle {
    pub fn new(first: &str, now: i64) -> Self {
        Self {
            first: first.to_owned(),
            served: None,
            began: false,
            judged: now,
            revoked: Vec::new(),
            gaps: Vec::new(),
            history: Vec::new(),
            least_left: None,
        }
    }

    /// CA `ca` revokes everything that it has issued.
    pub fn revoked(&mut self, ca: usize, now: i64) {
        self.revoked.push((ca, now));
    }

    pub fn served(&self) -> Option<&Served> {
        self.served.as_ref()
    }

    /// Judges the time since the last look. `read` tells whether the process could read its certificate since it began.
    pub fn look(
        &mut self,
        now: i64,
        troubles: &Troubles,
        setbacks: &dyn Fn() -> Vec<i64>,
        read: bool,
    ) -> Result<(), String> {
        let from = std::mem::replace(&mut self.judged, now);
        match self.served.clone() {
            Some(served) => {
                let Span { not_before, not_after } = served.span;
                if from < not_before.min(now) {
                    return Err(format!("what is served is valid only from {}", shown(not_before)));
                }
                let gap = (from.max(not_after + 1), now);
                if gap.0 < gap.1 {
                    let span = served.span;
                    if let Some((from, to)) = troubles.opportunity(span, &setbacks(), span.due(), now) {
                        let (from, to) = (shown(from), shown(to));
                        return Err(format!("expired, though nothing stood in the way from {from} to {to}"));
                    }
                    let why = match troubles.excuse(span, now) {
                        Some(Cause::Clock) => Why::Clock,
                        Some(_) => Why::Outage,
                        None => return Err("expired without an excuse".to_owned()),
                    };
                    self.gap(gap.0, gap.1, why);
                }
                let revoked = |(ca, at): &&(usize, i64)| *ca == served.ca && *at > served.issued;
                if let Some((_, at)) = self.revoked.iter().find(revoked)
                    && let Some((from, to)) = free_since(troubles, setbacks, *at, now)
                {
                    let (at, from, to) = (shown(*at), shown(from), shown(to));
                    return Err(format!(
                        "revoked {at} and still served, though nothing stood in the way from {from} to {to}"
                    ));
                }
            }
            None if !self.began => {}
            None if from == now => {}
            None if !read => self.gap(from, now, Why::Unreadable),
            None => return Err(format!("nothing has been served since {}", shown(from))),
        }
        Ok(())
    }

    fn gap(&mut self, from: i64, to: i64, why: Why) {
        match self.gaps.last_mut() {
            Some(last) if last.to == from && last.why == why => last.to = to,
            _ => self.gaps.push(Gap { from, to, why }),
        }
    }

    /// Something else is served from now on. To be called after [`Self::look`].
    pub fn change(
        &mut self,
        now: i64,
        certificate: Option<(&Certificate, usize, &CertificateRecord)>,
        troubles: &Troubles,
        setbacks: &dyn Fn() -> Vec<i64>,
    ) -> Result<(), String> {
        let Some((certificate, ca, record)) = certificate else {
            self.served = None;
            return Ok(());
        };
        if !record.names.contains(&self.first) {
            return Err(format!("a certificate for {:?} is served for {}", record.names, self.first));
        }
        certificate.verify_links(certificate.facts().not_before).map_err(|error| error.to_string())?;
        let span = Span { not_before: record.not_before, not_after: record.not_after };
        let new = Served { id: record.ari_id.clone(), ca, issued: record.at, span };
        let old = self.served.replace(new);
        self.began = true;
        let seen = self.history.contains(&record.ari_id);
        if let Some(position) = self.history.iter().position(|id| *id == record.ari_id)
            && position + 2 < self.history.len()
        {
            return Err("a certificate of long ago is served again".to_owned());
        }
        if seen {
            return Ok(());
        }
        let before = self.history.last().cloned();
        self.history.push(record.ari_id.clone());
        let Some(old) = old.filter(|old| Some(&old.id) == before.as_ref()) else { return Ok(()) };
        let left = old.span.not_after - now;
        if left >= 0 {
            let least = (left, left * 1_000 / old.span.lifetime());
            self.least_left =
                Some(self.least_left.map_or(least, |known| if known.1 < least.1 { known } else { least }));
        }
        let revoked = self.revoked.iter().any(|(ca, at)| *ca == old.ca && *at > old.issued);
        if !revoked && now < old.span.earliest() {
            return Err(format!("renewed with {} h of {} h left", left / HOUR, old.span.lifetime() / HOUR));
        }
        if let Some((from, to)) = troubles.opportunity(old.span, &setbacks(), old.span.due(), now) {
            let (from, to) = (shown(from), shown(to));
            return Err(format!("renewed late, though nothing stood in the way from {from} to {to}"));
        }
        Ok(())
    }
}

/// A time since `at` in which what was revoked could have been replaced.
fn free_since(troubles: &Troubles, setbacks: &dyn Fn() -> Vec<i64>, at: i64, now: i64) -> Option<(i64, i64)> {
    // As of a certificate with so much left that no haste is asked for.
    let calm = Span { not_before: at, not_after: at + 1_000 * 24 * HOUR };
    let mut from = at;
    while let Some(hole) = troubles.opportunity(calm, &setbacks(), from, now) {
        if hole.1 - hole.0 >= REPLACED_WITHIN {
            return Some(hole);
        }
        from = hole.1 + 1;
    }
    None
}

impl Served {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn ca(&self) -> usize {
        self.ca
    }

    pub fn issued(&self) -> i64 {
        self.issued
    }

    pub fn not_after(&self) -> i64 {
        self.span.not_after
    }
}
