//! Synapse's `homeserver.yaml`, with the files of a `conf.d` folder merged as Synapse merges them: key by
//! key at the top level, the last file's value as a whole.

use super::settings::{
    At, Authentication, ClientAddress, Isolation, Listener, Place, Placed, Purpose, Settings, Software, Source,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Spanned, options::DuplicateKeyPolicy};
use std::path::{Path, PathBuf};

/// `max_upload_size` where nothing is written.
const DEFAULT_UPLOAD: u64 = 50 * 1024 * 1024;

/// What of the file matters here. Everything else is passed over unread.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    server_name: Option<Spanned<String>>,
    public_baseurl: Option<Spanned<String>>,
    max_upload_size: Option<Spanned<Size>>,
    serve_server_wellknown: Option<Spanned<bool>>,
    listeners: Option<Vec<Spanned<ListenerText>>>,
    federation_domain_whitelist: Option<Spanned<IgnoredAny>>,
    matrix_authentication_service: Option<Spanned<AuthenticationText>>,
}

#[derive(Debug, Deserialize)]
struct ListenerText {
    #[serde(rename = "type")]
    kind: Option<String>,
    port: Option<u16>,
    path: Option<PathBuf>,
    bind_address: Option<String>,
    bind_addresses: Option<Vec<String>>,
    tls: Option<bool>,
    x_forwarded: Option<bool>,
    resources: Option<Vec<Resource>>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    names: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct AuthenticationText {
    enabled: Option<bool>,
    endpoint: Option<String>,
}

/// A number of bytes, or one with a suffix.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

/// How YAML is read: as PyYAML does where that matters (`yes` is true, the last of two equal keys
/// counts), with far smaller bounds than a homeserver's file will ever need.
pub(super) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_nodes: 100_000,
            max_depth: 64,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
        },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        // A snippet would be a piece of a file with secrets.
        with_snippet: false,
    }
}

/// Reads the files in their order. An error is the file and the line at fault, and nothing of what
/// stands there.
pub(super) fn read(files: &[(PathBuf, String)], unit: &str) -> Result<Settings, Place> {
    let main = files.first().map(|(path, _)| path.clone()).unwrap_or_default();
    let mut settings = Settings::new(Software::Synapse, main.clone(), unit);
    let unset = Place { file: main, line: 0 };
    settings.max_upload = Some(Placed { value: DEFAULT_UPLOAD, place: unset });
    let mut delegates = false;
    for (path, text) in files {
        let parsed = serde_saphyr::from_str_with_options::<Option<File>>(text, options());
        let fault = |error: &serde_saphyr::Error| Place {
            file: path.clone(),
            line: error.location().map_or(0, |location| location.line()),
        };
        let file = parsed.map_err(|error| fault(&error))?.unwrap_or_default();
        if let Some(flag) = &file.serve_server_wellknown {
            delegates = flag.value;
            settings.delegation = Some(placed(path, flag, String::new()));
        }
        merge(&mut settings, path, file);
    }
    // What it would delegate to is its own name (synapse/rest/well_known.py).
    let name = settings.server_name.as_ref().map(|name| format!("{}:443", name.value)).filter(|_| delegates);
    settings.delegation = settings.delegation.zip(name).map(|(flag, value)| Placed { value, place: flag.place });
    Ok(settings)
}

fn placed<T, U>(file: &Path, at: &Spanned<U>, value: T) -> Placed<T> {
    Placed { value, place: Place { file: file.to_owned(), line: at.referenced.line() } }
}

fn merge(settings: &mut Settings, path: &Path, file: File) {
    if let Some(name) = file.server_name {
        settings.server_name = Some(placed(path, &name, name.value.clone()));
    }
    if let Some(url) = file.public_baseurl {
        settings.base_url = Some(placed(path, &url, url.value.clone()));
    }
    if let Some(size) = file.max_upload_size
        && let Some(bytes) = bytes(&size.value)
    {
        settings.max_upload = Some(placed(path, &size, bytes));
    }
    if let Some(list) = file.federation_domain_whitelist {
        settings.isolation = Some(placed(path, &list, Isolation::Listed));
    }
    if let Some(service) = file.matrix_authentication_service {
        let enabled = service.value.enabled == Some(true);
        let endpoint = service.value.endpoint.clone();
        settings.authentication = enabled.then(|| placed(path, &service, Authentication { endpoint }));
    }
    if let Some(listeners) = file.listeners {
        settings.listeners = listeners.iter().filter_map(|text| listener(path, text)).collect();
    }
}

/// synapse/config/server.py, `parse_listener_def`.
fn listener(path: &Path, text: &Spanned<ListenerText>) -> Option<Listener> {
    let place = Place { file: path.to_owned(), line: text.referenced.line() };
    let text = &text.value;
    let at = match (&text.path, text.port) {
        (Some(socket), _) => At::Unix(socket.clone()),
        (None, Some(port)) => {
            let mut addresses = text.bind_addresses.clone().unwrap_or_default();
            addresses.extend(text.bind_address.clone());
            if addresses.is_empty() {
                addresses = vec!["::".to_owned(), "0.0.0.0".to_owned()];
            }
            At::Tcp(addresses, port)
        }
        (None, None) => return None,
    };
    let named = |name: &str| {
        let resources = text.resources.iter().flatten();
        resources.flat_map(|resource| resource.names.iter().flatten()).any(|other| other == name)
    };
    let purpose = match text.kind.as_deref() {
        Some("metrics") => Purpose::Internal("metrics"),
        Some("manhole") => Purpose::Internal("manhole"),
        _ if named("client") || named("federation") => {
            Purpose::Matrix { client: named("client"), federation: named("federation") }
        }
        _ if named("replication") => Purpose::Internal("replication"),
        _ if named("metrics") => Purpose::Internal("metrics"),
        // Media, keys, health and the like: nothing that a proxy of the main process looks for.
        _ => return None,
    };
    // Over a unix socket there is no other way to learn an address.
    let forwarded = text.x_forwarded.unwrap_or(text.path.is_some());
    let source = if forwarded { Source::Sent } else { Source::Connection };
    let client_address = ClientAddress { source, but_loopback: false };
    Some(Listener { at, tls: text.tls == Some(true), purpose, client_address, place })
}

