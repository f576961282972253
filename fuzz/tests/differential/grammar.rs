//! Conversations as well-meaning, broken and hostile peers have them.

use fastrand::Rng;

/// The bytes of one connection, and the pieces in which they arrive.
pub(crate) struct Conversation {
    pub(crate) pieces: Vec<Vec<u8>>,
    /// How many requests or answers were generated into it.
    pub(crate) messages: usize,
}

impl Conversation {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

/// One to four pipelined requests.
pub(crate) fn requests(random: &mut Rng) -> Conversation {
    let messages = random.usize(1..=4);
    // Half of the conversations are sound but for one message, so that there is something to lose behind it.
    let broken = if random.bool() { messages } else { random.usize(0..messages) };
    let mut bytes = Vec::new();
    for number in 0..messages {
        let weird = number == broken || random.u8(..8) == 0;
        bytes.extend(request(random, weird));
    }
    if random.u8(..6) == 0 {
        mutate(random, &mut bytes);
    }
    Conversation { pieces: split(random, bytes), messages }
}

/// One answer, perhaps with interim ones before it and surplus behind it.
pub(crate) fn answer(random: &mut Rng) -> Conversation {
    let mut bytes = Vec::new();
    while random.u8(..10) == 0 {
        let interim = ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"];
        bytes.extend_from_slice(pick(random, &interim).as_bytes());
    }
    let weird = random.bool();
    bytes.extend(status_line(random, weird).into_bytes());
    fields(random, weird, &mut bytes, false);
    if random.u8(..12) == 0 {
        bytes.extend_from_slice(pick(random, &["\r\n", "x", "HTTP/1.1 200 OK\r\n\r\n"]).as_bytes());
    }
    if random.u8(..6) == 0 {
        mutate(random, &mut bytes);
    }
    Conversation { pieces: split(random, bytes), messages: 1 }
}

fn pick<'a, T: ?Sized>(random: &mut Rng, from: &[&'a T]) -> &'a T {
    from[random.usize(..from.len())]
}

/// Usually the first, sometimes another one.
fn mostly<'a>(random: &mut Rng, weird: bool, from: &[&'a str]) -> &'a str {
    if weird && random.u8(..3) == 0 { pick(random, from) } else { from[0] }
}

fn request(random: &mut Rng, weird: bool) -> Vec<u8> {
    let empty = mostly(random, weird, &["", "", "", "\r\n", "\r\n\r\n", "\n", "\r", " "]);
    let methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "x-Y_z!#$%&'*+.^`|~", "CONNECT"];
    let method = if weird && random.u8(..6) == 0 {
        pick(random, &["", "G(T", "G T", "get", "G\tT", "G\u{e9}T", "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM", "GET\0"])
    } else {
        pick(random, &methods)
    };
    let target = target(random, weird);
    let space = mostly(random, weird, &[" ", "  ", "\t", "", " \t", "\u{b}"]);
    let second = mostly(random, weird, &[" ", "  ", "\t", "", "\r"]);
    let versions = [
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/1.0",
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/0.9",
        "http/1.1",
        "HTTP/1.10",
        "HTTP/1",
        "HTTP/11",
        "",
        "HTTP /1.1",
        "HTTP/1.1 ",
    ];
    let version = mostly(random, weird, &versions);
    let end = line_end(random, weird);
    let mut bytes = format!("{empty}{method}{space}{target}{second}{version}{end}").into_bytes();
    fields(random, weird, &mut bytes, true);
    bytes
}

fn target(random: &mut Rng, weird: bool) -> String {
    let plain = ["/", "/_matrix/client/v3/sync?a=%20&b=", "/_matrix/x%2Fy//%2e%2e", "/_matrix/v2/send/1"];
    if !weird || random.bool() {
        return pick(random, &plain).to_owned();
    }
    let odd = [
        "*",
        "http://b.example/x?y",
        "HTTPS://b:8448/",
        "http://b",
        "http://b?x",
        "http://u@b/x",
        "http:///x",
        "ftp://b/x",
        "a:443",
        "x",
        "",
        "?x",
        "/a#b",
        "/a b",
        "http://[::1]/",
        "http://a:b/",
        "http://a:99999/x",
        "http://\u{e9}/",
        "//a/b",
        "/\\",
        "/\u{e9}",
        "/?\u{e9}",
        "://a/x",
        "http://a/#",
    ];
    if random.bool() {
        return pick(random, &odd).to_owned();
    }
    let at = if random.bool() { "/a" } else { "/a?b" };
    format!("{at}{}c", char::from(random.u8(..)))
}

