//! A headless Chromium, driven over a pipe with its DevTools protocol.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{PATIENCE, eventually};

/// A browser. Dropping it ends it.
pub struct Browser {
    child: Child,
    dir: PathBuf,
    to: File,
    from: Receiver<Value>,
    calls: u64,
}

/// A tab of it.
#[derive(Clone)]
pub struct Tab(String);

// === impl Browser ===

impl Browser {
    /// Starts Chromium; `None` if there is none.
    pub fn start() -> Option<Self> {
        let path = std::env::var_os("CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from);
        if !path.exists() {
            return None;
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the directory is ours");
        let (to, from) = (dir.join("to"), dir.join("from"));
        let made = Command::new("mkfifo")
            .args([&to, &from])
            .status()
            .expect("mkfifo runs");
        assert!(made.success());
        // It reads commands from descriptor 3 and answers at 4.
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\""])
            .arg(path)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--hide-scrollbars", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", dir.join("profile").display()))
            .env("TO", &to)
            .env("FROM", &from)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        // In this order: the shell opens them one after the other, and each waits for its other end.
        let to = File::options()
            .write(true)
            .open(to)
            .expect("the shell opens it, too");
        let answers = BufReader::new(File::open(from).expect("the shell opens it, too"));
        let (values, from) = channel();
        std::thread::spawn(move || {
            for answer in answers.split(0).map_while(Result::ok) {
                let value = serde_json::from_slice(&answer).expect("it speaks JSON");
                if values.send(value).is_err() {
                    break;
                }
            }
        });
        Some(Self {
            child,
            dir,
            to,
            from,
            calls: 0,
        })
    }

    /// A new tab in front of the others.
    pub fn open(&mut self, url: &str, scheme: &str, (width, height): (u32, u32)) -> Tab {
        let target = self.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach)["sessionId"].clone();
        let tab = Tab(session.as_str().expect("a session has a name").to_owned());
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call(
            Some(&tab),
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call(Some(&tab), "Emulation.setDeviceMetricsOverride", size);
        self.call(Some(&tab), "Page.navigate", json!({ "url": url }));
        tab
    }

    /// The value of an expression.
    pub fn eval(&mut self, tab: &Tab, script: &str) -> Value {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        self.call(Some(tab), "Runtime.evaluate", params)["result"]["value"].clone()
    }

    /// The text of an element.
    pub fn text(&mut self, tab: &Tab, id: &str) -> String {
        let text = self.eval(
            tab,
            &format!("document.getElementById('{id}')?.textContent ?? ''"),
        );
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element's text pleases.
    pub fn wait(&mut self, tab: &Tab, id: &str, pleases: impl Fn(&str) -> bool) -> String {
        eventually(&format!("the text of #{id}"), || {
            let text = self.text(tab, id);
            pleases(&text).then_some(text)
        })
    }

    /// Clicks an element.
    pub fn click(&mut self, tab: &Tab, id: &str) {
        self.eval(tab, &format!("document.getElementById('{id}').click()"));
    }

    /// Keeps a picture among the test's output; where.
    pub fn picture(&mut self, tab: &Tab, name: &str) -> PathBuf {
        self.call(Some(tab), "Page.bringToFront", json!({}));
        let picture = self.call(Some(tab), "Page.captureScreenshot", json!({}));
        let bytes = STANDARD
            .decode(picture["data"].as_str().unwrap_or_default())
            .expect("it is base64");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png"));
        std::fs::write(&path, bytes).expect("the directory is ours");
        path
    }

    fn call(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(Tab(session)) = tab {
            call["sessionId"] = session.as_str().into();
        }
        self.to
            .write_all(format!("{call}\0").as_bytes())
            .expect("the browser reads");
        loop {
            let answer = self.from.recv_timeout(PATIENCE).expect("the browser answers");
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // So that its own processes go as well.
        let close = format!("{}\0", json!({ "id": self.calls + 1, "method": "Browser.close" }));
        let _ = self.to.write_all(close.as_bytes());
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("the browser ends", || self.child.try_wait().ok().flatten());
        }));
        if waited.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
