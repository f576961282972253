//! The floors of the house: what may know what, held by a test so that a cycle cannot creep in.
//!
//! This reads the source as text. It is no compiler, and need not be: it asks for one spelling (`crate::module::…`)
//! and refuses the others that could hide a reference.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module may refer to modules on strictly lower floors, and to itself.
const FLOORS: [(u8, &[&str]); 9] = [
    (9, &["cli"]),
    (8, &["app"]),
    (7, &["admin"]),
    (6, &["proxy", "check", "acme"]),
    (5, &["tls", "upstream", "probe"]),
    (4, &["certs", "dns", "net", "http1"]),
    (3, &["telemetry"]),
    (2, &["config"]),
    (1, &["matrix", "clock", "drain", "backoff"]),
];

/// Past this a file holds more than one noun. Tests at its end do not count.
const MAX_LINES: usize = 400;

/// Files that may be longer. Empty, and an entry needs a better reason than that splitting is work.
const LONG_FILES: [&str; 0] = [];

/// The crate's two roots stand outside the floors: one lists the modules, the other calls `cli`.
const ROOTS: [&str; 2] = ["lib.rs", "main.rs"];

const PRINTING: [&str; 5] = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];

/// One source file, without its comments.
struct Source {
    /// Relative to `src`.
    path: String,
    module: String,
    code: Vec<String>,
    lines_before_tests: usize,
}

#[test]
fn every_source_belongs_to_a_floor() {
    let floors = floors();
    let strays: Vec<_> =
        inner_sources().map(|s| s.path).filter(|path| !floors.contains_key(module_of(path).as_str())).collect();
    assert!(strays.is_empty(), "in no floor: {strays:?}");
}

#[test]
fn modules_refer_downward_only() {
    let floors = floors();
    let mut faults = Vec::new();
    for source in inner_sources() {
        let own = floors.get(source.module.as_str()).copied().unwrap_or_default();
        for (number, line) in source.numbered() {
            let mut fault = |what: String| faults.push(format!("src/{}:{number}: {what}", source.path));
            for target in references(line) {
                match floors.get(target) {
                    _ if target == source.module => {}
                    Some(floor) if *floor < own => {}
                    Some(floor) => fault(format!("{} (floor {own}) refers to {target} (floor {floor})", source.module)),
                    None => fault(format!("`crate::{target}` names no module of a floor; one `use` a module")),
                }
            }
            if line.contains("super::super::") {
                fault("`super::super::` may lead out of the module unseen; write `crate::…`".to_owned());
            }
            let root_names = line.split("super::").skip(1).map(first_name).filter(|name| floors.contains_key(name));
            for name in root_names.filter(|_| source.is_directly_below_root()) {
                fault(format!("`super::{name}` may lead out of the module; write `crate::…`"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn main_knows_the_command_line_only() {
    for source in sources().into_iter().filter(|source| source.path == "main.rs") {
        for (number, line) in source.numbered() {
            let others = line.split("vestibule::").skip(1).filter(|rest| !rest.starts_with("cli"));
            assert_eq!(others.count(), 0, "src/main.rs:{number}: {line}");
        }
    }
}

#[test]
fn files_stay_short() {
    let long = sources().into_iter().filter(|source| source.lines_before_tests > MAX_LINES);
    let long: Vec<_> = long.filter(|source| !LONG_FILES.contains(&source.path.as_str())).collect();
    let long: Vec<_> = long.iter().map(|source| (&source.path, source.lines_before_tests)).collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines before their tests: {long:?}");
}

#[test]
fn only_the_command_line_prints() {
    let elsewhere = sources().into_iter().filter(|source| source.module != "cli");
    assert_eq!(lines_with(elsewhere, &PRINTING), [""; 0]);
}

#[test]
fn nothing_is_unsafe() {
    assert_eq!(lines_with(sources(), &["unsafe"]), [""; 0]);
}

#[test]
fn the_scan_sees_what_it_must() {
    assert_eq!(references("use crate::tls::Acceptor; type T = crate::net::Stream;"), ["tls", "net"]);
    assert_eq!(references("use crate::{app, cli};"), ["{app, cli};"]);
    assert_eq!(references("pub(crate) fn f() {}"), [""; 0]);
    assert!(has_word("    unsafe { f() }", "unsafe"));
    assert!(!has_word("#![forbid(unsafe_code)] // style-src 'unsafe-inline'", "unsafe"));
    assert!(!has_word("writeln!(out)?; eprintln!(x)", "println!"));
    let text = "fn f() {} // crate::app\n/* no */\n#[cfg(test)]\nmod tests {}\n";
    let source = Source::new("clock.rs".to_owned(), text);
    assert_eq!((source.lines_before_tests, source.code[0].as_str()), (2, "fn f() {} "));
}

fn floors() -> BTreeMap<&'static str, u8> {
    FLOORS.iter().flat_map(|(floor, modules)| modules.iter().map(|module| (*module, *floor))).collect()
}

/// Every `src/**/*.rs`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable tree") {
            let path: PathBuf = entry.expect("a readable tree").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
                found.push(Source::new(relative, &fs::read_to_string(&path).expect("readable text")));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn inner_sources() -> impl Iterator<Item = Source> {
    sources().into_iter().filter(|source| !ROOTS.contains(&source.path.as_str()))
}

fn module_of(path: &str) -> String {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

impl Source {
    fn new(path: String, text: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let tests = lines.windows(2).rposition(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
        let lines_before_tests = match tests {
            _ if path.ends_with("/tests.rs") => 0,
            Some(start) => start,
            None => lines.len(),
        };
        // Cuts what follows an address in a string as well, which hides no reference anybody would write.
        let code = lines.iter().map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect();
        Self { module: module_of(&path), path, code, lines_before_tests }
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// Whether `super` is the crate's root here.
    fn is_directly_below_root(&self) -> bool {
        !self.path.trim_end_matches("/mod.rs").contains('/')
    }
}

/// The name after each `crate::`; a list in braces is returned as it stands, and so matches no module.
fn references(line: &str) -> Vec<&str> {
    line.split("crate::").skip(1).map(first_name).collect()
}

fn first_name(rest: &str) -> &str {
    match rest.find(|c: char| !is_word(c)) {
        Some(0) | None => rest,
        Some(end) => &rest[..end],
    }
}

/// Whether `line` has `wanted` standing by itself.
fn has_word(line: &str, wanted: &str) -> bool {
    line.match_indices(wanted).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + wanted.len()..].chars().next();
        // A hyphen joins, as in the names of a Content-Security-Policy.
        !before.into_iter().chain(after.filter(|_| !wanted.ends_with('!'))).any(|c| is_word(c) || c == '-')
    })
}

fn lines_with(sources: impl IntoIterator<Item = Source>, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in source.numbered() {
            if words.iter().any(|word| has_word(line, word)) {
                found.push(format!("src/{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
