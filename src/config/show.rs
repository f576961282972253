//! `config show`: the effective configuration as TOML, each value with its origin, and what
//! follows from it.

use super::{Config, Origin, Shown};
use crate::matrix::well_known;
use std::fmt::Write as _;

/// Column at which origins begin, where the value leaves room.
const ORIGIN_COLUMN: usize = 52;

/// Renders the configuration. The output is itself a valid configuration file.
pub fn render(config: &Config) -> String {
    let mut out = String::new();
    // Keys of the top level first, as TOML demands; tables then follow in reading order.
    let mut tables: Vec<&str> = vec![""];
    for shown in &config.shown {
        if !tables.contains(&shown.table.as_str()) {
            tables.push(&shown.table);
        }
    }
    for table in tables {
        let keys: Vec<_> = config.shown.iter().filter(|shown| shown.table == table).collect();
        if !table.is_empty() {
            let _ = writeln!(out, "\n{}", header(table));
        }
        for shown in keys {
            render_key(shown, &mut out);
        }
    }
    render_derived(config, &mut out);
    out
}

fn render_key(shown: &Shown, out: &mut String) {
    let line = match &shown.value {
        Some(value) => format!("{} = {value}", shown.key),
        None => format!("# {} is not set", shown.key),
    };
    let origin = match (&shown.origin, &shown.value) {
        (Origin::Default, None) => String::new(),
        (origin, _) => format!("# {origin}"),
    };
    let _ = writeln!(out, "{}", format!("{line:<ORIGIN_COLUMN$} {origin}").trim_end());
}

/// `listen` → `[listen]`, `server[1].well_known` → `[server.well_known]`, `site[0]` → `[[site]]`.
fn header(path: &str) -> String {
    let mut name = String::new();
    for (index, part) in path.split('.').enumerate() {
        let part = part.split('[').next().unwrap_or(part);
        let _ = write!(name, "{}{part}", if index > 0 { "." } else { "" });
    }
    if path.ends_with(']') { format!("[[{name}]]") } else { format!("[{name}]") }
}

fn render_derived(config: &Config, out: &mut String) {
    let _ = writeln!(out, "\n# Derived:");
    for server in &config.servers {
        let public = &server.public_host;
        let document = well_known::server_document(&public.host, public.port);
        let _ = writeln!(out, "#   {} delegates with {document}", server.server_name);
    }
    for (name, owner) in config.names.iter() {
        let server = owner.server.and_then(|index| config.servers.get(index));
        let site = owner.site.and_then(|index| config.sites.get(index));
        let parts = [
            server.map(|server| format!("Matrix to {}", server.homeserver)),
            site.map(|site| {
                format!("{} to {}", if server.is_some() { "the rest" } else { "everything" }, site.upstream)
            }),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let _ = writeln!(out, "#   {name} is served: {}", parts.join(", "));
    }
    for order in config.names.orders() {
        let names: Vec<_> = order.names.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "#   a certificate is needed for {}", names.join(", "));
    }
    for notice in &config.notices {
        let _ = writeln!(out, "#   note: {notice}");
    }
}
