//! Pages as text for a terminal, and as a manual page.

use super::find;
use crate::check::catalogue::Code;
use crate::check::render::Look;
use std::fmt::Write as _;

/// Where the text of a page starts.
const MARGIN: usize = 2;

/// Where a command or a line of a configuration starts.
const CODE: usize = 6;

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
        let _ = writeln!(out, ".SS {} ({})\n{}", quoted(code.id()), code.severity(), quoted(code.meaning()));
        let Some(page) = find(code.id()) else { continue };
        let _ = writeln!(out, ".PP\n{}\n.PP\n{}", quoted(page.about), quoted(page.peers));
        if !page.see.is_empty() {
            out.push_str(".PP\nSee it yourself:\n");
            page.see.iter().for_each(|command| example(&mut out, command));
        }
        let _ = writeln!(out, ".PP\n{}", quoted(&remedy(*code)));
        for (place, text) in page.fixes {
            let _ = writeln!(out, ".PP\n{}:", quoted(place));
            example(&mut out, text);
        }
        let _ = writeln!(out, ".PP\n{}", quoted(page.written));
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

/// Text in which nothing is a request or an escape, and hyphens and quotes survive copying.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let text = text.replace('`', "\\(ga").replace('^', "\\(ha").replace('~', "\\(ti").replace('"', "\\(dq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
