//! What an examination found.

use crate::config::Challenge;
use std::fmt;

/// The findings about one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// All of them, the good ones too.
    pub findings: Vec<Finding>,
    /// The candidates.
    pub(super) challenges: Vec<Challenge>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name or the path that it is about.
    pub subject: String,
    /// What was looked at.
    pub what: Aspect,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// The exact thing to type or to change; empty where there is nothing.
    pub remedy: String,
    /// Challenge types that cannot work because of it. Empty unless the verdict is [`Verdict::Bad`].
    pub rules_out: Vec<Challenge>,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// The name's addresses.
    Dns,
    /// Whether they lead to this process.
    Reach,
    /// Whether the CA may issue.
    Caa,
    /// Whether the result could be kept.
    State,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "dns",
            Self::Reach => "reach",
            Self::Caa => "caa",
            Self::State => "state",
        })
    }
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Good,
    /// Certainly wrong.
    Bad,
    /// Perhaps wrong; this machine cannot know.
    Unknown,
}

impl Report {
    /// Those of `candidates` that nothing speaks against, in their order.
    pub fn usable(&self, candidates: &[Challenge]) -> Vec<Challenge> {
        let ruled_out = |challenge: &Challenge| self.bad().any(|finding| finding.rules_out.contains(challenge));
        candidates.iter().copied().filter(|challenge| !ruled_out(challenge)).collect()
    }

    /// Whether an order would certainly fail: nothing is left of the candidates.
    pub fn blocks(&self) -> bool {
        self.usable(&self.challenges).is_empty()
    }

    /// What is certainly wrong.
    pub fn bad(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.verdict == Verdict::Bad)
    }

    /// What may be wrong.
    pub fn unknown(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.verdict == Verdict::Unknown)
    }
}
