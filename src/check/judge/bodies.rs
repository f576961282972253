//! Rules about the size of bodies, by what was said to their announcement.

use super::connection::each;
use super::requests::has_version;
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::{Finding, Severity};
use crate::check::observe::announced::Announced;
use crate::check::observe::browser::BrowserSeen;
use crate::check::observe::session::Replied;

pub(super) const RULES: &[Rule] = &[transaction, media];

/// What is wrong where an announced body was refused for its size.
fn too_large(announced: &Announced) -> Option<String> {
    if announced.status != Some(413) {
        return None;
    }
    let mib = announced.length / (512 * 1024);
    let size = if mib.is_multiple_of(2) { format!("{} MiB", mib / 2) } else { format!("{}.5 MiB", mib / 2) };
    let from = announced.server.as_ref().map(|server| format!(" by {server}")).unwrap_or_default();
    Some(format!("{size} is refused with 413{from}"))
}

fn transaction(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::BodyLimit, |seen| {
        // What answers in the homeserver's place has limits that are nobody's matter.
        let requests = seen.requests().filter(|_| has_version(seen))?;
        let detail = too_large(requests.transaction.as_ref()?)?;
        Some(format!("a transaction of {detail}; peers send up to that much, and give up on a server that refuses it"))
    })
}

fn media(case: &Case<'_>) -> Vec<Finding> {
    let homeserver =
        |seen: &&BrowserSeen| seen.versions.as_ref().and_then(Replied::ok).is_some_and(|answer| answer.status == 200);
    let Some(browser) = case.seen.browser.as_ref().filter(homeserver) else {
        return Vec::new();
    };
    let Some((announced, detail)) = browser.media.as_ref().and_then(|media| Some((media, too_large(media)?))) else {
        return Vec::new();
    };
    let finding = case.finding(Code::BodyMedia, &browser.base_url, format!("an upload of {detail}"));
    // A homeserver may have a smaller limit of its own; what stands in front has no business with it.
    vec![if announced.json { finding.at(Severity::Info) } else { finding }]
}

#[cfg(test)]
mod tests {
    use crate::check::judge::tests::{announced, table};

    #[test]
    fn sizes() {
        table(&[
            ("body.limit", |s| {
                let requests = s.connections[0].more.as_mut().unwrap().requests.as_mut().unwrap();
                requests.transaction = Some(announced(13_107_200, 413));
            }),
            // An answer that is not about the size, and none at all.
            ("", |s| {
                let requests = s.connections[0].more.as_mut().unwrap().requests.as_mut().unwrap();
                requests.transaction = Some(announced(13_107_200, 401));
            }),
            ("", |s| s.browser.as_mut().unwrap().media.as_mut().unwrap().status = None),
            ("body.media?", |s| s.browser.as_mut().unwrap().media = Some(announced(50 << 20, 413))),
            ("body.media.", |s| {
                let own = crate::check::observe::announced::Announced { json: true, ..announced(50 << 20, 413) };
                s.browser.as_mut().unwrap().media = Some(own);
            }),
        ]);
    }

    #[test]
    fn sizes_are_written_in_mib() {
        assert!(super::too_large(&announced(13_107_200, 413)).unwrap().starts_with("12.5 MiB"));
        assert!(super::too_large(&announced(50 << 20, 413)).unwrap().starts_with("50 MiB"));
    }
}
