//! A homeserver (`[[server]]`, or the short form at the top level) and a plain site (`[[site]]`).

use super::pool::{Pool, read_pools};
use super::reader::{Reader, Wrong, nearest};
use super::route::{RouteRule, read_routes};
use super::tree::{Node, Value};
use super::upstream::{UpstreamAddress, upstream};
use super::values;
use crate::matrix::well_known::SupportDocument;
use crate::matrix::{Host, ServerName};
use serde_json::{Map, Value as Json};
use std::path::PathBuf;
use std::time::Duration;

/// The port a client or peer uses for https when none is written.
const HTTPS_PORT: u16 = 443;

/// Who answers `https://server_name/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apex {
    /// This machine: the name needs a certificate here.
    Here,
    /// Another web server. The name is still served if a client asks for it.
    Elsewhere,
}

/// What delegation points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHost {
    /// Name or address.
    pub host: Host,
    /// The port that the world connects to, which need not be the listener's.
    pub port: u16,
}

/// One homeserver.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// What stands after the colon in user IDs.
    pub server_name: ServerName,
    /// Where its requests go.
    pub homeserver: UpstreamAddress,
    /// Its worker pools.
    pub pools: Vec<Pool>,
    /// Explicit routes, the first match of which counts.
    pub routes: Vec<RouteRule>,
    /// What answers some of its paths beside it.
    pub services: Services,
    /// What `m.server` and `m.homeserver` say.
    pub public_host: PublicHost,
    /// Who answers for the server name itself.
    pub apex: Apex,
    /// Further names under which it is served, without duplicates of the two above.
    pub extra_hosts: Vec<Host>,
    /// The homeserver's own configuration file, where it is not in its package's place.
    pub homeserver_config: Option<PathBuf>,
    /// Extra keys of the client document.
    pub client: Map<String, Json>,
    /// The support document, if there is one.
    pub support: Option<SupportDocument>,
    /// `max-age` of the well-known answers.
    pub cache_max_age: Duration,
}

impl Server {
    /// The names that requests for this server may carry, without duplicates.
    pub fn names(&self) -> Vec<Host> {
        let mut names = vec![self.server_name.host().clone()];
        if self.public_host.host != *self.server_name.host() {
            names.push(self.public_host.host.clone());
        }
        names.extend(self.extra_hosts.iter().cloned());
        names
    }

    /// The names that need a certificate here.
    pub fn certificate_names(&self) -> Vec<Host> {
        let mut names = self.names();
        if self.apex == Apex::Elsewhere {
            names.retain(|name| name != self.server_name.host());
        }
        names
    }
}

/// Side services (`[mas]`, `[rtc]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Matrix Authentication Service.
    pub mas: Option<UpstreamAddress>,
    /// The MatrixRTC authorisation service.
    pub rtc_jwt: Option<UpstreamAddress>,
    /// The LiveKit SFU's signalling.
    pub rtc_sfu: Option<UpstreamAddress>,
}

/// A plain site: forwarded whole, nothing rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub host: Host,
    /// Where its requests go.
    pub upstream: UpstreamAddress,
}

/// Reads one server. `None` when it has no valid name, which is then already recorded.
pub fn read_server(reader: &Reader) -> Option<Server> {
    let right = "write server_name = \"example.com\", what stands after the colon in your user IDs";
    let server_name = reader.read_required("server_name", right, server_name);
    let homeserver = reader.read("homeserver", "\"http://127.0.0.1:8008\"", upstream);
    let public_host = reader.read_optional("public_host", public_host);
    let apex = reader
        .read("apex", "\"here\"", |node| values::word(node, &[("here", Apex::Here), ("elsewhere", Apex::Elsewhere)]));
    let extra_hosts = reader.read("extra_hosts", "[]", |node| values::list(node, host));
    let homeserver_config = reader.read_optional("homeserver_config", values::path);
    let well_known = reader.table("well_known");
    let cache_max_age = well_known.read("cache_max_age", "\"1h\"", values::duration);
    let client = well_known.read("client", "{}", client_keys);
    let support = well_known.read_optional("support", support_document);
    well_known.finish();
    let pools = read_pools(reader);
    let routes = read_routes(reader, &pools);
    let services = read_services(reader);
    let server_name = server_name?;
    let default_public = PublicHost {
        host: server_name.host().clone(),
        // A server name with a port is reached at that port, well-known or not.
        port: server_name.port().unwrap_or(HTTPS_PORT),
    };
    let public_host = public_host.unwrap_or(default_public);
    if apex == Apex::Elsewhere && public_host.host == *server_name.host() {
        let right = "name the host that delegation points to: public_host = \"matrix.example.com\"";
        reader.refuse(
            "apex",
            Wrong::new("another web server answers the server name, and no other name leads here", right),
        );
    }
    let mut further: Vec<Host> = Vec::new();
    for host in extra_hosts {
        if host != *server_name.host() && host != public_host.host && !further.contains(&host) {
            further.push(host);
        }
    }
    Some(Server {
        server_name,
        homeserver,
        pools,
        routes,
        services,
        public_host,
        apex,
        extra_hosts: further,
        homeserver_config,
        client,
        support,
        cache_max_age,
    })
}

