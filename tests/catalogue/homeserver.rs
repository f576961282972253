//! A stub homeserver with a real signing key, which answers as Synapse does whatever a check may ask of it, and with
//! the faults that a case gives it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use crate::support::origin::{Conversation, Origin, Received};

/// A running stub.
pub struct Homeserver {
    origin: Origin,
    character: Arc<Mutex<Character>>,
}

/// Where it is told to differ from a healthy one.
struct Character {
    server_name: String,
    seed: [u8; 32],
    /// How long its keys are valid, in seconds from now.
    valid_for: i64,
    keys: KeyFault,
    /// Asked first; the whole answer, head and body.
    instead: Option<Instead>,
}

/// What a case has answered instead.
pub type Instead = fn(&Received) -> Option<String>;

/// What is wrong with the published keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    None,
    /// No ed25519 key among them.
    NoEd25519,
    /// A key of the wrong length.
    ShortKey,
    /// Somebody changed the document after it was signed.
    Altered,
    /// No signature by the key.
    Unsigned,
    /// A fraction in what is signed.
    Fraction,
    /// A retired key without its date.
    Undated,
}

impl Homeserver {
    /// Starts one that calls itself `server_name`.
    pub fn start(server_name: &str) -> Self {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).expect("randomness");
        let character = Arc::new(Mutex::new(Character {
            server_name: server_name.to_owned(),
            seed,
            valid_for: 86_400,
            keys: KeyFault::None,
            instead: None,
        }));
        let shared = Arc::clone(&character);
        let origin = Origin::start(move |talk| converse(talk, &shared));
        Self { origin, character }
    }

    pub fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Received> {
        self.origin.requests()
    }

    /// Its keys are those of another name.
    pub fn call_itself(&self, name: &str) {
        self.change(|character| name.clone_into(&mut character.server_name));
    }

    /// How long its keys are valid, in seconds from now.
    pub fn valid_for(&self, seconds: i64) {
        self.change(|character| character.valid_for = seconds);
    }

    pub fn publish(&self, fault: KeyFault) {
        self.change(|character| character.keys = fault);
    }

    pub fn instead(&self, instead: Instead) {
        self.change(|character| character.instead = Some(instead));
    }

    fn change(&self, change: impl FnOnce(&mut Character)) {
        change(&mut self.character.lock().expect("no script panics while it holds this"));
    }
}

/// An answer as it goes over the wire.
pub fn answer(status: &str, kind: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {length}\r\n\r\n{body}")
}

