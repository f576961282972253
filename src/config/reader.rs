//! Reading typed values out of the tree.
//!
//! Each key is named once, with its default as TOML text and the function that parses it. From
//! that one line come the value, its line in `config show`, the error with its place, and the
//! "did you mean" for keys nobody asked for. All mistakes are collected, not only the first.

use super::tree::{Node, Origin, Table, Value};
use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

/// A mistake in the configuration: where, which key, what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the value stands.
    pub origin: Origin,
    /// The key's full path, such as `server[1].public_host`; empty when the file itself is wrong.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, wrong, right } = self;
        match origin {
            Origin::Default => {}
            origin => write!(f, "{origin}: ")?,
        }
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        write!(f, "{wrong}; {right}")
    }
}

/// What a parse function says of a value it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl Wrong {
    /// A refusal.
    pub fn new(wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Self { wrong: wrong.into(), right: right.into() }
    }

    /// A refusal because the value is of another kind.
    pub fn kind(node: &Node, right: &str) -> Self {
        Self::new(format!("this is {}", node.value.kind()), right)
    }
}

/// An effective value, for `config show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The table it stands in, `""` for the top level.
    pub table: String,
    /// The key.
    pub key: &'static str,
    /// TOML, or `None` for an optional key that nobody set.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

/// What reading has brought to light so far.
#[derive(Debug, Default)]
pub struct Findings {
    /// Every mistake.
    pub errors: Vec<ConfigError>,
    /// Every effective value, in reading order.
    pub shown: Vec<Shown>,
    /// What whoever wrote the configuration should know, as sentences.
    pub notices: Vec<String>,
    /// Paths of the keys that were set to something else than their default.
    changed: Vec<String>,
    /// Keys and tables that do nothing in this version: path and place.
    without_effect: Vec<(String, Origin)>,
}

impl Findings {
    /// Adds a notice for each key without effect that somebody changed. (`config show` writes every
    /// default out; reading that back is no reason for a notice.)
    pub fn conclude(mut self) -> Self {
        for (path, origin) in std::mem::take(&mut self.without_effect) {
            let below = |changed: &String| {
                changed.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            if self.changed.iter().any(below) {
                self.notices.push(format!("{origin}: {path}: accepted, but has no effect in this version"));
            }
        }
        self
    }
}

/// Reads one table.
pub struct Reader {
    table: Table,
    origin: Origin,
    path: String,
    asked: RefCell<Vec<&'static str>>,
    findings: Rc<RefCell<Findings>>,
}

impl Reader {
    /// A reader of the whole configuration, which stands at `origin`.
    pub fn new(table: Table, origin: Origin, findings: Rc<RefCell<Findings>>) -> Self {
        Self { table, origin, path: String::new(), asked: RefCell::default(), findings }
    }

    /// Where the table itself stands.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where `key` stands; the table's place when it is not set.
    pub fn origin_of(&self, key: &str) -> Origin {
        self.table.entries.get(key).map_or_else(|| self.origin.clone(), |node| node.origin.clone())
    }

    /// Whether somebody set `key`.
    pub fn is_set(&self, key: &str) -> bool {
        self.table.entries.contains_key(key)
    }

    /// The full path of `key` in this table.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key`, or its default. A wrong value is recorded, and the default returned so
    /// that reading goes on.
    pub fn read<T>(&self, key: &'static str, default: &str, parse: impl Fn(&Node) -> Result<T, Wrong>) -> T {
        let set = self.take(key);
        let fallback = literal(default);
        self.show(key, Some(set.as_ref().unwrap_or(&fallback)));
        if let Some(node) = &set {
            if node.value != fallback.value {
                self.changed(key);
            }
            match parse(node) {
                Ok(value) => return value,
                Err(wrong) => self.refuse(key, wrong),
            }
        }
        match parse(&fallback) {
            Ok(value) => value,
            Err(wrong) => unreachable!("the default of {key} is wrong: {wrong:?}"),
        }
    }

