//! What came back over HTTP/1.1, read strictly: pure.

/// One answer, final or interim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// With their names in lower case; Latin-1.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body came to the end that its framing told. One that ends with the connection never says.
    pub whole: bool,
}

impl Answer {
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// The answers in `bytes`, interim ones included. `to_head` says which of the final ones (from 0) answer a HEAD request;
/// `closed` whether the connection has ended. The last answer may be in the making. An error is a malformed answer.
pub fn read(bytes: &[u8], to_head: &[usize], closed: bool) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    let mut finals = 0;
    let mut rest = bytes;
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let mut answer = head(&rest[..end])?;
        rest = &rest[end + 4..];
        if answer.status == 101 {
            // What follows is not HTTP.
            (answer.whole, answer.body) = (true, rest.to_vec());
            answers.push(answer);
            return Ok(answers);
        }
        let interim = answer.is_interim();
        if !interim {
            finals += 1;
        }
        let bodiless =
            interim || matches!(answer.status, 204 | 304) || to_head.contains(&(finals - usize::from(!interim)));
        let length = answer.value("content-length").map(str::to_owned);
        let coding = answer.value("transfer-encoding").map(str::to_owned);
        match (length, coding) {
            _ if bodiless => answer.whole = true,
            (Some(length), None) => {
                let length: usize = length.parse().map_err(|_| format!("Content-Length {length:?}"))?;
                answer.whole = rest.len() >= length;
                answer.body = rest[..length.min(rest.len())].to_vec();
                rest = &rest[answer.body.len()..];
            }
            (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => rest = chunks(rest, &mut answer)?,
            (None, None) => {
                answer.body = rest.to_vec();
                answer.whole = closed;
                rest = &[];
            }
            (length, coding) => return Err(format!("an answer with Content-Length {length:?} and coding {coding:?}")),
        }
        let whole = answer.whole;
        answers.push(answer);
        if !whole {
            return Ok(answers);
        }
    }
    if !rest.is_empty() && !b"HTTP/1.".starts_with(&rest[..rest.len().min(7)]) {
        return Err(format!("no HTTP/1.x: {:?}", String::from_utf8_lossy(&rest[..rest.len().min(60)])));
    }
    Ok(answers)
}

fn head(bytes: &[u8]) -> Result<Answer, String> {
    let text: String = bytes.iter().copied().map(char::from).collect();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let fault = |what: &str| format!("{what} in the answer's {line:?}");
    // RFC 9112 §2.3 lets a server answer an old client in its own version.
    let status = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
    let status = status.ok_or_else(|| fault("no HTTP/1.x"))?;
    let status = status.split(' ').next().filter(|digits| digits.len() == 3).and_then(|digits| digits.parse().ok());
    let status = status.filter(|status| (100..600).contains(status)).ok_or_else(|| fault("a bad status"))?;
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon in the answer's {line:?}"))?;
        let clean = |text: &str| !text.chars().any(|c| (c < ' ' && c != '\t') || c == '\u{7f}');
        if name.is_empty() || name.contains([' ', '\t']) || !clean(name) || !clean(value) {
            return Err(format!("a bad byte in the answer's {line:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    for name in ["content-length", "transfer-encoding"] {
        if fields.iter().filter(|(other, _)| other == name).count() > 1 {
            return Err(format!("two {name} in an answer"));
        }
    }
    Ok(Answer { status, fields, ..Answer::default() })
}

fn chunks<'a>(mut rest: &'a [u8], answer: &mut Answer) -> Result<&'a [u8], String> {
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return Ok(&[]) };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        let size = usize::from_str_radix(&line, 16).map_err(|_| format!("a chunk size of {line:?} in an answer"))?;
        rest = &rest[end + 2..];
        if size == 0 {
            // Trailers, if any, and the empty line.
            loop {
                let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return Ok(&[]) };
                rest = &rest[end + 2..];
                if end == 0 {
                    answer.whole = true;
                    return Ok(rest);
                }
            }
        }
        answer.body.extend_from_slice(&rest[..size.min(rest.len())]);
        match rest.get(size..size + 2) {
            Some(b"\r\n") => rest = &rest[size + 2..],
            Some(other) => return Err(format!("{other:?} after a chunk of an answer")),
            None => return Ok(&[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(bytes: &str, to_head: &[usize], closed: bool) -> String {
        match read(bytes.as_bytes(), to_head, closed) {
            Ok(answers) => {
                let shown = |answer: &Answer| {
                    format!("{}{}{}", answer.status, if answer.whole { "" } else { "…" }, answer.body.len())
                };
                answers.iter().map(shown).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error,
        }
    }

    #[test]
    fn answers_follow_each_other() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (bytes, to_head, closed, expected) in [
            (format!("{length}ab{length}c"), &[][..], true, "2002 200…1"),
            (format!("{length}{length}ab"), &[0], false, "2000 2002"),
            (format!("HTTP/1.1 100 Continue\r\n\r\n{length}ab"), &[], false, "1000 2002"),
            (format!("{chunked}2\r\nab\r\n0\r\n\r\n{length}"), &[], false, "2002 200…0"),
            (format!("{chunked}2\r\nab\r\n"), &[], true, "200…2"),
            ("HTTP/1.1 200 OK\r\n\r\nab".to_owned(), &[], true, "2002"),
            ("HTTP/1.1 200 OK\r\n\r\nab".to_owned(), &[], false, "200…2"),
            ("HTTP/1".to_owned(), &[], false, ""),
        ] {
            assert_eq!(statuses(&bytes, to_head, closed), expected, "{bytes:?}");
        }
        for bytes in
            ["<html>", "HTTP/1.1 099 x\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n"]
        {
            assert!(read(bytes.as_bytes(), &[], true).is_err(), "{bytes:?}");
        }
    }
}
