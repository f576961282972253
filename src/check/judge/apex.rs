//! Where another web server has the apex, what is wrong with its documents is mended there: the remedy
//! names the command that prints the whole of what it needs.

use super::Case;
use crate::check::finding::Finding;
use crate::config::Apex;

/// Findings of these families are about documents at the server name.
const FAMILIES: [&str; 3] = ["wk.server.", "wk.client.", "wk.support"];

/// These are about what stands behind a document, or before it: the name's addresses and certificate,
/// and the services that the document names.
const NOT_THE_DOCUMENT: [&str; 5] =
    ["wk.server.reach", "wk.server.tls", "wk.client.versions", "wk.client.auth", "wk.client.rtc"];

/// Adds the command to the remedy, where it helps.
pub(super) fn advise(case: &Case<'_>, finding: Finding) -> Finding {
    let elsewhere = case.own.is_some_and(|own| own.subject.server.apex == Apex::Elsewhere);
    let id = finding.id.id();
    if !elsewhere || !FAMILIES.iter().any(|family| id.starts_with(family)) || NOT_THE_DOCUMENT.contains(&id) {
        return finding;
    }
    let remedy = format!(
        "{}; `vestibule delegate snippet nginx` (or apache, caddy, netlify, github) prints all that the web server of {} needs",
        finding.remedy, finding.server
    );
    finding.remedied(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::catalogue::Code;
    use crate::check::judge::tests::case;
    use crate::check::observe::Observation;
    use crate::check::own::{Own, Subject};
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn the_command_is_named_where_it_helps() {
        let named = |apex: &str, code: Code| {
            let text = format!("server_name = \"ex.org\"\npublic_host = \"m.ex.org\"\napex = \"{apex}\"\n");
            let config = Config::parse(&text, Path::new("v.toml")).unwrap();
            let own = Own { subject: Subject::all(&config).remove(0), file: None, looking: false, inside: None };
            let seen = Observation::default();
            let case = Case { own: Some(&own), ..case(&seen) };
            advise(&case, case.finding(code, "x", "y")).remedy.contains("`vestibule delegate snippet nginx`")
        };
        for (code, expected) in [
            (Code::WkServerStatus, true),
            (Code::WkServerCtype, true),
            (Code::WkClientCors, true),
            (Code::WkSupport, true),
            (Code::WkServerTls, false),
            (Code::WkServerReach, false),
            (Code::WkClientVersions, false),
            (Code::FedKeys, false),
        ] {
            assert_eq!(named("elsewhere", code), expected, "{code}");
            assert!(!named("here", code), "{code}");
        }
    }
}
