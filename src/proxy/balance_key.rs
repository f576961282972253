//! What of a request decides which endpoint gets it: pure.

use super::query::{decoded, parameter};
use crate::config::Balance;
use crate::matrix::authorization::{bearer_token, x_matrix_origin};
use crate::net::client::ClientKey;
use crate::upstream::balance::Pick;
use std::borrow::Cow;
use std::net::IpAddr;

/// A request as far as balancing looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed<'a> {
    /// The raw path, without the query.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub client: IpAddr,
    /// The values of its `Authorization` lines, in their order.
    pub authorization: &'a [&'a [u8]],
}

/// How to choose an endpoint for `request`. One without the key that is asked for takes `turn`.
pub(super) fn pick<'a>(balance: Balance, request: &Keyed<'a>, turn: usize) -> Pick<'a> {
    let key = match balance {
        Balance::RoundRobin => return Pick::Turn(turn),
        Balance::LeastBusy => return Pick::LeastBusy(turn),
        Balance::AccessToken => user(request),
        Balance::RoomId => room(request.path).or_else(|| user(request)),
        Balance::ClientIp => Some(address(request.client)),
        Balance::Origin => {
            let origin = request.authorization.iter().copied().find_map(x_matrix_origin);
            Some(origin.map_or_else(|| address(request.client), |origin| Cow::Borrowed(origin.as_bytes())))
        }
    };
    key.map_or(Pick::Turn(turn), Pick::Key)
}

/// The user as far as the access token tells. Synapse's own tokens are `syt_LOCALPART_…`: with the
/// localpart as key all devices of a user share the caches of one worker, as its documentation asks.
/// Any other token is taken whole.
fn user<'a>(request: &Keyed<'a>) -> Option<Cow<'a, [u8]>> {
    let token = match request.authorization.iter().copied().find_map(bearer_token) {
        Some(token) => Cow::Borrowed(token),
        None => parameter(request.query?, "access_token").filter(|token| !token.is_empty())?,
    };
    Some(match token {
        Cow::Borrowed(token) => Cow::Borrowed(localpart(token).unwrap_or(token)),
        Cow::Owned(token) => match localpart(&token) {
            Some(part) => Cow::Owned(part.to_vec()),
            None => Cow::Owned(token),
        },
    })
}

fn localpart(token: &[u8]) -> Option<&[u8]> {
    let rest = token.strip_prefix(b"syt_")?;
    let end = rest.iter().position(|byte| *byte == b'_')?;
    rest.get(..end).filter(|part| !part.is_empty())
}

/// What a path is about: its room, else its alias, else its user, decoded once. They are told by
/// their sigil, wherever in the path they stand; `rooms/{id}` may hold anything.
fn room(path: &str) -> Option<Cow<'_, [u8]>> {
    let by_place = || {
        let mut segments = path.split('/').skip_while(|segment| *segment != "rooms").skip(1);
        segments.next().filter(|id| !id.is_empty()).map(decoded)
    };
    let by_sigil = |sigil: u8| path.split('/').map(decoded).find(|segment| segment.first() == Some(&sigil));
    by_sigil(b'!').or_else(by_place).or_else(|| by_sigil(b'#')).or_else(|| by_sigil(b'@'))
}

/// IPv4, or the /64 that one subscriber has of IPv6.
fn address(client: IpAddr) -> Cow<'static, [u8]> {
    Cow::Owned(match ClientKey::from(client) {
        ClientKey::V4(address) => address.octets().to_vec(),
        ClientKey::V6(prefix) => prefix.to_be_bytes().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(balance: Balance, target: &str, client: &str, authorization: &[&str]) -> Option<String> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let lines: Vec<_> = authorization.iter().map(|line| line.as_bytes()).collect();
        match pick(balance, &Keyed { path, query, client: client.parse().unwrap(), authorization: &lines }, 3) {
            Pick::Key(key) => Some(String::from_utf8_lossy(&key).into_owned()),
            pick => {
                assert_eq!(pick, Pick::Turn(3));
                None
            }
        }
    }

    #[test]
    fn users() {
        for (target, authorization, expected) in [
            ("/", vec!["Bearer syt_YWxpY2U_abc_1"], Some("YWxpY2U")),
            ("/?access_token=syt_Ym9i_x_2", vec!["Bearer syt_YWxpY2U_abc_1"], Some("YWxpY2U")),
            ("/?a=b&access_token=syt_YWxpY2U_def_2", vec![], Some("YWxpY2U")),
            ("/?access_token=syt%5FYWxpY2U_def_2", vec![], Some("YWxpY2U")),
            ("/?access_token=%6dat_x", vec![], Some("mat_x")),
            ("/", vec!["Bearer mat_opaque_1"], Some("mat_opaque_1")),
            ("/", vec!["Bearer syt__abc_1"], Some("syt__abc_1")),
            ("/", vec!["Bearer syt_alice"], Some("syt_alice")),
            ("/?access_token=", vec![], None),
            ("/", vec![], None),
        ] {
            assert_eq!(key(Balance::AccessToken, target, "192.0.2.1", &authorization).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn rooms() {
        for (path, expected) in [
            ("/_matrix/client/v3/rooms/!a:b.example/messages", Some("!a:b.example")),
            ("/_matrix/client/v3/rooms/%21a%3Ab.example/send/m.x/1", Some("!a:b.example")),
            ("/_matrix/client/v3/join/%23alias:b.example", Some("#alias:b.example")),
            ("/_matrix/client/v3/profile/@u:b.example", Some("@u:b.example")),
            ("/_matrix/client/v3/user/@u:b.example/rooms/!a/tags", Some("!a")),
            ("/_matrix/client/v3/rooms/nonsense/messages", Some("nonsense")),
            ("/_matrix/federation/v2/send_join/!a:b.example/$e", Some("!a:b.example")),
            ("/_matrix/client/v3/createRoom", None),
        ] {
            assert_eq!(key(Balance::RoomId, path, "192.0.2.1", &[]).as_deref(), expected, "{path}");
        }
        let by_token = key(Balance::RoomId, "/_matrix/client/v3/createRoom", "192.0.2.1", &["Bearer syt_YQ_b_c"]);
        assert_eq!(by_token.as_deref(), Some("YQ"));
    }

    #[test]
    fn addresses_and_origins() {
        let by = |client| key(Balance::ClientIp, "/", client, &[]);
        assert_eq!(by("192.0.2.1"), by("::ffff:192.0.2.1"));
        assert_ne!(by("192.0.2.1"), by("192.0.2.2"));
        assert_eq!(by("2001:db8:1:2::1"), by("2001:db8:1:2:ffff::9"));
        assert_ne!(by("2001:db8:1:2::1"), by("2001:db8:1:3::1"));
        let signed = ["Bearer x", "X-Matrix origin=\"a.example\",key=\"k\",sig=\"s\""];
        assert_eq!(key(Balance::Origin, "/", "192.0.2.1", &signed).as_deref(), Some("a.example"));
        assert_eq!(key(Balance::Origin, "/", "192.0.2.1", &[]), by("192.0.2.1"));
    }

    #[test]
    fn modes_without_a_key() {
        let keyed = Keyed { path: "/", query: None, client: [192, 0, 2, 1].into(), authorization: &[] };
        assert_eq!(pick(Balance::RoundRobin, &keyed, 7), Pick::Turn(7));
        assert_eq!(pick(Balance::LeastBusy, &keyed, 7), Pick::LeastBusy(7));
    }
}
