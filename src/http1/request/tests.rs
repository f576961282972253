use super::*;

const LIMITS: Limits = Limits { head: 32 * 1024, target: 8 * 1024 };

fn read(text: impl AsRef<[u8]>) -> Result<Option<RequestHead>, RequestError> {
    HeadReader::new(LIMITS).read(&mut BytesMut::from(text.as_ref()))
}

fn refused(text: impl AsRef<[u8]>) -> RequestError {
    match read(&text) {
        Err(error) => error,
        Ok(_) => panic!("accepted: {:?}", String::from_utf8_lossy(text.as_ref())),
    }
}

fn good(text: &str) -> RequestHead {
    read(text).unwrap().unwrap()
}

#[test]
fn a_head_keeps_its_bytes() {
    let head = good(
        "PUT /_matrix/x%2Fy//%2e%2e?a=%20&b={\"<>\"} HTTP/1.1\r\nhOsT: A.example:8448\r\nX:  spaced \t\r\nx: again\r\n\r\n",
    );
    assert_eq!(head.method(), "PUT");
    assert_eq!(head.target(), "/_matrix/x%2Fy//%2e%2e?a=%20&b={\"<>\"}");
    assert_eq!((head.path(), head.query()), ("/_matrix/x%2Fy//%2e%2e", Some("a=%20&b={\"<>\"}")));
    let lines: Vec<_> = head.fields().iter().collect();
    assert_eq!(lines, [(&b"hOsT"[..], &b"A.example:8448"[..]), (b"X", b"spaced"), (b"x", b"again")]);
    assert_eq!((head.framing(), head.is_persistent(), head.version()), (Framing::Length(0), true, Version::Http11));
}

#[test]
fn framing_leaves_nothing_to_guess() {
    let with =
        |lines: &str| read(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).map(|head| head.unwrap().framing());
    assert_eq!(with("Content-Length: 7\r\n"), Ok(Framing::Length(7)));
    assert_eq!(with("Content-Length: 9223372036854775807\r\n"), Ok(Framing::Length(i64::MAX as u64)));
    assert_eq!(with("Transfer-Encoding: CHUNKED\r\n"), Ok(Framing::Chunked));
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 5 \t6\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
    ] {
        assert!(matches!(with(lines), Err(Malformed(_))), "{lines:?}");
    }
    for lines in ["Transfer-Encoding: gzip\r\n", "Transfer-Encoding: identity\r\n", "Transfer-Encoding:\r\n"] {
        assert_eq!(with(lines), Err(RequestError::UnknownCoding), "{lines:?}");
    }
    let old = refused("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(matches!(old, Malformed(_)));
}

#[test]
fn lines_are_strict() {
    for line in [
        "A: b\r\n folded",
        " leading: space",
        "A : b",
        "no colon",
        ": empty",
        "A: b\0c",
        "A: b\x01c",
        "A: b\x7fc",
        "A: b\rc",
        "A: b\nC: d",
        "A\u{e9}: b",
        "A(b): c",
        "A: b\r",
    ] {
        let error = refused(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
        assert!(matches!(error, Malformed(_)), "{line:?}: {error:?}");
    }
    assert!(read("GET / HTTP/1.1\r\nHost: a\r\nA: \t\u{e9}b\r\n\r\n").is_ok(), "tab and obs-text are values");
}

#[test]
fn request_lines_are_strict() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.10",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTPS/1.1",
        "GET /",
        "GET / \u{1}",
        "G(T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET a HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a:443 HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET ://a/ HTTP/1.1",
        "CONNECT ://a/ HTTP/1.1",
        "GET http://a HTTP/1.1",
        "GET http://a?x HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http://u@a/x HTTP/1.1",
        "GET http://\u{e9}/x HTTP/1.1",
        "GET http://a\\b/x HTTP/1.1",
        "GET http://a%62/x HTTP/1.1",
        "/ HTTP/1.1",
    ] {
        let error = refused(format!("{line}\r\nHost: a\r\n\r\n"));
        assert!(matches!(error, Malformed(_)), "{line:?}: {error:?}");
    }
    assert!(matches!(refused(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"), Malformed(_)));
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1"] {
        assert_eq!(refused(format!("GET / {version}\r\nHost: a\r\n\r\n")), RequestError::UnknownVersion, "{version}");
    }
    let absolute = good("GET HTTPS://b.example:8448/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((absolute.authority(), absolute.target()), (Some("b.example:8448"), "/x?y"));
    assert_eq!(good("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n").target(), "a:443");
    assert_eq!(good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").target(), "*");
    assert_eq!(good("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").target(), "/");
}

#[test]
fn one_host() {
    for lines in ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nHost: b\r\n"] {
        assert!(matches!(refused(format!("GET / HTTP/1.1\r\n{lines}\r\n")), Malformed(_)), "{lines:?}");
    }
    assert!(!good("GET / HTTP/1.0\r\n\r\n").is_persistent());
    assert!(!good("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n").is_persistent());
}

#[test]
fn heads_are_bounded() {
    let line = |length: usize| format!("A: {}\r\n", "x".repeat(length));
    let head = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    assert!(read(head(&line(30_000))).is_ok());
    assert_eq!(refused(head(&line(100_000))), RequestError::TooLarge);
    assert_eq!(refused(&head(&line(100_000)).as_bytes()[..40_000]), RequestError::TooLarge);
    assert_eq!(refused(head(&"a: b\r\n".repeat(200))), RequestError::TooManyFields);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1 << 20));
    for part in [9_000, 20_000, 1 << 20, long.len()] {
        assert_eq!(refused(&long.as_bytes()[..part]), RequestError::TargetTooLong, "{part}");
    }
    for length in [33, 64 * 1024] {
        let method = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(length));
        assert!(matches!(refused(&method), Malformed(_)), "{length}");
    }
}

