//! The normalisers against what their servers are known to answer.

use vestibule_fuzz::normalisers::NORMALISERS;

#[test]
fn each_reads_as_its_server_does() {
    let cases: [(&str, &str, [Option<&str>; 6]); 7] = [
        ("plain", "/a/b", [Some("/a/b"); 6]),
        ("dots", "/a/../b", [Some("/b"), Some("/b"), Some("/a/../b"), Some("/b"), Some("/b"), Some("/b")]),
        ("slashes", "/a//../b", [Some("/b"), Some("/a/b"), Some("/a//../b"), Some("/b"), Some("/b"), Some("/a/b")]),
        (
            "encoded dots",
            "/a/%2e%2E/b",
            [Some("/b"), Some("/b"), Some("/a/../b"), Some("/b"), Some("/a/../b"), Some("/a/../b")],
        ),
        (
            "an encoded slash",
            "/a%2Fb/../c",
            [Some("/a/c"), Some("/a/c"), Some("/a/b/../c"), Some("/a/c"), Some("/c"), Some("/c")],
        ),
        ("no escape", "/%zz", [None, None, Some("/%zz"), None, None, None]),
        ("above the root", "/../a/.", [None, None, Some("/../a/."), Some("/a"), Some("/a"), Some("/a/")]),
    ];
    for (what, path, expected) in cases {
        for ((name, normalise), expected) in NORMALISERS.iter().zip(expected) {
            let seen = normalise(path.as_bytes()).map(|seen| String::from_utf8(seen).unwrap());
            assert_eq!(seen.as_deref(), expected, "{what}: {name}");
        }
    }
}
