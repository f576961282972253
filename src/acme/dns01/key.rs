//! The file with a TSIG key: what `tsig-keygen` prints, or a bare secret.

use super::tsig::{Algorithm, Key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::proto::rr::Name;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A key file is some lines long. What is larger is another file.
const LARGEST: u64 = 64 * 1024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[error("acme.dns.key_file {path}: {reason}")]
pub struct KeyError {
    path: PathBuf,
    reason: String,
}

/// The sentence about a file that every user of the machine can read. Its group may: that is how a
/// service reads what root owns.
pub(super) fn exposure(path: &Path) -> Option<String> {
    let is_open = path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0);
    let path = path.display();
    is_open.then(|| format!("acme.dns.key_file {path} is open to every user of this machine; run: chmod o= {path}"))
}

/// Reads the key called `name`, or the only one. Read at each use, so that a changed key needs no
/// restart.
pub(super) fn load(path: &Path, name: Option<&str>) -> Result<Key, KeyError> {
    let failed = |reason: String| KeyError { path: path.to_owned(), reason };
    let unreadable = |error: std::io::Error| failed(format!("{error}; let the user that runs vestibule read it"));
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(failed("this is no key file; name the file that tsig-keygen wrote".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text, name).map_err(failed)
}

fn parse(text: &str, name: Option<&str>) -> Result<Key, String> {
    let bare = text.trim();
    if let Ok(secret) = STANDARD.decode(bare)
        && !secret.is_empty()
    {
        let name = name.ok_or("this is a bare secret; set acme.dns.key_name to the key's name")?;
        return Ok(Key { name: key_name(name)?, algorithm: Algorithm::Sha256, secret });
    }
    let mut keys = blocks(&tokens(text)?)?;
    match name {
        Some(name) => {
            let wanted = key_name(name)?;
            let names: Vec<_> = keys.iter().map(|key| key.name.to_ascii()).collect();
            keys.retain(|key| key.name == wanted);
            keys.pop().ok_or_else(|| {
                format!("there is no key \"{name}\", only {}; correct acme.dns.key_name", names.join(", "))
            })
        }
        None if keys.len() > 1 => Err("there are several keys; set acme.dns.key_name".to_owned()),
        None => keys.pop().ok_or_else(|| EXPECTED.to_owned()),
    }
}

const EXPECTED: &str = "there is no key in it; write what tsig-keygen prints, such as: \
                        key \"vestibule\" { algorithm hmac-sha256; secret \"…\"; };";

fn key_name(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|error| format!("{text:?} is not a key's name: {error}"))?;
    name.set_fqdn(true);
    Ok(name.to_lowercase())
}

/// Words, strings without their quotes, and `{`, `}`, `;`. Comments are BIND's three kinds.
fn tokens(text: &str) -> Result<Vec<&str>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") || first == '#' {
            rest.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (string, after) = quoted.split_once('"').ok_or("a quote is not closed")?;
            tokens.push(string);
            after
        } else {
            let end = match first {
                '{' | '}' | ';' => 1,
                _ => rest.find(|c: char| c.is_whitespace() || "{};\"".contains(c)).unwrap_or(rest.len()),
            };
            let (word, after) = rest.split_at(end);
            tokens.push(word);
            after
        };
        rest = skipped.trim_start();
    }
    Ok(tokens)
}

/// The `key` statements; other statements cannot stand in such a file.
fn blocks(mut tokens: &[&str]) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    loop {
        tokens = match tokens {
            [] => return Ok(keys),
            [";", rest @ ..] => rest,
            ["key", name, "{", rest @ ..] => {
                let (key, rest) = block(name, rest)?;
                keys.push(key);
                rest
            }
            _ => return Err(EXPECTED.to_owned()),
        };
    }
}

/// What stands in the braces of the key called `name`, and what is left after them.
fn block<'a, 'b>(name: &str, mut tokens: &'a [&'b str]) -> Result<(Key, &'a [&'b str]), String> {
    let (mut algorithm, mut secret) = (Algorithm::Sha256, Vec::new());
    loop {
        tokens = match tokens {
            ["algorithm", text, ";", rest @ ..] => {
                algorithm = Algorithm::parse(text).ok_or_else(|| {
                    format!("{text} is not offered; make a new key with: tsig-keygen -a hmac-sha256 {name}")
                })?;
                rest
            }
            ["secret", text, ";", rest @ ..] => {
                // Never the text itself: it is the secret.
                secret = STANDARD.decode(text).map_err(|_| "the secret is not base64".to_owned())?;
                rest
            }
            ["}", ..] if secret.is_empty() => return Err(format!("the key \"{name}\" has no secret")),
            ["}", rest @ ..] => return Ok((Key { name: key_name(name)?, algorithm, secret }, rest)),
            _ => return Err(EXPECTED.to_owned()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    const PRINTED: &str = "key \"Vestibule\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0Ly8=\";\n};\n";

    #[test]
    fn what_tsig_keygen_prints_and_a_bare_secret() {
        let key = parse(PRINTED, None).unwrap();
        assert_eq!((key.name.to_ascii().as_str(), key.algorithm), ("vestibule.", Algorithm::Sha512));
        assert_eq!(key.secret, b"secret//");
        assert_eq!(parse(PRINTED, Some("vestibule.")).unwrap().name, key.name, "with or without the last dot");
        let bare = parse(" c2VjcmV0\n", Some("b.example")).unwrap();
        assert_eq!((bare.name.to_ascii().as_str(), bare.algorithm), ("b.example.", Algorithm::Sha256));
        let two =
            "# one\nkey a { secret c2VjcmV0; /* so */ algorithm hmac-sha1; }; // and\nkey \"b\"{secret \"c2VjcmV0\";};";
        assert_eq!(parse(two, Some("a")).unwrap().algorithm, Algorithm::Sha1);
        assert_eq!(parse(two, Some("B.")).unwrap().algorithm, Algorithm::Sha256);
    }

    #[test]
    fn what_is_no_key_says_what_would_be() {
        for (text, name, expected) in [
            ("", None, "there is no key in it; write what tsig-keygen prints"),
            ("c2VjcmV0", None, "set acme.dns.key_name"),
            ("options { };", None, "there is no key in it"),
            ("key a { secret \"c2VjcmV0\"", None, "there is no key in it"),
            ("key a { secret \"c2Vj", None, "a quote is not closed"),
            ("key a { secret \"!\"; };", None, "the secret is not base64"),
            ("key a { algorithm hmac-sha256; };", None, "the key \"a\" has no secret"),
            ("key a { algorithm hmac-md5; };", None, "hmac-md5 is not offered; make a new key with: tsig-keygen"),
            (PRINTED, Some("other"), "there is no key \"other\", only vestibule.; correct acme.dns.key_name"),
            ("key a { secret c2VjcmV0; }; key b { secret c2VjcmV0; };", None, "there are several keys"),
        ] {
            let error = parse(text, name).err().expect("no key");
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("c2Vj"), "a secret is told: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tsig.key");
        let error = load(&path, None).err().expect("no file").to_string();
        assert!(error.starts_with("acme.dns.key_file /") && error.contains("No such file"), "{error}");
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(PRINTED.as_bytes()).unwrap();
        assert!(load(&path, None).is_ok() && exposure(&path).is_none());
        file.set_permissions(std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(exposure(&path).unwrap().contains("run: chmod o= /"));
        assert!(load(folder.path(), None).err().expect("a folder").to_string().contains("this is no key file"));
    }
}
