//! Rules about the loop-back proof: what reached this very process, and as what.

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::{Finding, Severity};
use crate::check::loop_back::age;
use crate::probe::loopback::{Change, Ends, Hop, HopKind, How, IdleEnd, Item, LoopSeen, Outcome};
use std::net::SocketAddr;

pub(super) const RULES: &[Rule] = &[changes, client, tls, other, unknown, process, longpoll, shaky];

fn seen<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a LoopSeen> {
    case.seen.loopback.iter().flat_map(|loopback| loopback.seen.iter().flatten())
}

/// ", by nginx (server: nginx/1.22.1)", where somebody gave himself away.
fn by(hop: Option<&Hop>) -> String {
    hop.map(|hop| format!(", by {hop}")).unwrap_or_default()
}

/// With what to do in the program that did it, where that is known.
fn mended(finding: Finding, hop: Option<&Hop>, item: Mend) -> Finding {
    match hop.and_then(|hop| fix(hop.kind, item)) {
        Some(remedy) => Finding { remedy: remedy.to_owned(), ..finding },
        None => finding,
    }
}

fn changes(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in seen(case) {
        let Outcome::Ours { changes, .. } = &seen.outcome else { continue };
        for change in changes {
            let hop = seen.hop.as_ref();
            let code = code(change);
            let detail = format!("{}{}", change.detail, by(hop));
            let finding = mended(case.finding(code, seen.address, detail), hop, mend(change.item));
            findings.push(match change.item {
                // No server in wide use signs with two keys at a time, and nginx never lets two lines pass.
                Item::Authorizations => finding.at(Severity::Warn),
                _ => finding,
            });
        }
    }
    findings
}

fn code(change: &Change) -> Code {
    match change.item {
        Item::Target => Code::LoopPath,
        Item::Host => Code::LoopHost,
        Item::HostPort => Code::LoopHostPort,
        Item::Method => Code::LoopPut,
        Item::Agent => Code::LoopAgent,
        Item::Authorization | Item::Authorizations => Code::HdrAuth,
        // A proxy that refuses what lies about its sender does no harm that peers would meet.
        Item::Forwarding if change.how == How::Refused => Code::LoopHeader,
        Item::Forwarding => Code::HdrXff,
        Item::Scheme => Code::HdrProto,
        Item::Header => Code::LoopHeader,
        Item::Body => Code::LoopBody,
    }
}

fn client(case: &Case<'_>) -> Vec<Finding> {
    let found = seen(case).filter_map(|seen| {
        let Outcome::Ours { ends, source, peer, client, .. } = &seen.outcome else { return None };
        if source == client {
            return None;
        }
        let hop = seen.hop.as_ref();
        let detail = format!("asked from {source}, and taken for {client}{}", by(hop));
        let finding = case.finding(Code::LoopClient, seen.address, detail).for_host(peer);
        match ends {
            // A client that this machine is itself may well be known by another of its addresses.
            Ends::Before(_) if peer == client => Some(finding),
            Ends::Before(_) => None,
            // What does not open TLS can tell by the PROXY protocol only; NAT cannot, and need not.
            Ends::Here => {
                let remedy = format!(
                    "if a balancer stands in front, let it send the PROXY protocol and set proxy_protocol_from = \
                     [\"{peer}\"] in [listen]; if it is NAT for connections from inside, nothing is wrong"
                );
                Some(Finding { remedy, ..finding }.at(Severity::Info))
            }
        }
    });
    found.collect()
}

fn tls(case: &Case<'_>) -> Vec<Finding> {
    let found = seen(case).filter_map(|seen| {
        let Outcome::Ours { ends: Ends::Before(why), .. } = &seen.outcome else { return None };
        let finding = case.finding(Code::LoopTls, seen.address, format!("{why}{}", by(seen.hop.as_ref())));
        // What comes with it there cannot be set otherwise.
        let cloud = seen.hop.as_ref().filter(|hop| hop.kind == HopKind::Cloudflare);
        Some(mended(finding, cloud, Mend::Other))
    });
    found.collect()
}

