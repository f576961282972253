//! Which endpoint of a pool gets a request, and who gets it when that one is down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Request;

use super::{ask, endpoints, origins, said};
use crate::support::eventually::eventually;
use crate::support::front::{Front, NAME, SOON, get, head, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::Origin;
use crate::support::ports;

/// Enough keys that three endpoints without any are out of the question: (2/3)^40 is one in ten million.
const KEYS: usize = 40;

/// A pool of these origins behind everything that is public.
fn front(homeserver: &Origin, pool: &[Origin], balance: &str) -> Front {
    let pool = endpoints(pool);
    let more = format!(
        "limits.hold.client = \"0s\"\n[[upstream]]\nname = \"pool\"\n{pool}balance = \"{balance}\"\n[[route]]\npath = \"^/_matrix/\"\nupstream = \"pool\"\n"
    );
    Front::with(homeserver, &more)
}

/// Asks with every key, over two connections, which may be with two workers: what a key got on the first it has to get
/// on the second. Gives the endpoints by key. `request` makes a target and header lines of a key.
fn sticky(front: &Front, request: impl Fn(usize) -> (String, String)) -> BTreeMap<usize, String> {
    let first = ask_all(front, &request);
    assert_eq!(ask_all(front, &request), first);
    first
}

/// Asks with every key over one connection.
fn ask_all(front: &Front, request: &impl Fn(usize) -> (String, String)) -> BTreeMap<usize, String> {
    let mut client = front.raw();
    let ask = |key| {
        let (target, lines) = request(key);
        client.send(format!("{}{lines}\r\n", head("GET", &target)));
        (key, said(client.answer()))
    };
    (0..KEYS).map(ask).collect()
}

fn spread(found: &BTreeMap<usize, String>) -> BTreeSet<&str> {
    found.values().map(String::as_str).collect()
}

#[test]
fn users_stay_with_their_endpoint() {
    let [main, pool @ ..] = origins::<4>();
    let front = front(&main, &pool, "access_token");
    let token = |user: usize, device: usize| format!("syt_dXNlcg{user}_{device}_0ABCDE");
    let found =
        sticky(&front, |user| ("/_matrix/x".to_owned(), format!("Authorization: Bearer {}\r\n", token(user, 1))));
    assert_eq!(spread(&found), ["1", "2", "3"].into());
    for user in 0..5 {
        // Another device of the same user, and the token where old clients have it.
        let by_query = ask(&front, &format!("/_matrix/x?a=b&access_token={}", token(user, 2)));
        assert_eq!(by_query, found[&user], "user {user}");
    }
}

#[test]
fn rooms_stay_with_their_endpoint() {
    let [main, pool @ ..] = origins::<4>();
    let front = front(&main, &pool, "room_id");
    let messages = |room| format!("/_matrix/client/v3/rooms/!r{room}:hs.invalid/messages?from=x");
    let found = sticky(&front, |room| (messages(room), String::new()));
    assert_eq!(spread(&found), ["1", "2", "3"].into());
    let escaped = ask(&front, "/_matrix/client/v3/rooms/%21r7%3ahs.invalid/send/m.x/1");
    assert_eq!(escaped, found[&7]);
    assert_eq!(ask(&front, "/_matrix/federation/v1/state/!r8:hs.invalid"), found[&8]);
}

#[test]
fn origins_stay_with_their_endpoint() {
    let [main, pool @ ..] = origins::<4>();
    let front = front(&main, &pool, "origin");
    let line = |peer| {
        format!(
            "Authorization: X-Matrix origin=\"p{peer}.invalid\",destination=\"{NAME}\",key=\"ed25519:a\",sig=\"x\"\r\n"
        )
    };
    let found = sticky(&front, |peer| ("/_matrix/federation/v1/send/1".to_owned(), line(peer)));
    assert_eq!(spread(&found), ["1", "2", "3"].into());
    let unquoted = format!("X-Matrix key=ed25519:a,sig=x,origin=p3.invalid,destination={NAME}");
    assert_eq!(said(front.curl().header("Authorization", &unquoted).send(&url("/_matrix/x"))), found[&3]);
}

/// One client has one address, whatever it claims.
#[test]
fn addresses_stay_with_their_endpoint() {
    let [main, pool @ ..] = origins::<4>();
    let front = front(&main, &pool, "client_ip");
    let found = sticky(&front, |claim| ("/_matrix/x".to_owned(), format!("X-Forwarded-For: 192.0.2.{claim}\r\n")));
    assert_eq!(spread(&found).len(), 1, "{found:?}");
    let from = |address: &str| said(front.curl().arguments(["--interface", address]).send(&url("/_matrix/x")));
    let others: BTreeSet<_> = (1..KEYS).map(|last| from(&format!("127.0.3.{last}"))).collect();
    assert_eq!(others.len(), 3, "other addresses get other endpoints");
}

/// On one connection, so with one worker: each worker has turns of its own.
#[test]
fn turns_are_even() {
    let [main, pool @ ..] = origins::<4>();
    let front = front(&main, &pool, "round_robin");
    let mut client = front.raw();
    for _ in 0..9 {
        client.send(get("/_matrix/x"));
        assert_eq!(client.answer().status, 200);
    }
    let counts = pool.each_ref().map(|origin| origin.requests().len());
    assert_eq!(counts, [3, 3, 3]);
    assert_eq!(pool.each_ref().map(Origin::connections), [1, 1, 1], "connections are reused");
}

/// Over HTTP/2, whose streams are all with one worker.
#[test]
fn the_least_busy_is_asked() {
    let main = Origin::answering("main");
    let pool: [Origin; 3] = std::array::from_fn(|_| {
        Origin::start(|talk| {
            while !talk.request()?.target().ends_with("/long") {
                talk.answer("short")?;
            }
            talk.until_closed();
            Ok(())
        })
    });
    let front = front(&main, &pool, "least_busy");
    let counts = || pool.each_ref().map(|origin| origin.requests().len());
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let request = |path: &str| Request::get(url(path)).body(http2::empty()).expect("a request");
        let mut held = Vec::new();
        for busy in 1..=2 {
            client.sender.ready().await.expect("a connection");
            held.push(tokio::spawn(client.sender.send_request(request("/_matrix/long"))));
            while counts().iter().sum::<usize>() < busy {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let busy = counts();
        assert_eq!(busy.iter().max(), Some(&1), "two long requests are with two endpoints: {busy:?}");
        for _ in 0..6 {
            let answer = client.send(request("/_matrix/short")).await.expect("an answer");
            let mut body = answer.into_body();
            while http2::next(&mut body).await.is_some() {}
        }
        let expected = busy.map(|count| if count == 0 { 6 } else { 1 });
        assert_eq!(counts(), expected, "all that came after went to the third");
        held.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

#[test]
fn a_lost_endpoint_moves_its_own_keys_and_gets_them_back() {
    let main = Origin::answering("main");
    let addresses: [SocketAddr; 3] = std::array::from_fn(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free())));
    let start = |index: usize| {
        let name = ["1", "2", "3"][index];
        Origin::start_at(addresses[index], move |talk| talk.answer_all(name))
    };
    let mut pool: Vec<_> = (0..3).map(start).collect();
    let front = front(&main, &pool, "room_id");
    let ask = |room: usize| (format!("/_matrix/client/v3/rooms/!r{room}/messages"), String::new());
    let before = sticky(&front, ask);
    drop(pool.remove(1));
    let without = sticky(&front, ask);
    for (room, endpoint) in &before {
        match endpoint.as_str() {
            "2" => assert!(["1", "3"].contains(&without[room].as_str()), "room {room}: {}", without[room]),
            endpoint => assert_eq!(without[room], endpoint, "room {room}"),
        }
    }
    let moved: BTreeSet<_> = before.iter().filter(|(_, end)| *end == "2").map(|(room, _)| &without[room]).collect();
    assert_eq!(moved.len(), 2, "its rooms are shared out among those that are left");
    pool.insert(1, start(1));
    // Each worker asks for itself whether it is back, so a connection or two may still find it gone.
    let mut back = 0;
    eventually("its keys are back", SOON, || {
        back = if ask_all(&front, &ask) == before { back + 1 } else { 0 };
        if back >= 8 { Ok(()) } else { Err(format!("{back} of 8 connections in a row")) }
    });
    drop(pool);
    // This pool is not of Synapse's workers: nobody stands in for it.
    assert_eq!(super::ask(&front, &ask(0).0), "502");
    assert!(main.requests().is_empty());
}
