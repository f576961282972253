//! What may leave a proxy towards the homeserver: a strict reading of raw bytes, pure.
//!
//! Every request that any probe makes arrive is read by this, whatever else the probe asks for. A byte that could be
//! read in two ways is a fault, so that no homeserver is ever asked to choose.

/// The mark in every target: `/_matrix/p/<probe>/…` tells whose request it is.
pub const PATH: &str = "/_matrix/p/";

/// Stands in every forged address, so that one that survives is seen wherever it stands.
pub const FORGED: [&str; 2] = ["6.6.6.6", "evil.invalid"];

/// Fields that end at the next hop (RFC 9110 §7.6.1). `Connection` and `Upgrade` are looked at together.
const HOP_BY_HOP: [&str; 7] =
    ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer", "http2-settings"];

/// A request that reads in one way only.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// As Latin-1, so that every byte is a character. So are the values.
    pub target: String,
    /// With their names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Whether the body came to its end.
    pub whole: bool,
    /// Which connection it came by, counted from 0.
    pub connection: usize,
}

/// What stands at the start of some bytes.
#[derive(Debug)]
pub enum Reading {
    /// Nothing whole yet.
    Head,
    /// A head, and so much of its body.
    Body(Request),
    /// A request, and how many bytes it took.
    Whole(Request, usize),
    Broken(String),
}

impl Request {
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    /// Which probe it belongs to.
    pub fn probe(&self) -> Option<&str> {
        self.target.strip_prefix(PATH)?.split(['/', '?']).next()
    }

    pub fn asks_for_websocket(&self) -> bool {
        self.value("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    }
}

/// Reads the request at the start of `bytes`.
pub fn read(bytes: &[u8]) -> Reading {
    match try_read(bytes) {
        Ok(reading) => reading,
        Err(fault) => Reading::Broken(fault),
    }
}

fn try_read(bytes: &[u8]) -> Result<Reading, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        // A fault within a head that never ends must not go unseen.
        lines_of(bytes.rsplit_once_crlf())?;
        return Ok(Reading::Head);
    };
    let mut lines = lines_of(&bytes[..end])?.into_iter();
    let (method, target) = request_line(&lines.next().unwrap_or_default())?;
    let fields = lines.map(|line| field(&line)).collect::<Result<Vec<_>, _>>()?;
    let mut request = Request { method, target, fields, ..Request::default() };
    let framing = framing(&request)?;
    check_fields(&request)?;
    let mut at = end + 4;
    match framing {
        Framing::Length(length) => {
            let have = (bytes.len() - at).min(length);
            request.body = bytes[at..at + have].to_vec();
            request.whole = have == length;
            at += have;
        }
        Framing::Chunked => match chunks(&bytes[at..], &mut request)? {
            Some(taken) => {
                request.whole = true;
                at += taken;
            }
            None => return Ok(Reading::Body(request)),
        },
    }
    Ok(if request.whole { Reading::Whole(request, at) } else { Reading::Body(request) })
}

trait RsplitCrlf {
    fn rsplit_once_crlf(&self) -> &[u8];
}

impl RsplitCrlf for [u8] {
    /// Everything before the last whole line end.
    fn rsplit_once_crlf(&self) -> &[u8] {
        self.windows(2).rposition(|window| window == b"\r\n").map_or(&[], |at| &self[..at])
    }
}

/// Lines as Latin-1. Only CRLF ends one, and nothing but a tab may stand below the space.
fn lines_of(head: &[u8]) -> Result<Vec<String>, String> {
    let text: String = head.iter().copied().map(char::from).collect();
    let lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    match lines.iter().find(|line| line.chars().any(|c| (c < ' ' && c != '\t') || c == '\u{7f}')) {
        Some(line) => Err(format!("a control byte in {}", shown(line))),
        None => Ok(lines),
    }
}

fn request_line(line: &str) -> Result<(String, String), String> {
    let fault = |what: &str| Err(format!("{what} in {}", shown(line)));
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts[..] else { return fault("not three words") };
    if method.is_empty() || !method.bytes().all(is_token) {
        return fault("a bad method");
    }
    if version != "HTTP/1.1" {
        return fault("not HTTP/1.1");
    }
    if !target.starts_with('/') {
        return fault("not origin-form");
    }
    if target.contains('#') || target.contains('\t') {
        return fault("a fragment or a tab");
    }
    if target.contains("smuggled") {
        return fault("a second request within the first");
    }
    Ok((method.to_owned(), target.to_owned()))
}

fn field(line: &str) -> Result<(String, String), String> {
    let Some((name, value)) = line.split_once(':') else { return Err(format!("no colon in {}", shown(line))) };
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("a bad name, or a fold, in {}", shown(line)));
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

enum Framing {
    Length(usize),
    Chunked,
}

/// One of the two, once; a request without either has no body.
fn framing(request: &Request) -> Result<Framing, String> {
    match (&request.values("content-length")[..], &request.values("transfer-encoding")[..]) {
        ([], []) => Ok(Framing::Length(0)),
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Framing::Length).map_err(|_| format!("a length of {length}"))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (lengths, codings) => Err(format!("framed by Content-Length {lengths:?} and Transfer-Encoding {codings:?}")),
    }
}

