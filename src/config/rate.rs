//! `[[limits.rate]]`: how many requests of a kind, and in which time.

use super::reader::{Reader, Wrong, nearest};
use super::tree::Node;
use super::values;
use std::time::Duration;

/// The kinds of request that can be limited.
pub const CLASSES: [&str; 10] =
    ["federation", "key", "login", "register", "sync", "media", "admin", "client", "rtc", "site"];

/// A limit on one class. What it counts by is the client's address; for `federation` the address and
/// the server that the request claims to come from, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// One of [`CLASSES`].
    pub class: &'static str,
    /// In which time as many as `burst` may come, again and again. Not zero.
    pub per: Duration,
    /// How many may come at once.
    pub burst: u32,
}

/// Reads every `[[limits.rate]]`.
pub fn read_all(limits: &Reader) -> Vec<Rate> {
    let read = |rate: Reader| {
        let class = rate.read_required("class", "write class = \"login\"", class);
        rate.read("key", "\"client_ip\"", |node| values::word(node, &[("client_ip", ())]));
        let per = rate.read("per", "\"1m\"", values::timeout);
        let burst = rate.read_required("burst", "write burst = 30", values::count);
        rate.finish();
        Some(Rate { class: class?, per, burst: burst? })
    };
    limits.tables("rate").into_iter().filter_map(read).collect()
}

fn class(node: &Node) -> Result<&'static str, Wrong> {
    let text = values::string(node)?;
    CLASSES.into_iter().find(|class| *class == text).ok_or_else(|| {
        let right = nearest(&text, &CLASSES).unwrap_or_else(|| format!("write one of {}", CLASSES.join(", ")));
        Wrong::new(format!("{text:?} is no class of requests"), right)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn parse(rates: &str) -> Result<Vec<Rate>, Vec<String>> {
        let config = Config::parse(&format!("server_name = \"a.example\"\n{rates}"), Path::new("t"));
        config.map(|config| config.limits.rates).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn several_rates() {
        let read = parse(
            "[[limits.rate]]\nclass = \"login\"\nburst = 30\n\
             [[limits.rate]]\nclass = \"federation\"\nkey = \"client_ip\"\nper = \"1s\"\nburst = 50\n",
        );
        let login = Rate { class: "login", per: Duration::from_secs(60), burst: 30 };
        let federation = Rate { class: "federation", per: Duration::from_secs(1), burst: 50 };
        assert_eq!(read, Ok(vec![login, federation]));
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn mistakes() {
        for (text, expected) in [
            ("class = \"logins\"\nburst = 1", "\"logins\" is no class of requests; did you mean \"login\"?"),
            ("class = \"x\"\nburst = 1", "\"x\" is no class of requests; write one of federation, key, login"),
            ("burst = 1", "class: missing"),
            ("class = \"login\"", "burst: missing"),
            ("class = \"login\"\nburst = 0", "out of range"),
            ("class = \"login\"\nburst = 1\nper = \"0s\"", "nothing is done in no time"),
            ("class = \"login\"\nburst = 1\nkey = \"user\"", "\"user\" is not known here; write one of \"client_ip\""),
        ] {
            let errors = parse(&format!("[[limits.rate]]\n{text}\n")).expect_err(text);
            assert!(errors.len() == 1 && errors[0].contains(expected), "{text}: {errors:?}");
        }
    }
}