fn status_line(random: &mut Rng, weird: bool) -> String {
    let status = if random.u8(..4) == 0 { random.u16(100..=620) } else { 200 };
    let status = match random.u8(..10) {
        0 => "204".to_owned(),
        1 => "304".to_owned(),
        2 if weird => pick(random, &["099", "20", "2000", "", "2x0", "+20", " 200", "600", "999"]).to_owned(),
        _ => status.to_string(),
    };
    let versions = [
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/1.0",
        "HTTP/1.2",
        "HTTP/2",
        "HTTP/2.0",
        "http/1.1",
        "\r\nHTTP/1.1",
        " HTTP/1.1",
        "ICY",
        "HTTP/01.1",
    ];
    let version = mostly(random, weird, &versions);
    let reason =
        mostly(random, weird, &[" OK", "", " ", " \u{e9}", " a\tb", " a\0b", "  ", "\tOK", " a\rb", "OK", " \u{7f}"]);
    let space = mostly(random, weird, &[" ", "  ", "\t", ""]);
    let end = line_end(random, weird);
    format!("{version}{space}{status}{reason}{end}")
}

fn line_end<'a>(random: &mut Rng, weird: bool) -> &'a str {
    if weird && random.u8(..16) == 0 { pick(random, &["\n", "\r", "\r\r\n", " \r\n", "\n\r\n"]) } else { "\r\n" }
}

/// The header section and a body that mostly fits it.
fn fields(random: &mut Rng, weird: bool, bytes: &mut Vec<u8>, to_server: bool) {
    let body = b"hello, world";
    let mut lines: Vec<String> = Vec::new();
    if to_server {
        let hosts: &[&[&str]] = if weird {
            &[&["Host: a"], &["host: a"], &[], &["Host: a", "HOST: a"], &["Host:"], &["Host : a"], &["Host: a,b"]]
        } else {
            &[&["Host: a"]]
        };
        lines.extend(hosts[random.usize(..hosts.len())].iter().map(|line| (*line).to_owned()));
    }
    let (mut length, mut chunked) = (None, false);
    match random.u8(..if weird { 8 } else { 3 }) {
        0 => length = Some(length_value(random, weird)),
        1 => chunked = true,
        // Every combination.
        3..=5 => {
            length = random.bool().then(|| length_value(random, weird));
            chunked = random.bool();
            if random.u8(..4) == 0 {
                lines.push(format!("content-length: {}", length_value(random, weird)));
            }
            if random.u8(..4) == 0 {
                lines.push(format!("Transfer-Encoding: {}", coding(random, weird)));
            }
        }
        _ => {}
    }
    let name_cases = |random: &mut Rng, name: &str| match random.u8(..4) {
        0 => name.to_ascii_lowercase(),
        1 => name.to_ascii_uppercase(),
        _ => name.to_owned(),
    };
    let colon = |random: &mut Rng| mostly(random, weird, &[": ", ":", ":  ", ":\t", " : ", "\t:", ":\r\n ", ":\u{b}"]);
    let end = |random: &mut Rng| {
        let weird = weird && random.u8(..3) == 0;
        mostly(random, weird, &["", " ", "\t", "\0", "\u{b}", "\r", ";", ","])
    };
    if let Some(length) = &length {
        lines.push(format!("{}{}{length}{}", name_cases(random, "Content-Length"), colon(random), end(random)));
    }
    if chunked {
        let coding = coding(random, weird);
        lines.push(format!("{}{}{coding}{}", name_cases(random, "Transfer-Encoding"), colon(random), end(random)));
    }
    for _ in 0..random.usize(..3) {
        let sound =
            ["A: b", "Accept: */*", "X: a, b", "x: again", "Empty:", "Connection: keep-alive", "Expect: 100-continue"];
        let odd = [
            "Connection: close",
            "Connection: x, Close",
            "connection: keep-alive, close",
            "A: b\r\n folded",
            "A: b\r\n\tfolded",
            "A : b",
            " A: b",
            "A b",
            ": b",
            "A: b\0c",
            "A: b\rc",
            "A: b\nC: d",
            "A: \u{e9}",
            "\u{e9}: a",
            "A: b\u{7f}",
            "A(: b",
            "A\0: b",
            "A:b:c",
            "Content_Length: 3",
            "Content-Length : 3",
            "Transfer-Encoding : chunked",
            "Content-Length\0: 3",
            "X: Content-Length: 3",
            "Trailer: x",
            "TE: trailers",
            "Upgrade: websocket",
            "Connection: upgrade",
        ];
        lines.push(if weird && random.bool() { pick(random, &odd) } else { pick(random, &sound) }.to_owned());
    }
    if weird && random.u8(..200) == 0 {
        lines.extend((0..random.usize(100..135)).map(|_| "a: b".to_owned()));
    }
    if random.bool() {
        random.shuffle(&mut lines);
    }
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(line_end(random, weird).as_bytes());
    }
    bytes.extend_from_slice(line_end(random, weird).as_bytes());
    if chunked && (length.is_none() || random.bool()) {
        chunks(random, weird, bytes);
    } else if let Some(length) = length {
        let fitting = length.parse().unwrap_or(5).min(body.len());
        let sent = if weird && random.u8(..6) == 0 { random.usize(..=body.len()) } else { fitting };
        bytes.extend_from_slice(&body[..sent]);
    } else if !to_server && random.bool() {
        bytes.extend_from_slice(body);
    }
}