    /// The value of an optional `key`.
    pub fn read_optional<T>(&self, key: &'static str, parse: impl Fn(&Node) -> Result<T, Wrong>) -> Option<T> {
        let set = self.take(key);
        self.show(key, set.as_ref());
        let set = set?;
        self.changed(key);
        match parse(&set) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.refuse(key, wrong);
                None
            }
        }
    }

    /// The value of a `key` that must be there; its absence is recorded.
    pub fn read_required<T>(
        &self,
        key: &'static str,
        right: &str,
        parse: impl Fn(&Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.is_set(key) {
            self.take(key);
            self.refuse(key, Wrong::new("missing", right));
            return None;
        }
        self.read_optional(key, parse)
    }

    /// The table at `key`; an empty one when it is not set.
    pub fn table(&self, key: &'static str) -> Self {
        let mut table = Table::default();
        let mut origin = Origin::Default;
        if let Some(node) = self.take(key) {
            match node.value {
                Value::Table(set) => (table, origin) = (set, node.origin),
                _ => self.refuse(key, Wrong::kind(&node, &format!("write a table [{}]", self.path_of(key)))),
            }
        }
        self.child(self.path_of(key), table, origin)
    }

    /// The tables of the array at `key`.
    pub fn tables(&self, key: &'static str) -> Vec<Self> {
        let Some(node) = self.take(key) else {
            return Vec::new();
        };
        let right = format!("write it as [[{}]]", self.path_of(key));
        let Value::Array(items) = node.value else {
            self.refuse(key, Wrong::kind(&node, &right));
            return Vec::new();
        };
        let mut readers = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match item.value {
                Value::Table(table) => {
                    readers.push(self.child(format!("{}[{index}]", self.path_of(key)), table, item.origin));
                }
                _ => self.refuse(key, Wrong::kind(&item, &right)),
            }
        }
        readers
    }

    fn child(&self, path: String, table: Table, origin: Origin) -> Self {
        Self { table, origin, path, asked: RefCell::default(), findings: Rc::clone(&self.findings) }
    }

    /// Records that `key` is wrong.
    pub fn refuse(&self, key: &str, wrong: Wrong) {
        let error =
            ConfigError { origin: self.origin_of(key), key: self.path_of(key), wrong: wrong.wrong, right: wrong.right };
        self.findings.borrow_mut().errors.push(error);
    }

    /// Records that `key` is accepted and does nothing in this version.
    pub fn without_effect(&self, key: &str) {
        if self.is_set(key) {
            self.findings.borrow_mut().without_effect.push((self.path_of(key), self.origin_of(key)));
        }
    }

    fn changed(&self, key: &str) {
        self.findings.borrow_mut().changed.push(self.path_of(key));
    }

    /// Records something that whoever set `key` should know.
    pub fn note(&self, key: &str, note: &str) {
        let notice = format!("{}: {}: {note}", self.origin_of(key), self.path_of(key));
        self.findings.borrow_mut().notices.push(notice);
    }

    /// Marks `key` as one that exists, without reading it.
    pub fn known(&self, key: &'static str) {
        self.asked.borrow_mut().push(key);
    }

    /// Ends the reading of this table: every key that nobody asked for is a mistake.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.table.entries.keys() {
            if asked.contains(&key.as_str()) {
                continue;
            }
            let near = nearest(key, &asked);
            let right = near.unwrap_or_else(|| format!("known here: {}", asked.join(", ")));
            self.refuse(key, Wrong::new("unknown key", right));
        }
    }

    fn take(&self, key: &'static str) -> Option<Node> {
        self.asked.borrow_mut().push(key);
        self.table.entries.get(key).cloned()
    }

    fn show(&self, key: &'static str, node: Option<&Node>) {
        let shown = Shown {
            table: self.path.clone(),
            key,
            value: node.map(|node| node.value.to_string()),
            origin: node.map_or(Origin::Default, |node| node.origin.clone()),
        };
        self.findings.borrow_mut().shown.push(shown);
    }
}

/// The question about the known key that looks most like `key`, if one does.
pub fn nearest(key: &str, known: &[&str]) -> Option<String> {
    let near = known.iter().map(|known| (strsim::jaro_winkler(known, key), known));
    let near = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    near.map(|(_, known)| format!("did you mean \"{known}\"?"))
}

/// A default, written as TOML in the code.
fn literal(text: &str) -> Node {
    match Table::parse(&format!("default = {text}"), Path::new("")) {
        Ok(mut table) => match table.entries.remove("default") {
            Some(node) => Node { origin: Origin::Default, ..node },
            None => unreachable!("the parsed text names the key"),
        },
        Err(error) => unreachable!("the default {text} is not TOML: {}", error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(node: &Node) -> Result<i64, Wrong> {
        match node.value {
            Value::Integer(number) => Ok(number),
            _ => Err(Wrong::kind(node, "write a number")),
        }
    }

    #[test]
    fn every_mistake_is_collected_with_its_place() {
        let findings = Rc::default();
        let table = Table::parse("levl = 1\nport = \"x\"\n[[a]]\nn = true\n", Path::new("t.toml")).unwrap();
        let reader = Reader::new(table, Origin::Default, Rc::clone(&findings));
        assert_eq!(reader.read("level", "3", number), 3);
        assert_eq!(reader.read("port", "4", number), 4);
        for item in reader.tables("a") {
            assert_eq!(item.read_optional("n", number), None);
            assert_eq!(item.read_required("m", "write m = 1", number), None);
            item.finish();
        }
        reader.finish();
        let errors: Vec<_> = findings.borrow().errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "t.toml:2:8: port: this is a string; write a number",
                "t.toml:4:5: a[0].n: this is true or false; write a number",
                "t.toml:3:1: a[0].m: missing; write m = 1",
                "t.toml:1:8: levl: unknown key; did you mean \"level\"?",
            ]
        );
    }
}
