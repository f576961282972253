//! The `openssl` program: a TLS client and a maker of certificates that share no code with what they test.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// Seconds. A server that answers nothing must fail one test, not stop all.
const LIMIT: &str = "20";

/// Runs `openssl` with `input`, and returns whether it succeeded, and what it said on both outputs.
#[track_caller]
pub fn run<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>, input: &str) -> (bool, String) {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let mut child = Command::new("timeout")
        .args([LIMIT, "openssl"])
        .args(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed; tests/peers/setup.sh sees to it");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_owned();
    // On a thread, as the child may not read before it has written; one that ended early reads nothing.
    let writing = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("a child can be waited for");
    writing.join().expect("the writer does not panic");
    assert_ne!(output.status.code(), Some(124), "openssl {arguments:?} took longer than {LIMIT} s");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The same for what must succeed.
#[track_caller]
pub fn must<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>, input: &str) -> String {
    let (succeeded, said) = run(arguments, input);
    assert!(succeeded, "openssl failed: {said}");
    said
}

/// A handshake in the making, by `openssl s_client`.
#[derive(Clone, Debug)]
#[must_use = "a handshake does nothing until it is performed"]
pub struct Handshake {
    arguments: Vec<OsString>,
    input: String,
}

/// What came of a handshake.
#[derive(Debug)]
pub struct Outcome {
    pub text: String,
}

impl Handshake {
    pub fn with(address: SocketAddr) -> Self {
        let arguments = vec!["s_client".into(), "-connect".into(), address.to_string().into()];
        Self { arguments, input: String::new() }
    }

    /// Sends this server name indication.
    pub fn name(self, name: &str) -> Self {
        self.arguments(["-servername", name])
    }

    pub fn no_name(self) -> Self {
        self.arguments(["-noservername"])
    }

    /// Ends the handshake unless the chain leads to a root in `file`.
    pub fn trust(self, file: &Path) -> Self {
        self.arguments([OsString::from("-CAfile"), file.into()]).arguments(["-verify_return_error"])
    }

    /// Anything s_client knows that has no method of its own here.
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Makes a request over it and waits for the server's end of the connection. Tickets of TLS 1.3 come after the
    /// handshake; they are here when the answer is.
    pub fn request(mut self, host: &str, path: &str) -> Self {
        self.input = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        self.arguments(["-ign_eof"])
    }

    #[track_caller]
    pub fn perform(&self) -> Outcome {
        Outcome { text: run(self.arguments.iter().cloned(), &self.input).1 }
    }
}

impl Outcome {
    /// The agreed protocol and suite: `TLSv1.3`, `TLS_AES_128_GCM_SHA256`. `None` when it did not come to that; a server
    /// may still refuse afterwards.
    pub fn agreed(&self) -> Option<(&str, &str)> {
        let line = self.text.lines().find(|line| line.contains(", Cipher is "))?;
        let (kind, suite) = line.split_once(", Cipher is ")?;
        let protocol = kind.split_once(", ").map(|(_, protocol)| protocol)?;
        (protocol != "(NONE)").then_some((protocol, suite))
    }

    /// The agreed suite of a handshake that must have succeeded.
    #[track_caller]
    pub fn suite(&self) -> &str {
        self.agreed().unwrap_or_else(|| panic!("no handshake: {}", self.text)).1
    }

    /// The fatal alert that the server sent.
    pub fn alert(&self) -> Option<u8> {
        let number = self.text.split("SSL alert number ").nth(1)?;
        number.split_whitespace().next()?.parse().ok()
    }

    /// Ends the test unless the server refused with `alert` and showed no certificate.
    #[track_caller]
    pub fn assert_refused(&self, alert: u8) {
        assert_eq!(self.alert(), Some(alert), "{}", self.text);
        assert!(self.text.contains("no peer certificate available"), "{}", self.text);
    }

    pub fn is_resumed(&self) -> bool {
        self.text.lines().any(|line| line.starts_with("Reused, "))
    }

    pub fn is_verified(&self) -> bool {
        self.text.contains("Verify return code: 0 (ok)")
    }

    /// The protocol that ALPN agreed on.
    pub fn alpn(&self) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix("ALPN protocol: "))
    }

    /// The leaf that was shown, as PEM.
    #[track_caller]
    pub fn leaf(&self) -> &str {
        const END: &str = "-----END CERTIFICATE-----\n";
        let begin = self.text.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("no leaf: {}", self.text));
        let end = self.text[begin..].find(END).expect("a whole certificate") + END.len();
        &self.text[begin..begin + end]
    }

    /// The host names in the leaf, sorted.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        names(self.leaf())
    }
}

/// The host names in a certificate, sorted.
#[track_caller]
pub fn names(pem: &str) -> Vec<String> {
    let text = must(["x509", "-noout", "-ext", "subjectAltName"], pem);
    let entries = text.lines().flat_map(|line| line.split(','));
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.trim().strip_prefix("DNS:")).map(str::to_owned).collect();
    names.sort();
    names
}
