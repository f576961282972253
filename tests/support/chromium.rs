//! A browser without a window, driven by the DevTools protocol over a pair of pipes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// For anything the browser is asked to do, on a busy machine too. A check from the form is the longest.
const SOON: Duration = Duration::from_secs(60);

/// Nothing but what a test asks for leaves the machine, and not even that: no name leads anywhere.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
];

/// A browser with one page.
pub struct Chromium {
    child: Child,
    orders: ChildStdin,
    messages: Receiver<Value>,
    /// Those that came while another was waited for.
    unread: VecDeque<Value>,
    /// What the page wrote to the console, and what the browser wrote there about it.
    complaints: Vec<String>,
    session: Option<String>,
    last_id: u64,
    /// Its settings and caches, which end with it.
    _profile: TempDir,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its helpers end when it does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Chromium {
    /// Starts it with an empty page.
    #[track_caller]
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        // It reads orders from descriptor 3 and answers on 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts; tests/peers/setup.sh installs chromium");
        let orders = child.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let (tell, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let told = serde_json::from_slice(&message).map(|value| tell.send(value));
                if !matches!(told, Ok(Ok(()))) {
                    return;
                }
                message.clear();
            }
        });
        let (unread, complaints) = (VecDeque::new(), Vec::new());
        let mut browser =
            Self { child, orders, messages, unread, complaints, session: None, last_id: 0, _profile: profile };
        let target = browser.order("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.order("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.order(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// The window's size in CSS pixels, and its colours.
    #[track_caller]
    pub fn show_as(&mut self, width: u32, height: u32, dark: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.order("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.order("Emulation.setEmulatedMedia", features);
    }

    /// Opens a page of a listener and waits until it is there.
    #[track_caller]
    pub fn open(&mut self, address: SocketAddr, path: &str) {
        let answer = self.order("Page.navigate", json!({ "url": format!("http://{address}{path}") }));
        assert_eq!(answer.get("errorText"), None, "{path}");
        self.wait_for_page();
    }

    /// Waits until the next page is there.
    #[track_caller]
    pub fn wait_for_page(&mut self) {
        self.next(|message| message["method"] == "Page.loadEventFired");
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let answer = self.order("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert_eq!(answer.get("exceptionDetails"), None, "{expression}");
        answer["result"]["value"].clone()
    }

    /// The text of the first element that `selector` finds.
    #[track_caller]
    pub fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({selector:?})?.innerText"));
        text.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// Types into the field that `selector` finds, as a person does, and sends it off with Enter.
    #[track_caller]
    pub fn type_and_enter(&mut self, selector: &str, text: &str) {
        self.value(&format!("document.querySelector({selector:?}).focus()"));
        self.order("Input.insertText", json!({ "text": text }));
        for kind in ["keyDown", "keyUp"] {
            let key =
                json!({ "type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r" });
            self.order("Input.dispatchKeyEvent", key);
        }
    }

    /// Writes the whole page as a picture.
    #[track_caller]
    pub fn picture(&mut self, file: &Path) {
        let answer = self.order("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let data = answer["data"].as_str().expect("a picture");
        std::fs::write(file, BASE64_STANDARD.decode(data).expect("base64")).expect("a writable folder");
    }

    /// What was written to the console since the last question.
    pub fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    #[track_caller]
    fn order(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut order = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        let written = self.orders.write_all(format!("{order}\0").as_bytes());
        written.unwrap_or_else(|error| panic!("chromium takes no orders: {error}; does it start?"));
        let answer = self.next(|message| message["id"] == id);
        assert_eq!(answer.get("error"), None, "{method}");
        answer["result"].clone()
    }

    /// The next message of a kind; others wait for whom they are for.
    #[track_caller]
    fn next(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.unread.iter().position(&wanted) {
            return self.unread.remove(place).unwrap_or_default();
        }
        let deadline = Instant::now() + SOON;
        loop {
            let message = match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => panic!("chromium does not answer"),
                Err(RecvTimeoutError::Disconnected) => panic!("chromium has ended"),
            };
            let method = message["method"].as_str().unwrap_or_default();
            if matches!(method, "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown") {
                self.complaints.push(message["params"].to_string());
            } else if wanted(&message) {
                return message;
            } else {
                self.unread.push_back(message);
            }
        }
    }
}
