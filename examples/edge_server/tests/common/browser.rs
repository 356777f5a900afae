//! A headless Chromium, driven over a pipe with its DevTools protocol.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::common::{PATIENCE, eventually};

/// How long the browser may take until it answers at all: the first start on a machine reads it from the disk.
const START: Duration = Duration::from_secs(90);

/// How often it is started until it answers. Once, on a machine where it had never run before, it was gone within two
/// seconds.
const TRIES: usize = 3;

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
        // Several may run at once.
        static STARTS: AtomicUsize = AtomicUsize::new(0);
        for attempt in 1.. {
            let start = STARTS.fetch_add(1, Relaxed);
            let dir = format!("browser-{}-{start}", std::process::id());
            let mut browser = Self::spawn(&path, &Path::new(env!("CARGO_TARGET_TMPDIR")).join(dir));
            match browser.exchange(None, "Browser.getVersion", json!({}), START) {
                Ok(_) => return Some(browser),
                Err(why) if attempt == TRIES => panic!("the browser does not start: {why}"),
                Err(why) => eprintln!("the browser is started again: {why}"),
            }
        }
        unreachable!("it ends at the last attempt")
    }

    /// `dir`: its own; what an earlier process left there goes.
    fn spawn(path: &Path, dir: &Path) -> Self {
        let _ = std::fs::remove_dir_all(dir);
        std::fs::create_dir_all(dir).expect("the directory is ours");
        let (to, from) = (dir.join("to"), dir.join("from"));
        let made = Command::new("mkfifo")
            .args([&to, &from])
            .status()
            .expect("mkfifo runs");
        assert!(made.success());
        let log = File::create(dir.join("log")).expect("the directory is ours");
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
                "--disable-dev-shm-usage",
                "--disable-sync",
            ])
            .args(["--hide-scrollbars", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", dir.join("profile").display()))
            .env("TO", &to)
            .env("FROM", &from)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
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
                // The last one may be cut off by its end.
                let Ok(value) = serde_json::from_slice(&answer) else {
                    break;
                };
                if values.send(value).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            dir: dir.to_owned(),
            to,
            from,
            calls: 0,
        }
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

    /// The value of an expression, which must not fail.
    pub fn eval(&mut self, tab: &Tab, script: &str) -> Value {
        let answer = self.call(Some(tab), "Runtime.evaluate", evaluation(script));
        let failure = &answer["exceptionDetails"];
        assert!(failure.is_null(), "{script}: {failure}");
        answer["result"]["value"].clone()
    }

    /// The text of an element; empty as long as there is none, also between two documents.
    pub fn text(&mut self, tab: &Tab, id: &str) -> String {
        let script = format!("document.getElementById('{id}')?.textContent ?? ''");
        let answer = self.exchange(Some(tab), "Runtime.evaluate", evaluation(&script), PATIENCE);
        let answer = answer.unwrap_or_else(|why| panic!("{why}"));
        let text = answer["result"]["result"]["value"].as_str();
        text.unwrap_or_default().to_owned()
    }

    /// Waits until an element's text pleases.
    pub fn wait(&mut self, tab: &Tab, id: &str, pleases: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text(tab, id);
            if pleases(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "the text of #{id} stays {text:?}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
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

    /// The result of a command, which must not fail.
    fn call(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Value {
        let answer = self.exchange(tab, method, params, PATIENCE);
        let answer = answer.unwrap_or_else(|why| panic!("{why}"));
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The answer to a command: a result or an error. `Err` says why there is none.
    fn exchange(
        &mut self,
        tab: Option<&Tab>,
        method: &str,
        params: Value,
        patience: Duration,
    ) -> Result<Value, String> {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(Tab(session)) = tab {
            call["sessionId"] = session.as_str().into();
        }
        if let Err(error) = self.to.write_all(format!("{call}\0").as_bytes()) {
            return Err(self.explain(method, &format!("cannot be written: {error}")));
        }
        loop {
            match self.from.recv_timeout(patience) {
                Ok(answer) if answer["id"] == self.calls => return Ok(answer),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(self.explain(method, "no answer in time")),
                Err(RecvTimeoutError::Disconnected) => return Err(self.explain(method, "no answer any more")),
            }
        }
    }

    /// What is known about a command without an answer.
    fn explain(&mut self, method: &str, why: &str) -> String {
        let ended = self.child.try_wait().ok().flatten();
        let ended = ended.map_or("it runs".to_owned(), |status| format!("it ended: {status}"));
        let log = std::fs::read(self.dir.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log[log.len().saturating_sub(4000)..]).into_owned();
        format!("{method}: {why}; {ended}; its log:\n{log}")
    }
}

fn evaluation(script: &str) -> Value {
    json!({ "expression": script, "returnByValue": true, "awaitPromise": true })
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