/// synapse/config/_base.py, `parse_size`.
fn bytes(size: &Size) -> Option<u64> {
    let text = match size {
        Size::Bytes(bytes) => return Some(*bytes),
        Size::Text(text) => text.trim(),
    };
    let suffixes = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let found = suffixes.iter().find_map(|(suffix, shift)| Some((text.strip_suffix(*suffix)?, *shift)));
    let (digits, shift) = found.unwrap_or((text, 0));
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&str]) -> Vec<(PathBuf, String)> {
        let path = |index| PathBuf::from(format!("/etc/matrix-synapse/{index}.yaml"));
        texts.iter().enumerate().map(|(index, text)| (path(index), (*text).to_owned())).collect()
    }

    fn settings(texts: &[&str]) -> Settings {
        read(&files(texts), "matrix-synapse").unwrap()
    }

    /// The layout of the Debian package: the name is in a file of its own.
    #[test]
    fn files_are_merged_key_by_key() {
        let main = "# comment\npid_file: \"/run/x.pid\"\nlisteners:\n  - port: 8008\n    tls: false\n    type: http\n    \
                    x_forwarded: yes\n    bind_addresses: ['::1', '127.0.0.1']\n    resources:\n      - names: [client, \
                    federation]\n        compress: false\n  - port: 9093\n    type: http\n    resources:\n      - names: \
                    [replication]\ndatabase:\n  args: {password: secret}\nmax_upload_size: 100M\n";
        let name = "server_name: ex.org\npublic_baseurl: https://m.ex.org/\n";
        let read = settings(&[main, name, "public_baseurl: https://n.ex.org\n"]);
        assert_eq!(read.server_name.as_ref().unwrap().value, "ex.org");
        assert_eq!(read.server_name.unwrap().place.file, Path::new("/etc/matrix-synapse/1.yaml"));
        assert_eq!(read.base_url.unwrap().value, "https://n.ex.org");
        assert_eq!(read.max_upload.unwrap().value, 100 * 1024 * 1024);
        let [client, replication] = read.listeners.as_slice() else { panic!("{:?}", read.listeners) };
        assert_eq!(client.purpose, Purpose::Matrix { client: true, federation: true });
        assert_eq!((client.client_address.source.clone(), client.place.line), (Source::Sent, 4));
        assert!(!client.is_open() && replication.is_open());
        assert_eq!(replication.purpose, Purpose::Internal("replication"));
    }

    #[test]
    fn defaults_are_synapses() {
        let listener = |more: &str| {
            let text = format!("listeners:\n  - type: http\n    resources: [{{names: [client]}}]\n    {more}\n");
            settings(&[&text]).listeners.remove(0)
        };
        let tcp = listener("port: 8008");
        assert_eq!(tcp.at, At::Tcp(vec!["::".to_owned(), "0.0.0.0".to_owned()], 8008));
        assert_eq!(tcp.client_address.source, Source::Connection);
        assert_eq!(tcp.purpose, Purpose::Matrix { client: true, federation: false });
        let unix = listener("path: /run/synapse/main.sock");
        assert_eq!(unix.client_address.source, Source::Sent);
        let forced = listener("path: /run/s.sock\n    x_forwarded: off");
        assert_eq!(forced.client_address.source, Source::Connection);
        let empty = settings(&["", "server_name: a.b"]);
        assert_eq!((empty.max_upload.unwrap().value, empty.listeners.len()), (DEFAULT_UPLOAD, 0));
        assert_eq!(settings(&["server_name: a.b\nserve_server_wellknown: true"]).delegation.unwrap().value, "a.b:443");
        assert_eq!(settings(&["server_name: a.b\nserve_server_wellknown: false"]).delegation, None);
        let mas = "matrix_authentication_service:\n  enabled: true\n  endpoint: http://localhost:8080/\n  secret: s\n";
        let endpoint = settings(&[mas]).authentication.unwrap().value.endpoint;
        assert_eq!(endpoint.as_deref(), Some("http://localhost:8080/"));
        assert_eq!(settings(&["federation_domain_whitelist: [a.b]"]).isolation.unwrap().value, Isolation::Listed);
        for (text, expected) in [("1024", Some(1024)), ("1K", Some(1024)), ("2T", Some(2 << 40)), ("x", None)] {
            assert_eq!(bytes(&Size::Text(text.to_owned())), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_by_line_and_bombs_do_not_go_off() {
        let fault = |text: &str| read(&files(&["server_name: a.b", text]), "u").unwrap_err();
        assert_eq!(fault("a: 1\nserver_name: [x]\n").line, 2);
        assert_eq!(fault("password: hunter2: x\n").line, 1);
        assert_eq!(fault("a: 1\n---\nb: 2\n").file, Path::new("/etc/matrix-synapse/1.yaml"));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let list = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb += &format!("a{level}: &a{level} [{list}]\n");
        }
        // Whether it is refused or passed over, it is done at once.
        let _ = read(&files(&[&bomb]), "u");
        let deep = format!("a: {}", "[".repeat(100_000));
        assert!(read(&files(&[&deep]), "u").is_err());
    }
}
