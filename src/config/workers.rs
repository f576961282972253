//! The Synapse worker map: which requests a worker may take, and how they are best spread.
//!
//! After Synapse's `docs/workers.md`; where it leaves the choice open (event senders, sliding sync),
//! after Element's own deployment (ess-helm). Data only: routing compiles it, `workers show` prints
//! it.

use super::pool::Balance;
use Condition::{Always, NoFrom, NoSince, Reading};

/// A kind of request that `upstream.serves` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkerKind {
    /// Syncs that begin from nothing, which cost minutes.
    InitialSync,
    /// Long polls.
    Sync,
    /// Simplified sliding sync (MSC4186).
    SlidingSync,
    /// Transactions of peers.
    FederationInbound,
    /// What peers ask for.
    FederationReader,
    /// The `typing` stream.
    Typing,
    /// The `to_device` stream.
    ToDevice,
    /// The `account_data` stream.
    AccountData,
    /// The `presence` stream.
    Presence,
    /// The `push_rules` stream.
    PushRules,
    /// The `receipts` stream.
    Receipts,
    /// The `device_lists` stream.
    DeviceLists,
    /// The media repository.
    Media,
    /// Logins through another identity provider.
    Sso,
    /// Logins and registrations.
    Login,
    /// Key queries and key backup.
    Encryption,
    /// History of a room.
    Pagination,
    /// Searches for users.
    UserDirectory,
    /// Sending events, joining and leaving.
    EventCreator,
    /// What clients read, and everything else that any worker can do.
    ClientReader,
}

/// When a pattern counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Always,
    /// With a method that changes nothing: the stream's writer takes the others.
    Reading,
    /// Without `since`, or with `full_state=true`.
    NoSince,
    /// Without `from`.
    NoFrom,
}

/// A pattern and when it counts.
pub type Pattern = (&'static str, Condition);

/// A row of the map.
#[derive(Clone, Copy, Debug)]
pub struct WorkerRow {
    /// What it is about.
    pub kind: WorkerKind,
    /// How its requests are spread unless the pool says otherwise.
    pub balance: Balance,
    /// How many processes may do it at once.
    pub instances: Instances,
    /// Whether the main process can do it too.
    pub main_can: bool,
    /// Regular expressions on the path.
    pub patterns: &'static [Pattern],
}

/// How many processes may serve a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// As many as wanted.
    Any,
    /// As many as wanted, and each room has its own.
    OnePerRoom,
    /// One.
    One,
}

impl WorkerKind {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Its row of the map.
    pub fn row(self) -> Option<&'static WorkerRow> {
        MAP.iter().find(|row| row.kind == self)
    }
}

/// Word and kind, in the order of the map.
pub const NAMES: [(&str, WorkerKind); 20] = [
    ("initial_sync", WorkerKind::InitialSync),
    ("sync", WorkerKind::Sync),
    ("sliding_sync", WorkerKind::SlidingSync),
    ("federation_inbound", WorkerKind::FederationInbound),
    ("federation_reader", WorkerKind::FederationReader),
    ("typing", WorkerKind::Typing),
    ("to_device", WorkerKind::ToDevice),
    ("account_data", WorkerKind::AccountData),
    ("presence", WorkerKind::Presence),
    ("push_rules", WorkerKind::PushRules),
    ("receipts", WorkerKind::Receipts),
    ("device_lists", WorkerKind::DeviceLists),
    ("media", WorkerKind::Media),
    ("sso", WorkerKind::Sso),
    ("login", WorkerKind::Login),
    ("encryption", WorkerKind::Encryption),
    ("pagination", WorkerKind::Pagination),
    ("user_directory", WorkerKind::UserDirectory),
    ("event_creator", WorkerKind::EventCreator),
    ("client_reader", WorkerKind::ClientReader),
];

/// A row that any number of processes may serve, with the main process behind them.
const fn any(kind: WorkerKind, balance: Balance, patterns: &'static [Pattern]) -> WorkerRow {
    WorkerRow { kind, balance, instances: Instances::Any, main_can: true, patterns }
}

/// A row with a single writer.
const fn one(kind: WorkerKind, patterns: &'static [Pattern]) -> WorkerRow {
    WorkerRow { kind, balance: Balance::RoundRobin, instances: Instances::One, main_can: true, patterns }
}

