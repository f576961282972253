//! Text for a terminal: harmless, and as wide as the terminal is.

/// A character of somebody else's text, such that it can neither steer the terminal nor reorder or
/// hide what stands around it: control characters and those that are there to be invisible (bidi
/// controls, zero widths, tags; UAX #9 and the "Trojan Source" list) become U+FFFD.
pub fn printable(c: char) -> char {
    let hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    if c.is_control() || hidden { char::REPLACEMENT_CHARACTER } else { c }
}

/// Somebody else's text, made harmless ([`printable`]).
pub fn harmless(text: &str) -> String {
    text.chars().map(printable).collect()
}

/// Cuts `text` to `width` characters, with dots where something is left out.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let text = harmless(text);
    if text.chars().count() <= width {
        return text;
    }
    let mut short: String = text.chars().take(width.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

/// Breaks `text` at spaces into lines of `width`, of which the first begins at column `at` and the
/// others after a margin of `indent`. Words are never broken, and neither is what stands in
/// backticks: commands and addresses must survive copying.
pub(super) fn wrap(text: &str, at: usize, indent: usize, width: usize) -> String {
    let mut out = String::new();
    let mut column = at;
    let mut start = at;
    for word in words(text) {
        let length = word.chars().count();
        if column > start && column + 1 + length > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            (column, start) = (indent, indent);
        } else if column > start {
            out.push(' ');
            column += 1;
        }
        out.extend(word.chars().map(printable));
        column += length;
    }
    out
}

/// The pieces of `text` between spaces that are not inside backticks.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut inside = false;
    for word in text.split(' ') {
        match words.last_mut().filter(|_| inside) {
            Some(command) => {
                command.push(' ');
                command.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        inside ^= word.matches('`').count() % 2 == 1;
    }
    words
}

/// `items` in one line, the first `most` of them by name.
pub(super) fn list<T: AsRef<str>>(items: &[T], most: usize) -> String {
    let shown: Vec<_> = items.iter().take(most).map(AsRef::as_ref).collect();
    match items.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `number` with its noun.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_steers_hides_or_reorders_is_replaced() {
        for hostile in ['\u{1b}', '\u{7f}', '\u{9b}', '\n', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{e0041}']
        {
            assert_eq!(printable(hostile), '\u{fffd}', "{hostile:?}");
        }
        assert_eq!(harmless("Grüße, 世界 ✓ \"CN=R11\""), "Grüße, 世界 ✓ \"CN=R11\"");
    }

    #[test]
    fn lists_are_cut_and_counted() {
        assert_eq!(list(&["a", "b", "c"], 3), "a, b, c");
        assert_eq!(list(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(list::<&str>(&[], 2), "");
        assert_eq!(
            (count(1, "address", "addresses"), count(0, "address", "addresses")),
            ("1 address".into(), "0 addresses".into())
        );
    }

    #[test]
    fn commands_stay_whole() {
        let text = wrap("see it with `openssl s_client -connect 198.41.0.4:443` and repair it", 5, 5, 30);
        assert_eq!(text, "see it with\n     `openssl s_client -connect 198.41.0.4:443`\n     and repair it");
        assert_eq!(shorten("abcdefgh", 6), "abc...");
    }

    proptest! {
        #[test]
        fn lines_fit_and_nothing_is_lost(words in prop::collection::vec("[a-z]{1,12}", 0..40), indent in 0usize..12) {
            let text = words.join(" ");
            let wrapped = wrap(&text, indent, indent, 40);
            prop_assert!(wrapped.lines().all(|line| line.chars().count() <= 40));
            prop_assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), words);
        }

        #[test]
        fn nothing_hostile_comes_through(text in any::<String>()) {
            prop_assert!(wrap(&text, 0, 2, 60).chars().all(|c| c == '\n' || printable(c) == c));
        }
    }
}
