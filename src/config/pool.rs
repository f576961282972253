//! A worker pool (`[[upstream]]`): endpoints that do the same work.

use super::reader::{Reader, Wrong};
use super::tree::Node;
use super::upstream::{UpstreamAddress, upstream};
use super::values;
use super::workers::{Instances, NAMES, WorkerKind};

/// What the server's `homeserver` is called where a pool could stand.
pub const HOMESERVER: &str = "homeserver";

/// Most endpoints of one pool: the order of trial is worked out without allocating.
pub const MAX_ENDPOINTS: usize = 64;

/// Names go into logs and metrics.
const MAX_NAME: usize = 64;

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastBusy,
    /// By user, as far as the access token tells, else by the token.
    AccessToken,
    /// By room.
    RoomId,
    /// By client address; IPv6 by /64.
    ClientIp,
    /// By the server that signed the request.
    Origin,
}

/// Word and mode, as the configuration has them.
pub const BALANCES: [(&str, Balance); 6] = [
    ("round_robin", Balance::RoundRobin),
    ("least_busy", Balance::LeastBusy),
    ("access_token", Balance::AccessToken),
    ("room_id", Balance::RoomId),
    ("client_ip", Balance::ClientIp),
    ("origin", Balance::Origin),
];

impl Balance {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        BALANCES.iter().find(|(_, balance)| *balance == self).map_or("", |(name, _)| name)
    }
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What routes and logs call it; unique within a server.
    pub name: String,
    /// Its endpoints, from one to [`MAX_ENDPOINTS`], no two the same.
    pub endpoints: Vec<UpstreamAddress>,
    /// How one is chosen; `None` leaves it to the kind of the request.
    pub balance: Option<Balance>,
    /// The kinds of the Synapse worker map that it takes. A pool that takes none is some other service.
    pub serves: Vec<WorkerKind>,
}

/// Reads the pools of one server.
pub fn read_pools(server: &Reader) -> Vec<Pool> {
    let mut pools: Vec<Pool> = Vec::new();
    for reader in server.tables("upstream") {
        if let Some(pool) = read_pool(&reader) {
            if pools.iter().any(|other| other.name == pool.name) {
                let wrong = format!("there are two pools called {:?}", pool.name);
                reader.refuse("name", Wrong::new(wrong, "give each a name of its own"));
            }
            for kind in &pool.serves {
                if let Some(other) = pools.iter().find(|other| other.serves.contains(kind)) {
                    let wrong = format!("{:?} is served by {:?} already", kind.as_str(), other.name);
                    reader.refuse("serves", Wrong::new(wrong, "name each kind in one pool, with all its endpoints"));
                }
            }
            pools.push(pool);
        }
        reader.finish();
    }
    pools
}

fn read_pool(reader: &Reader) -> Option<Pool> {
    let name = reader.read_required("name", "write name = \"sync\"", name);
    let endpoints = reader.read_required("endpoints", "write endpoints = [\"http://127.0.0.1:8082\"]", endpoints);
    let balance = reader.read_optional("balance", |node| values::word(node, &BALANCES));
    let serves = reader.read("serves", "[]", |node| values::list(node, kind));
    let pool = Pool { name: name?, endpoints: endpoints?, balance, serves };
    check_kinds(reader, &pool);
    Some(pool)
}

/// Holds what Synapse asks for where a wrong spread is more than slow.
fn check_kinds(reader: &Reader, pool: &Pool) {
    for kind in &pool.serves {
        let Some(row) = kind.row() else { continue };
        let kind = kind.as_str();
        match row.instances {
            Instances::One if pool.endpoints.len() > 1 => {
                let wrong = format!("{kind:?} is the work of a single process");
                reader.refuse("endpoints", Wrong::new(wrong, "name one endpoint, or serve it with a pool of its own"));
            }
            Instances::OnePerRoom if pool.balance.is_some_and(|balance| balance != Balance::RoomId) => {
                let wrong = format!("{kind:?} needs all requests of a room to reach the same process");
                reader.refuse("balance", Wrong::new(wrong, "write balance = \"room_id\", or leave it out"));
            }
            _ => {}
        }
    }
}

fn name(node: &Node) -> Result<String, Wrong> {
    const RIGHT: &str = "write up to 64 small letters, digits, '-' and '_', such as \"sync\"";
    let name = values::string(node)?;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name == HOMESERVER {
        // Of Synapse's main process there is exactly one, so no pool can take its place.
        let right = "set homeserver = … for its address, and give the pool another name";
        return Err(Wrong::new("\"homeserver\" is the built-in one", right));
    }
    match !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(fits) {
        true => Ok(name),
        false => Err(Wrong::new(format!("{name:?} is no name for a pool"), RIGHT)),
    }
}

fn endpoints(node: &Node) -> Result<Vec<UpstreamAddress>, Wrong> {
    const RIGHT: &str = "write endpoints = [\"http://127.0.0.1:8082\"]";
    let endpoints = values::list(node, upstream)?;
    if endpoints.is_empty() {
        return Err(Wrong::new("the list is empty", RIGHT));
    }
    if endpoints.len() > MAX_ENDPOINTS {
        return Err(Wrong::new(format!("{} endpoints are too many", endpoints.len()), "write 64 at most"));
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoints.iter().take(index).any(|other| other == endpoint) {
            return Err(Wrong::new(format!("{endpoint} stands there twice"), "write each endpoint once"));
        }
    }
    Ok(endpoints)
}

fn kind(node: &Node) -> Result<WorkerKind, Wrong> {
    values::word(node, &NAMES).map_err(|wrong| {
        let text = values::string(node).unwrap_or_default();
        let near = super::reader::nearest(&text, &NAMES.map(|(name, _)| name));
        Wrong::new(wrong.wrong, near.unwrap_or(wrong.right))
    })
}
