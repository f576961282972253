//! A report for programs: one line of JSON, in the shape of a schema that comes with the program.

use super::text::printable;
use serde::Serialize;
use std::fmt::Write as _;

/// The JSON Schema (draft 2020-12) of a report.
pub const SCHEMA: &str = include_str!("../../../packaging/check-report.schema.json");

/// `value` as one line.
pub fn json(value: &impl Serialize) -> String {
    escape(&serde_json::to_string(value).unwrap_or_default())
}

/// `value` over several lines, two spaces a level.
pub fn json_pretty(value: &impl Serialize) -> String {
    escape(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// Writes what could steer a terminal as `\u` escapes. It can only stand in strings, so the
/// document stays the same.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || printable(c) == c {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_document_stays_the_same_and_harmless(text in any::<String>()) {
            let written = json(&text);
            prop_assert!(written.chars().all(|c| printable(c) == c));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&json_pretty(&[&text])).unwrap(), std::slice::from_ref(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }

    #[test]
    fn a_pair_of_surrogates_stands_for_what_lies_above() {
        assert_eq!(json(&"\u{202e}\u{e0041}\u{9b}é"), r#""\u202e\udb40\udc41\u009bé""#);
    }
}
