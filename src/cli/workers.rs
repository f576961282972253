//! `workers show`: the Synapse worker map, and who serves what.

use crate::config::pool::HOMESERVER;
use crate::config::workers::{Condition, Instances, MAP, WorkerRow};
use crate::config::{Config, Pool, RouteTarget, Server};
use std::fmt::Write as _;

/// Renders the map for every server of `config`, or without one the map alone.
pub(super) fn render(config: Option<&Config>) -> String {
    let mut out = String::new();
    let Some(config) = config else {
        let _ = writeln!(out, "There is no configuration, so the homeserver serves everything.\n");
        MAP.iter().for_each(|row| render_row(row, &[], &mut out));
        return out;
    };
    for server in &config.servers {
        let _ = writeln!(out, "Workers of {}; what is not listed goes to {}.\n", server.server_name, server.homeserver);
        render_routes(server, &mut out);
        MAP.iter().for_each(|row| render_row(row, &server.pools, &mut out));
    }
    out
}

fn render_routes(server: &Server, out: &mut String) {
    if server.routes.is_empty() {
        return;
    }
    let _ = writeln!(out, "explicit routes, before all others; the first that matches counts");
    for route in &server.routes {
        let pool = match route.target {
            RouteTarget::Pool(index) => server.pools.get(index),
            RouteTarget::Homeserver => None,
        };
        let name = pool.map_or(HOMESERVER, |pool| &pool.name);
        let _ = writeln!(out, "    {} -> {name}", route.path.as_str());
    }
    out.push('\n');
}

fn render_row(row: &WorkerRow, pools: &[Pool], out: &mut String) {
    let pool = pools.iter().find(|pool| pool.serves.contains(&row.kind));
    let by = match pool {
        Some(pool) => {
            let endpoints: Vec<_> = pool.endpoints.iter().map(ToString::to_string).collect();
            format!("{} ({})", pool.name, endpoints.join(", "))
        }
        None => HOMESERVER.to_owned(),
    };
    let balance = pool.and_then(|pool| pool.balance).unwrap_or(row.balance);
    let instances = match row.instances {
        Instances::Any => "",
        Instances::OnePerRoom => "; a room must stay with one process",
        Instances::One => "; one process only",
    };
    let alone = if row.main_can { "" } else { "; never the homeserver instead" };
    let _ = writeln!(out, "{}: {by}, by {}{instances}{alone}", row.kind.as_str(), balance.as_str());
    for (pattern, condition) in row.patterns {
        let when = match condition {
            Condition::Always => "",
            Condition::Reading => "  (GET and HEAD)",
            Condition::NoSince => "  (without since, or with full_state=true)",
            Condition::NoFrom => "  (without from)",
        };
        let _ = writeln!(out, "    {pattern}{when}");
    }
    out.push('\n');
}
