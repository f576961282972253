//! Port 80: a way to https, and nothing that could carry a token.

use crate::support::front::{Front, NAME, PUBLIC};
use crate::support::origin::Origin;
use crate::support::raw_client::RawClient;

const SITE: &str = "chat.invalid";

fn front(origin: &Origin) -> Front {
    Front::with(origin, &format!("[[site]]\nhost = \"{SITE}\"\nupstream = \"{}\"\n", origin.url()))
}

/// 301 and never 308: Synapse's well-known client does not follow that.
#[test]
fn served_names_lead_to_https_with_their_target() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    for name in [NAME, PUBLIC, SITE] {
        for target in ["/", "/a%2Fb//c/../d?x=%20&y", "/.well-known/matrix/server", "/.well-known/matrix/client?a"] {
            let mut client = RawClient::plain(front.http());
            for method in ["GET", "HEAD"] {
                client.send(format!("{method} {target} HTTP/1.1\r\nHost: {name}\r\n\r\n"));
                let answer = client.head();
                assert_eq!(answer.status, 301, "{method} {name}{target}");
                assert_eq!(answer.header("location"), Some(format!("https://{name}{target}").as_str()));
                assert_eq!(answer.header("content-length"), Some("0"));
            }
        }
        // A port that the client wrote was that of plain http.
        let mut client = RawClient::plain(front.http());
        client.send(format!("GET /x HTTP/1.1\r\nHost: {}:80\r\n\r\n", name.to_uppercase()));
        assert_eq!(client.answer().header("location"), Some(format!("https://{name}/x").as_str()));
    }
    assert!(origin.requests().is_empty(), "nothing here is the homeserver's");
}

#[test]
fn the_redirect_knows_the_public_port() {
    let front = Front::start(&format!(
        "server_name = \"{NAME}\"\npublic_host = \"{PUBLIC}:8443\"\nhomeserver = \"http://127.0.0.1:1\"\n"
    ));
    for (name, location) in [(NAME, format!("https://{NAME}/x")), (PUBLIC, format!("https://{PUBLIC}:8443/x"))] {
        let answer = front.curl_to(front.http()).send(&format!("http://{name}/x")).expect_status(301);
        assert_eq!(answer.header("location"), Some(location.as_str()));
    }
}

/// A redirect would teach clients to send their token here every time.
#[test]
fn matrix_requests_are_refused_and_not_redirected() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    for name in [NAME, PUBLIC] {
        for path in ["/_matrix/client/versions", "/_matrix", "/%5Fmatrix/x", "/x/../_matrix/y", "/_synapse/client/x"] {
            let request = front.curl_to(front.http()).arguments(["--path-as-is"]).bearer("secret");
            let answer = request.send(&format!("http://{name}{path}")).expect_status(403);
            assert_eq!(answer.json()["errcode"], "M_FORBIDDEN", "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            assert_eq!(answer.header("location"), None);
        }
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn other_methods_and_unknown_names() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    let request = || front.curl_to(front.http());
    for method in ["POST", "PUT", "DELETE"] {
        for name in [NAME, SITE] {
            let answer = request().method(method).arguments(["--data", "password=x"]).send(&format!("http://{name}/"));
            assert_eq!(answer.expect_status(403).json()["errcode"], "M_FORBIDDEN", "{method} {name}");
        }
    }
    for url in ["http://nobody.invalid/", "http://127.0.0.1/"] {
        assert_eq!(request().send(url).expect_status(421).json()["errcode"], "M_UNKNOWN");
    }
    let mut client = RawClient::plain(front.http());
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 400);
}

/// A token that nobody ordered, for whatever name: a CA validates names that have no certificate yet.
#[test]
fn an_unknown_challenge_is_not_found() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    for name in [NAME, SITE, "nobody.invalid"] {
        let url = format!("http://{name}/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0");
        let answer = front.curl_to(front.http()).send(&url).expect_status(404);
        assert!(!answer.text().contains("LoqX"), "what came is not echoed");
    }
    assert!(origin.requests().is_empty());
}