fn check_fields(request: &Request) -> Result<(), String> {
    match request.values("host")[..] {
        [host] if !host.is_empty() && !host.contains([' ', ',', '@', '/', '\t']) => {}
        ref hosts => return Err(format!("Host {hosts:?}")),
    }
    match (&request.values("connection")[..], &request.values("upgrade")[..]) {
        ([], []) => {}
        // What a proxy asks of its own accord, such as whether the homeserver is up, may end the connection.
        (["close"], []) if request.probe().is_none() => {}
        ([connection], [upgrade])
            if upgrade.eq_ignore_ascii_case("websocket")
                && connection
                    .split(',')
                    .all(|word| ["upgrade", "keep-alive"].contains(&&*word.trim().to_ascii_lowercase())) => {}
        (connection, upgrade) => return Err(format!("Connection {connection:?}, Upgrade {upgrade:?}")),
    }
    for (name, value) in &request.fields {
        if HOP_BY_HOP.contains(&name.as_str()) {
            return Err(format!("hop-by-hop {name}: {}", shown(value)));
        }
        // CGI and its heirs take one for the other.
        if ["content_length", "transfer_encoding", "x_forwarded_for"].contains(&name.as_str()) {
            return Err(format!("{name}, which some read with a hyphen"));
        }
        if FORGED.iter().any(|forged| value.contains(forged)) {
            return Err(format!("forged {name}: {}", shown(value)));
        }
    }
    Ok(())
}

/// The body of `request`; how many bytes it took, or `None` while it goes on.
fn chunks(bytes: &[u8], request: &mut Request) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some(end) = bytes[at..].windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let line = &bytes[at..at + end];
        let digits = !line.is_empty() && line.iter().all(u8::is_ascii_hexdigit);
        let size = digits.then(|| usize::from_str_radix(&String::from_utf8_lossy(line), 16).ok()).flatten();
        let size = size.ok_or_else(|| format!("a chunk size of {}", shown(&String::from_utf8_lossy(line))))?;
        at += end + 2;
        if size == 0 {
            return trailers(&bytes[at..], request).map(|taken| taken.map(|taken| at + taken));
        }
        let have = (bytes.len() - at).min(size);
        request.body.extend_from_slice(&bytes[at..at + have]);
        at += have;
        let after = &bytes[at..bytes.len().min(at + 2)];
        if have < size || (after.len() < 2 && b"\r\n".starts_with(after)) {
            return Ok(None);
        }
        if after != b"\r\n" {
            return Err("no line end after a chunk".to_owned());
        }
        at += 2;
    }
}

fn trailers(bytes: &[u8], request: &mut Request) -> Result<Option<usize>, String> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    for line in lines_of(&bytes[..end])? {
        let (name, value) = field(&line)?;
        // RFC 9110 §6.5.1: nothing that frames, routes or authenticates.
        if ["host", "content-length", "transfer-encoding", "authorization"].contains(&name.as_str())
            || FORGED.iter().any(|forged| value.contains(forged))
        {
            return Err(format!("{name} in trailers"));
        }
        request.trailers.push((name, value));
    }
    Ok(Some(end + 4))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Outside text for a message, short and on one line.
pub fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("{short:?}{}", if short.len() < text.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &str) -> String {
        match read(bytes.as_bytes()) {
            Reading::Head => "head".to_owned(),
            Reading::Body(request) => format!("body {}", request.body.len()),
            Reading::Whole(request, taken) => format!("{} {}", request.body.len(), bytes.len() - taken),
            Reading::Broken(fault) => fault,
        }
    }

    #[test]
    fn what_reads_in_one_way() {
        let get = "GET /a HTTP/1.1\r\nHost: a\r\n";
        for (more, expected) in [
            ("\r\n", "0 0"),
            ("\r", "head"),
            ("Content-Length: 3\r\n\r\nabcGET", "3 3"),
            ("Content-Length: 3\r\n\r\nab", "body 2"),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "2 0"),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: b\r\n\r\nX", "2 1"),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r", "body 2"),
            ("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "0 0"),
            ("Connection: close\r\n\r\n", "0 0"),
        ] {
            assert_eq!(verdict(&format!("{get}{more}")), expected, "{more:?}");
        }
    }

    #[test]
    fn what_does_not() {
        let get = "GET /a HTTP/1.1\r\nHost: a\r\n";
        for (more, expected) in [
            ("A: b\nC: d\r\n\r\n", "control byte"),
            ("A: b\rc\r\nD", "control byte"),
            (" fold\r\n\r\n", "no colon"),
            (" a: fold\r\n\r\n", "fold"),
            ("Host: b\r\n\r\n", "Host"),
            ("Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "framed by"),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "framed by"),
            ("Transfer-Encoding: gzip, chunked\r\n\r\n", "framed by"),
            ("Content-Length: +1\r\n\r\n", "framed by"),
            ("Connection: X-Secret\r\n\r\n", "Connection"),
            ("Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "Upgrade"),
            ("TE: trailers\r\n\r\n", "hop-by-hop"),
            ("X-Forwarded-For: 6.6.6.6, 127.0.0.1\r\n\r\n", "forged"),
            ("Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n", "chunk size"),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "no line end"),
            ("Transfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n", "trailers"),
        ] {
            let seen = verdict(&format!("{get}{more}"));
            assert!(seen.contains(expected), "{more:?}: {seen}");
        }
        for line in
            ["GET http://a/ HTTP/1.1", "GET /a#b HTTP/1.1", "GET /a HTTP/1.0", "GET  /a HTTP/1.1", "G@T / HTTP/1.1"]
        {
            let seen = verdict(&format!("{line}\r\nHost: a\r\n\r\n"));
            assert!(seen.contains(" in "), "{line}: {seen}");
        }
    }
}