fn length_value(random: &mut Rng, weird: bool) -> String {
    let odd = [
        "+5",
        "-1",
        "5, 5",
        "5,6",
        "0x5",
        "",
        " 5",
        "5 5",
        "00005",
        "18446744073709551615",
        "18446744073709551614",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "5;",
        "\"5\"",
        "5.0",
        "1e1",
        "\u{663}",
        "99999999999999999999999999",
    ];
    if weird && random.u8(..3) == 0 { pick(random, &odd).to_owned() } else { random.u8(..=12).to_string() }
}

fn coding<'a>(random: &mut Rng, weird: bool) -> &'a str {
    let odd = [
        "Chunked",
        "CHUNKED",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "gzip",
        "",
        "xchunked",
        "chunked;q=1",
        ",chunked",
        "chunked,",
        "\"chunked\"",
        "chunked chunked",
        "\u{b}chunked",
        "chunk",
        "cow",
    ];
    if weird && random.bool() { pick(random, &odd) } else { "chunked" }
}

fn chunks(random: &mut Rng, weird: bool, bytes: &mut Vec<u8>) {
    let weird = weird && random.bool();
    for _ in 0..random.usize(..4) {
        let size = random.usize(1..20);
        let text = match random.u8(..if weird { 12 } else { 3 }) {
            0 => format!("{size:X}"),
            1 => format!("0{size:x}"),
            3 => format!("{size:x} "),
            4 => format!("+{size:x}"),
            5 => format!("0x{size:x}"),
            6 => pick(
                random,
                &["", "g", "-1", "ffffffffffffffff", "fffffffffffffffff", "10000000000000000", " 1", "1 1"],
            )
            .to_owned(),
            7 => format!("{}{size:x}", "0".repeat(random.usize(1..20))),
            _ => format!("{size:x}"),
        };
        let sound = ["", "", "", "", ";a", ";a=b", " ;a=\"b c\""];
        let odd = [
            "; a = b ; c",
            ";\0",
            ";\u{e9}",
            ";a\u{7f}",
            ";a\rb",
            ";a\nb",
            "\t;a",
            " a",
            ";\"\r\n\"",
            ",a",
            "\u{b};a",
            " ",
        ];
        let extension = if weird && random.u8(..4) == 0 { pick(random, &odd) } else { pick(random, &sound) };
        bytes.extend_from_slice(format!("{text}{extension}{}", line_end(random, weird)).as_bytes());
        let sent = if weird && random.u8(..8) == 0 { random.usize(..20) } else { size };
        bytes.extend_from_slice(&b"01234\r\n890\r\n0\r\n\r\nGET"[..sent]);
        bytes.extend_from_slice(
            mostly(random, weird, &["\r\n", "\r\n", "\r\n", "\n", "", "\r", "x\r\n", "\r\r\n"]).as_bytes(),
        );
    }
    bytes.extend_from_slice(
        mostly(random, weird, &["0\r\n", "0;a\r\n", "000\r\n", "0 \r\n", "0\n", "", "-0\r\n", "0\r\r\n"]).as_bytes(),
    );
    let trailers = [
        "",
        "",
        "A: b\r\n",
        "A: b\r\nC:\r\n",
        "Content-Length: 5\r\n",
        "A : b\r\n",
        " A: b\r\n",
        "no colon\r\n",
        "A: b\n",
        "A: b\0\r\n",
        "A: b\r\n c\r\n",
        "\u{e9}: a\r\n",
        "A: \u{e9}\r\n",
        ": a\r\n",
        "A: b\rC: d\r\n",
        "A: b\r\r\n",
    ];
    let weird = weird || random.u8(..8) == 0;
    bytes.extend_from_slice(mostly(random, weird, &trailers).as_bytes());
    bytes.extend_from_slice(line_end(random, weird).as_bytes());
}

/// Changes that no grammar thinks of.
fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    const USEFUL: &[u8] = b"\r\n\t :;,/?#0159af\0\x0b\x7f\x80\xff\"<>\\^`{|}";
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let byte = if random.u8(..4) == 0 { random.u8(..) } else { USEFUL[random.usize(..USEFUL.len())] };
        match random.u8(..5) {
            0 | 1 => bytes.insert(at, byte),
            2 if at < bytes.len() => bytes[at] = byte,
            3 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.truncate(bytes.len() - random.usize(..=bytes.len().min(3))),
        }
    }
}

fn split(random: &mut Rng, bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let most = match random.u8(..10) {
        0..=4 => return vec![bytes],
        5 => 1,
        6 | 7 => 10,
        _ => 100,
    };
    let mut pieces = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.usize(1..=most).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = behind;
    }
    pieces
}
