//! Pages as text for a terminal, and as a manual page.

use super::find;
use crate::check::catalogue::Code;
use crate::check::render::Look;
use std::fmt::Write as _;

/// Where the text of a page starts.
const MARGIN: usize = 2;

/// Where a command or a line of a configuration starts.
const CODE: usize = 6;

/// Longer words may not fit a line of a terminal with the margin of a manual page.
const LONG: usize = 60;

/// The page about `code`.
pub fn page(code: Code, look: Look) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}  ({})", look.strong(code.id()), code.severity());
    paragraph(&mut out, look, code.meaning());
    let Some(page) = find(code.id()) else {
        heading(&mut out, look, "How to mend it");
        paragraph(&mut out, look, &remedy(code));
        return out;
    };
    heading(&mut out, look, "What it means");
    paragraph(&mut out, look, page.about);
    heading(&mut out, look, "What others do");
    paragraph(&mut out, look, page.peers);
    if !page.see.is_empty() {
        heading(&mut out, look, "See it yourself");
        page.see.iter().for_each(|command| block(&mut out, command));
    }
    heading(&mut out, look, "How to mend it");
    paragraph(&mut out, look, &remedy(code));
    for (place, text) in page.fixes {
        let _ = writeln!(out, "\n    {}", look.strong(place));
        block(&mut out, text);
    }
    heading(&mut out, look, "Where it is written");
    paragraph(&mut out, look, page.written);
    out
}

/// All rules, a line each.
pub fn index(look: Look) -> String {
    let widest = Code::ALL.iter().map(|code| code.id().len()).max().unwrap_or(0);
    let mut out = String::new();
    for code in Code::ALL {
        let (id, at) = (code.id(), widest + 8);
        let gap = widest - id.len();
        let _ = writeln!(
            out,
            "{}{:gap$}  {}  {}",
            look.strong(id),
            "",
            look.severity(code.severity()),
            look.wrap(code.meaning(), at, at)
        );
    }
    let _ = writeln!(out, "\nOne of them in full: vestibule check --explain tls.chain");
    out
}

/// The remedy of the catalogue with words in place of what a finding fills in.
fn remedy(code: Code) -> String {
    let text = code.remedy().replace("{server}", "SERVER_NAME").replace("{host}", "HOST");
    let mut letters = text.replace("{subject}", "SUBJECT");
    if let Some(first) = letters.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    letters.push('.');
    letters
}

fn heading(out: &mut String, look: Look, text: &str) {
    let _ = writeln!(out, "\n{}", look.strong(text));
}

fn paragraph(out: &mut String, look: Look, text: &str) {
    let _ = writeln!(out, "{:MARGIN$}{}", "", look.wrap(text, MARGIN, MARGIN));
}

fn block(out: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "{:CODE$}{line}", "");
    }
}

/// The manual page vestibule-findings(7), in the man macros.
pub fn roff() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = format!(
        ".TH VESTIBULE-FINDINGS 7 \"\" \"vestibule {version}\"\n.ad l\n.nh\n.SH NAME\n\
         vestibule\\-findings \\- what vestibule check finds, and what to do about it\n.SH DESCRIPTION\n\
         A finding of \\fBvestibule check\\fR has an id, a severity (fail: peers that meet this cannot federate; \
         warn: works, but not for everybody, not always, or not for long; info: worth knowing), a subject, what was \
         seen, and what to do. In the examples, example.com is the server name, matrix.example.com the host that it \
         delegates to, and 192.0.2.7 one of its addresses.\n.SH FINDINGS\n"
    );
    for code in Code::ALL {
        let _ = writeln!(out, ".SS {} ({})\n{}", quoted(code.id()), code.severity(), prose(code.meaning()));
        let Some(page) = find(code.id()) else { continue };
        let _ = writeln!(out, ".PP\n{}\n.PP\n{}", prose(page.about), prose(page.peers));
        if !page.see.is_empty() {
            out.push_str(".PP\nSee it yourself:\n");
            page.see.iter().for_each(|command| example(&mut out, command));
        }
        let _ = writeln!(out, ".PP\n{}", prose(&remedy(*code)));
        for (place, text) in page.fixes {
            let _ = writeln!(out, ".PP\n{}:", quoted(place));
            example(&mut out, text);
        }
        let _ = writeln!(out, ".PP\n{}", prose(page.written));
    }
    out.push_str(".SH SEE ALSO\n.BR vestibule (1)\n");
    out
}

fn example(out: &mut String, text: &str) {
    out.push_str(".PP\n.RS 4\n.nf\n");
    for line in text.lines() {
        let _ = writeln!(out, "{}", quoted(line));
    }
    out.push_str(".fi\n.RE\n");
}

/// Text that is filled: a word that may not fit a line may be broken where a URL has its joints.
fn prose(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.chars().count() {
        0..=LONG => word.to_owned(),
        _ => word.replace('/', "/\u{200b}").replace("/\u{200b}/", "//").replace('?', "?\u{200b}"),
    });
    quoted(&words.collect::<Vec<_>>().join(" "))
}

/// Text in which nothing is a request or an escape, and hyphens and quotes survive copying. The
/// input of groff is Latin-1 unless somebody says otherwise, so that other characters go by number.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    if text.starts_with('.') {
        out.push_str("\\&");
    }
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '"' => out.push_str("\\(dq"),
            // A place for a break, without a hyphen.
            '\u{200b}' => out.push_str("\\:"),
            _ if letter.is_ascii() => out.push(letter),
            _ => {
                let _ = write!(out, "\\[u{:04X}]", u32::from(letter));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_groff_would_misread_is_escaped() {
        for (text, page) in [
            (".SH no - 'x'", "\\&.SH no \\- \\(aqx\\(aq"),
            ("a\\b `c` ^~\"", "a\\eb \\(gac\\(ga \\(ha\\(ti\\(dq"),
            ("if ($x …) é 😀", "if ($x \\[u2026]) \\[u00E9] \\[u1F600]"),
        ] {
            assert_eq!(quoted(text), page);
            assert_eq!(prose(text), page);
        }
    }

    #[test]
    fn only_long_words_are_broken_and_only_in_prose() {
        let short = "https://example.com/_matrix/x?y";
        assert_eq!(prose(short), short);
        let path = "x".repeat(LONG);
        let long = format!("see https://example.com/{path}?y=z");
        assert_eq!(prose(&long), format!("see https://\\:example.com/\\:{path}?\\:y=z"));
        assert_eq!(quoted(&long), long);
    }
}
