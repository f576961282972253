//! The log's three forms, and what never stands in it.

use serde_json::Value;

use crate::support::front::{Front, NAME, SOON, url};
use crate::support::origin::Origin;
use crate::support::process::{Mark, Process, Signal};
use crate::support::vestibule::command;

const READY: &str = "ready";

/// The lines that a start and a stop write, a warning about a key without effect among them.
fn lines(format: &str, under_systemd: bool) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("vestibule.toml");
    let config = format!(
        "{}server_name = \"{NAME}\"\nstate_dir = {:?}\n[log]\naccess = \"json\"\nformat = \"{format}\"\n",
        Front::LOOPBACK,
        folder.path().join("state")
    );
    std::fs::write(&file, config).expect("a writable folder");
    let mut run = command(["run", "--config"]);
    run.arg(file).env_remove("JOURNAL_STREAM");
    if under_systemd {
        run.env("JOURNAL_STREAM", "8:12345");
    }
    let mut process = Process::spawn("vestibule", &mut run);
    process.find_line(Mark::default(), SOON, |line| line.contains(READY)).expect("it is ready");
    assert_eq!(process.terminate(SOON).code(), Some(0));
    // The pipes are read by threads of their own, until they end.
    process.find_line(Mark::default(), SOON, |_| false).expect_err("the output ends");
    process.lines()
}

#[test]
fn text_has_a_time_and_a_level() {
    for format in ["text", "auto"] {
        for line in lines(format, false) {
            let words: Vec<_> = line.split_whitespace().collect();
            assert!(words[0].len() > 19 && words[0].ends_with('Z') && words[0].contains('T'), "{line}");
            assert!(["ERROR", "WARN", "INFO"].contains(&words[1]), "{line}");
            assert!(!line.contains('\u{1b}'), "colours belong on terminals: {line:?}");
        }
    }
}

#[test]
fn json_is_an_object_a_line() {
    let lines = lines("json", false);
    let mut listening = 0;
    for line in &lines {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        assert!(event["timestamp"].is_string() && event["level"].is_string(), "{line}");
        assert!(event["fields"]["message"].is_string(), "{line}");
        if event["fields"]["message"] == "listening" {
            assert!(event["fields"]["listener"].is_string() && event["fields"]["address"].is_string(), "{line}");
            listening += 1;
        }
    }
    assert_eq!(listening, 3);
}

#[test]
fn the_journal_gets_priorities_and_no_times() {
    for (format, under_systemd) in [("journald", false), ("auto", true)] {
        let lines = lines(format, under_systemd);
        assert!(lines.iter().any(|line| line.starts_with("<4>") && line.contains("log.access")), "{lines:#?}");
        for line in lines {
            let text = ["<3>", "<4>", "<6>"].iter().find_map(|priority| line.strip_prefix(priority));
            let text = text.unwrap_or_else(|| panic!("no priority in {line}"));
            assert!(!text.trim_start().starts_with("20"), "the journal has its own time: {line}");
        }
    }
}

/// At whatever level: a log is copied into tickets and chats.
#[test]
fn tokens_and_targets_are_never_logged() {
    let origin = Origin::answering("ok");
    let front = Front::with(&origin, "[log]\nlevel = \"trace\"\n");
    let down = Front::at("http://127.0.0.1:1", "[log]\nlevel = \"trace\"\n");
    for http in ["--http1.1", "--http2"] {
        for front in [&front, &down] {
            let request = front.curl().arguments([http]).bearer("hush-token").header("Cookie", "hush=cookie");
            request.send(&url("/_matrix/client/v3/sync?access_token=hush-query"));
            front.curl().arguments([http]).bearer("hush-token").send(&url("/nothing/hush-path"));
        }
    }
    for mut front in [down, front] {
        let process = front.vestibule().process();
        process.signal(Signal::Term);
        // No line is the last one; the end of the output says that all are there.
        process.find_line(Mark::default(), SOON, |_| false).expect_err("the output ends");
        let lines = process.lines();
        assert!(lines.iter().any(|line| line.contains("TRACE")), "nothing was traced");
        let told: Vec<_> = lines.into_iter().filter(|line| line.contains("hush")).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}
