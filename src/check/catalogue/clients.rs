//! What clients and administrators find: the other well-known documents.

macro_rules! clients {
    ([$next:ident $($then:ident)*] $($before:tt)*) => {
        $next! {
            [$($then)*]
            $($before)*

            WkClientStatus "wk.client.status" Warn
                "The client document answers with 200, or with a clean 404 where there is none."
                "make https://{host}/.well-known/matrix/client answer 200 with the document, or 404"
            WkClientJson "wk.client.json" Warn
                "The client document must be a JSON object; otherwise clients ask the user for the server."
                "serve {\"m.homeserver\": {\"base_url\": \"https://matrix.{host}\"}} as JSON"
            WkClientBaseUrl "wk.client.base_url" Warn
                "The client document must give an https URL as m.homeserver.base_url."
                "set \"m.homeserver\": {\"base_url\": \"https://HOST\"} to the URL of the client API"
            WkClientVersions "wk.client.versions" Warn
                "A homeserver must answer at base_url; otherwise clients refuse to log in."
                "make {subject} answer: `curl -i {subject}`"
            WkClientIdentity "wk.client.identity" Warn
                "Where m.identity_server stands, it needs an https URL as base_url."
                "give m.identity_server a base_url, or remove it"
            WkClientCors "wk.client.cors" Warn
                "Browsers only read these documents with Access-Control-Allow-Origin: *, sent once."
                "send the header Access-Control-Allow-Origin: * exactly once on {subject}"
            WkClientRedirectCors "wk.client.redirect_cors" Warn
                "Browsers follow a redirect only if it has Access-Control-Allow-Origin: * as well."
                "send the header Access-Control-Allow-Origin: * on the redirect of {subject} too, or serve the document there"
            WkClientRtc "wk.client.rtc" Warn
                "Each LiveKit service in the client document must answer 200 at /healthz over https with a valid certificate; otherwise calls fail."
                "route {subject} to the authorisation service of LiveKit: `curl -i {subject}`"
            WkClientAuth "wk.client.auth" Warn
                "The client document, the homeserver's auth_metadata and the issuer itself must name the same issuer to the letter, offer PKCE with S256, and let browsers read it."
                "make the chain whole: `curl -i {subject}`"
            WkClientMsc3575 "wk.client.msc3575" Info
                "The sliding sync proxy is retired; homeservers serve sliding sync themselves."
                "remove org.matrix.msc3575.proxy from {subject}, and switch the proxy off"
            WkSupport "wk.support" Info
                "A support document tells other administrators whom to write to."
                "publish https://{host}/.well-known/matrix/support with at least one contact"

            WkPolicy "wk.policy" Warn
                "A policy server's document gives its ed25519 key; without a policy server there is no document."
                "serve {\"public_keys\": {\"ed25519\": \"BASE64\"}} at {subject}, or 404"
        }
    };
}
