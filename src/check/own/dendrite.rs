//! Dendrite's `dendrite.yaml`. Where it listens stands on its command line.

use super::settings::{ClientAddress, Isolation, Place, Placed, Settings, Software, Source};
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::path::Path;

/// What of the file matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    global: Global,
    media_api: MediaApi,
    sync_api: SyncApi,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Global {
    server_name: Option<Spanned<String>>,
    well_known_server_name: Option<Spanned<String>>,
    well_known_client_name: Option<Spanned<String>>,
    disable_federation: Option<Spanned<bool>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MediaApi {
    max_file_size_bytes: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SyncApi {
    real_ip_header: Option<Spanned<String>>,
}

/// Reads the file; an error is the line at fault.
pub(super) fn read(path: &Path, text: &str, unit: &str) -> Result<Settings, Place> {
    let parsed = serde_saphyr::from_str_with_options::<Option<File>>(text, super::synapse::options());
    let place = |line| Place { file: path.to_owned(), line };
    let File { global, media_api, sync_api } =
        parsed.map_err(|error| place(error.location().map_or(0, |location| location.line())))?.unwrap_or_default();
    let written = |value: Option<Spanned<String>>| {
        let value = value.filter(|value| !value.value.is_empty())?;
        Some(Placed { place: place(value.referenced.line()), value: value.value })
    };
    let mut settings = Settings::new(Software::Dendrite, path.to_owned(), unit);
    settings.server_name = written(global.server_name);
    settings.delegation = written(global.well_known_server_name);
    settings.base_url = written(global.well_known_client_name);
    let isolated = global.disable_federation.filter(|flag| flag.value);
    settings.isolation = isolated.map(|flag| Placed { value: Isolation::Off, place: place(flag.referenced.line()) });
    // 0 is no limit.
    let upload = media_api.max_file_size_bytes.filter(|size| size.value > 0);
    settings.max_upload = upload.map(|size| Placed { value: size.value, place: place(size.referenced.line()) });
    let header = written(sync_api.real_ip_header);
    let source = match header.as_ref().map(|header| header.value.to_ascii_lowercase()) {
        None => Source::Connection,
        Some(header) if header == "x-real-ip" || header == "x-forwarded-for" => Source::Sent,
        Some(header) => Source::Other(header),
    };
    settings.client_address = Some(Placed {
        value: ClientAddress { source, but_loopback: false },
        place: header.map_or_else(|| place(0), |header| header.place),
    });
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_matter() {
        let text = "version: 2\nglobal:\n  server_name: ex.org\n  private_key: k.pem\n  well_known_server_name: \"\"\n  \
                    well_known_client_name: https://m.ex.org\n  disable_federation: true\nmedia_api:\n  \
                    max_file_size_bytes: 10485760\nsync_api:\n  real_ip_header: X-Real-IP\n";
        let read = |text| read(Path::new("/d.yaml"), text, "dendrite").unwrap();
        let settings = read(text);
        assert_eq!(settings.server_name.unwrap().value, "ex.org");
        assert_eq!((settings.delegation, settings.base_url.unwrap().place.line), (None, 6));
        assert_eq!(settings.isolation.unwrap().value, Isolation::Off);
        assert_eq!(settings.max_upload.unwrap().value, 10_485_760);
        assert_eq!(settings.client_address.unwrap().value.source, Source::Sent);
        let settings = read("global:\n  server_name: ex.org\n");
        assert_eq!(settings.client_address.unwrap().value.source, Source::Connection);
        assert_eq!((settings.isolation, settings.max_upload), (None, None));
    }
}
