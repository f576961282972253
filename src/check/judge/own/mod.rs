//! Rules about the homeserver's own configuration, held against what is configured here.

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::{Finding, Severity};
use crate::check::own::Own;
use crate::check::own::files::{Trouble as FileTrouble, listens_at};
use crate::check::own::inside::{Inside, Reply, Trouble, is_versions};
use crate::check::own::settings::{
    At, ClientAddress, Isolation, Listener, Place, Placed, Purpose, Settings, Software, Source,
};
use crate::config::{Apex, Server, UpstreamAddress, WorkerKind};
use http::Uri;
use std::fmt;

pub(super) const RULES: &[Rule] = &[file, name, upstream, forwarded, bind, base_url, upload, federation, well_known];

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{} line {line}", self.file.display()),
        }
    }
}

fn settings<'a>(case: &Case<'a>) -> Option<(&'a Own, &'a Settings)> {
    let own = case.own?;
    let file = own.file.as_ref()?;
    let settings = file.content.as_ref().ok()?;
    // A file that was only found may be left from a homeserver that was here before.
    let name = own.subject.server.server_name.as_str();
    let other = settings.server_name.as_ref().is_some_and(|written| written.value != name);
    let answers = own.inside.as_ref().and_then(Inside::server_name) == Some(name);
    (file.named || !other || !answers).then_some((own, settings))
}

/// "write LINE into FILE, then restart".
fn write(settings: &Settings, line: impl fmt::Display, place: impl fmt::Display) -> String {
    format!("write `{line}` into {place}, then `systemctl restart {}`", settings.unit)
}

fn file(case: &Case<'_>) -> Vec<Finding> {
    let Some(seen) = case.own.and_then(|own| own.file.as_ref()) else { return Vec::new() };
    let Err(trouble) = &seen.content else { return Vec::new() };
    let path = seen.path.display();
    let (detail, remedy) = match trouble {
        FileTrouble::Missing => {
            ("there is no such file".to_owned(), "correct homeserver_config, or leave it out".to_owned())
        }
        FileTrouble::Denied { remedy } => (
            "this user may not read it, so that it was not compared; all else works without".to_owned(),
            remedy.clone(),
        ),
        FileTrouble::Malformed(place) => (
            format!("not understood at {place}"),
            format!("correct {place}; the homeserver will not start with it either"),
        ),
        FileTrouble::Unreadable(reason) => (reason.clone(), format!("see what is there: `ls -l {path}`")),
    };
    let finding = case.finding(Code::HsFile, path, detail).remedied(remedy);
    let severity = if seen.named && *trouble == FileTrouble::Missing { Severity::Warn } else { Severity::Info };
    vec![finding.at(severity)]
}

fn name(case: &Case<'_>) -> Vec<Finding> {
    let Some(own) = case.own else { return Vec::new() };
    let configured = own.subject.server.server_name.as_str();
    let answers =
        own.inside.as_ref().and_then(Inside::server_name).map(|name| (name, "the homeserver's keys say".to_owned()));
    let written = settings(case).and_then(|(_, settings)| {
        let name = settings.server_name.as_ref()?;
        Some((name.value.as_str(), format!("{} says", name.place)))
    });
    // What it says itself counts more than a file.
    let Some((other, who)) = answers.or(written).filter(|(name, _)| *name != configured) else { return Vec::new() };
    let detail = format!("{who} {other:?}, vestibule has {configured:?}");
    let remedy = format!(
        "write `server_name = \"{other}\"` into vestibule.toml, or the homeserver that is {configured} as `homeserver`, then \
         `systemctl restart vestibule`; a homeserver in use cannot change its name"
    );
    vec![case.finding(Code::HsName, other, detail).remedied(remedy)]
}

