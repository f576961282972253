//! The status page in a browser: it can be read at every size and in both colours, and its form works.
//!
//! Pictures of it are left in `status-page` below cargo's folder for the files of tests.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::support::chromium::Chromium;
use crate::support::curl::Curl;
use crate::support::eventually::eventually;
use crate::support::front::{Front, NAME, PUBLIC, SOON, url};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::vestibule::{Vestibule, command};

/// A phone and a desktop, in CSS pixels.
const SIZES: [(u32, u32); 2] = [(390, 844), (1280, 800)];

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page");
    fs::create_dir_all(&folder).expect("a writable folder");
    folder
}

/// Looks at the open page in both sizes and colours.
#[track_caller]
fn look(browser: &mut Chromium, name: &str) {
    let mut backgrounds = Vec::new();
    for (width, height) in SIZES {
        for dark in [false, true] {
            browser.show_as(width, height, dark);
            let overflow = browser.value("document.documentElement.scrollWidth - window.innerWidth");
            assert!(overflow.as_i64().is_some_and(|pixels| pixels <= 0), "{name} at {width}: {overflow} too wide");
            let seen = browser.value("window.innerWidth");
            assert_eq!(seen.as_u64(), Some(width.into()), "the page is as wide as the window");
            backgrounds.push(browser.value("getComputedStyle(document.body).backgroundColor"));
            let colours = if dark { "dark" } else { "light" };
            browser.picture(&pictures().join(format!("{name}-{width}-{colours}.png")));
        }
    }
    assert_eq!((&backgrounds[0], &backgrounds[1]), (&backgrounds[2], &backgrounds[3]));
    assert_ne!(backgrounds[0], backgrounds[1], "the dark is dark");
    assert_eq!(browser.complaints(), [""; 0], "{name}: the console is empty");
}

/// The demo is the real program with a homeserver that is well.
#[test]
fn a_page_where_all_is_well_and_a_form_that_checks() {
    let demo = Process::spawn("demo", &mut command(["demo"]));
    demo.wait_for_line("Serving until Ctrl-C", SOON);
    let lines = demo.lines();
    let status = lines.iter().find_map(|line| line.strip_prefix("curl http://127.0.0.1:")?.strip_suffix('/'));
    let port = status.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no status page: {lines:?}"));
    let status = SocketAddr::from(([127, 0, 0, 1], port));

    let mut browser = Chromium::start();
    browser.open(status, "/");
    assert_eq!(browser.text("h1"), "All is well");
    assert_eq!(browser.text("article .badge"), "federates");
    look(&mut browser, "well");

    // A name that leads nowhere, and an address inside: both are checked, and the latter is not connected to.
    for (name, verdict) in [("nowhere.invalid", "nowhere.invalid does not federate"), ("127.0.0.1", "127.0.0.1")] {
        browser.open(status, "/");
        browser.type_and_enter("input[name=server_name]", name);
        browser.wait_for_page();
        let headline = browser.text("h1");
        assert!(headline.contains(verdict) && !headline.ends_with(" federates"), "{headline}");
        assert!(!browser.text(".fix").is_empty());
    }
    look(&mut browser, "result");
}

#[test]
fn a_page_that_says_what_to_do() {
    let down = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let vestibule = Vestibule::start(&format!(
        "{}server_name = \"{NAME}\"\npublic_host = \"{PUBLIC}\"\nhomeserver = \"http://{down}\"\n\
         [limits.hold]\nclient = \"100ms\"\n",
        Front::LOOPBACK.replace("listen.status = \"off\"", "listen.status = \"127.0.0.1:0\"")
    ));
    let status = vestibule.address("status");
    let curl = Curl::new().arguments(["--insecure"]).connect_everything_to(vestibule.address("https"));
    curl.send(&url("/_matrix/client/v3/sync")).expect_status(502);
    eventually("the first check", SOON, || {
        let data = Curl::new().send(&format!("http://{status}/status.json")).json();
        if data["servers"][0]["verdict"] == "fails" { Ok(()) } else { Err(data.to_string()) }
    });
    let mut browser = Chromium::start();
    browser.open(status, "/");
    assert_eq!(browser.text("h1"), "The homeserver does not answer");
    assert_eq!(browser.text(".fix"), format!("curl http://{down}/health"));
    assert_eq!(browser.value("document.forms.length"), 0, "the form is off unless it is asked for");
    look(&mut browser, "failing");
}
