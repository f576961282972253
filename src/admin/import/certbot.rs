//! certbot's configuration folder.
//!
//! `live/NAME/` has links to the newest `fullchain.pem` and `privkey.pem`, `renewal/NAME.conf` says
//! which CA they came from, and `accounts/HOST/PATH/ID/` holds an account of the CA at
//! `https://HOST/PATH`: its key as a JSON Web Key and its URL.

use super::{Found, FoundAccount, UnreadableFolder, account, folder};
use serde::Deserialize;
use std::path::Path;

/// `HOST/PATH/ID`, and Let's Encrypt's path is one part. What is deeper was not written by certbot, or
/// is a link that leads in a circle.
const DEEPEST: usize = 6;

/// The registration, as far as it matters here.
#[derive(Deserialize)]
struct Registration {
    uri: String,
}

pub(super) fn read(root: &Path) -> Result<Found, UnreadableFolder> {
    let unreadable = |reason: String| {
        let remedy = "name certbot's configuration folder, usually /etc/letsencrypt".to_owned();
        UnreadableFolder { path: root.to_owned(), reason, remedy }
    };
    let inside = folder::existing(root).map_err(unreadable)?;
    if !inside.iter().any(|path| ["live", "accounts"].contains(&folder::name(path).as_str())) {
        return Err(unreadable("there is no live and no accounts in it".to_owned()));
    }
    let mut found = Found::default();
    match folder::entries(&root.join("live")) {
        Ok(entries) => {
            for lineage in entries.iter().filter(|path| path.is_dir()) {
                let settings = root.join("renewal").join(format!("{}.conf", folder::name(lineage)));
                let (chain, key) = (lineage.join("fullchain.pem"), lineage.join("privkey.pem"));
                found.add_pair(&chain, &key, server(&settings));
            }
        }
        Err(reason) => found.failed(&root.join("live"), &reason),
    }
    let accounts = root.join("accounts");
    match folder::entries(&accounts) {
        Ok(hosts) => hosts.iter().for_each(|host| accounts_below(host, &folder::name(host), &mut found)),
        Err(reason) => found.failed(&accounts, &reason),
    }
    Ok(found)
}

/// The directory URL in a lineage's settings.
fn server(settings: &Path) -> Option<String> {
    let text = String::from_utf8(folder::content(settings).ok()?).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.find(|(key, _)| key.trim() == "server").map(|(_, value)| value.trim().to_owned())
}

/// Accounts in `folder` and below; `path` is its way from `accounts`, which is the directory URL of the
/// accounts in it.
fn accounts_below(at: &Path, path: &str, found: &mut Found) {
    if !at.is_dir() || path.split('/').count() > DEEPEST {
        return;
    }
    let entries = match folder::entries(at) {
        Ok(entries) => entries,
        Err(reason) => return found.failed(at, &reason),
    };
    let key = at.join("private_key.json");
    if entries.contains(&key) {
        let directory = path.rsplit_once('/').map(|(directory, _)| format!("https://{directory}"));
        match account(at, &key, directory) {
            Ok(account) => found.accounts.push(account),
            Err(reason) => found.failed(at, &reason),
        }
        return;
    }
    for entry in &entries {
        accounts_below(entry, &format!("{path}/{}", folder::name(entry)), found);
    }
}

fn account(at: &Path, key: &Path, directory: Option<String>) -> Result<FoundAccount, String> {
    let registration = folder::content(&at.join("regr.json")).map_err(|reason| format!("regr.json: {reason}"))?;
    let Registration { uri: url } =
        serde_json::from_slice(&registration).map_err(|error| format!("regr.json: {error}"))?;
    let content = folder::content(key).map_err(|reason| format!("private_key.json: {reason}"))?;
    // certbot does not keep the addresses.
    let contacts = Vec::new();
    Ok(FoundAccount { source: at.to_owned(), directory, url, contacts, key: account::from_jwk(&content) })
}
