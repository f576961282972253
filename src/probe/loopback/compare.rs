//! What was sent against what arrived: pure.

use super::arrival::Arrival;
use super::question::{FORGED, LONG, MARKS, QUERY, Question};
use super::seen::{Change, Ends, How, Item};
use crate::probe::connection::quote;

/// What the other side of the handshake was like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The serial number of the certificate, as in [`super::ArrivedTls`].
    pub(super) serial: String,
    /// The name that was asked for; none for an address.
    pub(super) sni: Option<String>,
    /// The application protocol agreed on.
    pub(super) alpn: Option<String>,
}

/// What was asked of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent<'a> {
    pub(super) question: &'a Question,
    /// The path up to the end of the nonce.
    pub(super) path: &'a str,
    pub(super) host: &'a str,
    /// Whether a listener would rightly believe what this machine says about others: it is one of
    /// `trusted_proxies.from` itself.
    pub(super) believed: bool,
}

/// Everything that is not as it was sent.
pub(super) fn changes(sent: &Sent<'_>, arrival: &Arrival) -> Vec<Change> {
    let found = [
        target(sent, arrival),
        host(sent, arrival),
        method(sent, arrival),
        authorization(sent, arrival),
        forwarding(sent, arrival),
        scheme(sent, arrival),
        long(sent, arrival),
        body(sent, arrival),
    ];
    found.into_iter().flatten().collect()
}

fn altered(item: Item, detail: String) -> Option<Change> {
    Some(Change { item, how: How::Altered, detail })
}

fn target(sent: &Sent<'_>, arrival: &Arrival) -> Option<Change> {
    let target = sent.question.target(sent.path);
    if target == arrival.target {
        return None;
    }
    let lost: Vec<_> = MARKS
        .iter()
        .filter(|(_, text)| target.contains(text) && !arrival.target.contains(text))
        .map(|(mark, _)| *mark)
        .chain((target.contains(QUERY) && !arrival.target.contains(QUERY)).then_some("the query"))
        .collect();
    // What stands before the nonce is named apart: the nonce itself is nobody's business.
    let (before, after) = sent.path.rsplit_once('/').unwrap_or((sent.path, ""));
    let head = arrival.target.find(after).and_then(|at| arrival.target.get(..at)).unwrap_or_default();
    let arrived = arrival.target.find(after).and_then(|at| arrival.target.get(at + after.len()..)).unwrap_or_default();
    let mut words = Vec::new();
    if head.trim_end_matches('/') != before {
        words.push(format!("{before} arrived as {}", quote(head.trim_end_matches('/'))));
    }
    if !lost.is_empty() {
        words.push(format!("{} changed", lost.join(" ")));
    }
    if arrived != sent.question.rest {
        words.push(format!("sent …{}, arrived …{}", sent.question.rest, quote(arrived)));
    }
    altered(Item::Target, words.join("; "))
}

fn host(sent: &Sent<'_>, arrival: &Arrival) -> Option<Change> {
    if arrival.host == sent.host {
        return None;
    }
    let bare = |text: &str| text.rsplit_once(':').map_or(text, |(host, _)| host).to_ascii_lowercase();
    let item = match bare(sent.host) == bare(&arrival.host) {
        true => Item::HostPort,
        false => Item::Host,
    };
    altered(item, format!("sent {}, arrived {}", sent.host, quote(&arrival.host)))
}

fn method(sent: &Sent<'_>, arrival: &Arrival) -> Option<Change> {
    let method = sent.question.method.as_str();
    if arrival.method == method {
        return None;
    }
    altered(Item::Method, format!("sent {method}, arrived {}", quote(&arrival.method)))
}

