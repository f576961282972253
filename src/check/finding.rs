//! One thing a check has to say.

use super::catalogue::Code;
use serde::{Serialize, Serializer};
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// Works, but not for everybody, not always, or not for long.
    Warn,
    /// Peers that meet this cannot federate.
    Fail,
}

impl Severity {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule speaks.
    #[serde(serialize_with = "as_id")]
    pub id: Code,
    /// How bad it is here.
    pub severity: Severity,
    /// The server name checked.
    pub server: String,
    /// The name or address it is about.
    pub subject: String,
    /// What was seen.
    pub detail: String,
    /// What to type or do.
    pub remedy: String,
}

fn as_id<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.id())
}

impl Finding {
    /// A finding with the severity and remedy of its rule. `{server}` and `{subject}` in the remedy
    /// are filled in here.
    pub fn new(code: Code, server: &str, subject: impl fmt::Display, detail: impl Into<String>) -> Self {
        let subject = subject.to_string();
        let remedy = code.remedy().replace("{server}", server).replace("{subject}", &subject);
        Self { id: code, severity: code.severity(), server: server.to_owned(), subject, detail: detail.into(), remedy }
    }

    /// Fills `{host}` in the remedy.
    pub fn for_host(self, host: impl fmt::Display) -> Self {
        Self { remedy: self.remedy.replace("{host}", &host.to_string()), ..self }
    }

    /// Another remedy than the rule's own, where the right one can be told exactly.
    pub fn remedied(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// Another severity than the rule's own.
    pub fn at(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// Another remedy than the rule's own, where what was seen names the exact one.
    pub fn fix(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// Only a remark where `condition` holds.
    pub fn info_if(self, condition: bool) -> Self {
        if condition { self.at(Severity::Info) } else { self }
    }
}