fn converse(talk: &mut Conversation, character: &Mutex<Character>) -> io::Result<()> {
    loop {
        let head = talk.head()?;
        if head.headers("expect").iter().any(|value| value.eq_ignore_ascii_case("100-continue")) {
            talk.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        match head.header("transfer-encoding") {
            Some(_) => drop(talk.chunks()?),
            None => {
                let length = head.header("content-length").map_or(0, |text| text.parse().unwrap_or(0));
                talk.exactly(length)?;
            }
        }
        let answer = character.lock().expect("no script panics while it holds this").answer(&head);
        talk.send(answer)?;
        if head.request_line().ends_with("HTTP/1.0") {
            return Ok(());
        }
    }
}

/// Headers that Synapse sends for browsers.
const CORS: &str = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n\
    Access-Control-Allow-Headers: X-Requested-With, Content-Type, Authorization, Date\r\n";

impl Character {
    fn answer(&self, request: &Received) -> String {
        if let Some(answer) = self.instead.and_then(|instead| instead(request)) {
            return answer;
        }
        let method = request.request_line().split(' ').next().unwrap_or_default();
        if method == "OPTIONS" {
            return answer("204 No Content", "application/json", CORS, "");
        }
        let (status, body) = self.route(method, request.target().split('?').next().unwrap_or_default());
        // One without a body, as the length says.
        let body = if method == "HEAD" { String::new() } else { body };
        answer(status, "application/json", CORS, &body)
    }

    /// Routes on the bytes of the path, as Synapse does: nothing is decoded.
    fn route(&self, method: &str, path: &str) -> (&'static str, String) {
        let error = |code: &str, text: &str| json!({ "errcode": code, "error": text }).to_string();
        let unknown = || ("404 Not Found", error("M_UNRECOGNIZED", "Unrecognized request"));
        let unsigned = || ("401 Unauthorized", error("M_UNAUTHORIZED", "Missing Authorization headers"));
        let no_token = || ("401 Unauthorized", error("M_MISSING_TOKEN", "Missing access token"));
        let segments: Vec<_> = path.split('/').skip(1).collect();
        let (methods, reply): (&[&str], _) = match segments[..] {
            ["_matrix", "federation", "v1", "version"] => {
                (&["GET"], ("200 OK", json!({ "server": { "name": "Synapse", "version": "1.157.1" } }).to_string()))
            }
            ["_matrix", "key", "v2", "server"] | ["_matrix", "key", "v2", "server", _] => {
                (&["GET"], ("200 OK", self.key_document()))
            }
            ["_matrix", "federation", "v1", "event" | "state" | "state_ids" | "backfill", _]
            | ["_matrix", "federation", "v1", "query", _]
            | ["_matrix", "federation", "v1", "user", "devices", _]
            | ["_matrix", "federation", "v1", "make_join" | "make_leave", _, _] => (&["GET"], unsigned()),
            ["_matrix", "federation", "v1", "send", _]
            | ["_matrix", "federation", "v1" | "v2", "invite" | "send_join" | "send_leave", _, _] => {
                (&["PUT"], unsigned())
            }
            ["_matrix", "client", "versions"] => (
                &["GET"],
                ("200 OK", json!({ "versions": ["v1.1", "v1.11", "v1.12"], "unstable_features": {} }).to_string()),
            ),
            ["_matrix", "client", "v3" | "r0", "login"] => {
                let flows = json!({ "flows": [{ "type": "m.login.password" }] }).to_string();
                let empty = ("400 Bad Request", error("M_UNKNOWN", "Missing JSON keys."));
                (&["GET", "POST"], if method == "GET" { ("200 OK", flows) } else { empty })
            }
            ["_matrix", "client", "v3" | "r0", "sync" | "logout" | "refresh"]
            | ["_matrix", "client", "v3" | "r0", "account", "whoami"] => (&["GET", "POST"], no_token()),
            ["_matrix", "media", _, "upload"] => (&["POST"], no_token()),
            ["_matrix", "media", _, "config"] | ["_matrix", "client", "v1", "media", "config"] => {
                (&["GET"], no_token())
            }
            ["_synapse", "admin", ..] => (&["GET"], no_token()),
            ["_synapse", "metrics"] => (&["GET"], ("200 OK", "# HELP python_info\n".to_owned())),
            ["_synapse", "replication", ..] => (&["POST"], ("200 OK", "{}".to_owned())),
            ["_synapse", "mas", ..] => {
                (&["GET", "POST"], ("403 Forbidden", error("M_UNKNOWN", "This endpoint must only be called by MAS")))
            }
            _ => return unknown(),
        };
        match methods.contains(&method) || (method == "HEAD" && methods.contains(&"GET")) {
            true => reply,
            false => ("405 Method Not Allowed", error("M_UNRECOGNIZED", "Unrecognized request")),
        }
    }

    fn key_document(&self) -> String {
        let key = Ed25519KeyPair::from_seed_unchecked(&self.seed).expect("a key");
        let public = STANDARD_NO_PAD.encode(key.public_key());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let until = now.saturating_add_signed(self.valid_for) * 1000;
        let name = &self.server_name;
        let verify = match self.keys {
            KeyFault::NoEd25519 => json!({ "curve25519:a": { "key": public } }),
            KeyFault::ShortKey => json!({ "ed25519:a_test": { "key": public[..20] } }),
            _ => json!({ "ed25519:a_test": { "key": public } }),
        };
        let mut document = json!({
            "old_verify_keys": {}, "server_name": name, "valid_until_ts": until, "verify_keys": verify,
        });
        if self.keys == KeyFault::Fraction {
            document["load"] = json!(0.5);
        }
        if self.keys == KeyFault::Undated {
            document["old_verify_keys"] = json!({ "ed25519:0": { "key": public } });
        }
        // serde_json sorts keys and leaves no spaces: canonical, as long as nothing but ASCII is in there.
        let signature = STANDARD_NO_PAD.encode(key.sign(document.to_string().as_bytes()));
        match self.keys {
            KeyFault::Unsigned => document["signatures"] = json!({ name: {} }),
            KeyFault::Altered => {
                document["signatures"] = json!({ name: { "ed25519:a_test": signature } });
                document["old_verify_keys"] = json!({ "ed25519:0": { "expired_ts": 1, "key": public } });
            }
            KeyFault::None | KeyFault::NoEd25519 | KeyFault::ShortKey | KeyFault::Fraction | KeyFault::Undated => {
                document["signatures"] = json!({ name: { "ed25519:a_test": signature } });
            }
        }
        Value::to_string(&document)
    }
}

/// An answer for people.
pub fn page(status: &str, body: &str) -> String {
    answer(status, "text/html", "", body)
}