fn upstream(case: &Case<'_>) -> Vec<Finding> {
    let Some(own) = case.own else { return Vec::new() };
    let Some(inside) = &own.inside else { return Vec::new() };
    let address = &own.subject.server.homeserver;
    let settings = own.file.as_ref().and_then(|file| file.content.as_ref().ok());
    let (detail, severity) = match &inside.versions {
        Ok(answer) if is_versions(answer) => return Vec::new(),
        Ok(answer) if answer.status >= 500 => (format!("it answers with status {}", answer.status), Severity::Fail),
        Ok(answer) => (format!("what answers is no homeserver: status {}", answer.status), Severity::Warn),
        Err(Trouble::Denied) => ("vestibule may not open the socket".to_owned(), Severity::Fail),
        Err(Trouble::Connect(reason) | Trouble::Silent(reason)) => (reason.clone(), Severity::Fail),
    };
    let finding = case.finding(Code::HsUpstream, address, detail).at(severity);
    let unit = settings.map_or("matrix-synapse", |settings| &settings.unit);
    let remedy = match (&inside.versions, settings.and_then(|settings| elsewhere(settings, address))) {
        (Err(Trouble::Denied), _) => Some(socket_remedy(address)),
        (_, Some((listener, right))) if listener.tls => Some(format!(
            "the listener at {} speaks TLS, which ends here: write `tls: false` there, then `systemctl restart {unit}`\
             {right}",
            listener.place
        )),
        (_, Some((listener, right))) => {
            Some(format!("{} has another place:{right}, then `systemctl restart vestibule`", listener.place))
        }
        _ => Some(format!("see whether it runs: `systemctl status {unit}`, `journalctl -u {unit} -n 50`")),
    };
    vec![remedy.into_iter().fold(finding, Finding::remedied)]
}

/// The client listener of a file that does not listen where requests are sent, and the line for
/// vestibule.toml that would.
fn elsewhere<'a>(settings: &'a Settings, upstream: &UpstreamAddress) -> Option<(&'a Listener, String)> {
    let mut clients = settings.listeners.iter().filter(|l| matches!(l.purpose, Purpose::Matrix { client: true, .. }));
    let listener = clients.next()?;
    if listens_at(settings, upstream) {
        return listener.tls.then(|| (listener, String::new()));
    }
    let place = match &listener.at {
        At::Unix(path) => format!("unix:{}", path.display()),
        At::Tcp(addresses, port) => {
            let only_v6 = !addresses.iter().any(|bound| bound.contains('.') || bound == "localhost" || bound == "::");
            let host = if only_v6 { "[::1]" } else { "127.0.0.1" };
            format!("http://{host}:{port}")
        }
    };
    Some((listener, format!(" write `homeserver = \"{place}\"` into vestibule.toml")))
}

fn socket_remedy(address: &UpstreamAddress) -> String {
    match address {
        UpstreamAddress::Unix(path) => {
            let path = path.display();
            format!(
                "add vestibule to the socket's group, `usermod -aG $(stat -c %G {path}) vestibule`, then `systemctl restart \
                 vestibule`"
            )
        }
        other => format!("let vestibule connect to {other}: see `journalctl -u vestibule`"),
    }
}

fn forwarded(case: &Case<'_>) -> Vec<Finding> {
    let Some((own, settings)) = settings(case) else { return Vec::new() };
    let upstream = &own.subject.server.homeserver;
    let listener = settings.listeners.iter().find(|listener| {
        matches!(listener.purpose, Purpose::Matrix { .. }) && listens_at(&only(settings, listener), upstream)
    });
    let found = match (settings.software, listener, &settings.client_address) {
        (Software::Synapse, Some(listener), _) => Some((&listener.client_address, &listener.place)),
        (Software::Synapse, None, _) => None,
        (_, _, global) => global.as_ref().map(|placed| (&placed.value, &placed.place)),
    };
    let Some((ClientAddress { source, but_loopback }, place)) = found else { return Vec::new() };
    let detail = match source {
        Source::Sent => return Vec::new(),
        _ if *but_loopback && is_loopback(upstream) => return Vec::new(),
        Source::Connection if settings.software == Software::Dendrite => {
            "it shows vestibule's address as the one every device was last seen at".to_owned()
        }
        Source::Connection => {
            "it takes every client for vestibule, so that one client's rate limits hit all".to_owned()
        }
        Source::Other(header) => format!("it takes clients' addresses from {header}, which vestibule never sends"),
    };
    let remedy = match settings.software {
        Software::Synapse => format!(
            "write `x_forwarded: true` into the listener at {place}, then `systemctl restart {}`",
            settings.unit
        ),
        Software::Tuwunel if matches!(upstream, UpstreamAddress::Unix(_)) => {
            format!("remove `ip_source` from {place}, then `systemctl restart {}`", settings.unit)
        }
        Software::Tuwunel => {
            write(settings, "ip_source = \"rightmost_x_forwarded_for\"", format_args!("[global] of {place}"))
        }
        Software::Continuwuity => {
            write(settings, "request_ip_source = \"x_forwarded_for\"", format_args!("[global] of {place}"))
        }
        Software::Dendrite => write(settings, "real_ip_header: X-Real-IP", format_args!("sync_api of {place}")),
    };
    let finding = case.finding(Code::HsForwarded, place, detail).remedied(remedy);
    // Dendrite's rate limits read the right header anyway where the proxy is on loopback.
    vec![finding.info_if(settings.software == Software::Dendrite)]
}

