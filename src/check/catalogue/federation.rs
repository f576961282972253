//! What every peer asks first: the version and the keys.

macro_rules! federation {
    ([$next:ident $($then:ident)*] $($before:tt)*) => {
        $next! {
            [$($then)*]
            $($before)*

            FedVersion "fed.version" Fail
                "GET /_matrix/federation/v1/version must answer 200 with application/json and an object \"server\"."
                "forward /_matrix/ to the homeserver; see what answers with `curl -ik --connect-to ::{subject} https://{host}/_matrix/federation/v1/version`"
            FedKeys "fed.keys" Fail
                "GET /_matrix/key/v2/server must answer 200 with application/json and without a redirect."
                "forward /_matrix/ to the homeserver; see what answers with `curl -ik --connect-to ::{subject} https://{host}/_matrix/key/v2/server`"
            FedKeysName "fed.keys.name" Fail
                "The keys must be those of exactly this server name."
                "set server_name to {server} in the homeserver, or forward {subject} to the homeserver that has it"
            FedKeysExpired "fed.keys.expired" Fail
                "valid_until_ts must lie in the future; peers discard older keys."
                "check the clock of the homeserver (`timedatectl`), then restart it"
            FedKeysEd25519 "fed.keys.ed25519" Fail
                "There must be an ed25519 key of 32 bytes."
                "check the signing key file of the homeserver"
            FedKeysSig "fed.keys.sig" Fail
                "The key document must be signed by each of its own keys."
                "let nothing rewrite the answer on its way, and check the signing key file of the homeserver"
            FedKeysCanonical "fed.keys.canonical" Fail
                "Signed documents hold integers only; otherwise there is nothing to verify."
                "upgrade the homeserver; let nothing rewrite the answer on its way"
            FedKeysSoon "fed.keys.soon" Warn
                "Keys should be valid for at least another hour when they are handed out."
                "raise key_refresh_interval in the homeserver"
            FedKeysFar "fed.keys.far" Info
                "Peers use keys for at most seven days, whatever valid_until_ts says."
                "nothing has to be done; key_refresh_interval in homeserver.yaml sets it, for instance `key_refresh_interval: 1d`"
            FedKeysOld "fed.keys.old" Warn
                "Each retired key needs its expired_ts, or peers cannot tell which old events it may have signed."
                "give the key its date in milliseconds in homeserver.yaml: `old_signing_keys: {\"KEY_ID\": {key: \"PUBLIC\", expired_ts: 1700000000000}}`"
            FedKeysPinned "fed.keys.pinned" Warn
                "A server keeps its signing key; with another one, peers refuse what it signed before and may refuse the server."
                "put the old signing key file back (signing_key_path in homeserver.yaml) and restart; after a wanted change list the old key in old_signing_keys"
            FedKeysSame "fed.keys.same" Fail
                "All addresses must publish the same keys."
                "find the address that belongs to another server and remove it from the DNS of {host}"
            FedNotFound "fed.404" Warn
                "Endpoints nobody knows are answered 404 with M_UNRECOGNIZED, by the homeserver and not by a page in front of it."
                "forward all of /_matrix/ and leave errors to the homeserver"
            FedMethod "fed.405" Warn
                "A known endpoint with another method is answered 405 with M_UNRECOGNIZED, by the homeserver and not by a rule in front of it."
                "forward every method below /_matrix/: remove limit_except, `if ($request_method …)` and <Limit> from the proxy on {subject}"
            FedUnsigned "fed.unsigned" Warn
                "Requests without a signature are refused by the homeserver itself: 401 or 403, in JSON."
                "forward /_matrix/federation/ to the homeserver without logins, rewrites or error pages of the proxy; see what answers with `curl -ik --connect-to ::{subject} 'https://{host}/_matrix/federation/v1/query/profile?user_id=%40x%3A{server}'`"
            FedHost "fed.host" Fail
                "Peers write the Host header with the port or without it; virtual hosts must ignore port and letter case."
                "match the name alone: nginx `server_name {host};`, Apache `ServerName {host}` without a port, HAProxy `acl matrix hdr(host),field(1,:),lower -m str {host}`"
            FedHttp2 "fed.h2" Warn
                "Where HTTP/2 is offered, it must lead to the same answers as HTTP/1.1."
                "send both protocols to the same backend, or stop offering HTTP/2: nginx `http2 off;`, HAProxy `alpn http/1.1`"
        }
    };
}