fn other(case: &Case<'_>) -> Vec<Finding> {
    let found = seen(case).filter_map(|seen| {
        let Outcome::Other(what) = &seen.outcome else { return None };
        let hop = seen.hop.as_ref();
        let finding = case.finding(Code::LoopOther, seen.address, format!("{what}{}", by(hop)));
        Some(mended(finding, hop.filter(|hop| hop.kind == HopKind::Cloudflare), Mend::Other))
    });
    found.collect()
}

fn unknown(case: &Case<'_>) -> Vec<Finding> {
    // Without NAT, what keeps requests away has a finding of its own.
    let found = seen(case).filter_map(|seen| match &seen.outcome {
        Outcome::Unknown { why, nat: true } => {
            Some(case.finding(Code::LoopUnknown, seen.address, format!("seen from behind NAT: {why}")))
        }
        _ => None,
    });
    found.collect()
}

fn process(case: &Case<'_>) -> Vec<Finding> {
    let why = case.seen.loopback.iter().filter_map(|loopback| loopback.seen.as_ref().err());
    why.map(|why| case.finding(Code::LoopProcess, case.server, format!("not proven: {why}"))).collect()
}

fn longpoll(case: &Case<'_>) -> Vec<Finding> {
    let at = case.seen.loopback.as_ref().map(|loopback| loopback.at);
    let found = seen(case).filter_map(|seen| {
        let idle = seen.idle.as_ref()?;
        let IdleEnd::Cut { after, with } = &idle.end else { return None };
        let ago =
            u64::try_from(at?.since(idle.at)).map(|seconds| format!(", {} ago", age(seconds))).unwrap_or_default();
        let hop = seen.hop.as_ref();
        let detail = format!("a silent request was ended after {after} s ({with}){ago}{}", by(hop));
        Some(mended(case.finding(Code::HttpLongpoll, seen.address, detail), hop, Mend::Idle))
    });
    found.collect()
}

fn shaky(case: &Case<'_>) -> Vec<Finding> {
    let again = seen(case).filter(|seen| seen.again && matches!(seen.outcome, Outcome::Ours { .. }));
    again.map(|seen| case.finding(Code::Retry, seen.address, "the loop-back proof needed a second try")).collect()
}

/// Makes remarks of everything that was seen at an address which NAT hides from this machine.
pub(super) fn soften(case: &Case<'_>, findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|finding| finding.severity > Severity::Info) {
        let hidden = finding.subject.parse::<SocketAddr>().is_ok_and(|address| case.seen.is_hidden_by_nat(address));
        if hidden {
            finding.severity = Severity::Info;
            finding.detail.push_str(" (seen from behind NAT, where the own public address may lead elsewhere)");
        }
    }
}

/// What is to be mended in a proxy's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mend {
    Path,
    Host,
    Authorization,
    Forwarding,
    Filter,
    Header,
    Body,
    Idle,
    Other,
}

fn mend(item: Item) -> Mend {
    match item {
        Item::Target => Mend::Path,
        Item::Host | Item::HostPort => Mend::Host,
        Item::Authorization | Item::Authorizations => Mend::Authorization,
        Item::Forwarding => Mend::Forwarding,
        Item::Method | Item::Agent => Mend::Filter,
        Item::Header => Mend::Header,
        Item::Body => Mend::Body,
        Item::Scheme => Mend::Other,
    }
}

