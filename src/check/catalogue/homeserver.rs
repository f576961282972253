//! The machine that runs the homeserver, and the homeserver as it is configured there.

macro_rules! homeserver {
    ([$next:ident $($then:ident)*] $($before:tt)*) => {
        $next! {
            [$($then)*]
            $($before)*

            Retry "retry" Warn
                "Something only worked at the second try."
                "look for a flapping backend or overload behind {subject}"
            TimeSkew "time.skew" Warn
                "The server's clock should be right within a minute; signatures and certificates depend on it."
                "synchronise the clocks: `timedatectl set-ntp true`"

            HsFile "hs.file" Info
                "The homeserver's own configuration file is compared with vestibule's, where it can be read."
                "let vestibule's user read the file, or name it: homeserver_config = \"/etc/matrix-synapse/homeserver.yaml\""
            HsName "hs.name" Fail
                "The homeserver must have the server name that vestibule serves; it refuses requests and signs with its own."
                "make server_name in vestibule.toml equal to the homeserver's"
            HsUpstream "hs.upstream" Fail
                "The homeserver must answer where vestibule forwards to."
                "start the homeserver, or correct `homeserver = \"{subject}\"` in vestibule.toml and `systemctl restart vestibule`"
            HsForwarded "hs.forwarded" Warn
                "The homeserver should take clients' addresses from the header that vestibule sends; otherwise everybody is 127.0.0.1 to it."
                "Synapse: `x_forwarded: true` in the listener; continuwuity: `request_ip_source = \"x_forwarded_for\"`; Dendrite: `real_ip_header: X-Real-IP` below sync_api; then restart it"
            HsBind "hs.bind" Warn
                "The homeserver should be reachable through vestibule only: past it, addresses can be forged, and the admin API is open."
                "Synapse: `bind_addresses: ['127.0.0.1']` in the listener; tuwunel, continuwuity: `address = \"127.0.0.1\"`; then restart it"
            HsBaseUrl "hs.base_url" Warn
                "The homeserver writes its public URL into mails and logins; it should be the one that clients are sent to."
                "Synapse: `public_baseurl: {subject}/` in homeserver.yaml, then `systemctl restart matrix-synapse`"
            HsUpload "hs.upload" Warn
                "An upload that the homeserver takes should not be refused on the way."
                "write `max_body = \"none\"` below [limits] in vestibule.toml, then `systemctl restart vestibule`"
            HsFederation "hs.federation" Fail
                "The homeserver must be willing to federate."
                "Synapse: `- names: [client, federation]` in the listener's resources; tuwunel, continuwuity: `allow_federation = true`; then restart it"
            HsWellKnown "hs.well_known" Info
                "vestibule answers the well-known documents itself; the homeserver's own settings for them have no effect."
                "remove them from the homeserver's file, so that nobody is led astray"
            RouteMas "route.mas" Warn
                "Where an authentication service (MAS) has the logins, login, logout and refresh must be sent to it."
                "write `[mas]` and below it `url = \"http://127.0.0.1:8080\"` into vestibule.toml, then `systemctl restart vestibule`"
            RouteWorker "route.worker" Warn
                "Every endpoint of a pool should answer, and serve the paths that are sent to it."
                "start the worker at {subject}, or remove it from upstream.endpoints"
        }
    };
}
