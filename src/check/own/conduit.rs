//! The TOML of tuwunel (`tuwunel.toml`) and continuwuity (`continuwuity.toml`, `conduwuit.toml`). Their
//! environment variables (`TUWUNEL_…`, `CONTINUWUITY_…`) are not seen.

use super::settings::{At, ClientAddress, Isolation, Listener, Place, Placed, Purpose, Settings, Software, Source};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Where both listen if nothing is written.
const DEFAULT_PORT: u16 = 8008;
const DEFAULT_ADDRESSES: [&str; 2] = ["127.0.0.1", "::1"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    global: Global,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Global {
    server_name: Option<Spanned<String>>,
    address: Option<Spanned<OneOrMany<String>>>,
    port: Option<Spanned<OneOrMany<u16>>>,
    unix_socket_path: Option<Spanned<PathBuf>>,
    max_request_size: Option<Spanned<Size>>,
    allow_federation: Option<Spanned<bool>>,
    /// tuwunel.
    ip_source: Option<Spanned<String>>,
    /// continuwuity.
    request_ip_source: Option<Spanned<String>>,
    accepted_ip_sources: Option<Spanned<Vec<String>>>,
    well_known: WellKnown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WellKnown {
    client: Option<Spanned<String>>,
    server: Option<Spanned<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

/// Reads the file; an error is the line at fault.
pub(super) fn read(software: Software, path: &Path, text: &str, unit: &str) -> Result<Settings, Place> {
    let place = |offset: usize| Place { file: path.to_owned(), line: line(text, offset) };
    let parsed = toml::from_str::<File>(text);
    let Global {
        server_name,
        address,
        port,
        unix_socket_path,
        max_request_size,
        allow_federation,
        ip_source,
        request_ip_source,
        accepted_ip_sources,
        well_known,
    } = parsed.map_err(|error| place(error.span().map_or(0, |span| span.start)))?.global;
    let mut settings = Settings::new(software, path.to_owned(), unit);
    let written = |value: Option<Spanned<String>>| {
        let value = value.filter(|value| !value.get_ref().is_empty())?;
        Some(Placed { place: place(value.span().start), value: value.into_inner() })
    };
    settings.server_name = written(server_name);
    settings.base_url = written(well_known.client);
    settings.delegation = written(well_known.server);
    let isolated = allow_federation.filter(|allowed| !allowed.get_ref());
    settings.isolation = isolated.map(|flag| Placed { value: Isolation::Off, place: place(flag.span().start) });
    let size = max_request_size
        .and_then(|size| Some(Placed { value: bytes(size.get_ref())?, place: place(size.span().start) }));
    let default_size = if software == Software::Tuwunel { 24 << 20 } else { 20 << 20 };
    let unset = Place { file: path.to_owned(), line: 0 };
    settings.max_upload = size.or(Some(Placed { value: default_size, place: unset.clone() }));
    let source = match software {
        Software::Tuwunel => tuwunel(written(ip_source)),
        _ => continuwuity(written(request_ip_source), accepted_ip_sources.map(Spanned::into_inner)),
    };
    let client_address = source.map_or(Placed { value: HEADERS, place: unset.clone() }, |found| Placed {
        place: found.place.unwrap_or(unset),
        value: found.value,
    });
    let first = address.as_ref().map(|address| address.span().start).or(port.as_ref().map(|port| port.span().start));
    let matrix = Purpose::Matrix { client: true, federation: settings.isolation.is_none() };
    let listener =
        |at, place| Listener { at, tls: false, purpose: matrix, client_address: client_address.value.clone(), place };
    if let Some(socket) = unix_socket_path {
        let socket_place = place(socket.span().start);
        settings.listeners.push(listener(At::Unix(socket.into_inner()), socket_place));
    }
    if settings.listeners.is_empty() || address.is_some() {
        let addresses = address.map(|address| address.into_inner().into_vec());
        let addresses = addresses.unwrap_or_else(|| DEFAULT_ADDRESSES.map(str::to_owned).to_vec());
        let ports = port.map_or_else(|| vec![DEFAULT_PORT], |port| port.into_inner().into_vec());
        for port in ports {
            let at = At::Tcp(addresses.clone(), port);
            settings.listeners.push(listener(at, place(first.unwrap_or_default())));
        }
    }
    settings.client_address = Some(client_address);
    Ok(settings)
}

/// Reads the usual headers by itself: there is one address in them.
const HEADERS: ClientAddress = ClientAddress { source: Source::Sent, but_loopback: false };

struct Found {
    value: ClientAddress,
    place: Option<Place>,
}

/// Unset, tuwunel reads the headers by itself; connections from loopback are always believed.
fn tuwunel(written: Option<Placed<String>>) -> Option<Found> {
    let written = written?;
    let source = match written.value.as_str() {
        "rightmost_x_forwarded_for" | "x_real_ip" => Source::Sent,
        "connect_info" => Source::Connection,
        other => Source::Other(other.to_owned()),
    };
    Some(Found { value: ClientAddress { source, but_loopback: true }, place: Some(written.place) })
}

/// Unset, continuwuity takes the connection's address. `accepted_ip_sources` has the last word.
fn continuwuity(written: Option<Placed<String>>, accepted: Option<Vec<String>>) -> Option<Found> {
    let sent = |word: &str| matches!(word, "x_forwarded_for" | "x_real_ip");
    let of = |word: &str| match word {
        word if sent(word) => Source::Sent,
        "direct" => Source::Connection,
        other => Source::Other(other.to_owned()),
    };
    let accepted = accepted.filter(|list| !list.is_empty());
    let source = match (&accepted, &written) {
        // In their order, what is not sent is passed over.
        (Some(list), _) => {
            let first = list.iter().find(|word| sent(word) || *word == "direct").or(list.first());
            first.map_or(Source::Connection, |word| of(word))
        }
        // What is not sent falls back to the connection.
        (None, Some(word)) if sent(&word.value) => Source::Sent,
        (None, _) => Source::Connection,
    };
    let place = written.map(|word| word.place);
    Some(Found { value: ClientAddress { source, but_loopback: false }, place })
}

/// `24 MiB`, `25 MB`, `1048576`.
fn bytes(size: &Size) -> Option<u64> {
    let text = match size {
        Size::Bytes(bytes) => return Some(*bytes),
        Size::Text(text) => text.trim(),
    };
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split)?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "k" | "kib" => 1 << 10,
        "mb" => 1_000_000,
        "m" | "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The line of a byte of `text`, counted from 1.
fn line(text: &str, offset: usize) -> u64 {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    u64::try_from(before.iter().filter(|byte| **byte == b'\n').count()).map_or(0, |lines| lines + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(software: Software, text: &str) -> Settings {
        read(software, Path::new("/t.toml"), text, "u").unwrap()
    }

    #[test]
    fn defaults_and_keys() {
        let unset = settings(Software::Tuwunel, "[global]\nserver_name = \"ex.org\"\n");
        assert_eq!(unset.server_name.unwrap().place.line, 2);
        assert_eq!(unset.listeners[0].at, At::Tcp(vec!["127.0.0.1".into(), "::1".into()], 8008));
        assert_eq!((unset.max_upload.unwrap().value, unset.isolation), (24 << 20, None));
        assert_eq!(unset.client_address.unwrap().value.source, Source::Sent);
        let text = "[global]\naddress = [\"0.0.0.0\"]\nport = [8008, 8448]\nmax_request_size = \"100 MiB\"\n\
                    allow_federation = false\n[global.well_known]\nclient = \"https://m.ex.org\"\n\
                    server = \"m.ex.org:443\"\n";
        let read = settings(Software::Continuwuity, text);
        assert!(read.listeners.len() == 2 && read.listeners.iter().all(Listener::is_open));
        assert_eq!(read.max_upload.unwrap().value, 100 << 20);
        assert_eq!(read.isolation.unwrap().place.line, 5);
        assert_eq!((read.base_url.unwrap().place.line, read.delegation.unwrap().value.as_str()), (7, "m.ex.org:443"));
        let unix = settings(Software::Tuwunel, "[global]\nunix_socket_path = \"/run/t.sock\"\n");
        assert_eq!(unix.listeners.len(), 1, "an address stands beside it only if it is written");
        assert_eq!(unix.listeners[0].at, At::Unix("/run/t.sock".into()));
    }

    #[test]
    fn addresses_of_clients() {
        use Software::{Continuwuity, Tuwunel};
        let other = |word: &str| Source::Other(word.to_owned());
        let table: [(Software, &str, Source); 9] = [
            (Tuwunel, "ip_source = \"rightmost_x_forwarded_for\"", Source::Sent),
            (Tuwunel, "ip_source = \"x_real_ip\"", Source::Sent),
            (Tuwunel, "ip_source = \"connect_info\"", Source::Connection),
            (Tuwunel, "ip_source = \"cf_connecting_ip\"", other("cf_connecting_ip")),
            (Continuwuity, "", Source::Connection),
            (Continuwuity, "request_ip_source = \"x_forwarded_for\"", Source::Sent),
            (Continuwuity, "request_ip_source = \"true_client_ip\"", Source::Connection),
            (Continuwuity, "accepted_ip_sources = [\"cf_connecting_ip\", \"x_real_ip\"]", Source::Sent),
            (Continuwuity, "accepted_ip_sources = [\"cf_connecting_ip\"]", other("cf_connecting_ip")),
        ];
        for (software, line, expected) in table {
            let read = settings(software, &format!("[global]\n{line}\n"));
            assert_eq!(read.client_address.unwrap().value.source, expected, "{line}");
        }
    }

    #[test]
    fn mistakes_and_sizes() {
        let fault = read(Software::Tuwunel, Path::new("/t"), "[global]\na = 1\nport = \"x\"\n", "u").unwrap_err();
        assert_eq!(fault.line, 3);
        for (text, expected) in [("24 MiB", Some(24 << 20)), ("1MB", Some(1_000_000)), ("7", Some(7)), ("1 XB", None)] {
            assert_eq!(bytes(&Size::Text(text.to_owned())), expected, "{text}");
        }
    }
}
