//! The Synapse worker map of one server, compiled for the kinds that its pools serve: pure.

use super::destination::{Step, Steps, UpstreamId};
use super::query::parameter;
use crate::config::WorkerKind;
use crate::config::pool::Pool;
use crate::config::workers::{Condition, MAP};
use regex::RegexSet;

/// The compiled map.
#[derive(Debug)]
pub(super) struct Workers {
    patterns: RegexSet,
    /// For each pattern, in the map's order.
    entries: Vec<Entry>,
    /// What the main process cannot do, served or not.
    not_main: RegexSet,
}

#[derive(Debug)]
struct Entry {
    condition: Condition,
    steps: Steps,
}

impl Workers {
    /// The map for `pools`, whose upstreams are `ids`, in front of `homeserver`. `None` when no pool
    /// serves a kind.
    pub(super) fn new(pools: &[Pool], ids: &[UpstreamId], homeserver: UpstreamId) -> Option<Self> {
        let (mut patterns, mut entries) = (Vec::new(), Vec::new());
        let pool_of = |kind: WorkerKind| {
            let mut pools = pools.iter().zip(ids);
            let (pool, id) = pools.find(|(pool, _)| pool.serves.contains(&kind))?;
            let balance = pool.balance.or_else(|| Some(kind.row()?.balance))?;
            Some(Step { upstream: *id, balance })
        };
        for row in &MAP {
            let Some(step) = pool_of(row.kind) else { continue };
            let mut steps = Steps::default().then(step);
            if row.kind == WorkerKind::InitialSync
                && let Some(sync) = pool_of(WorkerKind::Sync)
            {
                steps = steps.then(sync);
            }
            if row.main_can {
                steps = steps.then_only(homeserver);
            }
            for (pattern, condition) in row.patterns {
                patterns.push(*pattern);
                entries.push(Entry { condition: *condition, steps });
            }
        }
        if patterns.is_empty() {
            return None;
        }
        let not_main = MAP.iter().filter(|row| !row.main_can).flat_map(|row| row.patterns);
        Some(Self { patterns: compile(patterns), entries, not_main: compile(not_main.map(|(pattern, _)| *pattern)) })
    }

    /// The upstreams for a request with this path, if a pool serves its kind.
    pub(super) fn at(&self, method: &str, path: &str, query: Option<&str>) -> Option<Steps> {
        let matches = self.patterns.matches(path);
        let mut matching = matches.into_iter().filter_map(|index| self.entries.get(index));
        matching.find(|entry| holds(entry.condition, method, query)).map(|entry| entry.steps)
    }

    /// Whether the main process can take over at this path.
    pub(super) fn main_can(&self, path: &str) -> bool {
        !self.not_main.is_match(path)
    }
}

/// The patterns are constants, and a test compiles them all.
fn compile(patterns: impl IntoIterator<Item = &'static str>) -> RegexSet {
    RegexSet::new(patterns).unwrap_or_else(|_| RegexSet::empty())
}

