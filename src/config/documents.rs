//! The well-known documents that follow from a server's configuration: what this program serves, and
//! what another web server has to serve where it answers for the server name.

use super::server::Server;
use crate::matrix::well_known::{self, RTC_FOCI};
use serde_json::{Value, json};

/// Where the authorisation service of calls stands, and is announced: Element Call's layout.
pub const RTC_JWT_PATH: &str = "/livekit/jwt";

impl Server {
    /// `/.well-known/matrix/server`.
    pub fn server_document(&self) -> Value {
        well_known::server_document(&self.public_host.host, self.public_host.port)
    }

    /// `/.well-known/matrix/client`. Calls are announced where their authorisation service is, unless
    /// the operator has announced something already.
    pub fn client_document(&self) -> Value {
        let public = &self.public_host;
        let mut keys = self.client.clone();
        if self.services.rtc_jwt.is_some() {
            let foci = || well_known::rtc_foci(&public.host, public.port, RTC_JWT_PATH);
            keys.entry(RTC_FOCI).or_insert_with(foci);
        }
        well_known::client_document(&public.host, public.port, &keys)
    }

    /// `/.well-known/matrix/support`, where there is one.
    pub fn support_document(&self) -> Option<Value> {
        self.support.as_ref().map(|support| json!(support))
    }

    /// The base URL that clients are sent to.
    pub fn base_url(&self) -> String {
        let document = self.client_document();
        let url = document.get("m.homeserver").and_then(|entry| entry.get("base_url")).and_then(Value::as_str);
        url.map_or_else(|| well_known::base_url(&self.public_host.host, self.public_host.port), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn foci(more: &str) -> Value {
        let text = format!("server_name = \"a.example\"\npublic_host = \"m.a.example:8443\"\n{more}");
        let config = Config::parse(&text, Path::new("t")).unwrap();
        assert_eq!(config.servers[0].base_url(), "https://m.a.example:8443");
        config.servers[0].client_document()[RTC_FOCI].clone()
    }

    #[test]
    fn calls_are_announced() {
        let service = "[rtc]\njwt = \"http://127.0.0.1:1\"\n";
        let expected = "https://m.a.example:8443/livekit/jwt";
        assert_eq!(foci(service)[0]["livekit_service_url"], expected);
        assert_eq!(foci(service)[0]["type"], "livekit");
        let own = format!("{service}[well_known]\nclient = {{ \"{RTC_FOCI}\" = [] }}\n");
        assert_eq!(foci(&own), json!([]));
        assert!(foci("[rtc]\nsfu = \"http://127.0.0.1:1\"\n").is_null());
    }

    #[test]
    fn the_operators_own_base_url_counts() {
        let text = "server_name = \"a.example\"\n[well_known]\n\
                    client = { \"m.homeserver\" = { base_url = \"https://b.example\" } }\n";
        let config = Config::parse(text, Path::new("t")).unwrap();
        assert_eq!(config.servers[0].base_url(), "https://b.example");
        assert_eq!(config.servers[0].server_document(), json!({ "m.server": "a.example:443" }));
        assert_eq!(config.servers[0].support_document(), None);
    }
}
