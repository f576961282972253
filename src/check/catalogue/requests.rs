//! What happens to requests on their way to the homeserver.

macro_rules! requests {
    ([$next:ident $($then:ident)*] $($before:tt)*) => {
        $next! {
            [$($then)*]
            $($before)*

            UriEncSlash "uri.encslash" Fail
                "An encoded slash must stay encoded: room, event and key IDs contain slashes, and signatures cover the path as it was sent."
                "nginx: `proxy_pass http://127.0.0.1:8008;` with nothing after the port; Apache: `AllowEncodedSlashes NoDecode` and `ProxyPass /_matrix http://127.0.0.1:8008/_matrix nocanon`; Traefik: `encodedCharacters.allowEncodedSlash: true` at the entry point"
            UriChars "uri.chars" Fail
                "Encoded # ; % ? and \\ must reach the homeserver as they were sent."
                "nginx: nothing after the port in `proxy_pass http://127.0.0.1:8008;`; Apache: `nocanon`; Traefik 3.6.4 or newer: allowEncodedHash, allowEncodedSemicolon, allowEncodedPercent, allowEncodedQuestionMark and allowEncodedBackSlash under `encodedCharacters` at the entry point; WAF: exempt /_matrix/"
            UriDblSlash "uri.dblslash" Warn
                "Two slashes must not become one: the homeserver verifies a signature over the path as it was sent."
                "turn path cleaning off: nginx `merge_slashes off;` and nothing after the port in proxy_pass, Apache `MergeSlashes Off`, HAProxy no `normalize-uri path-merge-slashes`"
            UriDotSeg "uri.dotseg" Warn
                "Dot segments must not be resolved: the homeserver verifies a signature over the path as it was sent."
                "turn path cleaning off: nginx nothing after the port in proxy_pass, HAProxy no `normalize-uri path-strip-dotdot`"
            UriSigned "uri.signed" Fail
                "A request signed with the server's own key must verify when it arrives; otherwise something alters its path or its Authorization header."
                "forward the bytes as they come: nginx `proxy_pass http://127.0.0.1:8008;` with nothing after the port, Apache `nocanon`, no rewrites of path or Authorization"

            BodyLimit "body.limit" Fail
                "Peers send transactions of up to 12.5 MiB (13,107,200 bytes)."
                "raise the limit of what stands in front of {subject}: nginx `client_max_body_size 50m;`, Apache `LimitRequestBody 52428800`, vestibule `limits.max_body = \"none\"`"
            BodyMedia "body.media" Warn
                "Uploads up to the homeserver's own limit should get through to it."
                "give what stands in front the homeserver's max_upload_size: nginx `client_max_body_size 50m;`, Apache `LimitRequestBody 52428800`"

            CorsCs "cors.cs" Warn
                "Browsers only read answers of the client API, errors too, with Access-Control-Allow-Origin: *."
                "leave the homeserver's header alone, or add it to errors too: nginx `add_header Access-Control-Allow-Origin * always;`"
            CorsPreflight "cors.preflight" Warn
                "OPTIONS is answered 2xx without a token, and allows every origin, PUT and DELETE, and the headers Authorization and Content-Type."
                "forward OPTIONS to the homeserver like every other method: no login and no `limit_except` before it"
            CorsDup "cors.dup" Warn
                "Browsers refuse Access-Control-Allow-Origin sent twice."
                "let only the homeserver send it: remove `add_header Access-Control-Allow-Origin` (nginx) or `Header set Access-Control-Allow-Origin` (Apache) for /_matrix/"

            ExposeAdmin "expose.admin" Warn
                "The admin API is not for the internet: a stolen admin token would be enough to take everything."
                "refuse it in front: nginx `location ^~ /_synapse/admin { return 403; }`; vestibule does so unless `limits.admin_allow` names a network"
            ExposeMetrics "expose.metrics" Fail
                "Metrics tell everybody about users, rooms and peers."
                "refuse it in front: nginx `location ^~ /_synapse/metrics { return 403; }`, or take `metrics` out of the public listener's resources"
            ExposeReplication "expose.replication" Fail
                "Who reaches the replication endpoints can act as the homeserver's own workers."
                "refuse it in front: nginx `location ^~ /_synapse/replication { return 403; }`; set `worker_replication_secret`, and give replication a listener of its own on 127.0.0.1"
            ExposeMas "expose.mas" Warn
                "Only the authentication service talks to these endpoints; a secret is all that guards them."
                "refuse it in front: nginx `location ^~ /_synapse/mas { return 403; }`, and let the authentication service use the homeserver's own address"
            Waf "waf" Warn
                "Federation is programs that talk to each other: a firewall, a bot rule or a challenge page before /_matrix/ shuts them out."
                "exempt /_matrix/* and /.well-known/matrix/* from WAF, bot and challenge rules on {subject} (Cloudflare: a skip rule for these paths, or DNS only)"
        }
    };
}
