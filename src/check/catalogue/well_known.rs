//! The delegation document, and what peers do without it.

macro_rules! well_known {
    ([$next:ident $($then:ident)*] $($before:tt)*) => {
        $next! {
            [$($then)*]
            $($before)*

            WkServerReach "wk.server.reach" Warn
                "Each address of the server name should answer on port 443, where peers look for the delegation."
                "open port 443 on {subject}, or remove this address from the DNS of {host}"
            WkServerTls "wk.server.tls" Fail
                "The delegation is read over HTTPS with a certificate for the server name itself; otherwise peers ignore it."
                "get a certificate that covers {host} for port 443 and serve its full chain"
            WkServerStatus "wk.server.status" Warn
                "The delegation document answers with 200, or with a clean 404 where there is none."
                "make https://{host}/.well-known/matrix/server answer 200 with the document, or 404; exempt it from logins, bot rules and catch-all pages"
            WkServerJson "wk.server.json" Fail
                "The delegation document must be a JSON object."
                "serve exactly {\"m.server\": \"matrix.{host}:443\"} with the host that runs the homeserver"
            WkServerField "wk.server.field" Fail
                "The delegation document must have a string \"m.server\"."
                "serve exactly {\"m.server\": \"matrix.{host}:443\"} with the host that runs the homeserver"
            WkServerValue "wk.server.value" Fail
                "\"m.server\" is host:port and nothing else."
                "write host:port: no https://, no path, no slash at the end"
            WkServerPort "wk.server.port" Warn
                "Without a port in \"m.server\" peers look for SRV records and then use 8448."
                "write \"m.server\": \"{subject}:443\" (or the port that really serves federation)"
            WkServerSize "wk.server.size" Warn
                "Some peers read at most 12 KiB of the document, others 50 KiB."
                "shrink the document to its one key"
            WkServerCtype "wk.server.ctype" Warn
                "The document should be sent as application/json."
                "send the header Content-Type: application/json"
            WkServerRedirect "wk.server.redirect" Warn
                "Redirects should be few, stay on https, not run in circles, and not be 308, which some peers do not follow."
                "serve the document itself at https://{host}/.well-known/matrix/server, or redirect once with 302 to an https URL"
            WkServerCache "wk.server.cache" Warn
                "Peers keep the document between 5 minutes and 48 hours; other values only surprise."
                "send the header Cache-Control: public, max-age=3600"
            WkServerSplit "wk.server.split" Fail
                "All addresses of the server name must give the same delegation, or peers split between two servers."
                "deploy the same document on every address of {host}"
            WkServerSelf "wk.server.self" Info
                "Delegating to oneself without a port changes nothing."
                "write the port, \"m.server\": \"{server}:443\", or drop the document"

            WkServerBot "wk.server.bot" Warn
                "The delegation must not depend on what a client calls itself; rules against bots catch homeservers."
                "exempt /.well-known/matrix/ and /_matrix/ on {host} from bot rules, challenges and firewalls that look at the User-Agent"
            WkFallback "wk.fallback8448" Warn
                "Peers that miss the delegation for an hour go to port 8448 of the server name: it should serve federation, or refuse at once."
                "serve federation there with a certificate for {host}, or let the firewall reject instead of drop: `nft add rule inet filter input tcp dport 8448 reject with tcp reset`"
        }
    };
}