/// The same settings with one listener.
fn only(settings: &Settings, listener: &Listener) -> Settings {
    Settings { listeners: vec![listener.clone()], ..settings.clone() }
}

fn is_loopback(upstream: &UpstreamAddress) -> bool {
    match upstream {
        UpstreamAddress::Tcp(address) => address.ip().is_loopback(),
        UpstreamAddress::Name(name, _) => name == "localhost",
        UpstreamAddress::Unix(_) => false,
    }
}

fn bind(case: &Case<'_>) -> Vec<Finding> {
    let Some(own) = case.own else { return Vec::new() };
    let Some(inside) = &own.inside else { return Vec::new() };
    let settings = own.file.as_ref().and_then(|file| file.content.as_ref().ok());
    let mut findings = Vec::new();
    for open in &inside.open {
        let Some(first) = open.addresses.first() else { continue };
        let list: Vec<_> = open.addresses.iter().map(ToString::to_string).collect();
        let what = match open.purpose {
            Purpose::Matrix { .. } => {
                "the homeserver answers past vestibule, and believes whoever writes X-Forwarded-For"
            }
            Purpose::Internal(_) => "a listener that is for this machine only takes connections",
        };
        let detail = format!("{what}: {}; only a firewall may keep others out", list.join(", "));
        let subject = match open.purpose {
            Purpose::Matrix { .. } => first.to_string(),
            Purpose::Internal(name) => format!("{name} at {first}"),
        };
        let listener = settings.and_then(|settings| {
            let port = |listener: &&Listener| matches!(&listener.at, At::Tcp(_, port) if *port == first.port());
            settings.listeners.iter().find(port).map(|listener| (settings, listener))
        });
        findings.push(case.finding(Code::HsBind, subject, detail).remedied(bind_remedy(
            settings,
            listener,
            first.port(),
        )));
    }
    findings
}

fn bind_remedy(settings: Option<&Settings>, listener: Option<(&Settings, &Listener)>, port: u16) -> String {
    match (settings, listener) {
        (_, Some((settings, listener))) if settings.software == Software::Synapse => format!(
            "write `bind_addresses: ['127.0.0.1']` into the listener at {}, then `systemctl restart {}`",
            listener.place, settings.unit
        ),
        (_, Some((settings, listener))) => {
            write(settings, "address = \"127.0.0.1\"", format_args!("[global] of {}", listener.place))
        }
        (Some(settings), None) if settings.software == Software::Dendrite => {
            format!("start it with `-http-bind-address 127.0.0.1:{port}`: `systemctl edit --full {}`", settings.unit)
        }
        _ => format!(
            "bind the homeserver to 127.0.0.1 (Synapse: `bind_addresses: ['127.0.0.1']`; tuwunel, continuwuity: `address = \
             \"127.0.0.1\"`; a container: `-p 127.0.0.1:{port}:{port}`), and restart it"
        ),
    }
}

fn base_url(case: &Case<'_>) -> Vec<Finding> {
    let Some((own, settings)) = settings(case) else { return Vec::new() };
    let server = &own.subject.server;
    let served = server.base_url();
    let (detail, severity) = match &settings.base_url {
        Some(written) if same_url(&written.value, &served) => return Vec::new(),
        Some(written) => {
            let severity = if leads_here(&written.value, server) { Severity::Info } else { Severity::Warn };
            (format!("{} says {}, clients are sent to {served}", written.place, written.value), severity)
        }
        // Unset, it is the server name's own URL, which leads here as well.
        None if server.apex == Apex::Here || settings.software == Software::Dendrite => return Vec::new(),
        None => {
            let name = server.server_name.host();
            let detail = format!(
                "it is not set: links in mails and logins lead to https://{name}/, which another web server answers"
            );
            (detail, Severity::Warn)
        }
    };
    let (line, table) = match settings.software {
        Software::Synapse => (format!("public_baseurl: {served}/"), String::new()),
        Software::Dendrite => (format!("well_known_client_name: {served}"), "global of ".to_owned()),
        Software::Tuwunel | Software::Continuwuity => {
            (format!("client = \"{served}\""), "[global.well_known] of ".to_owned())
        }
    };
    let remedy = write(settings, line, format_args!("{table}{}", settings.file.display()));
    vec![case.finding(Code::HsBaseUrl, served, detail).remedied(remedy).at(severity)]
}

