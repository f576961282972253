//! The check's reports in every format, of real checks.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::check::{check, homeserver};
use super::{USAGE, complained, printed, run};
use crate::support::front::{Front, NAME};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::python;
use crate::support::vestibule::command;

/// A minute is less than peers keep the document, and that is worth a warning.
const CARELESS: &str = "[well_known]\ncache_max_age = \"1m\"\n";

const CONTENT: &str = "[well_known]\nsupport = { support_page = \"https://hs.invalid/\" }\n";

/// Validates lines of JSON against the schema, with fields that it does not know refused: `vestibule check --schema`
/// first, an empty line, then the reports.
const VALIDATE: &str = r#"
import json, sys, jsonschema
schema, reports = sys.stdin.read().split("\n\n", 1)
schema = json.loads(schema)
def close(node):
    if isinstance(node, dict):
        if "properties" in node:
            node["additionalProperties"] = False
            assert set(node["required"]) <= set(node["properties"]), node
            assert all(p.get("description") or "$ref" in p for p in node["properties"].values()), node
        for child in node.values():
            close(child)
    elif isinstance(node, list):
        for child in node:
            close(child)
jsonschema.Draft202012Validator.check_schema(schema)
close(schema)
validator = jsonschema.Draft202012Validator(schema)
count = 0
for line in reports.splitlines():
    for error in validator.iter_errors(json.loads(line)):
        print(error.json_path, error.message)
    count += 1
print("validated", count)
"#;