/// What to write in the configuration of a program that is known; `None` where the rule's own remedy
/// says all there is.
fn fix(kind: HopKind, item: Mend) -> Option<&'static str> {
    Some(match (kind, item) {
        (HopKind::Nginx, Mend::Path) => {
            "in nginx, write `proxy_pass https://ADDRESS:PORT;` with nothing after the port, not even a slash, and no rewrite"
        }
        (HopKind::Nginx, Mend::Host) => "in nginx, write `proxy_set_header Host $http_host;`",
        (HopKind::Nginx, Mend::Authorization) => {
            "in nginx, remove `proxy_set_header Authorization` and `auth_basic` for /_matrix; it refuses two lines whatever \
             is set, so for servers with two keys pass TLS on unopened, by its `stream` module"
        }
        (HopKind::Nginx, Mend::Forwarding) => "in nginx, write `proxy_set_header X-Forwarded-For $remote_addr;`",
        (HopKind::Nginx, Mend::Filter) => {
            "in nginx, remove `limit_except` and every `if` on $request_method or $http_user_agent, and exempt /_matrix from \
             ModSecurity: `modsecurity off;`"
        }
        (HopKind::Nginx, Mend::Header) => "in nginx, write `large_client_header_buffers 4 16k;`",
        (HopKind::Nginx, Mend::Idle) => "in nginx, write `proxy_read_timeout 600s;` beside proxy_pass",
        (HopKind::Apache, Mend::Path) => {
            "in Apache, write `AllowEncodedSlashes NoDecode` in the virtual host and nocanon behind ProxyPass: `ProxyPass \
             /_matrix https://ADDRESS:PORT/_matrix nocanon`"
        }
        (HopKind::Apache, Mend::Host) => "in Apache, write `ProxyPreserveHost On`",
        (HopKind::Apache, Mend::Authorization) => {
            "in Apache, remove AuthType and `RequestHeader` for Authorization; it joins two lines whatever is set, so for \
             servers with two keys pass TLS on unopened by another program"
        }
        (HopKind::Apache, Mend::Forwarding) => "in Apache, write `RequestHeader unset X-Forwarded-For early`",
        (HopKind::Apache, Mend::Filter) => {
            "in Apache, remove `<Limit>` and `<LimitExcept>` for /_matrix, and exempt it from ModSecurity: `SecRuleEngine Off`"
        }
        (HopKind::Apache, Mend::Header) => "in Apache, write `LimitRequestFieldSize 16380`",
        (HopKind::Apache, Mend::Idle) => "in Apache, add timeout=600 behind ProxyPass, or write `ProxyTimeout 600`",
        (HopKind::Traefik, Mend::Path) => {
            "in Traefik, set allowEncodedSlash, allowEncodedHash, allowEncodedPercent, allowEncodedQuestionMark, \
             allowEncodedSemicolon and allowEncodedBackSlash to true in `entryPoints.NAME.http.encodedCharacters`, and \
             `entryPoints.NAME.http.sanitizePath` to false"
        }
        (HopKind::Traefik, Mend::Host) => "in Traefik, set `loadBalancer.passHostHeader` to true",
        (HopKind::Traefik, Mend::Forwarding) => {
            "in Traefik, set `entryPoints.NAME.forwardedHeaders.insecure` to false, and name in trustedIPs only proxies"
        }
        (HopKind::Traefik, Mend::Idle) => {
            "in Traefik, set `entryPoints.NAME.transport.respondingTimeouts.writeTimeout` to 0 and \
             `serversTransport.forwardingTimeouts.responseHeaderTimeout` to 0"
        }
        (HopKind::Haproxy, Mend::Path) => {
            "in HAProxy, remove `http-request normalize-uri`, set-path and replace-path for /_matrix; if it refuses them, see \
             its rules on url_dec"
        }
        (HopKind::Haproxy, Mend::Host) => "in HAProxy, remove `http-request set-header Host`",
        (HopKind::Haproxy, Mend::Authorization) => {
            "in HAProxy, remove del-header, set-header and replace-header for Authorization"
        }
        (HopKind::Haproxy, Mend::Forwarding) => {
            "in HAProxy, write `http-request del-header X-Forwarded-For` before `option forwardfor`"
        }
        (HopKind::Haproxy, Mend::Filter) => {
            "in HAProxy, except paths that begin with /_matrix from the `http-request deny` on method or user agent"
        }
        (HopKind::Haproxy, Mend::Header) => "in HAProxy, write `tune.bufsize 32768` in global",
        (HopKind::Haproxy, Mend::Idle) => "in HAProxy, write `timeout server 10m` and `timeout client 10m`",
        (HopKind::Caddy, Mend::Path) => "in Caddy, use handle and not handle_path, and no uri or rewrite for /_matrix",
        (HopKind::Caddy, Mend::Host) => "in Caddy, remove `header_up Host`",
        (HopKind::Caddy, Mend::Idle) => "in Caddy, raise read_timeout and response_header_timeout in `transport http`",
        (HopKind::Cloudflare, Mend::Path) => {
            "set the record to DNS-only (the grey cloud), or turn off `Normalize URLs to origin` and add a rule that skips all \
             checks for /_matrix/* and /.well-known/matrix/*"
        }
        (HopKind::Cloudflare, Mend::Filter | Mend::Header | Mend::Authorization | Mend::Body | Mend::Other) => {
            "set the record to DNS-only (the grey cloud), or add a rule that skips all checks for /_matrix/* and \
             /.well-known/matrix/*; uploads over 100 MB and answers after 100 s fail all the same"
        }
        (HopKind::Cloudflare, Mend::Host) => "remove the Host override from Cloudflare's origin rules",
        (HopKind::Cloudflare, Mend::Idle) => {
            "set the record to DNS-only (the grey cloud): Cloudflare ends silent requests after 100 s at most"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::judge::tests::case;
    use crate::check::observe::{LoopBack, Observation};
    use crate::clock::Timestamp;
    use crate::probe::loopback::Idle;

    const ADDRESS: &str = "11.22.33.44:443";
    const SELF: &str = "11.22.33.44";

    fn ours(changes: Vec<Change>, ends: Ends, (peer, client): (&str, &str)) -> Outcome {
        let (source, peer, client) = (SELF.parse().unwrap(), peer.parse().unwrap(), client.parse().unwrap());
        Outcome::Ours { changes, ends, source, peer, client }
    }

    fn at(outcome: Outcome, kind: Option<HopKind>) -> LoopSeen {
        let hop = kind.map(|kind| Hop { kind, sign: "server: x".to_owned() });
        LoopSeen { address: ADDRESS.parse().unwrap(), outcome, hop, again: false, idle: None }
    }

    /// Id, severity and remedy of each finding.
    fn judged(seen: Result<Vec<LoopSeen>, String>) -> Vec<(&'static str, Severity, String, String)> {
        let at = Timestamp(1_790_000_000);
        let seen = Observation { loopback: Some(LoopBack { at, seen, pending: false }), ..Observation::default() };
        let case = Case { server: "a.test", now: at, ..case(&seen) };
        let findings = RULES.iter().flat_map(|rule| rule(&case));
        findings.map(|finding| (finding.id.id(), finding.severity, finding.detail, finding.remedy)).collect()
    }

    fn change(item: Item, how: How) -> Vec<Change> {
        vec![Change { item, how, detail: "it changed".to_owned() }]
    }

    #[test]
    fn what_is_proven_needs_no_words() {
        let proven = at(ours(Vec::new(), Ends::Here, (SELF, SELF)), None);
        assert_eq!(judged(Ok(vec![proven.clone(), proven])), []);
        assert_eq!(judged(Ok(Vec::new())), []);
    }

    #[test]
    fn changes_and_who_made_them() {
        use HopKind::{Apache, Caddy, Cloudflare, Haproxy, Nginx, Other, Traefik};
        let (altered, refused) = (How::Altered, How::Refused);
        let table = [
            (Item::Target, altered, Some(Nginx), "loop.path", Severity::Fail, "nothing after the port"),
            (Item::Target, altered, Some(Apache), "loop.path", Severity::Fail, "nocanon"),
            (Item::Target, refused, Some(Apache), "loop.path", Severity::Fail, "AllowEncodedSlashes NoDecode"),
            (Item::Target, refused, Some(Traefik), "loop.path", Severity::Fail, "allowEncodedSlash"),
            (Item::Target, refused, Some(Haproxy), "loop.path", Severity::Fail, "normalize-uri"),
            (Item::Target, altered, Some(Cloudflare), "loop.path", Severity::Fail, "DNS-only"),
            (Item::Target, altered, Some(Caddy), "loop.path", Severity::Fail, "handle_path"),
            (
                Item::Target,
                altered,
                Some(Other),
                "loop.path",
                Severity::Fail,
                "let nothing in front of 11.22.33.44:443",
            ),
            (Item::Target, altered, None, "loop.path", Severity::Fail, "let nothing in front of 11.22.33.44:443"),
            (Item::Host, altered, Some(Nginx), "loop.host", Severity::Fail, "proxy_set_header Host $http_host;"),
            (Item::Host, altered, Some(Apache), "loop.host", Severity::Fail, "ProxyPreserveHost On"),
            (Item::HostPort, altered, Some(Nginx), "loop.hostport", Severity::Warn, "$http_host;"),
            (Item::Method, refused, Some(Nginx), "loop.put", Severity::Fail, "limit_except"),
            (Item::Method, refused, Some(Haproxy), "loop.put", Severity::Fail, "http-request deny"),
            (Item::Method, refused, Some(Cloudflare), "loop.put", Severity::Fail, "skips all checks"),
            (Item::Agent, refused, None, "loop.agent", Severity::Fail, "bot and firewall rules"),
            (Item::Authorizations, altered, Some(Apache), "hdr.auth", Severity::Warn, "joins two lines"),
            (Item::Authorizations, refused, Some(Nginx), "hdr.auth", Severity::Warn, "stream"),
            (Item::Authorization, altered, Some(Nginx), "hdr.auth", Severity::Fail, "proxy_set_header Authorization"),
            (Item::Authorization, altered, Some(Haproxy), "hdr.auth", Severity::Fail, "del-header"),
            (Item::Forwarding, altered, Some(Nginx), "hdr.xff", Severity::Fail, "X-Forwarded-For $remote_addr;"),
            (Item::Forwarding, altered, Some(Haproxy), "hdr.xff", Severity::Fail, "del-header X-Forwarded-For"),
            (Item::Scheme, altered, None, "hdr.proto", Severity::Fail, "vestibule --version"),
            (Item::Header, refused, Some(Nginx), "loop.header", Severity::Warn, "large_client_header_buffers"),
            (Item::Header, refused, Some(Haproxy), "loop.header", Severity::Warn, "tune.bufsize"),
            (Item::Body, altered, None, "loop.body", Severity::Fail, "rewrite bodies"),
        ];
        for (item, how, kind, id, severity, remedy) in table {
            let found = judged(Ok(vec![at(ours(change(item, how), Ends::Here, (SELF, SELF)), kind)]));
            let [(found_id, found_severity, detail, found_remedy)] = &found[..] else { panic!("{item:?}: {found:?}") };
            assert_eq!((*found_id, *found_severity), (id, severity), "{item:?} {kind:?}");
            assert!(found_remedy.contains(remedy), "{item:?} {kind:?}: {found_remedy}");
            assert_eq!(detail.contains(", by "), kind.is_some(), "{detail}");
        }
    }

    #[test]
    fn whose_address_is_seen() {
        let before = || Ends::Before("the protocol outside is http/1.1, here it is none".to_owned());
        let ids = |outcome| {
            let found = judged(Ok(vec![at(outcome, Some(HopKind::Nginx))]));
            found.into_iter().map(|(id, severity, _, remedy)| (id, severity, remedy)).collect::<Vec<_>>()
        };
        // A proxy that is not trusted hides everybody.
        let found = ids(ours(Vec::new(), before(), ("127.0.0.1", "127.0.0.1")));
        assert_eq!((found[0].0, found[0].1), ("loop.client", Severity::Warn));
        assert!(found[0].2.contains("`trusted_proxies.from = [\"127.0.0.1\"]`"), "{found:?}");
        assert_eq!((found[1].0, found[1].1), ("loop.tls", Severity::Info));
        // One that is trusted tells.
        let found = ids(ours(Vec::new(), before(), ("127.0.0.1", SELF)));
        assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), ["loop.tls"]);
        // NAT, or a balancer.
        let found = ids(ours(Vec::new(), Ends::Here, ("192.168.1.1", "192.168.1.1")));
        assert_eq!((found.len(), found[0].0, found[0].1), (1, "loop.client", Severity::Info));
        assert!(found[0].2.contains("proxy_protocol_from = [\"192.168.1.1\"]"), "{found:?}");
    }

    #[test]
    fn elsewhere() {
        let found = judged(Ok(vec![at(Outcome::Other("HTTP status 200, Apache".to_owned()), None)]));
        assert_eq!((found[0].0, found[0].1, found.len()), ("loop.other", Severity::Warn, 1));
        let unknown = |nat| Outcome::Unknown { why: "refuses connections".to_owned(), nat };
        let found = judged(Ok(vec![at(unknown(true), None)]));
        assert_eq!((found[0].0, found[0].1, found.len()), ("loop.unknown", Severity::Info, 1));
        assert_eq!(judged(Ok(vec![at(unknown(false), None)])), [], "another rule speaks of it");
        let ends = Ends::Before("the certificate differs".to_owned());
        let found = judged(Ok(vec![at(ours(Vec::new(), ends, (SELF, SELF)), Some(HopKind::Cloudflare))]));
        assert_eq!((found[0].0, found[0].1, found.len()), ("loop.tls", Severity::Info, 1));
        assert!(found[0].3.contains("uploads over 100 MB"), "{found:?}");
        let found = judged(Err("no vestibule runs".to_owned()));
        assert_eq!(
            (found[0].0, found[0].1, found[0].2.as_str()),
            ("loop.process", Severity::Info, "not proven: no vestibule runs")
        );
    }

    #[test]
    fn silence_and_second_tries() {
        let idle = |end| Some(Idle { at: Timestamp(1_790_000_000 - 3 * 3600), end });
        let seen = at(ours(Vec::new(), Ends::Here, (SELF, SELF)), Some(HopKind::Nginx));
        let fine = LoopSeen { idle: idle(IdleEnd::Answered(60)), ..seen.clone() };
        assert_eq!(judged(Ok(vec![fine])), []);
        let cut = IdleEnd::Cut { after: 30, with: "HTTP status 504, nginx".to_owned() };
        let found = judged(Ok(vec![LoopSeen { idle: idle(cut), ..seen.clone() }]));
        assert_eq!((found[0].0, found[0].1, found.len()), ("http.longpoll", Severity::Warn, 1));
        let detail = "a silent request was ended after 30 s (HTTP status 504, nginx), 3 h ago, by nginx (server: x)";
        assert_eq!(found[0].2, detail);
        assert!(found[0].3.contains("proxy_read_timeout 600s;"), "{found:?}");
        let found = judged(Ok(vec![LoopSeen { again: true, ..seen }]));
        assert_eq!((found[0].0, found.len()), ("retry", 1));
    }

    #[test]
    fn what_nat_hides_is_no_failure() {
        let at = Timestamp(1_790_000_000);
        let hidden = Outcome::Unknown { why: "refuses connections".to_owned(), nat: true };
        let hidden =
            LoopSeen { hop: None, again: false, idle: None, address: ADDRESS.parse().unwrap(), outcome: hidden };
        let loopback = LoopBack { at, seen: Ok(vec![hidden]), pending: false };
        let seen = Observation { loopback: Some(loopback), ..Observation::default() };
        let case = Case { server: "a.test", now: at, ..case(&seen) };
        let mut findings = [
            case.finding(Code::TcpConnect, ADDRESS, "refused"),
            case.finding(Code::WkServerTls, "11.22.33.44:8448", "a router"),
            case.finding(Code::TcpConnect, "11.22.33.45:443", "refused"),
            case.finding(Code::DnsResolve, "a.test", "no address"),
        ];
        soften(&case, &mut findings);
        let severities = findings.map(|finding| finding.severity);
        assert_eq!(severities, [Severity::Info, Severity::Info, Severity::Fail, Severity::Fail]);
    }
}
