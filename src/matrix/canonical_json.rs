//! Canonical JSON: the one byte form that signatures are made over (appendices, "Canonical JSON").
//!
//! UTF-8, keys sorted by code point, no white space, shortest escapes, integers only in
//! ±(2^53 − 1). Numbers are read as text (serde_json's arbitrary precision), so nothing passes
//! through a double on the way.

use serde_json::Value;
use std::fmt::Write;

/// The largest magnitude an integer may have.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// Why a value has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// A fraction, an exponent, minus zero, or out of range.
    #[error("the number {0} is not an integer in ±(2^53 − 1)")]
    Number(String),
}

/// Renders `value` in canonical form.
pub fn to_string(value: &Value) -> Result<String, NotCanonical> {
    let mut out = String::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            let text = number.to_string();
            let integer = text.parse::<i64>().ok().filter(|n| (-MAX_INTEGER..=MAX_INTEGER).contains(n) && text != "-0");
            let integer = integer.ok_or(NotCanonical::Number(text))?;
            let _ = write!(out, "{integer}");
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            // UTF-8 byte order is code point order, which is the order the specification asks for.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write(item, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < '\u{20}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Result<String, NotCanonical> {
        to_string(&serde_json::from_str(text).unwrap())
    }

    /// The examples of the specification's appendix.
    #[test]
    fn specification_examples() {
        for (input, output) in [
            ("{}", "{}"),
            (r#"{"one": 1, "two": "Two"}"#, r#"{"one":1,"two":"Two"}"#),
            (r#"{"b": "2", "a": "1"}"#, r#"{"a":"1","b":"2"}"#),
            (r#"{"a": "日本語"}"#, r#"{"a":"日本語"}"#),
            (r#"{"本": 2, "日": 1}"#, r#"{"日":1,"本":2}"#),
            (r#"{"a": "\u65E5"}"#, r#"{"a":"日"}"#),
            (r#"{"a": null}"#, r#"{"a":null}"#),
            (r#"{"a": "\u0007\n\b\u001F"}"#, "{\"a\":\"\\u0007\\n\\b\\u001f\"}"),
        ] {
            assert_eq!(canonical(input).unwrap(), output);
        }
    }

    #[test]
    fn numbers_outside_the_rule_are_refused() {
        for bad in [
            "1.0",
            "1e2",
            "-0",
            "9007199254740992",
            "-9007199254740992",
            "-9223372036854775808",
            "123456789012345678901234",
        ] {
            assert!(canonical(&format!("{{\"a\":{bad}}}")).is_err(), "{bad}");
        }
        assert_eq!(canonical(r#"{"a":-9007199254740991}"#).unwrap(), r#"{"a":-9007199254740991}"#);
    }
}
