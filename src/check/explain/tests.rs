//! The pages are complete and fit the terminal.

use super::*;
use crate::check::catalogue::Code;
use crate::check::render::Look;
use std::collections::BTreeSet;

/// With its margin nearly every line stays within what most terminals show; HAProxy's cannot be broken.
const WIDEST: usize = 136;

#[test]
fn every_rule_has_a_page_and_no_page_is_there_twice() {
    let ids: Vec<_> = pages().map(|page| page.id).collect();
    let unique: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "a page is there twice");
    let without: Vec<_> = Code::ALL.iter().map(|code| code.id()).filter(|id| !unique.contains(id)).collect();
    assert!(without.is_empty(), "no page in src/check/explain for {without:?}");
}

/// No page is left behind by a rule that went.
#[test]
fn every_page_has_its_rule() {
    let stale: Vec<_> = pages().map(|page| page.id).filter(|id| Code::parse(id).is_none()).collect();
    assert!(stale.is_empty(), "no rule for {stale:?}");
}

/// Sentences are whole, and commands are harmless to paste.
#[test]
fn pages_keep_their_form() {
    for page in pages() {
        for text in [page.about, page.peers, page.written] {
            assert!(text.ends_with('.') && text.len() > 5, "{}: {text:?}", page.id);
            assert!(!text.contains('\n') && !text.contains("  "), "{}: {text:?}", page.id);
        }
        let blocks = page.see.iter().chain(page.fixes.iter().map(|(_, text)| text));
        for line in blocks.flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= WIDEST, "{}: too long: {line}", page.id);
            assert!(!line.contains('\t') && line.trim_end() == line, "{}: {line:?}", page.id);
        }
    }
}

#[test]
fn a_page_reads_well_at_every_width() {
    for code in Code::ALL {
        for width in [60, 80, 100] {
            let text = page(*code, Look::new(false, width));
            assert!(text.starts_with(code.id()), "{text}");
            let prose = text.lines().filter(|line| !line.starts_with("      ") && !line.contains('`'));
            for line in prose {
                assert!(line.chars().count() <= width, "{code} at {width}: {line}");
            }
        }
    }
    let index = index(Look::PLAIN);
    assert!(Code::ALL.iter().all(|code| index.lines().any(|line| line.starts_with(code.id()))));
}