/// Compared in what arrived and in what the homeserver would get.
fn authorization(sent: &Sent<'_>, arrival: &Arrival) -> Option<Change> {
    let name = "authorization";
    let (lines, arrived): (Vec<_>, Vec<_>) = (sent.question.all(name).collect(), arrival.all(name).collect());
    if lines == arrived && lines.iter().copied().eq(arrival.all_onward(name)) {
        return None;
    }
    let joined = || arrived.iter().any(|line| line.windows(8).filter(|word| word == b"X-Matrix").count() > 1);
    let what = match (lines.len(), arrived.len()) {
        (_, 0) => "it was taken away".to_owned(),
        (2.., 1) if joined() => "two lines arrived as one, joined by a comma".to_owned(),
        (sent, arrived) if sent != arrived => format!("{sent} lines were sent, {arrived} arrived"),
        _ => {
            let other = lines.iter().zip(&arrived).find(|(sent, arrived)| sent != arrived).map(|(_, arrived)| *arrived);
            format!("a line arrived as {}", quote(&String::from_utf8_lossy(other.unwrap_or_default())))
        }
    };
    let pair = lines.len() > 1 && !arrived.is_empty();
    altered(if pair { Item::Authorizations } else { Item::Authorization }, what)
}

/// Whether a lie about the client's address was believed, or would reach the homeserver.
fn forwarding(sent: &Sent<'_>, arrival: &Arrival) -> Option<Change> {
    let lied = sent.question.all("x-forwarded-for").next().is_some();
    if !lied || sent.believed {
        return None;
    }
    if FORGED.parse() == Ok(arrival.client) {
        let detail = format!("the client is taken for {FORGED}, which the client itself had claimed");
        return altered(Item::Forwarding, detail);
    }
    let lie = memchr::memmem::find(&arrival.onward, FORGED.as_bytes()).is_some();
    let told: Vec<_> = arrival.all_onward("x-forwarded-for").collect();
    if lie || told != [arrival.client.to_string().as_bytes()] {
        return altered(Item::Forwarding, "the homeserver would be told another client than there is".to_owned());
    }
    None
}

/// Whether the homeserver is told the scheme once, and the right one.
fn scheme(sent: &Sent<'_>, arrival: &Arrival) -> Option<Change> {
    let lied = sent.question.all("x-forwarded-proto").next().is_some();
    if !lied || arrival.all_onward("x-forwarded-proto").eq([&b"https"[..]]) {
        return None;
    }
    altered(Item::Scheme, "the homeserver would not be told that the request came by https".to_owned())
}

fn long(sent: &Sent<'_>, arrival: &Arrival) -> Option<Change> {
    let line = sent.question.all(LONG).next()?;
    let arrived = arrival.all(LONG).next();
    if arrived == Some(line) {
        return None;
    }
    let length = arrived.map_or(0, <[u8]>::len);
    altered(Item::Header, format!("a header of {} bytes arrived with {length}", line.len()))
}

fn body(sent: &Sent<'_>, arrival: &Arrival) -> Option<Change> {
    let (body, arrived) = (&sent.question.body, &arrival.body);
    if body == arrived {
        return None;
    }
    let detail = match body.len() == arrived.len() {
        true => format!("{} bytes arrived as {} others", body.len(), arrived.len()),
        false => format!("{} bytes were sent, {} arrived", body.len(), arrived.len()),
    };
    altered(Item::Body, detail)
}

/// Where TLS ends, by what both sides know of the handshake.
pub(super) fn ends(shown: &Shown, arrival: &Arrival) -> Ends {
    let Some(arrived) = &arrival.tls else {
        return Ends::Before("requests arrive in plain text".to_owned());
    };
    let word = |text: &Option<String>| text.as_deref().map_or_else(|| "none".to_owned(), quote);
    if shown.serial != arrived.serial {
        return Ends::Before(format!(
            "the certificate shown outside has the serial number {}, the one shown here {}",
            shown.serial, arrived.serial
        ));
    }
    if !same_name(shown.sni.as_deref(), arrived.sni.as_deref()) {
        return Ends::Before(format!("the name asked for was {}, here it is {}", word(&shown.sni), word(&arrived.sni)));
    }
    if shown.alpn != arrived.alpn {
        return Ends::Before(format!(
            "the protocol outside is {}, here it is {}",
            word(&shown.alpn),
            word(&arrived.alpn)
        ));
    }
    Ends::Here
}

