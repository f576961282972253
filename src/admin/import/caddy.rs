//! Caddy's data folder.
//!
//! `certificates/ISSUER/NAME/NAME.{crt,key}` are chains and keys, and `acme/ISSUER/users/EMAIL/` holds
//! accounts. ISSUER is the CA's directory URL, flattened; the URL itself stands nowhere for certain, so
//! that the folder's name is compared with those of CAs that are known.

use super::{Found, FoundAccount, UnreadableFolder, account, folder};
use crate::admin::import::plan::Verdict;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// CAs that Caddy uses by itself.
const KNOWN: [&str; 3] = [
    "https://acme-v02.api.letsencrypt.org/directory",
    "https://acme-staging-v02.api.letsencrypt.org/directory",
    "https://acme.zerossl.com/v2/DV90",
];

/// Where the data folder is, seen from folders that people take for it.
const BELOW: [&str; 3] = ["", "caddy", ".local/share/caddy"];

/// Caddy's own CA, for names that no public CA knows.
const INTERNAL: &str = "local";

/// The account, as far as it matters here (RFC 8555 §7.1.2, and its URL).
#[derive(Deserialize)]
struct Registration {
    location: String,
    #[serde(default)]
    contact: Vec<String>,
}

pub(super) fn read(root: &Path, directories: &[String]) -> Result<Found, UnreadableFolder> {
    let unreadable = |reason: String| {
        let remedy = "name Caddy's data folder, /var/lib/caddy/.local/share/caddy for Debian's service".to_owned();
        UnreadableFolder { path: root.to_owned(), reason, remedy }
    };
    folder::existing(root).map_err(unreadable)?;
    let data = BELOW.iter().map(|below| root.join(below));
    let data = data.into_iter().find(|data| ["certificates", "acme"].iter().any(|name| data.join(name).is_dir()));
    let data = data.ok_or_else(|| unreadable("there is no certificates and no acme in it".to_owned()))?;
    let mut found = Found::default();
    for issuer in folders(&data.join("certificates"), &mut found) {
        if folder::name(&issuer) == INTERNAL {
            found.note(
                Verdict::Skipped,
                &issuer,
                "issued by Caddy's own CA; tls.issuer = \"internal\" is the same here",
            );
            continue;
        }
        let directory = directory(&folder::name(&issuer), directories);
        for name in folders(&issuer, &mut found) {
            for chain in files(&name, "crt", &mut found) {
                found.add_pair(&chain, &chain.with_extension("key"), directory.clone());
            }
        }
    }
    for issuer in folders(&data.join("acme"), &mut found) {
        let directory = directory(&folder::name(&issuer), directories);
        for user in folders(&issuer.join("users"), &mut found) {
            for file in files(&user, "json", &mut found) {
                match account(&file, directory.clone()) {
                    Ok(account) => found.accounts.push(account),
                    Err(reason) => found.failed(&file, &reason),
                }
            }
        }
    }
    Ok(found)
}

fn folders(at: &Path, found: &mut Found) -> Vec<PathBuf> {
    entries(at, found).into_iter().filter(|path| path.is_dir()).collect()
}

fn files(at: &Path, extension: &str, found: &mut Found) -> Vec<PathBuf> {
    let has = |path: &PathBuf| path.extension().is_some_and(|other| other == extension);
    entries(at, found).into_iter().filter(has).collect()
}

fn entries(at: &Path, found: &mut Found) -> Vec<PathBuf> {
    folder::entries(at).unwrap_or_else(|reason| {
        found.failed(at, &reason);
        Vec::new()
    })
}

fn account(file: &Path, directory: Option<String>) -> Result<FoundAccount, String> {
    let Registration { location: url, contact } =
        serde_json::from_slice(&folder::content(file)?).map_err(|error| error.to_string())?;
    let key = folder::content(&file.with_extension("key")).map_err(|reason| format!("its key: {reason}"))?;
    let contacts = contact.iter().map(|contact| contact.trim_start_matches("mailto:").to_owned()).collect();
    Ok(FoundAccount { source: file.to_owned(), directory, url, contacts, key: account::from_pem(&key) })
}

/// The CA whose folder is called `issuer`.
fn directory(issuer: &str, directories: &[String]) -> Option<String> {
    let known = KNOWN.iter().map(|known| (*known).to_owned());
    directories.iter().cloned().chain(known).find(|directory| flattened(directory) == issuer)
}

/// How Caddy calls the folder of a CA: host and path, lower case, with what files may not be called
/// replaced (certmagic's `issuerKey` and `StorageKeys.Safe`).
fn flattened(directory: &str) -> String {
    let plain = directory.split_once("://").map_or(directory, |(_, rest)| rest);
    let plain = plain.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').to_lowercase();
    let kept = |c: &char| c.is_ascii_alphanumeric() || ['_', '@', '.', '-'].contains(c);
    plain.replace(['/', ':'], "-").chars().filter(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_cas() {
        for (issuer, expected) in [
            ("acme-v02.api.letsencrypt.org-directory", Some(KNOWN[0])),
            ("acme.zerossl.com-v2-dv90", Some(KNOWN[2])),
            ("127.0.0.1-14000-dir", Some("https://127.0.0.1:14000/dir")),
            ("ca.example-acme", None),
        ] {
            let found = directory(issuer, &["https://127.0.0.1:14000/dir".to_owned()]);
            assert_eq!(found.as_deref(), expected, "{issuer}");
        }
    }
}
