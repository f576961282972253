//! What there is to do, the worst first, and the whole in a line: pure.

use super::{CertificateState, CertificateView, ServerView, Source, UpstreamState, UpstreamView};
use crate::check::finding::Severity;
use crate::check::report::Verdict;
use crate::config::pool::HOMESERVER;
use serde::Serialize;

/// How it stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin::status) enum State {
    /// Nothing is to be done.
    Good,
    /// Nothing is known to be wrong, and not all is known yet.
    Waiting,
    /// It works, with something to mend.
    Attention,
    /// It does not work.
    Bad,
}

/// The whole.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(in crate::admin::status) struct Summary {
    pub state: State,
    /// A sentence.
    pub headline: String,
    /// The worst first.
    pub problems: Vec<Problem>,
}

/// Something to mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::admin::status) struct Problem {
    pub state: State,
    /// The id of the finding; `certificate` or `upstream` for what the running program sees by itself.
    pub id: &'static str,
    /// The server, certificate or upstream.
    pub about: String,
    pub what: String,
    /// What to type or do.
    pub fix: String,
}

impl CertificateState {
    /// What is wrong with a certificate as far as its time goes.
    fn trouble(certificate: &CertificateView) -> Option<(State, &'static str)> {
        Some(match certificate.state {
            Self::Missing => (State::Bad, "A certificate is missing"),
            Self::Expired => (State::Bad, "A certificate has expired"),
            Self::Early => (State::Bad, "A certificate is not valid yet"),
            Self::Twelfth => (State::Bad, "A certificate is about to expire"),
            Self::Sixth => (State::Attention, "A certificate should have been renewed by now"),
            Self::Fine | Self::Third => return None,
        })
    }
}

/// Sums up.
pub(in crate::admin::status) fn summary(
    servers: &[ServerView],
    certificates: &[CertificateView],
    upstreams: &[UpstreamView],
) -> Summary {
    let mut problems: Vec<_> = upstreams.iter().filter_map(of_upstream).collect();
    let issuer = certificates.iter().any(|certificate| certificate.source != Source::Files);
    problems.extend(certificates.iter().filter_map(|certificate| of_certificate(certificate, issuer)));
    problems.extend(servers.iter().flat_map(of_server));
    // Stable: causes stay before the findings that follow from them.
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.state));
    let unchecked = servers.iter().any(|server| server.verdict.is_none());
    let state = problems.first().map_or(if unchecked { State::Waiting } else { State::Good }, |worst| worst.state);
    Summary { state, headline: headline(state, &problems, servers, certificates), problems }
}

fn headline(state: State, problems: &[Problem], servers: &[ServerView], certificates: &[CertificateView]) -> String {
    let down = problems.iter().any(|problem| problem.state == State::Bad && problem.id == UPSTREAM);
    let worst = certificates.iter().filter_map(CertificateState::trouble).max_by_key(|(state, _)| *state);
    let worst = worst.filter(|(state, _)| *state == State::Bad);
    let failing: Vec<_> = servers.iter().filter(|server| server.verdict == Some(Verdict::Fails)).collect();
    match state {
        State::Good => "All is well".to_owned(),
        State::Waiting => "The first check has not ended yet".to_owned(),
        State::Attention if problems.len() == 1 => "It works, with one thing to mend".to_owned(),
        State::Attention => format!("It works, with {} things to mend", problems.len()),
        State::Bad => match (down, worst, failing.as_slice()) {
            (true, ..) => "The homeserver does not answer".to_owned(),
            (_, Some((_, what)), _) => what.to_owned(),
            (_, _, [one]) => format!("{} does not federate", one.server_name),
            (_, _, several) => format!("{} of {} servers do not federate", several.len(), servers.len()),
        },
    }
}

const UPSTREAM: &str = "upstream";
const CERTIFICATE: &str = "certificate";

fn of_upstream(upstream: &UpstreamView) -> Option<Problem> {
    if upstream.state != UpstreamState::Down {
        return None;
    }
    let UpstreamView { name, server, address, why, held, probe, .. } = upstream;
    let why = why.as_deref().unwrap_or("no answer");
    let waiting = match held.waiting {
        0 => String::new(),
        1 => "; one request waits".to_owned(),
        several => format!("; {several} requests wait"),
    };
    let whose = server.as_ref().map_or_else(|| name.clone(), |server| format!("{name} of {server}"));
    Some(Problem {
        // A pool has other endpoints, or the main process behind it.
        state: if name == HOMESERVER { State::Bad } else { State::Attention },
        id: UPSTREAM,
        about: whose,
        what: format!("{address} is down: {why}{waiting}"),
        fix: probe.clone(),
    })
}

/// What is wrong with one. Where there is an `issuer`, it stands in for files that are not good, and has rows of its
/// own.
fn of_certificate(certificate: &CertificateView, issuer: bool) -> Option<Problem> {
    let stood_in_for = issuer && certificate.source == Source::Files;
    let trouble = match CertificateState::trouble(certificate) {
        Some(_) if stood_in_for => Some((State::Attention, "Certificate files cannot be used; the issuer stands in")),
        trouble => trouble,
    };
    let (state, what) = match (trouble, certificate.problems.first()) {
        (Some((state, what)), Some(problem)) => (state, format!("{what}: {problem}")),
        (Some((state, what)), None) => (state, what.to_owned()),
        (None, Some(problem)) => (State::Attention, problem.clone()),
        (None, None) => return None,
    };
    let fix = match (certificate.state, certificate.source, certificate.names.first()) {
        (CertificateState::Early, ..) => "timedatectl".to_owned(),
        (_, Source::Acme, Some(first)) => format!("vestibule certs renew {first}"),
        (_, Source::Files, _) if certificate.file.is_some() => "vestibule validate".to_owned(),
        _ => "vestibule certs list".to_owned(),
    };
    let about = match (&certificate.file, certificate.names.as_slice()) {
        (Some(file), []) => file.clone(),
        (_, names) => names.join(", "),
    };
    let failure = certificate.last_failure.as_ref().map(|failure| format!("; last failure: {}", failure.detail));
    Some(Problem { state, id: CERTIFICATE, about, what: format!("{what}{}", failure.unwrap_or_default()), fix })
}

fn of_server(server: &ServerView) -> Vec<Problem> {
    let of = |severity| match severity {
        Severity::Fail => Some(State::Bad),
        Severity::Warn => Some(State::Attention),
        Severity::Info => None,
    };
    let problems = server.findings.iter().filter_map(|finding| {
        Some(Problem {
            state: of(finding.severity)?,
            id: finding.id.id(),
            about: finding.subject.clone(),
            what: finding.detail.clone(),
            fix: finding.remedy.clone(),
        })
    });
    let mut problems: Vec<_> = problems.collect();
    if server.verdict == Some(Verdict::Unknown) && problems.is_empty() {
        problems.push(Problem {
            state: State::Attention,
            id: "check",
            about: server.server_name.clone(),
            what: "The check could not tell whether it federates".to_owned(),
            fix: format!("vestibule check {}", server.server_name),
        });
    }
    problems
}