#[test]
fn another_protocol_is_told_at_once() {
    // A TLS ClientHello, SSH, HTTP/0.9, HTTP/2's preface: none would ever send the empty line.
    for start in [
        &b"GET / HTTP/1.1\nHost: a\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-x\r\n",
        b"GET /\r\n",
        b"PRI * HTTP/2.0\r\n",
    ] {
        assert!(read(start).is_err(), "{start:?}");
    }
    assert!(read("GET /_matrix HTTP/1.1\r\nHost: a\r\nAcc").unwrap().is_none());
    assert!(read("").unwrap().is_none());
    assert!(read("GE").unwrap().is_none());
}

#[test]
fn empty_lines_before_a_request_come_to_an_end() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let after = |lines: usize| format!("{}{request}", "\r\n".repeat(lines));
    assert_eq!(good(&after(4)).target(), "/");
    assert!(matches!(refused(after(5)), Malformed(_)));
    let mut reader = HeadReader::new(LIMITS);
    let mut one_by_one = || reader.read(&mut BytesMut::from("\r\n")).map(|head| head.is_none());
    assert_eq!([(); 4].map(|()| one_by_one()), [Ok(true); 4]);
    assert!(one_by_one().is_err());
    // Those between two requests count anew.
    let mut reader = HeadReader::new(LIMITS);
    let mut buffer = BytesMut::from(after(4).repeat(2).as_str());
    assert!(reader.read(&mut buffer).unwrap().is_some());
    assert!(reader.read(&mut buffer).unwrap().is_some());
}

#[test]
fn expectations_need_a_body() {
    let with = |lines: &str| good(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).expects_continue();
    assert!(with("Expect: 100-Continue\r\nContent-Length: 1\r\n"));
    assert!(!with("Expect: 100-continue\r\n"));
    assert!(!with("Content-Length: 1\r\n"));
}

#[test]
fn http2_heads_are_built_alike() {
    let build = |lines: &[(&'static str, &'static str)], complete| {
        let lines = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHead::build("PUT", Some("a.example"), "/x?y", lines, (complete, LIMITS))
    };
    let head = build(&[("a", "b"), ("content-length", "3")], false).unwrap();
    assert_eq!((head.method(), head.target(), head.authority()), ("PUT", "/x?y", Some("a.example")));
    assert_eq!((head.framing(), head.fields().first("A")), (Framing::Length(3), Some(&b"b"[..])));
    assert_eq!(build(&[], false).unwrap().framing(), Framing::Chunked);
    assert_eq!(build(&[], true).unwrap().framing(), Framing::Length(0));
    assert_eq!(build(&[("content-length", "0")], false).unwrap().framing(), Framing::Length(0));
    assert!(build(&[("content-length", "3")], true).is_err());
    assert!(build(&[("content-length", "3"), ("content-length", "3")], false).is_err());
    assert!(build(&[("transfer-encoding", "chunked")], false).is_err());
    assert_eq!(build(&[("a", "b"); 129], true).unwrap_err(), RequestError::TooManyFields);
}

proptest::proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_the_split(
        text in "(GET|P|\\(| )( |  )(/[a-z%#]{0,4}|http://[a-z@]{0,3}/?|\\*) HTTP/[12]\\.[01]\r?\n((Host|A|Content-Length|Transfer-Encoding)( )?:( )?(a|5|chunked|\0)\r?\n){0,4}\r\n",
        step in 1_usize..20,
    ) {
        let whole = read(&text).map(|head| head.map(|head| (head.target().to_owned(), head.framing())));
        let mut reader = HeadReader::new(LIMITS);
        let mut buffer = BytesMut::new();
        let mut split = Ok(None);
        for piece in text.as_bytes().chunks(step) {
            buffer.extend_from_slice(piece);
            split = reader.read(&mut buffer).map(|head| head.map(|head| (head.target().to_owned(), head.framing())));
            if !matches!(split, Ok(None)) {
                break;
            }
        }
        proptest::prop_assert_eq!(whole.map_err(|_| ()), split.map_err(|_| ()));
    }
}