fn status(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

/// `program` with `input` on its standard input.
fn feed(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

/// A check of two servers, neither of which exists.
fn two(more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("vestibule.toml");
    let servers = ["one.invalid", "two.invalid"]
        .map(|name| format!("[[server]]\nserver_name = \"{name}\"\nhomeserver = \"http://127.0.0.1:8008\"\n"));
    fs::write(&file, format!("listen.status = \"off\"\n{}", servers.concat())).expect("a writable folder");
    let mut check = command(["check", "--config"]);
    check.arg(&file).args(["--resolver", "127.0.0.1:9", "--timeout", "5s"]).args(more).env("NO_COLOR", "1");
    check.output().expect("the program starts")
}

/// Reports of all verdicts have the documented shape, and every field is documented.
#[test]
fn json_is_as_the_schema_says() {
    let origin = homeserver();
    let good = Front::with(&origin, CONTENT);
    let careless = Front::with(&origin, CARELESS);
    let dead = Front::at(&format!("http://127.0.0.1:{}", ports::free()), "");
    let mut reports = String::new();
    for (front, more, verdict) in [
        (&good, &[][..], "federates"),
        (&careless, &[], "degraded"),
        (&dead, &[], "fails"),
        (&good, &["--timeout", "1ms"], "unknown"),
    ] {
        let text =
            printed(&check(front, &[&["--format", "json"], more].concat()).output().expect("the program starts"));
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(report["verdict"], verdict, "{text}");
        assert_eq!(report["private"], true, "{text}");
        reports += &text;
    }
    reports += &printed(&run(["check", "--format", "json", "https://no.name"]));
    let several = printed(&two(&["--format", "json"]));
    assert_eq!(several.lines().count(), 2, "an object for each server, one a line: {several}");
    reports += &several;
    let schema = run(["check", "--schema"]);
    assert_eq!(status(&schema), 0);
    let input = format!("{}\n{reports}", printed(&schema));
    let output = feed(Command::new(python::program("python")).args(["-c", VALIDATE]), &input);
    assert_eq!(printed(&output), "validated 7\n", "{}", complained(&output));
}

#[test]
fn tap_is_read_by_prove() {
    let origin = homeserver();
    let front = Front::with(&origin, CARELESS);
    let prove = |more: &[&str]| {
        let output = check(&front, &[&["--format", "tap"], more].concat()).output().expect("the program starts");
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&output.stdout).expect("a writable file");
        let read = Command::new("prove").args(["-e", "cat"]).arg(file.path()).output().expect("prove comes with perl");
        assert_eq!(read.status.success(), output.status.success(), "prove and the exit status say the same");
        (status(&output), printed(&output), printed(&read))
    };
    let (code, text, said) = prove(&[]);
    assert!(code == 0 && said.contains("Result: PASS") && !said.contains("Parse errors"), "{said}{text}");
    assert!(text.contains(&format!("- {NAME} tls.chain\n")), "{text}");
    assert!(text.contains(&format!("- {NAME} wk.server.cache\n  ---\n  findings:\n    - severity: warn\n")), "{text}");
    let (code, text, said) = prove(&["--strict"]);
    assert!(code == 1 && said.contains("Result: FAIL") && !said.contains("Parse errors"), "{said}{text}");
}

#[test]
fn nagios_has_a_state_for_every_verdict() {
    let origin = homeserver();
    let good = Front::with(&origin, CONTENT);
    let careless = Front::with(&origin, CARELESS);
    let dead = Front::at(&format!("http://127.0.0.1:{}", ports::free()), "");
    for (front, more, state, word) in [
        (&good, &[][..], 0, "OK"),
        (&careless, &[], 1, "WARNING"),
        // It has a state of its own for what is degraded.
        (&careless, &["--strict"], 1, "WARNING"),
        (&dead, &[], 2, "CRITICAL"),
        (&good, &["--timeout", "1ms"], 3, "UNKNOWN"),
    ] {
        let output = check(front, &[&["--format", "nagios"], more].concat()).output().expect("the program starts");
        let text = printed(&output);
        assert_eq!(status(&output), state, "{text}");
        let first = text.lines().next().expect("a line");
        assert!(first.starts_with(&format!("FEDERATION {word} - {NAME}")), "{text}");
        let (_, data) = first.split_once(" | ").expect("performance data");
        for figure in data.split(' ') {
            let (label, value) = figure.split_once('=').expect("label=value");
            assert!(["time", "fails", "warnings", "cert_days_left"].contains(&label), "{first}");
            let number = value.split(';').next().expect("a value").trim_end_matches('s');
            assert!(number.parse::<f64>().is_ok_and(|number| number >= 0.0), "{first}");
        }
        assert_eq!(data.contains("cert_days_left="), state != 3, "{first}");
        assert_eq!(text.matches('|').count(), 1, "{text}");
    }
    let several = two(&["--format", "nagios"]);
    let text = printed(&several);
    assert_eq!(status(&several), 2);
    assert!(text.starts_with("FEDERATION CRITICAL - one.invalid fails (dns.resolve); two.invalid fails (dns.resolve) | 'one.invalid time'="), "{text}");
}

#[test]
fn go_says_what_the_tester_would() {
    let origin = homeserver();
    let front = Front::with(&origin, CARELESS);
    let output = check(&front, &["--format", "go"]).output().expect("the program starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (status(&output), &report["FederationOK"]),
        (0, &Value::Bool(true)),
        "the tester knows no warnings: {report:#}"
    );
    let connection = report["ConnectionReports"].as_object().and_then(|all| all.values().next()).expect("an address");
    assert_eq!(connection["Checks"]["AllChecksOK"], true, "{report:#}");
    assert_eq!(report["Version"]["name"], "stub");
}

#[test]
fn several_servers_end_in_a_table_and_the_worst_decides() {
    let output = two(&[]);
    let text = printed(&output);
    assert_eq!(status(&output), 1);
    assert!(
        text.contains("\nverdict=fails ")
            && text.ends_with("\none.invalid  fails      1 failure\ntwo.invalid  fails      1 failure\n"),
        "{text}"
    );
    assert_eq!(complained(&output), "", "no progress where nobody watches");
    let tap = printed(&two(&["--format", "tap"]));
    assert!(tap.contains(" - one.invalid dns.resolve\n") && tap.contains(" - two.invalid dns.resolve\n"), "{tap}");
    let go = printed(&two(&["--format", "go"]));
    let documents: Vec<Value> =
        serde_json::Deserializer::from_str(&go).into_iter().collect::<Result<_, _>>().expect("JSON");
    assert_eq!(documents.len(), 2, "{go}");
}

/// What a person sees: colours, the terminal's width, and while it lasts, what is being waited for.
#[test]
fn on_a_terminal() {
    // Takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = mute.local_addr().expect("an address").port();
    let program = env!("CARGO_BIN_EXE_vestibule");
    let terminal = |columns: u16, environment: &str| {
        let line = format!(
            "stty cols {columns}; {environment} {program} check hs.invalid:443 --timeout 1s --connect-to ::127.0.0.1:{port}"
        );
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm").stdin(Stdio::null());
        let output = script.output().expect("script comes with bsdutils; tests/peers/setup.sh sees to it");
        printed(&output).replace("\r\n", "\n")
    };
    let text = terminal(60, "");
    assert!(text.contains("\r\u{1b}[K0s  checking hs.invalid:443: a connection to 127.0.0.1:"), "{text:?}");
    let (progress, report) = text.rsplit_once("\r\u{1b}[K").expect("the line is emptied at the end");
    assert!(progress.split("\r\u{1b}[K").all(|line| line.chars().count() < 60), "{progress:?}");
    assert!(report.starts_with("\u{1b}[1mhs.invalid:443\u{1b}[0m \u{1b}[30;43mcould not tell\u{1b}[0m"), "{report:?}");
    assert!(!report.contains("checking"), "{report:?}");
    let plain = terminal(60, "NO_COLOR=1");
    assert!(!plain.contains("\u{1b}[1m") && plain.contains("hs.invalid:443 could not tell: 1 warning\n"), "{plain:?}");
    let dumb = terminal(60, "TERM=dumb");
    assert!(!dumb.contains('\u{1b}'), "{dumb:?}");
}

/// Colour can be had in a pipe, and is not there unasked.
#[test]
fn in_a_pipe() {
    let coloured = |name: &str, value: &str| {
        let mut check = command(["check", "a b"]);
        check.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        if !name.is_empty() {
            check.env(name, value);
        }
        printed(&check.output().expect("the program starts")).contains('\u{1b}')
    };
    assert!(!coloured("", "") && !coloured("CLICOLOR_FORCE", "0") && coloured("CLICOLOR_FORCE", "1"));
}

/// What a server says cannot steer the terminal, in any format.
#[test]
fn hostile_text_stays_harmless() {
    let origin = Origin::start(|talk| {
        loop {
            talk.request()?;
            let body =
                "{\"server\":{\"name\":\"x\u{1b}[2J\u{202e}|#\u{9b}31m\",\"version\":\"\u{7f}\\n...\\nnot ok 1\"}}";
            talk.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))?;
        }
    });
    let front = Front::before(&origin);
    for format in ["pretty", "json", "tap", "nagios", "go"] {
        let text = printed(&check(&front, &["--format", format]).output().expect("the program starts"));
        assert!(text.len() > 100, "{text}");
        for hostile in ['\u{1b}', '\u{202e}', '\u{9b}', '\u{7f}'] {
            assert!(!text.contains(hostile), "{format}: {hostile:?} in {text:?}");
        }
    }
}

#[test]
fn the_schema_and_the_list_of_findings_are_printed_without_a_check() {
    let schema: Value = serde_json::from_str(&printed(&run(["check", "--schema"]))).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for words in [&["check", "--explain"][..], &["check", "--explain", "list"]] {
        let output = run(words);
        assert_eq!(status(&output), 0);
        assert!(printed(&output).lines().any(|line| line.starts_with("uri.") || line.starts_with("tls.chain  ")));
    }
    let page = printed(&run(["check", "--explain", "tls.chain"]));
    for place in ["nginx", "Apache", "HAProxy", "Traefik", "fullchain.pem", "RFC 8446"] {
        assert!(page.contains(place), "no {place} in {page}");
    }
    assert_eq!(run(["check", "--explain", "tls"]).status.code(), Some(USAGE));
}