fn same_url(one: &str, other: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').trim_end_matches(":443").to_ascii_lowercase();
    plain(one) == plain(other)
}

/// Whether a URL names a host that is served here.
fn leads_here(url: &str, server: &Server) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(443);
    let apex = |name: &str| server.apex == Apex::Here || name != server.server_name.host().to_string();
    let known = server.names().iter().any(|name| name.to_string().eq_ignore_ascii_case(host) && apex(host));
    uri.scheme_str() == Some("https") && known && (port == 443 || port == server.public_host.port)
}

fn upload(case: &Case<'_>) -> Vec<Finding> {
    let Some((own, settings)) = settings(case) else { return Vec::new() };
    let (Some(most), Some(Placed { value, place })) = (own.subject.max_body, &settings.max_upload) else {
        return Vec::new();
    };
    if most >= *value {
        return Vec::new();
    }
    let detail =
        format!("the homeserver takes uploads of {value} bytes ({place}), vestibule refuses those over {most}");
    vec![case.finding(Code::HsUpload, "limits.max_body", detail)]
}

fn federation(case: &Case<'_>) -> Vec<Finding> {
    let Some((own, settings)) = settings(case) else { return Vec::new() };
    let mut findings = Vec::new();
    if let Some(Placed { value, place }) = &settings.isolation {
        let key = match settings.software {
            Software::Synapse => "federation_domain_whitelist",
            Software::Dendrite => "disable_federation",
            Software::Tuwunel | Software::Continuwuity => "allow_federation",
        };
        let detail = match value {
            Isolation::Off => format!("{key} at {place} turns federation off"),
            Isolation::Listed => format!("{key} at {place} lets listed servers in only"),
        };
        let remedy = match (value, settings.software) {
            (Isolation::Off, Software::Dendrite) => write(settings, "disable_federation: false", place),
            (Isolation::Off, _) => write(settings, "allow_federation = true", place),
            (Isolation::Listed, _) => format!("remove {key} from {place} if everybody is meant"),
        };
        let finding = case.finding(Code::HsFederation, key, detail).remedied(remedy);
        findings.push(finding.info_if(*value == Isolation::Listed));
    }
    let takes = |listener: &&Listener| listens_at(&only(settings, listener), &own.subject.server.homeserver);
    let listener = settings.listeners.iter().find(takes);
    let lacks = |listener: &&Listener| matches!(listener.purpose, Purpose::Matrix { federation: false, .. });
    // Peers' requests may all be the work of others.
    let by_workers = |kind| own.subject.server.pools.iter().any(|pool| pool.serves.contains(&kind));
    let alone = !(by_workers(WorkerKind::FederationReader) && by_workers(WorkerKind::FederationInbound));
    if let Some(listener) = listener.filter(lacks).filter(|_| alone && settings.software == Software::Synapse) {
        let detail = format!("the listener at {} has no resource \"federation\"", listener.place);
        let remedy = format!(
            "write `- names: [client, federation]` into the resources of the listener at {}, then `systemctl restart {}`",
            listener.place, settings.unit
        );
        findings.push(case.finding(Code::HsFederation, &listener.place, detail).remedied(remedy));
    }
    findings
}

fn well_known(case: &Case<'_>) -> Vec<Finding> {
    let Some((own, settings)) = settings(case) else { return Vec::new() };
    let public = &own.subject.server.public_host;
    let served = format!("{}:{}", public.host, public.port);
    let Some(written) = settings.delegation.as_ref().filter(|written| written.value != served) else {
        return Vec::new();
    };
    let detail = format!(
        "{} would delegate to {}; vestibule answers by itself, with {served}, so that nobody sees it",
        written.place, written.value
    );
    vec![case.finding(Code::HsWellKnown, &written.value, detail)]
}

/// What a reply was, in a few words.
pub(super) fn describe(reply: &Reply) -> String {
    match reply {
        Ok(answer) => format!("status {}", answer.status),
        Err(Trouble::Denied) => "vestibule may not open the socket".to_owned(),
        Err(Trouble::Connect(reason) | Trouble::Silent(reason)) => reason.clone(),
    }
}

#[cfg(test)]
mod tests;
