//! Requests signed with the server's own key, as it would sign them to itself: they prove that the
//! bytes of a path arrive as they were sent, which no unsigned request can.
//!
//! Homeservers verify their own signature with the key they hold. They are asked for events that do
//! not exist.

use super::session::{Question, Replied, Session};
use crate::matrix::ServerName;
use crate::matrix::keys::{ServerKeys, SigningKey};
use http::header;

/// Nothing in it that anything could change.
const PLAIN: &str = "/_matrix/federation/v1/event/vestibule";

/// The bytes that a decoding proxy turns into `!`, `@` and `:`, and that stand in most paths.
pub const SPECIAL: &str = "/_matrix/federation/v1/event/%24vestibule%21x%40y%3Az";

/// What came of signed requests.
#[derive(Clone, Debug)]
pub enum Signed {
    /// The key is not among those that the server publishes, so nothing was sent. Its id.
    Foreign(String),
    /// Nothing was sent, as the certificate of the server did not verify.
    Unproved,
    /// The answers.
    Sent {
        /// To a path that nothing could change.
        plain: Box<Replied>,
        /// To [`SPECIAL`].
        special: Box<Replied>,
    },
}

/// Signs and asks with the first of `given` that the server publishes.
pub(super) async fn look(
    session: &mut Session<'_>,
    server: &ServerName,
    given: &[SigningKey],
    published: &ServerKeys,
) -> Option<Signed> {
    let first = given.first()?;
    let is_published = |key: &&SigningKey| published.verify_keys.get(key.id()).is_some_and(|known| key.is(known));
    let Some(key) = given.iter().find(is_published) else {
        return Some(Signed::Foreign(first.id().to_owned()));
    };
    let Some(plain) = ask(session, server, key, PLAIN).await else {
        return (!session.enough).then_some(Signed::Unproved);
    };
    let special = ask(session, server, key, SPECIAL).await?;
    Some(Signed::Sent { plain: Box::new(plain), special: Box::new(special) })
}

async fn ask(session: &mut Session<'_>, server: &ServerName, key: &SigningKey, path: &'static str) -> Option<Replied> {
    let name = server.as_str();
    let authorization = key.authorization((name, name), "GET", path).ok()?;
    let question = Question { confidential: true, ..Question::get(path) };
    session.ask(&question.header(header::AUTHORIZATION, &authorization)).await
}