fn read_services(server: &Reader) -> Services {
    let mas = server.table("mas");
    let rtc = server.table("rtc");
    let services = Services {
        mas: mas.read_optional("url", upstream),
        rtc_jwt: rtc.read_optional("jwt", upstream),
        rtc_sfu: rtc.read_optional("sfu", upstream),
    };
    mas.finish();
    rtc.finish();
    services
}

/// Reads one site.
pub fn read_site(reader: &Reader) -> Option<Site> {
    let host = reader.read_required("host", "write host = \"chat.example.com\"", host);
    let upstream = reader.read_required("upstream", "write upstream = \"http://127.0.0.1:8081\"", upstream);
    Some(Site { host: host?, upstream: upstream? })
}

fn server_name(node: &Node) -> Result<ServerName, Wrong> {
    let text = values::string(node)?;
    ServerName::parse(&text).map_err(|error| Wrong::new(format!("{text:?} is not a server name"), error.to_string()))
}

fn host(node: &Node) -> Result<Host, Wrong> {
    let text = values::string(node)?;
    Host::parse(&text).map_err(|error| Wrong::new(format!("{text:?} is not a host"), error.to_string()))
}

fn public_host(node: &Node) -> Result<PublicHost, Wrong> {
    let name = server_name(node)?;
    Ok(PublicHost { host: name.host().clone(), port: name.port().unwrap_or(HTTPS_PORT) })
}

fn client_keys(node: &Node) -> Result<Map<String, Json>, Wrong> {
    let right = "write client = { \"m.identity_server\" = { base_url = \"https://vector.im\" } }";
    let Json::Object(keys) = to_json(&node.value)? else {
        return Err(Wrong::kind(node, right));
    };
    // Clients stop with an error on these two when base_url is missing or no URL.
    for key in ["m.homeserver", "m.identity_server"] {
        let Some(entry) = keys.get(key) else { continue };
        let url = entry.get("base_url").and_then(Json::as_str);
        if !url.is_some_and(|url| url.starts_with("https://") && url.parse::<http::Uri>().is_ok()) {
            return Err(Wrong::new(format!("{key:?} has no base_url that starts with https://"), right));
        }
    }
    Ok(keys)
}

fn support_document(node: &Node) -> Result<SupportDocument, Wrong> {
    let right = "write support = { contacts = [{ role = \"m.role.admin\", email_address = \"admin@example.com\" }] }";
    let json = to_json(&node.value)?;
    // The type takes what other servers publish, unknown keys included. Here only the namespaced keys
    // of proposals may be unknown; a plain one is a slip.
    known_keys(&json, &["contacts", "support_page"], right)?;
    for contact in json.get("contacts").and_then(Json::as_array).into_iter().flatten() {
        known_keys(contact, &["role", "matrix_id", "email_address"], right)?;
    }
    let document: SupportDocument =
        serde_json::from_value(json).map_err(|error| Wrong::new(error.to_string(), right))?;
    if document.contacts.is_empty() && document.support_page.is_none() {
        return Err(Wrong::new("neither contacts nor support_page", right));
    }
    for contact in &document.contacts {
        if contact.matrix_id.is_none() && contact.email_address.is_none() {
            let what = format!("the contact {:?} has neither matrix_id nor email_address", contact.role);
            return Err(Wrong::new(what, right));
        }
    }
    Ok(document)
}

fn known_keys(table: &Json, known: &[&str], right: &str) -> Result<(), Wrong> {
    let unknown = table
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .find(|key| !known.contains(&key.as_str()) && !key.contains('.'));
    unknown.map_or(Ok(()), |key| {
        let near = nearest(key, known);
        Err(Wrong::new(format!("unknown key {key:?}"), near.unwrap_or_else(|| right.to_owned())))
    })
}

fn to_json(value: &Value) -> Result<Json, Wrong> {
    Ok(match value {
        Value::String(text) => Json::String(text.clone()),
        Value::Integer(number) => Json::from(*number),
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Other(text) => {
            return Err(Wrong::new(format!("{text} is a fraction or a date"), "write whole numbers or quoted text"));
        }
        Value::Array(items) => Json::Array(items.iter().map(|item| to_json(&item.value)).collect::<Result<_, _>>()?),
        Value::Table(table) => {
            let entries = table.entries.iter().map(|(key, node)| Ok((key.clone(), to_json(&node.value)?)));
            Json::Object(entries.collect::<Result<_, Wrong>>()?)
        }
    })
}
