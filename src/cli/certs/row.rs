//! One certificate in a list, as text and as JSON.

use crate::acme::plan::Step;
use crate::certs::x509::Facts;
use crate::clock::Timestamp;
use crate::matrix::HostPattern;
use serde::Serialize;
use std::fmt::Write as _;

/// The narrowest terminal that is written for, in columns. Long names and paths stand on lines of their
/// own, which is all that can be done for them.
const WIDTH: usize = 60;

const DAY: i64 = 86_400;

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    Acme,
    Files,
    Internal,
}

/// A row of the list. Its fields are those of the JSON, which the README describes.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) names: Vec<String>,
    pub(super) source: Source,
    /// The file of the operator's own.
    pub(super) file: Option<String>,
    #[serde(flatten)]
    pub(super) leaf: Option<Leaf>,
    /// Whether every name is covered by a certificate that is valid now.
    pub(super) valid: bool,
    pub(super) renewal: Option<Renewal>,
    pub(super) last_failure: Option<LastFailure>,
    pub(super) problems: Vec<String>,
}

/// What the certificate itself says.
#[derive(Debug, Serialize)]
pub(super) struct Leaf {
    issuer: String,
    serial: String,
    not_before: String,
    not_after: String,
    /// Whole days; negative when it is over.
    days_left: i64,
    /// The part of its life that is left, from 1 to 0.
    life_left: f64,
}

/// The next order.
#[derive(Debug, Serialize)]
pub(super) struct Renewal {
    at: String,
    reason: String,
    /// What postpones it.
    held_by: Option<String>,
}

/// What went wrong last, unless a certificate came after it.
#[derive(Debug, Serialize)]
pub(super) struct LastFailure {
    pub(super) at: String,
    pub(super) detail: String,
}

impl Renewal {
    pub(super) fn new(step: &Step) -> Self {
        Self {
            at: step.at.to_string(),
            reason: step.reason.to_string(),
            held_by: step.held_by.as_ref().map(ToString::to_string),
        }
    }
}

impl Row {
    /// A row without a certificate.
    pub(super) fn new(names: &[HostPattern], source: Source) -> Self {
        Self {
            names: names.iter().map(ToString::to_string).collect(),
            source,
            file: None,
            leaf: None,
            valid: false,
            renewal: None,
            last_failure: None,
            problems: Vec::new(),
        }
    }
}

impl Leaf {
    pub(super) fn new(facts: &Facts, now: Timestamp) -> Self {
        let left = facts.not_after.since(now);
        let lifetime = facts.not_after.since(facts.not_before).max(1);
        // Per mille are enough, and print without a tail of nines.
        let share = (i128::from(left) * 1000 / i128::from(lifetime)).clamp(0, 1000);
        Self {
            issuer: facts.issuer.clone(),
            serial: facts.serial.clone(),
            not_before: facts.not_before.to_string(),
            not_after: facts.not_after.to_string(),
            days_left: left.div_euclid(DAY),
            life_left: f64::from(u16::try_from(share).unwrap_or(0)) / 1000.0,
        }
    }
}

/// The list for programs.
pub(super) fn json(rows: &[Row]) -> String {
    format!("{:#}\n", serde_json::json!({ "certificates": rows }))
}

/// The list for people.
pub(super) fn text(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        if !out.is_empty() {
            out.push('\n');
        }
        wrap(&row.names, &mut out);
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(out, "    {label:<8} {}", plain(value));
        };
        match (&row.source, &row.file) {
            (Source::Files, Some(file)) => line("file", file),
            (Source::Files, None) => line("from", "nobody: tls.issuer is \"files\""),
            (Source::Acme, _) => line("from", "ACME"),
            (Source::Internal, _) => line("from", "the internal CA, in memory while vestibule runs"),
        }
        if let Some(leaf) = &row.leaf {
            line("issuer", &leaf.issuer);
            line("serial", &leaf.serial);
            line("until", &leaf.not_after);
            line("left", &format!("{} days, {:.0} % of its life", leaf.days_left, leaf.life_left * 100.0));
        }
        if let Some(Renewal { at, reason, held_by }) = &row.renewal {
            line("order", &format!("{at} ({reason})"));
            if let Some(hold) = held_by {
                line("waiting", hold);
            }
        }
        if let Some(LastFailure { at, detail }) = &row.last_failure {
            line("failed", at);
            line("", detail);
        }
        for problem in &row.problems {
            line("problem", problem);
        }
        if !row.valid && row.problems.is_empty() {
            line("problem", "there is no certificate yet");
        }
    }
    out
}

/// The names, as many on a line as fit.
fn wrap(names: &[String], out: &mut String) {
    let mut column = 0;
    for (index, name) in names.iter().enumerate() {
        let name = plain(name);
        let separator = match index {
            0 => "",
            _ if column + 2 + name.chars().count() > WIDTH => ",\n",
            _ => ", ",
        };
        column = if separator.ends_with('\n') { 0 } else { column + separator.len() };
        column += name.chars().count();
        let _ = write!(out, "{separator}{name}");
    }
    out.push('\n');
}

/// Text from a certificate must not drive the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            names: Vec::new(),
            not_before: Timestamp(1_767_225_600),
            not_after: Timestamp(1_767_225_600 + 90 * DAY),
            renewal_id: None,
            serial: "03f0ab12cd34ef560718293a4b5c6d7e8f90".to_owned(),
            issuer: "C=US, O=Let's Encrypt, CN=E7\u{1b}[2J".to_owned(),
            subject: String::new(),
            subject_der: Vec::new(),
            issuer_der: Vec::new(),
        }
    }

    fn row() -> Row {
        let names = ["example.com", "matrix.example.com", "turn.example.com", "chat.example.com"];
        let names: Vec<_> = names.iter().map(|name| HostPattern::parse(name).unwrap()).collect();
        let now = Timestamp(1_767_225_600 + 60 * DAY);
        Row {
            leaf: Some(Leaf::new(&facts(), now)),
            valid: true,
            renewal: Some(Renewal {
                at: now.to_string(),
                reason: "renewal".to_owned(),
                held_by: Some("back-off after 2 failures in a row".to_owned()),
            }),
            last_failure: Some(LastFailure { at: now.to_string(), detail: "the CA could not be reached".to_owned() }),
            ..Row::new(&names, Source::Acme)
        }
    }

    #[test]
    fn sixty_columns_are_enough() {
        let text = text(&[row(), Row::new(&[HostPattern::parse("b.example").unwrap()], Source::Internal)]);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(!text.contains('\u{1b}'), "a certificate's words do not reach the terminal as commands");
        assert!(text.contains("30 days, 33 % of its life") && text.contains("no certificate yet"), "{text}");
    }

    #[test]
    fn programs_get_every_field() {
        let mut expired = row();
        expired.leaf = Some(Leaf::new(&facts(), facts().not_after.plus(DAY / 2)));
        let value: serde_json::Value = serde_json::from_str(&json(&[row(), expired])).unwrap();
        let [row, expired] = &value["certificates"].as_array().unwrap()[..] else { panic!("{value}") };
        let keys: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let documented = [
            "days_left",
            "file",
            "issuer",
            "last_failure",
            "life_left",
            "names",
            "not_after",
            "not_before",
            "problems",
            "renewal",
            "serial",
            "source",
            "valid",
        ];
        assert_eq!(keys, documented);
        assert_eq!(row["life_left"].as_f64(), Some(0.333));
        assert_eq!((expired["days_left"].as_i64(), expired["life_left"].as_f64()), (Some(-1), Some(0.0)));
    }
}
