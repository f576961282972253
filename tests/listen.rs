//! Listening addresses: lists of them, both families, and the client's address as the homeserver sees it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::support::curl::Curl;
use crate::support::front::{NAME, url};
use crate::support::origin::Origin;
use crate::support::vestibule::{Vestibule, command};

/// In front of `origin`, with these https addresses.
fn listening_on(addresses: &str, origin: &Origin) -> Vestibule {
    Vestibule::start(&format!(
        "server_name = \"{NAME}\"\nhomeserver = \"{}\"\n\
         [listen]\nhttps = {addresses}\nfederation = []\nhttp = []\nstatus = \"off\"\n\
         [tls]\nissuer = \"internal\"\n[check]\nnetwork = \"private\"\n",
        origin.url()
    ))
}

/// Asks at `address` and returns what the homeserver was told of the client.
#[track_caller]
fn told_of_a_client_at(address: SocketAddr, origin: &Origin) -> Vec<String> {
    let curl = Curl::new().arguments(["--insecure"]).connect_everything_to(address);
    curl.send(&url("/_matrix/client/versions")).expect_status(200);
    let received = origin.last_request();
    received.headers("x-forwarded-for").iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn one_socket_takes_both_families_and_the_address_stays_plain() {
    let origin = Origin::answering("ok");
    let vestibule = listening_on("[\"[::]:0\"]", &origin);
    let port = vestibule.address("https").port();
    let at = |ip: IpAddr| told_of_a_client_at(SocketAddr::new(ip, port), &origin);
    // Never ::ffff:127.0.0.1, which homeservers would take for another client.
    assert_eq!(at(Ipv4Addr::LOCALHOST.into()), ["127.0.0.1"]);
    assert_eq!(at(Ipv6Addr::LOCALHOST.into()), ["::1"]);
}

#[test]
fn every_address_of_a_list_is_served() {
    let origin = Origin::answering("ok");
    let vestibule = listening_on("[\"127.0.0.1:0\", \"[::1]:0\", \"127.0.0.2:0\"]", &origin);
    let bound = vestibule.addresses("https");
    assert_eq!(bound.len(), 3, "{bound:?}");
    for address in bound {
        assert_eq!(told_of_a_client_at(address, &origin).len(), 1, "{address}");
    }
}

/// Either two sockets or one for both families, but not both on one port.
#[test]
fn an_overlap_of_ones_own_is_told_as_such() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("overlap.toml");
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    drop(taken);
    let config = format!(
        "server_name = \"{NAME}\"\nstate_dir = {:?}\n[tls]\nissuer = \"internal\"\n\
         [listen]\nhttps = [\"127.0.0.1:{port}\"]\nfederation = [\"127.0.0.1:{port}\"]\nhttp = []\n",
        folder.path().join("state")
    );
    std::fs::write(&file, config).expect("a writable folder");
    let output = command(["run", "--config"]).arg(&file).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("another of the configured listeners has it"), "{said}");
}
