//! What servers make of a path before they look at it, each modelled on the server's known algorithm, independently of
//! vestibule's. `None` is a refusal.

/// Takes the raw path without its query; gives the path that the server compares.
pub type Normaliser = fn(&[u8]) -> Option<Vec<u8>>;

/// All of them.
pub const NORMALISERS: [(&str, Normaliser); 6] = [
    ("nginx", |path| nginx(path, true)),
    ("nginx with merge_slashes off", |path| nginx(path, false)),
    ("Twisted", twisted),
    ("Go's URL.Path, cleaned", |path| Some(go_clean(&go_unescape(path)?))),
    ("Go's EscapedPath, cleaned, then decoded", |path| go_unescape(&go_clean(path))),
    ("RFC 3986, then decoded", |path| go_unescape(&remove_dot_segments(path))),
];

/// `ngx_http_parse_complex_uri`: one pass, in which an escape is decoded and then read like any other byte, but for
/// `%25`, `%23` and `%3F`, whose bytes stand for themselves.
fn nginx(path: &[u8], merge_slashes: bool) -> Option<Vec<u8>> {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = path.iter().copied();
    // The byte after the last one closes the last segment.
    loop {
        let (byte, is_plain) = match rest.next() {
            None => (None, false),
            Some(b'%') => {
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                match high << 4 | low {
                    0 => return None,
                    byte => (Some(byte), matches!(byte, b'%' | b'#' | b'?')),
                }
            }
            Some(byte) => (Some(byte), false),
        };
        let closes = byte.is_none() || (byte == Some(b'/') && !is_plain);
        if closes {
            if out.ends_with(b"/..") {
                // Up to and without the slash before the segment before.
                out.truncate(out.len() - 3);
                let parent = out.iter().rposition(|byte| *byte == b'/')?;
                out.truncate(parent + 1);
                if byte.is_none() {
                    return Some(out);
                }
                continue;
            }
            if out.ends_with(b"/.") {
                out.truncate(out.len() - 1);
                if byte.is_none() {
                    return Some(out);
                }
                continue;
            }
            if merge_slashes && out.ends_with(b"/") && byte.is_some() {
                continue;
            }
        }
        match byte {
            None => return Some(out),
            Some(byte) => out.push(byte),
        }
    }
}

/// `twisted.web`: drops the first byte, splits at slashes, decodes each segment. No segment is removed: `..` is a
/// child's name, and Synapse has none of that name.
fn twisted(path: &[u8]) -> Option<Vec<u8>> {
    let segments = path.get(1..)?.split(|byte| *byte == b'/').map(unquote);
    Some(segments.fold(Vec::new(), |path, segment| [path, b"/".to_vec(), segment].concat()))
}

/// `urllib.parse.unquote_to_bytes`: what is no escape stays.
fn unquote(text: &[u8]) -> Vec<u8> {
    let mut pieces = text.split(|byte| *byte == b'%');
    let mut out = pieces.next().unwrap_or_default().to_vec();
    for piece in pieces {
        let byte = piece.first().zip(piece.get(1)).and_then(|(high, low)| Some(hex(*high)? << 4 | hex(*low)?));
        match byte {
            Some(byte) => {
                out.push(byte);
                out.extend_from_slice(&piece[2..]);
            }
            None => {
                out.push(b'%');
                out.extend_from_slice(piece);
            }
        }
    }
    out
}

/// `net/url.unescape` for a path: a bad escape is an error.
fn go_unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte == b'%' {
            out.push(hex(*text.get(at + 1)?)? << 4 | hex(*text.get(at + 2)?)?);
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    Some(out)
}

/// `path.Clean` of a rooted path.
fn go_clean(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    kept.iter().fold(Vec::new(), |path, segment| [path.as_slice(), b"/", segment].concat())
}

/// RFC 3986 §5.2.4, step by step. Empty segments count.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut input = path.to_vec();
    let mut out: Vec<u8> = Vec::new();
    while !input.is_empty() {
        if input.starts_with(b"/./") {
            input.drain(..2);
        } else if input == b"/." {
            input = b"/".to_vec();
        } else if input.starts_with(b"/../") || input == b"/.." {
            input.drain(..3);
            if input.is_empty() {
                input.push(b'/');
            }
            let parent = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            out.truncate(parent);
        } else {
            let end = input.iter().skip(1).position(|byte| *byte == b'/').map_or(input.len(), |at| at + 1);
            out.extend(input.drain(..end));
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}
