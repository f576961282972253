//! Parameters of a query: pure.

use super::target::decode;
use std::borrow::Cow;

/// The value of the first parameter called `name`, decoded once.
pub(super) fn parameter<'q>(query: &'q str, name: &str) -> Option<Cow<'q, [u8]>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decoded(key) == *name.as_bytes()).then(|| decoded(value))
    })
}

/// A piece of a target, decoded once.
pub(super) fn decoded(text: &str) -> Cow<'_, [u8]> {
    match text.contains('%') {
        true => Cow::Owned(decode(text.as_bytes())),
        false => Cow::Borrowed(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        for (query, expected) in [
            ("since=s1", Some("s1")),
            ("a=b&since=s%31&since=x", Some("s1")),
            ("%73ince=s1", Some("s1")),
            ("since", Some("")),
            ("since=", Some("")),
            ("sinc=1&sincee=2", None),
            ("", None),
        ] {
            let found = parameter(query, "since");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{query}");
        }
    }
}