/// The map. The first row that matches and that a pool serves counts, so what is special stands
/// before what is general.
pub const MAP: [WorkerRow; 20] = [
    any(
        WorkerKind::InitialSync,
        Balance::AccessToken,
        &[
            ("^/_matrix/client/(r0|v3)/sync$", NoSince),
            ("^/_matrix/client/(api/v1|r0|v3)/events$", NoFrom),
            ("^/_matrix/client/(api/v1|r0|v3)/initialSync$", Always),
            ("^/_matrix/client/(api/v1|r0|v3)/rooms/[^/]+/initialSync$", Always),
        ],
    ),
    any(
        WorkerKind::Sync,
        Balance::AccessToken,
        &[
            ("^/_matrix/client/(r0|v3)/sync$", Always),
            ("^/_matrix/client/(api/v1|r0|v3)/events$", Always),
            ("^/_matrix/client/(api/v1|r0|v3)/initialSync$", Always),
            ("^/_matrix/client/(api/v1|r0|v3)/rooms/[^/]+/initialSync$", Always),
        ],
    ),
    any(
        WorkerKind::SlidingSync,
        Balance::AccessToken,
        &[
            ("^/_matrix/client/unstable/org\\.matrix\\.simplified_msc3575/", Always),
            ("^/_matrix/client/v4/sync$", Always),
        ],
    ),
    any(WorkerKind::FederationInbound, Balance::ClientIp, &[("^/_matrix/federation/v1/send/", Always)]),
    any(
        WorkerKind::FederationReader,
        Balance::RoundRobin,
        &[
            ("^/_matrix/federation/v1/version$", Always),
            ("^/_matrix/federation/v1/event/", Always),
            ("^/_matrix/federation/v1/state/", Always),
            ("^/_matrix/federation/v1/state_ids/", Always),
            ("^/_matrix/federation/v1/backfill/", Always),
            ("^/_matrix/federation/v1/get_missing_events/", Always),
            ("^/_matrix/federation/v1/publicRooms", Always),
            ("^/_matrix/federation/v1/query/", Always),
            ("^/_matrix/federation/v1/make_join/", Always),
            ("^/_matrix/federation/v1/make_leave/", Always),
            ("^/_matrix/federation/v1/make_knock/", Always),
            ("^/_matrix/federation/v1/send_knock/", Always),
            ("^/_matrix/federation/v1/event_auth/", Always),
            ("^/_matrix/federation/v1/timestamp_to_event/", Always),
            ("^/_matrix/federation/v1/exchange_third_party_invite/", Always),
            ("^/_matrix/federation/v1/user/devices/", Always),
            ("^/_matrix/federation/v1/hierarchy/", Always),
            ("^/_matrix/federation/(v1|v2)/(send_join|send_leave|invite)/", Always),
            ("^/_matrix/key/v2/query", Always),
        ],
    ),
    one(WorkerKind::Typing, &[("^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/typing", Always)]),
    one(WorkerKind::ToDevice, &[("^/_matrix/client/(r0|v3|unstable)/sendToDevice/", Always)]),
    one(WorkerKind::AccountData, &[("^/_matrix/client/(r0|v3|unstable)/.*/(tags|account_data)", Always)]),
    one(WorkerKind::Presence, &[("^/_matrix/client/(api/v1|r0|v3|unstable)/presence/", Always)]),
    one(WorkerKind::PushRules, &[("^/_matrix/client/(api/v1|r0|v3|unstable)/pushrules/", Always)]),
    any(
        WorkerKind::Receipts,
        Balance::RoundRobin,
        &[("^/_matrix/client/(r0|v3|unstable)/rooms/.*/(receipt|read_markers)", Always)],
    ),
    any(
        WorkerKind::DeviceLists,
        Balance::RoundRobin,
        &[
            ("^/_matrix/client/(r0|v3)/delete_devices$", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/devices(/|$)", Always),
            ("^/_matrix/client/(r0|v3|unstable)/keys/upload", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/keys/(device_signing|signatures)/upload$", Always),
        ],
    ),
    WorkerRow {
        kind: WorkerKind::Media,
        balance: Balance::RoundRobin,
        instances: Instances::Any,
        // It runs without the media repository then.
        main_can: false,
        patterns: &[
            ("^/_matrix/media/", Always),
            ("^/_matrix/client/v1/media/", Always),
            ("^/_matrix/federation/v1/media/", Always),
            ("^/_synapse/admin/v1/purge_media_cache$", Always),
            ("^/_synapse/admin/v1/(room|user)/.*/media", Always),
            ("^/_synapse/admin/v1/(media|quarantine_media)/", Always),
            ("^/_synapse/admin/v1/users/.*/media$", Always),
        ],
    },
    WorkerRow {
        kind: WorkerKind::Sso,
        balance: Balance::RoundRobin,
        instances: Instances::One,
        // A login begun in one process cannot be ended in another.
        main_can: false,
        patterns: &[
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/login/sso/redirect", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/login/cas/ticket$", Always),
            ("^/_synapse/client/(pick_idp|new_user_consent|sso_register|oidc/callback|saml2/authn_response)$", Always),
            ("^/_synapse/client/pick_username", Always),
        ],
    },
    any(
        WorkerKind::Login,
        Balance::RoundRobin,
        &[
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/login$", Always),
            ("^/_matrix/client/(r0|v3|unstable)/register$", Always),
            ("^/_matrix/client/(r0|v3|unstable)/register/available$", Always),
            ("^/_matrix/client/v1/register/m\\.login\\.registration_token/validity$", Always),
            ("^/_matrix/client/(r0|v3|unstable)/password_policy$", Always),
        ],
    ),
    any(
        WorkerKind::Encryption,
        Balance::RoundRobin,
        &[
            ("^/_matrix/client/(r0|v3|unstable)/keys/(query|changes|claim)$", Always),
            ("^/_matrix/client/(r0|v3|unstable)/room_keys/", Always),
        ],
    ),
    WorkerRow {
        kind: WorkerKind::Pagination,
        balance: Balance::RoomId,
        instances: Instances::OnePerRoom,
        main_can: true,
        patterns: &[("^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/messages$", Always)],
    },
    any(
        WorkerKind::UserDirectory,
        Balance::RoundRobin,
        &[("^/_matrix/client/(r0|v3|unstable)/user_directory/search$", Always)],
    ),
    any(
        WorkerKind::EventCreator,
        Balance::RoomId,
        &[
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/redact", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/send", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/state/", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/(join|invite|leave|ban|unban|kick)$", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/(join|knock|profile)/", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/createRoom$", Always),
        ],
    ),
    any(
        WorkerKind::ClientReader,
        Balance::RoundRobin,
        &[
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/publicRooms$", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/(joined_members|members|state)$", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/context/.*$", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/event/", Always),
            ("^/_matrix/client/v1/rooms/.*/(hierarchy|threads|timestamp_to_event)$", Always),
            ("^/_matrix/client/(v1|unstable)/rooms/.*/relations/", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable/.*)/rooms/.*/aliases", Always),
            ("^/_matrix/client/v1/room_summary/", Always),
            ("^/_matrix/client/unstable/im\\.nheko\\.summary/(rooms/.*/)?summary", Always),
            ("^/_matrix/client/(r0|v3|unstable)/account/(3pid|whoami|deactivate)$", Always),
            ("^/_matrix/client/versions$", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/voip/turnServer$", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/joined_rooms$", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/search$", Always),
            ("^/_matrix/client/(r0|v3|unstable)/user/.*/filter(/|$)", Always),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/directory/room/.*$", Always),
            ("^/_matrix/client/(r0|v3|unstable)/(capabilities|notifications)$", Always),
            ("^/_matrix/client/unstable/org\\.matrix\\.msc4140/delayed_events", Reading),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/pushrules/", Reading),
            ("^/_matrix/client/(r0|v3|unstable)/.*/(tags|account_data)", Reading),
            ("^/_matrix/client/(api/v1|r0|v3|unstable)/presence/", Reading),
            ("^/_synapse/admin/v1/rooms/[^/]+$", Always),
            ("^/_synapse/admin/v2/users/[^/]+$", Reading),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rows_are_the_same_kinds_in_the_same_order() {
        let rows: Vec<_> = MAP.iter().map(|row| row.kind).collect();
        assert_eq!(rows, NAMES.map(|(_, kind)| kind));
        assert!(
            NAMES.iter().all(|(name, kind)| kind.as_str() == *name && kind.row().is_some_and(|row| row.kind == *kind))
        );
    }

    #[test]
    fn every_pattern_is_anchored() {
        for (pattern, _) in MAP.iter().flat_map(|row| row.patterns) {
            assert!(pattern.starts_with("^/_matrix/") || pattern.starts_with("^/_synapse/"), "{pattern}");
        }
    }
}
