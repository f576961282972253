//! `Authorization` as Matrix uses it: `Bearer` for users (client-server API, "Using access tokens")
//! and `X-Matrix` for servers (server-server API, "Request Authentication").
//!
//! Nothing is verified here: what comes out is a claim, good enough to spread or to count requests.

use super::ServerName;

/// The token of `Bearer TOKEN`. The scheme is compared without case (RFC 9110 §11.1).
pub fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let token = after_scheme(value, b"Bearer")?.trim_ascii();
    (!token.is_empty() && !token.contains(&b' ')).then_some(token)
}

/// The parameters of `X-Matrix`, as the specification has them and as they stand on the wire.
const X_MATRIX: [&str; 5] = ["origin", "destination", "key", "sig", "signature"];

/// Whether the scheme is `X-Matrix`.
pub fn is_x_matrix(value: &[u8]) -> bool {
    after_scheme(value, b"X-Matrix").is_some()
}

/// The server that `X-Matrix origin=…,key=…,sig=…` claims to be: scheme and parameter names without
/// case, parameters in any order, values as tokens or quoted. A line that does not follow the
/// grammar, has a parameter twice or one that is not among these, or names no server, claims nothing.
/// Nor does one with a comma within quotes: homeservers that split at each comma would read another
/// origin in it.
pub fn x_matrix_origin(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(after_scheme(value, b"X-Matrix")?).ok()?;
    let mut rest = text.trim_matches(is_space);
    let mut origin = None;
    let mut seen = [false; X_MATRIX.len()];
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_end_matches(is_space);
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let (value, after) = parameter_value(after.trim_start_matches(is_space))?;
        let known = X_MATRIX.iter().position(|known| name.eq_ignore_ascii_case(known))?;
        if value.contains(',') || std::mem::replace(seen.get_mut(known)?, true) {
            return None;
        }
        if known == 0 {
            origin = Some(value);
        }
        rest = after.trim_start_matches(is_space);
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start_matches(is_space);
        }
    }
    origin.filter(|origin| ServerName::parse(origin).is_ok())
}

fn after_scheme<'v>(value: &'v [u8], scheme: &[u8]) -> Option<&'v [u8]> {
    let (found, rest) = value.split_at_checked(scheme.len())?;
    (found.eq_ignore_ascii_case(scheme) && rest.first() == Some(&b' ')).then_some(rest)
}

/// A value and what follows it. No server name and no signature holds an escaped character, so a
/// quoted value ends at the next quote.
fn parameter_value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, after) = quoted.split_once('"')?;
        return (!value.contains('\\')).then_some((value, after));
    }
    // Older servers leave colons unquoted, which no token has; base64 signatures have '/', '+' and '='.
    let end = text.find(|c: char| c == ',' || is_space(c)).unwrap_or(text.len());
    let (value, after) = text.split_at(end);
    let fits = |b: u8| is_token(b) || matches!(b, b':' | b'/' | b'=' | b'[' | b']');
    (!value.is_empty() && value.bytes().all(fits)).then_some((value, after))
}

fn is_space(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn origins() {
        for (value, expected) in [
            (r#"X-Matrix origin="a.example",destination="b.example",key="ed25519:1",sig="aB+/c=""#, Some("a.example")),
            ("X-Matrix origin=a.example,key=ed25519:1,sig=aB+/c=", Some("a.example")),
            ("X-Matrix origin=a.example:8448,key=\"ed25519:1\",sig=\"x\"", Some("a.example:8448")),
            ("X-Matrix origin=[::1]:8448,key=k,sig=x", Some("[::1]:8448")),
            (r#"x-matrix key="k" , sig="x" ,  ORIGIN = "a.example""#, Some("a.example")),
            // Read with a split at every comma, these name another origin.
            (r#"X-Matrix origin="a.example",key="k",sig="x,origin=evil.example,y""#, None),
            (r#"X-Matrix origin=a.example,x="y,origin=evil.example,key=k,sig=S,z=""#, None),
            (r#"X-Matrix origin=a.example,other="x""#, None),
            (r#"X-Matrix origin=a.example,key=k,key=l"#, None),
            (r#"X-Matrix origin=a.example,destination=b.example,key=k,signature=x"#, Some("a.example")),
            (r#"X-MATRIX  origin="a.example""#, Some("a.example")),
            (r#"X-Matrix origin="a.example","#, Some("a.example")),
            (r#"X-Matrix origin="a.example",origin="b.example""#, None),
            (r#"X-Matrix origin="a.example" key="k""#, None),
            (r#"X-Matrix origin="a\.example""#, None),
            (r#"X-Matrix origin="a.example"#, None),
            (r#"X-Matrix origin="""#, None),
            (r#"X-Matrix origin="a b""#, None),
            (r#"X-Matrix origin="a/b""#, None),
            ("X-Matrix origin=,key=k", None),
            ("X-Matrix origin", None),
            ("X-Matrix key=k,sig=x", None),
            ("X-Matrix,origin=a.example", None),
            ("X-Matrixorigin=a.example", None),
            ("X-Matrix ", None),
            ("X-Matrix", None),
            ("Bearer origin=a.example", None),
            ("", None),
        ] {
            assert_eq!(x_matrix_origin(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(x_matrix_origin(b"X-Matrix origin=\"\xff\""), None);
    }

    #[test]
    fn tokens() {
        for (value, expected) in [
            ("Bearer syt_x", Some("syt_x")),
            ("bearer  syt_x ", Some("syt_x")),
            ("Bearer a b", None),
            ("Bearer ", None),
            ("Bearersyt_x", None),
            ("Basic x", None),
        ] {
            assert_eq!(bearer_token(value.as_bytes()), expected.map(str::as_bytes), "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_out_is_a_server_name(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut line = b"X-Matrix origin=".to_vec();
            line.extend(value);
            if let Some(origin) = x_matrix_origin(&line) {
                prop_assert!(ServerName::parse(origin).is_ok());
            }
        }
    }
}