fn same_name(sent: Option<&str>, arrived: Option<&str>) -> bool {
    match (sent, arrived) {
        (Some(sent), Some(arrived)) => sent.eq_ignore_ascii_case(arrived),
        (sent, arrived) => sent == arrived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::loopback::ArrivedTls;
    use bytes::Bytes;
    use std::net::IpAddr;

    const PATH: &str = "/_matrix/federation/v1/vestibule.loop/0123456789abcdef0123456789abcdef";
    const HOST: &str = "matrix.a.test:8448";

    /// What arrives when nothing touches `question`.
    fn untouched(question: &Question) -> Arrival {
        let request = question.request(PATH, HOST).unwrap();
        let lines = request.headers().iter();
        let lines: Vec<_> = lines
            .map(|(name, value)| (Bytes::from(name.as_str().to_owned()), Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        let client: IpAddr = "192.0.2.7".parse().unwrap();
        let mut onward = format!("{} {} HTTP/1.1\r\nHost: {HOST}\r\n", question.method, question.target(PATH));
        for (name, value) in lines.iter().filter(|(name, _)| name == "authorization") {
            onward += &format!("{}: {}\r\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        }
        onward += &format!("X-Forwarded-For: {client}\r\nX-Forwarded-Proto: https\r\n\r\n");
        Arrival {
            method: question.method.to_string(),
            target: question.target(PATH),
            host: HOST.to_owned(),
            tls: None,
            peer: client,
            client,
            lines,
            body: question.body.clone(),
            onward: onward.into(),
        }
    }

    fn found(question: &Question, spoil: impl Fn(&mut Arrival)) -> Vec<(Item, String)> {
        let mut arrival = untouched(question);
        spoil(&mut arrival);
        let sent = Sent { question, path: PATH, host: HOST, believed: false };
        changes(&sent, &arrival).into_iter().map(|change| (change.item, change.detail)).collect()
    }

    #[test]
    fn what_is_left_alone_is_proven() {
        for question in [Question::plain(), Question::whole(), Question::put(), Question::long()] {
            assert_eq!(found(&question, |_| {}), [], "{question:?}");
        }
    }

    #[test]
    fn targets() {
        let whole = Question::whole();
        let table: [(&str, &str, &str); 6] = [
            ("/a%2Fb", "/a/b", "%2F changed; sent …"),
            ("//k", "/k", "// changed; sent …"),
            ("%40l%3Am", "@l:m", "the query changed; sent …"),
            ("/g%3Ah/i;j", "/g:h/i", "%3A ; changed; sent …"),
            ("/_matrix", "", "/_matrix/federation/v1/vestibule.loop arrived as /federation/v1/vestibule.loop"),
            ("/_matrix", "/x/_matrix", "/_matrix/federation/v1/vestibule.loop arrived as /x/_matrix/federation"),
        ];
        for (from, to, words) in table {
            let found = found(&whole, |arrival| arrival.target = arrival.target.replacen(from, to, 1));
            let [(Item::Target, detail)] = &found[..] else { panic!("{from}: {found:?}") };
            assert!(detail.starts_with(words), "{from}: {detail}");
            assert!(!detail.contains("0123456789"), "the nonce is not told: {detail}");
        }
    }

    #[test]
    fn headers_and_bodies() {
        let line = |arrival: &mut Arrival, name: &str, value: &[&str]| {
            arrival.lines.retain(|(line, _)| *line != name);
            let lines = value.iter().map(|value| (Bytes::from(name.to_owned()), Bytes::from((*value).to_owned())));
            arrival.lines.extend(lines);
        };
        let (whole, put, long) = (Question::whole(), Question::put(), Question::long());
        let one = |found: Vec<(Item, String)>| match &found[..] {
            [one] => one.clone(),
            other => panic!("{other:?}"),
        };
        let (item, detail) = one(found(&whole, |arrival| arrival.host = "127.0.0.1:8448".to_owned()));
        assert_eq!((item, detail.as_str()), (Item::Host, "sent matrix.a.test:8448, arrived 127.0.0.1:8448"));
        let (item, _) = one(found(&whole, |arrival| arrival.host = "Matrix.a.test".to_owned()));
        assert_eq!(item, Item::HostPort);
        let (item, detail) =
            one(found(&whole, |arrival| line(arrival, "authorization", &["X-Matrix a=\"b\", X-Matrix c=\"d\""])));
        assert_eq!((item, detail.as_str()), (Item::Authorizations, "two lines arrived as one, joined by a comma"));
        let (item, detail) = one(found(&whole, |arrival| line(arrival, "authorization", &[])));
        assert_eq!((item, detail.as_str()), (Item::Authorization, "it was taken away"));
        let (item, detail) = one(found(&put, |arrival| line(arrival, "authorization", &["X-Matrix origin=a"])));
        assert_eq!((item, detail.as_str()), (Item::Authorization, "a line arrived as X-Matrix origin=a"));
        let (item, _) = one(found(&put, |arrival| {
            arrival.onward = String::from_utf8_lossy(&arrival.onward).replace("authorization", "x").into();
        }));
        assert_eq!(item, Item::Authorization, "what the homeserver gets counts too");
        let (item, detail) = one(found(&put, |arrival| arrival.body = Bytes::from_static(b"{}")));
        assert_eq!((item, detail.as_str()), (Item::Body, "1024 bytes were sent, 2 arrived"));
        let (item, detail) = one(found(&put, |arrival| arrival.method = "POST".to_owned()));
        assert_eq!((item, detail.as_str()), (Item::Method, "sent PUT, arrived POST"));
        let (item, detail) = one(found(&long, |arrival| line(arrival, LONG, &["x"])));
        assert_eq!((item, detail.as_str()), (Item::Header, "a header of 7168 bytes arrived with 1"));
    }

    #[test]
    fn forged_addresses() {
        let whole = Question::whole();
        let believe = |arrival: &mut Arrival| {
            arrival.client = FORGED.parse().unwrap();
            arrival.onward = String::from_utf8_lossy(&arrival.onward).replace("192.0.2.7", FORGED).into();
        };
        assert_eq!(found(&whole, believe)[0].0, Item::Forwarding);
        let mut arrival = untouched(&whole);
        believe(&mut arrival);
        let sent = Sent { question: &whole, path: PATH, host: HOST, believed: true };
        assert_eq!(changes(&sent, &arrival), [], "a proxy that is trusted may say so");
        let leak = |arrival: &mut Arrival| {
            arrival.onward =
                String::from_utf8_lossy(&arrival.onward).replace("\r\n\r\n", "\r\nA: 203.0.113.66\r\n\r\n").into();
        };
        assert_eq!(found(&whole, leak)[0].0, Item::Forwarding);
        let plain = |arrival: &mut Arrival| {
            arrival.onward = String::from_utf8_lossy(&arrival.onward).replace("https", "http").into();
        };
        assert_eq!(found(&whole, plain)[0].0, Item::Scheme);
    }

    #[test]
    fn where_tls_ends() {
        let shown = |serial: &str, sni: Option<&str>, alpn: Option<&str>| Shown {
            serial: serial.to_owned(),
            sni: sni.map(str::to_owned),
            alpn: alpn.map(str::to_owned),
        };
        let arrived = |serial: &str, sni: Option<&str>, alpn: Option<&str>| Arrival {
            tls: Some(ArrivedTls {
                serial: serial.to_owned(),
                sni: sni.map(str::to_owned),
                alpn: alpn.map(str::to_owned),
            }),
            ..Arrival::default()
        };
        let outside = shown("0a", Some("a.test"), Some("http/1.1"));
        assert_eq!(ends(&outside, &arrived("0a", Some("A.test"), Some("http/1.1"))), Ends::Here);
        assert_eq!(ends(&shown("0a", None, None), &arrived("0a", None, None)), Ends::Here);
        for (arrival, words) in [
            (Arrival::default(), "plain text"),
            (arrived("0b", Some("a.test"), Some("http/1.1")), "serial number"),
            (arrived("0a", None, Some("http/1.1")), "here it is none"),
            (arrived("0a", Some("a.test"), None), "protocol outside is http/1.1"),
        ] {
            let Ends::Before(why) = ends(&outside, &arrival) else { panic!("{arrival:?}") };
            assert!(why.contains(words), "{why}");
        }
    }
}
