//! https URLs, and where the references in answers lead.

use super::well_known::Stop;
use crate::check::discovery::Target;
use crate::matrix::{Host, ServerName};
use http::Uri;
use std::fmt;

/// An https URL, split into what a connection and what a request need of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: Host,
    port: u16,
    /// Host and port as written: the `Host` header.
    authority: String,
    /// Path and query.
    target: String,
}

impl Url {
    /// The document at `path` on `host`, port 443.
    pub fn well_known(host: &Host, path: &str) -> Self {
        Self { host: host.clone(), port: 443, authority: host.to_string(), target: path.to_owned() }
    }

    /// Parses an absolute https URL.
    pub fn parse(text: &str) -> Result<Self, Stop> {
        let bad = || Stop::BadLocation(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| bad())?;
        match uri.scheme_str() {
            Some("https") => {}
            Some(_) => return Err(Stop::NotHttps(text.to_owned())),
            None => return Err(bad()),
        }
        let authority = uri.authority().ok_or_else(bad)?;
        let name = ServerName::parse(authority.as_str()).map_err(|_| bad())?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self {
            host: name.host().clone(),
            port: name.port().unwrap_or(443),
            authority: name.as_str().to_owned(),
            target: target.to_owned(),
        })
    }

    /// The URL that `location`, read in an answer from this one, leads to (RFC 3986, 5.2, without
    /// the dot segments that nobody sends here).
    pub(super) fn join(&self, location: &str) -> Result<Self, Stop> {
        let location = location.split('#').next().unwrap_or_default();
        if location.is_empty() {
            return Err(Stop::BadLocation(location.to_owned()));
        }
        if location.starts_with("//") {
            return Self::parse(&format!("https:{location}"));
        }
        if location.contains("://") && !location.starts_with('/') {
            return Self::parse(location);
        }
        let path = match location.strip_prefix('/') {
            Some(_) => location.to_owned(),
            None => {
                let folder = self.target.split('?').next().and_then(|path| path.rsplit_once('/'));
                format!("{}/{location}", folder.map_or("", |(folder, _)| folder))
            }
        };
        Self::parse(&format!("https://{}{path}", self.authority))
    }

    /// The same place with another path appended.
    pub(super) fn append(&self, path: &str) -> Self {
        let own = self.target.split('?').next().unwrap_or_default().trim_end_matches('/');
        Self { target: format!("{own}{path}"), ..self.clone() }
    }

    /// The host, which is what SNI and certificate are about.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Host and port as written.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// Where to connect.
    pub(super) fn place(&self) -> Target {
        Target { host: self.host.clone(), port: self.port }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_joined_as_browsers_do() {
        let base = Url::well_known(&Host::parse("ex.org").unwrap(), "/.well-known/matrix/server");
        let table = [
            ("https://other.org/x?y=1", Ok("https://other.org/x?y=1")),
            ("https://other.org", Ok("https://other.org/")),
            ("https://other.org:8443/x#frag", Ok("https://other.org:8443/x")),
            ("//cdn.org/a", Ok("https://cdn.org/a")),
            ("/a?b=c", Ok("https://ex.org/a?b=c")),
            ("server.json", Ok("https://ex.org/.well-known/matrix/server.json")),
            ("http://ex.org/a", Err(Stop::NotHttps("http://ex.org/a".to_owned()))),
            ("", Err(Stop::BadLocation(String::new()))),
        ];
        for (location, expected) in table {
            let joined = base.join(location).map(|url| url.to_string());
            assert_eq!(joined, expected.map(str::to_owned), "{location:?}");
        }
        assert!(Url::parse("https://user@ex.org/").is_err());
        let base = Url::parse("https://matrix.org:8443/prefix/").unwrap();
        assert_eq!(base.append("/_matrix/x").to_string(), "https://matrix.org:8443/prefix/_matrix/x");
        let base = Url::parse("https://matrix.org?a=/b").unwrap();
        assert_eq!(base.append("/_matrix/x").to_string(), "https://matrix.org/_matrix/x");
    }
}
