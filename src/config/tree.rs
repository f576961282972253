//! The merged configuration as a tree in which every value knows where it was written.
//!
//! serde would lose that as soon as two files are merged, and would stop at the first mistake.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in a file; line and column count from 1.
    File {
        /// The file as it was named.
        path: Arc<Path>,
        /// Line of the value.
        line: usize,
        /// Column of the value, in characters.
        column: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// A command line flag.
    Flag(&'static str),
    /// Nobody set it.
    Default,
}

impl Origin {
    /// File, line and column; what stands in no file comes first.
    pub fn place(&self) -> Option<(&Path, usize, usize)> {
        match self {
            Self::File { path, line, column } => Some((path, *line, *column)),
            Self::Environment(_) | Self::Flag(_) | Self::Default => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub origin: Origin,
}

/// TOML's values, as far as any key takes them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// A flag.
    Boolean(bool),
    /// A fraction or a date: no key takes one, kept as written for the message.
    Other(String),
    /// An array.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

impl Value {
    /// What to call it in a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Other(_) => "a fraction or a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }

    /// Whether every item is a table, so that drop-ins append instead of replacing.
    fn is_array_of_tables(&self) -> bool {
        matches!(self, Self::Array(items)
            if !items.is_empty() && items.iter().all(|item| matches!(item.value, Self::Table(_))))
    }
}

impl fmt::Display for Value {
    /// TOML, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => write!(f, "{}", toml::Value::String(text.clone())),
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(flag) => flag.fmt(f),
            Self::Other(text) => f.write_str(text),
            Self::Array(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if index > 0 { ", " } else { "" }, item.value)?;
                }
                f.write_str("]")
            }
            Self::Table(table) => {
                f.write_str("{")?;
                for (index, (key, node)) in table.entries.iter().enumerate() {
                    write!(f, "{} {} = {}", if index > 0 { "," } else { "" }, quoted_key(key), node.value)?;
                }
                f.write_str(if table.entries.is_empty() { "}" } else { " }" })
            }
        }
    }
}

/// A key as TOML writes it: bare where that is allowed.
pub(super) fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { key.to_owned() } else { toml::Value::String(key.to_owned()).to_string() }
}

/// A table: its keys in name order, each value with its origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Key to value.
    pub entries: BTreeMap<String, Node>,
}

/// A text that is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub origin: Origin,
    /// The parser's sentence.
    pub message: String,
}

impl Table {
    /// Parses one file's text.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SyntaxError> {
        let source = Source { text, path: Arc::from(path) };
        match DeTable::parse(text) {
            Ok(table) => Ok(source.table(table.get_ref())),
            Err(error) => Err(SyntaxError {
                origin: source.origin(error.span().map_or(0, |span| span.start)),
                message: error.message().replace('\n', ", "),
            }),
        }
    }

    /// Lays `later` over this table: scalars and plain arrays replace, tables merge, arrays of
    /// tables append.
    pub fn merge(&mut self, later: Self) {
        for (key, node) in later.entries {
            match self.entries.get_mut(&key) {
                Some(earlier) => earlier.merge(node),
                None => {
                    self.entries.insert(key, node);
                }
            }
        }
    }

    /// Sets a top-level or `table.key` value, as flags and the environment do.
    pub fn set(&mut self, path: &str, value: &str, origin: &Origin) {
        let node = |value| Node { value, origin: origin.clone() };
        match path.split_once('.') {
            None => {
                self.entries.insert(path.to_owned(), node(Value::String(value.to_owned())));
            }
            Some((table, key)) => {
                let entry = self.entries.entry(table.to_owned());
                let entry = entry.or_insert_with(|| node(Value::Table(Self::default())));
                if let Value::Table(table) = &mut entry.value {
                    table.set(key, value, origin);
                }
            }
        }
    }
}

impl Node {
    fn merge(&mut self, later: Self) {
        let append = self.value.is_array_of_tables() && later.value.is_array_of_tables();
        match (&mut self.value, later.value) {
            (Value::Table(earlier), Value::Table(later)) => earlier.merge(later),
            (Value::Array(earlier), Value::Array(later)) if append => earlier.extend(later),
            (_, value) => *self = Self { value, origin: later.origin },
        }
    }
}

/// One file while it is converted.
struct Source<'a> {
    text: &'a str,
    path: Arc<Path>,
}

impl Source<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Origin::File { path: self.path.clone(), line, column }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let entries = table.iter().map(|(key, value)| {
            // A table's own position is where it is named; a value's is where the value stands.
            let at = match value.get_ref() {
                DeValue::Table(_) => key.span().start,
                _ => value.span().start,
            };
            (key.get_ref().to_string(), Node { value: self.value(value.get_ref()), origin: self.origin(at) })
        });
        Table { entries: entries.collect() }
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other(number.as_str().to_owned()),
            },
            DeValue::Float(number) => Value::Other(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Datetime(date) => Value::Other(date.to_string()),
            DeValue::Array(items) => {
                let items = items
                    .iter()
                    .map(|item| Node { value: self.value(item.get_ref()), origin: self.origin(item.span().start) });
                Value::Array(items.collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Table {
        Table::parse(text, Path::new("t.toml")).unwrap()
    }

    #[test]
    fn values_know_their_place() {
        let table = parse("# comment\nserver_name = \"ä\"\n[listen]\n  https = [ 1 ]\n");
        assert_eq!(table.entries["server_name"].origin.to_string(), "t.toml:2:15");
        let Value::Table(listen) = &table.entries["listen"].value else { unreachable!("written as a table") };
        assert_eq!(listen.entries["https"].origin.to_string(), "t.toml:4:11");
    }

    #[test]
    fn drop_ins_replace_scalars_and_append_tables() {
        let mut table = parse("a = 1\nlist = [1, 2]\n[t]\nx = 1\ny = 1\n[[s]]\nn = 1\n");
        table.merge(parse("a = 2\nlist = [3]\n[t]\ny = 2\n[[s]]\nn = 2\n"));
        let shown = Value::Table(table).to_string();
        assert_eq!(shown, "{ a = 2, list = [3], s = [{ n = 1 }, { n = 2 }], t = { x = 1, y = 2 } }");
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let error = Table::parse("a = 1\nb = = 2\n", Path::new("t.toml")).unwrap_err();
        assert_eq!(error.origin.to_string(), "t.toml:2:5");
    }
}