fn holds(condition: Condition, method: &str, query: Option<&str>) -> bool {
    // An empty value is none, to Synapse as to nginx's `$arg_since`.
    let value = |name| query.and_then(|query| parameter(query, name)).filter(|value| !value.is_empty());
    match condition {
        Condition::Always => true,
        Condition::Reading => matches!(method, "GET" | "HEAD"),
        Condition::NoSince => value("since").is_none() || value("full_state").is_some_and(|full| *full == *b"true"),
        Condition::NoFrom => value("from").is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::workers::NAMES;
    use crate::config::{Config, WorkerKind};
    use std::path::Path;

    const MAIN: UpstreamId = UpstreamId(99);

    /// A pool for each of these kinds, whose upstream has the kind's number in the map.
    fn workers(kinds: &[&str]) -> Workers {
        let pool = |kind: &&str| {
            format!("[[upstream]]\nname = \"{kind}\"\nendpoints = [\"http://127.0.0.1:1\"]\nserves = [\"{kind}\"]\n")
        };
        let text = format!("server_name = \"a.example\"\n{}", kinds.iter().map(pool).collect::<String>());
        let config = Config::parse(&text, Path::new("t")).unwrap();
        let number = |kind: &&str| NAMES.iter().position(|(name, _)| name == kind).map(UpstreamId).unwrap();
        let ids: Vec<_> = kinds.iter().map(number).collect();
        Workers::new(&config.servers[0].pools, &ids, MAIN).unwrap()
    }

    /// The steps as words, `main` for the main process; empty for what no pool serves.
    fn at(workers: &Workers, request: &str) -> String {
        let (method, target) = request.split_once(' ').unwrap_or(("GET", request));
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let steps = workers.at(method, path, query).unwrap_or_default();
        let name = |id: UpstreamId| if id == MAIN { "main" } else { NAMES[id.0].0 };
        steps.iter().map(|step| name(step.upstream)).collect::<Vec<_>>().join(" ")
    }

    /// Every row of the map, by examples.
    const ROWS: &[(&str, &str)] = &[
        ("/_matrix/client/v3/sync", "initial_sync sync main"),
        ("/_matrix/client/r0/sync?timeout=0", "initial_sync sync main"),
        ("/_matrix/client/v3/sync?since=", "initial_sync sync main"),
        ("/_matrix/client/v3/sync?since=s1", "sync main"),
        ("/_matrix/client/v3/sync?%73ince=s1", "sync main"),
        ("/_matrix/client/v3/sync?since=s1&full_state=true", "initial_sync sync main"),
        ("/_matrix/client/v3/sync?since=s1&full_state=false", "sync main"),
        ("/_matrix/client/api/v1/events", "initial_sync sync main"),
        ("/_matrix/client/api/v1/events?from=s1", "sync main"),
        ("/_matrix/client/api/v1/initialSync", "initial_sync sync main"),
        ("/_matrix/client/v3/rooms/!a/initialSync", "initial_sync sync main"),
        ("/_matrix/client/v3/sync/x", ""),
        ("POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync", "sliding_sync main"),
        ("POST /_matrix/client/v4/sync", "sliding_sync main"),
        ("PUT /_matrix/federation/v1/send/1234", "federation_inbound main"),
        ("/_matrix/federation/v1/version", "federation_reader main"),
        ("/_matrix/federation/v1/event/$e", "federation_reader main"),
        ("/_matrix/federation/v1/state/!a?event_id=x", "federation_reader main"),
        ("/_matrix/federation/v1/state_ids/!a", "federation_reader main"),
        ("/_matrix/federation/v1/backfill/!a", "federation_reader main"),
        ("POST /_matrix/federation/v1/get_missing_events/!a", "federation_reader main"),
        ("/_matrix/federation/v1/publicRooms", "federation_reader main"),
        ("/_matrix/federation/v1/query/profile", "federation_reader main"),
        ("/_matrix/federation/v1/make_join/!a/@b:c", "federation_reader main"),
        ("/_matrix/federation/v1/make_leave/!a/@b:c", "federation_reader main"),
        ("/_matrix/federation/v1/make_knock/!a/@b:c", "federation_reader main"),
        ("PUT /_matrix/federation/v1/send_knock/!a/$e", "federation_reader main"),
        ("/_matrix/federation/v1/event_auth/!a/$e", "federation_reader main"),
        ("/_matrix/federation/v1/timestamp_to_event/!a", "federation_reader main"),
        ("PUT /_matrix/federation/v1/exchange_third_party_invite/!a", "federation_reader main"),
        ("/_matrix/federation/v1/user/devices/@b:c", "federation_reader main"),
        ("/_matrix/federation/v1/hierarchy/!a", "federation_reader main"),
        ("PUT /_matrix/federation/v2/send_join/!a/$e", "federation_reader main"),
        ("PUT /_matrix/federation/v1/send_leave/!a/$e", "federation_reader main"),
        ("PUT /_matrix/federation/v2/invite/!a/$e", "federation_reader main"),
        ("POST /_matrix/key/v2/query", "federation_reader main"),
        ("/_matrix/key/v2/server", ""),
        ("/_matrix/federation/v1/openid/userinfo", ""),
        ("PUT /_matrix/client/v3/rooms/!a/typing/@b:c", "typing main"),
        ("PUT /_matrix/client/v3/sendToDevice/m.x/1", "to_device main"),
        ("PUT /_matrix/client/v3/user/@b:c/rooms/!a/tags/x", "account_data main"),
        ("/_matrix/client/v3/user/@b:c/account_data/x", "account_data main"),
        ("PUT /_matrix/client/v3/presence/@b:c/status", "presence main"),
        ("/_matrix/client/v3/pushrules/", "push_rules main"),
        ("POST /_matrix/client/v3/rooms/!a/receipt/m.read/$e", "receipts main"),
        ("POST /_matrix/client/v3/rooms/!a/read_markers", "receipts main"),
        ("POST /_matrix/client/v3/delete_devices", "device_lists main"),
        ("/_matrix/client/v3/devices", "device_lists main"),
        ("DELETE /_matrix/client/v3/devices/X", "device_lists main"),
        ("POST /_matrix/client/v3/keys/upload", "device_lists main"),
        ("POST /_matrix/client/v3/keys/device_signing/upload", "device_lists main"),
        ("POST /_matrix/client/v3/keys/signatures/upload", "device_lists main"),
        ("/_matrix/media/v3/config", "media"),
        ("/_matrix/client/v1/media/download/a/b", "media"),
        ("/_matrix/federation/v1/media/download/b", "media"),
        ("POST /_synapse/admin/v1/purge_media_cache", "media"),
        ("/_synapse/admin/v1/room/!a/media", "media"),
        ("POST /_synapse/admin/v1/user/@b:c/media/quarantine", "media"),
        ("DELETE /_synapse/admin/v1/media/a/b", "media"),
        ("POST /_synapse/admin/v1/quarantine_media/x", "media"),
        ("/_synapse/admin/v1/users/@b:c/media", "media"),
        ("/_matrix/client/v3/login/sso/redirect/idp", "sso"),
        ("/_matrix/client/v3/login/cas/ticket", "sso"),
        ("/_synapse/client/pick_idp", "sso"),
        ("/_synapse/client/pick_username/account_details", "sso"),
        ("/_synapse/client/new_user_consent", "sso"),
        ("/_synapse/client/sso_register", "sso"),
        ("/_synapse/client/oidc/callback?state=x", "sso"),
        ("POST /_synapse/client/saml2/authn_response", "sso"),
        ("POST /_matrix/client/v3/login", "login main"),
        ("POST /_matrix/client/v3/register", "login main"),
        ("/_matrix/client/v3/register/available?username=x", "login main"),
        ("/_matrix/client/v1/register/m.login.registration_token/validity", "login main"),
        ("/_matrix/client/v3/password_policy", "login main"),
        ("/_matrix/client/v1/login/get_token", ""),
        ("POST /_matrix/client/v3/keys/query", "encryption main"),
        ("/_matrix/client/v3/keys/changes?from=x", "encryption main"),
        ("POST /_matrix/client/v3/keys/claim", "encryption main"),
        ("/_matrix/client/v3/room_keys/version", "encryption main"),
        ("/_matrix/client/v3/rooms/!a/messages?dir=b", "pagination main"),
        ("POST /_matrix/client/v3/user_directory/search", "user_directory main"),
        ("PUT /_matrix/client/v3/rooms/!a/redact/$e/1", "event_creator main"),
        ("PUT /_matrix/client/v3/rooms/!a/send/m.room.message/1", "event_creator main"),
        ("PUT /_matrix/client/v3/rooms/!a/state/m.room.name/", "event_creator main"),
        ("POST /_matrix/client/v3/rooms/!a/join", "event_creator main"),
        ("POST /_matrix/client/v3/rooms/!a/kick", "event_creator main"),
        ("POST /_matrix/client/v3/join/#a:b", "event_creator main"),
        ("POST /_matrix/client/v3/knock/#a:b", "event_creator main"),
        ("/_matrix/client/v3/profile/@b:c", "event_creator main"),
        ("POST /_matrix/client/v3/createRoom", "event_creator main"),
        ("/_matrix/client/v3/publicRooms?limit=1", "client_reader main"),
        ("/_matrix/client/v3/rooms/!a/joined_members", "client_reader main"),
        ("/_matrix/client/v3/rooms/!a/context/$e", "client_reader main"),
        ("/_matrix/client/v3/rooms/!a/members", "client_reader main"),
        ("/_matrix/client/v3/rooms/!a/state", "client_reader main"),
        ("/_matrix/client/v1/rooms/!a/hierarchy", "client_reader main"),
        ("/_matrix/client/v1/rooms/!a/threads", "client_reader main"),
        ("/_matrix/client/v1/rooms/!a/timestamp_to_event", "client_reader main"),
        ("/_matrix/client/v1/rooms/!a/relations/$e", "client_reader main"),
        ("/_matrix/client/v1/room_summary/!a", "client_reader main"),
        ("/_matrix/client/unstable/im.nheko.summary/summary/!a", "client_reader main"),
        ("/_matrix/client/unstable/im.nheko.summary/rooms/!a/summary", "client_reader main"),
        ("/_matrix/client/v3/account/3pid", "client_reader main"),
        ("/_matrix/client/v3/account/whoami", "client_reader main"),
        ("POST /_matrix/client/v3/account/deactivate", "client_reader main"),
        ("POST /_matrix/client/v3/account/password", ""),
        ("/_matrix/client/versions", "client_reader main"),
        ("/_matrix/client/v3/voip/turnServer", "client_reader main"),
        ("/_matrix/client/v3/rooms/!a/event/$e", "client_reader main"),
        ("/_matrix/client/v3/joined_rooms", "client_reader main"),
        ("/_matrix/client/v3/rooms/!a/aliases", "client_reader main"),
        ("POST /_matrix/client/v3/search", "client_reader main"),
        ("POST /_matrix/client/v3/user/@b:c/filter", "client_reader main"),
        ("/_matrix/client/v3/directory/room/%23a:b", "client_reader main"),
        ("/_matrix/client/v3/capabilities", "client_reader main"),
        ("/_matrix/client/v3/notifications", "client_reader main"),
        ("/_matrix/client/unstable/org.matrix.msc4140/delayed_events", "client_reader main"),
        ("POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/x", ""),
        ("/_synapse/admin/v1/rooms/!a", "client_reader main"),
        ("/_synapse/admin/v2/users/@b:c", "client_reader main"),
        ("PUT /_synapse/admin/v2/users/@b:c", ""),
        ("/_synapse/admin/v1/register", ""),
    ];

    #[test]
    fn every_row() {
        let all = workers(&NAMES.map(|(name, _)| name));
        for (request, expected) in ROWS {
            assert_eq!(at(&all, request), *expected, "{request}");
        }
        for (name, _) in NAMES {
            assert!(ROWS.iter().any(|(_, steps)| steps.split(' ').next() == Some(name)), "{name} has no example");
        }
    }

    /// Streams whose writer is the main process can still be read elsewhere.
    #[test]
    fn without_writers_readers_read() {
        let readers = workers(&["client_reader"]);
        for path in [
            "/_matrix/client/v3/pushrules/",
            "/_matrix/client/v3/presence/@b:c/status",
            "/_matrix/client/v3/user/@b:c/account_data/x",
            "/_matrix/client/v3/user/@b:c/rooms/!a/tags",
        ] {
            assert_eq!(at(&readers, path), "client_reader main", "{path}");
            assert_eq!(at(&readers, &format!("PUT {path}")), "", "{path}");
        }
        assert_eq!(at(&readers, "/_matrix/client/v3/sync"), "");
    }

    #[test]
    fn kinds_without_a_pool_of_their_own() {
        let syncs = workers(&["sync"]);
        assert_eq!(at(&syncs, "/_matrix/client/v3/sync"), "sync main");
        assert_eq!(at(&syncs, "/_matrix/client/v3/rooms/!a/initialSync"), "sync main");
        assert_eq!(at(&workers(&["initial_sync"]), "/_matrix/client/v3/sync?since=x"), "");
        assert!(!syncs.main_can("/_matrix/media/v3/config") && !syncs.main_can("/_synapse/client/pick_idp"));
        assert!(syncs.main_can("/_matrix/client/v3/login"));
        assert!(Workers::new(&[], &[], MAIN).is_none());
        assert!(WorkerKind::Media.row().is_some_and(|row| !row.main_can));
    }
}
