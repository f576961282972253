//! A Matrix client of a dozen calls, over curl, through the front of its homeserver.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::curl::{Curl, CurlError, Response};
use crate::support::eventually::eventually;

/// Federation takes several round trips and a retry or two on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A logged-in user.
pub struct MatrixClient {
    base: String,
    roots: PathBuf,
    user: String,
    token: String,
    transactions: u32,
}

impl MatrixClient {
    /// Logs `localpart` in at `server_name`.
    #[track_caller]
    pub fn log_in(server_name: &str, roots: &Path, localpart: &str, password: &str) -> Self {
        let base = format!("https://{server_name}");
        let mut client =
            Self { base, roots: roots.to_owned(), user: String::new(), token: String::new(), transactions: 0 };
        let answer = client.post(
            "/_matrix/client/v3/login",
            &json!({
                "type": "m.login.password",
                "identifier": { "type": "m.id.user", "user": localpart },
                "password": password,
            }),
        );
        client.token = text(&answer, "access_token");
        client.user = text(&answer, "user_id");
        client
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// A private room of this user's own.
    #[track_caller]
    pub fn create_room(&self) -> String {
        text(&self.post("/_matrix/client/v3/createRoom", &json!({ "preset": "private_chat" })), "room_id")
    }

    #[track_caller]
    pub fn invite(&self, room: &str, user: &str) {
        self.post(&format!("{}/invite", room_path(room)), &json!({ "user_id": user }));
    }

    /// Waits for the invitation to `room` and accepts it.
    #[track_caller]
    pub fn accept_invitation(&self, room: &str) {
        eventually("the invitation arrives", PATIENCE, || {
            let rooms = self.get("/_matrix/client/v3/sync?timeout=0")["rooms"]["invite"].take();
            rooms.get(room).map(|_| ()).ok_or_else(|| format!("invitations {rooms}"))
        });
        self.post(&format!("{}/join", room_path(room)), &json!({}));
    }

    #[track_caller]
    pub fn leave(&self, room: &str) {
        self.post(&format!("{}/leave", room_path(room)), &json!({}));
    }

    #[track_caller]
    pub fn say(&mut self, room: &str, words: &str) {
        self.transactions += 1;
        let path = format!("{}/send/m.room.message/{}", room_path(room), self.transactions);
        self.put(&path, &json!({ "msgtype": "m.text", "body": words }));
    }

    /// Says it as soon as the server listens, however long that takes; `transaction` makes it the same message when it
    /// is said again.
    pub fn try_say(&self, room: &str, transaction: &str, words: &str) -> Result<Response, CurlError> {
        let path = format!("{}/send/m.room.message/{transaction}", room_path(room));
        let request = self.request().limit(PATIENCE * 2).method("PUT");
        request.json(&json!({ "msgtype": "m.text", "body": words })).try_send(&format!("{}{path}", self.base))
    }

    /// Asks for what is new, and does not wait for more.
    pub fn try_sync(&self) -> Result<Response, CurlError> {
        self.request().limit(PATIENCE * 2).try_send(&format!("{}/_matrix/client/v3/sync?timeout=0", self.base))
    }

    /// What `speaker` said last in `room`, a hundred events back, in any order.
    #[track_caller]
    pub fn words(&self, room: &str, speaker: &str) -> Vec<String> {
        let events = self.get(&format!("{}/messages?dir=b&limit=100", room_path(room)))["chunk"].take();
        let events = events.as_array().expect("a list of events").iter();
        let said = events.filter(|event| event["type"] == "m.room.message" && event["sender"] == speaker);
        said.filter_map(|event| Some(event["content"]["body"].as_str()?.to_owned())).collect()
    }

    /// Waits until what `speaker` said in `room`, in the order this server knows it, is `expected`.
    #[track_caller]
    pub fn wait_for_words(&self, room: &str, speaker: &str, expected: &[String]) {
        eventually(&format!("{} hears {speaker}", self.user), PATIENCE, || {
            let path = format!("{}/messages?dir=b&limit=100", room_path(room));
            let events = self.get(&path)["chunk"].take();
            let events = events.as_array().expect("a list of events");
            let said = events.iter().filter(|event| event["type"] == "m.room.message" && event["sender"] == speaker);
            let mut heard: Vec<&str> = said.filter_map(|event| event["content"]["body"].as_str()).collect();
            heard.reverse();
            if heard == expected { Ok(()) } else { Err(format!("{heard:?}")) }
        });
    }

    /// Waits until `user` has this membership in `room`, as this server knows it.
    #[track_caller]
    pub fn wait_for_membership(&self, room: &str, user: &str, membership: &str) {
        eventually(&format!("{user} is seen as {membership}"), PATIENCE, || {
            let seen = self.get(&format!("{}/state/m.room.member/{user}", room_path(room)));
            if seen["membership"] == membership { Ok(()) } else { Err(seen.to_string()) }
        });
    }

    #[track_caller]
    pub fn set_display_name(&self, name: &str) {
        let path = format!("/_matrix/client/v3/profile/{}/displayname", self.user);
        self.put(&path, &json!({ "displayname": name }));
    }

    #[track_caller]
    pub fn display_name_of(&self, user: &str) -> String {
        text(&self.get(&format!("/_matrix/client/v3/profile/{user}/displayname")), "displayname")
    }

    /// Uploads `file` and returns the server and the id of its `mxc://` address.
    #[track_caller]
    pub fn upload(&self, file: &Path) -> (String, String) {
        let request = self.request().method("POST").header("Content-Type", "application/octet-stream").body_from(file);
        let answer = self.send(request, "/_matrix/media/v3/upload").json();
        let uri = text(&answer, "content_uri");
        let (server, id) = uri.strip_prefix("mxc://").and_then(|rest| rest.split_once('/')).expect("mxc://server/id");
        (server.to_owned(), id.to_owned())
    }

    /// Downloads from this user's own server, which fetches what is another's from there.
    #[track_caller]
    pub fn download(&self, server: &str, id: &str) -> Vec<u8> {
        self.send(self.request(), &format!("/_matrix/client/v1/media/download/{server}/{id}")).body
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.send(self.request(), path).json()
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.send(self.request().method("POST").json(body), path).json()
    }

    #[track_caller]
    fn put(&self, path: &str, body: &Value) {
        self.send(self.request().method("PUT").json(body), path);
    }

    fn request(&self) -> Curl {
        let request = Curl::new().trust(&self.roots);
        if self.token.is_empty() { request } else { request.bearer(&self.token) }
    }

    #[track_caller]
    fn send(&self, request: Curl, path: &str) -> Response {
        request.send(&format!("{}{path}", self.base)).expect_status(200)
    }
}

/// The sigil of a room identifier must not end the path.
fn room_path(room: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}", room.replace('!', "%21"))
}

#[track_caller]
fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}
