//! Chromium without a window, driven over its debugging pipe (Chrome DevTools Protocol): messages of JSON that end with a NUL.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    next: u64,
    /// Errors that scripts of the page did not catch, and what its policy refused.
    pub complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser; a test that needs one fails without.
    pub fn start(size: [u32; 2]) -> Browser {
        let profile = tempfile::tempdir().expect("a folder");
        let found = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
        let program = NAMES
            .into_iter()
            .find(|n| found(n))
            .expect("these tests need a browser: install chromium");
        // The pipe is file 3 in and 4 out; the sandbox does not work for root.
        let script = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null";
        let mut child = Command::new("sh")
            .args([
                "-c",
                script,
                program,
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--no-first-run",
            ])
            .args([
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--force-device-scale-factor=1",
            ])
            .arg(format!("--window-size={},{}", size[0], size[1]))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a browser");
        let mut browser = Browser {
            to: child.stdin.take().expect("a pipe"),
            from: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            session: String::new(),
            next: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.call(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let metrics = json!({ "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", metrics);
        browser
    }

    fn receive(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).expect("the browser answers");
        assert_eq!(message.pop(), Some(0), "the browser ended");
        serde_json::from_slice(&message).expect("JSON")
    }

    /// Sends a command and waits for its answer.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to
            .write_all(&bytes)
            .and_then(|()| self.to.flush())
            .expect("the browser listens");
        loop {
            let answer = self.receive();
            match answer["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    let what = &answer["params"]["exceptionDetails"];
                    self.complaints
                        .push(format!("{} {}", what["text"], what["exception"]["description"]));
                }
                Some("Log.entryAdded") if answer["params"]["entry"]["source"] == "security" => {
                    self.complaints.push(answer["params"]["entry"]["text"].to_string());
                }
                _ => {}
            }
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    /// The value of an expression, or what its promise becomes.
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.call("Runtime.evaluate", params);
        let thrown = &result["exceptionDetails"];
        assert!(
            thrown.is_null(),
            "{expression}: {} {}",
            thrown["text"],
            thrown["exception"]["description"]
        );
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true, at most half a minute.
    pub fn until(&mut self, condition: &str) {
        let script = format!(
            "new Promise((done, failed) => {{ const end = Date.now() + 30000; const look = () => {{ let ok = false; \
             try {{ ok = {condition}; }} catch {{}} \
             if (ok) done(true); else if (Date.now() > end) done(false); else setTimeout(look, 15); }}; look(); }})"
        );
        let text = "document.body.innerText.slice(0, 600)";
        if self.eval(&script) != true {
            let (page, complaints) = (self.eval(text), self.complaints.clone());
            panic!("never came true: {condition}\npage: {page}\ncomplaints: {complaints:?}");
        }
    }

    pub fn open(&mut self, address: &str) {
        self.call("Page.navigate", json!({ "url": address }));
        self.until("document.readyState === 'complete'");
    }

    fn mouse(&mut self, kind: &str, [x, y]: [f64; 2], buttons: u32) {
        let button = if kind == "mouseMoved" && buttons == 0 {
            "none"
        } else {
            "left"
        };
        let params = json!({ "type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", params);
    }

    /// Presses, moves and releases the mouse at places of the window (x, y).
    pub fn drag(&mut self, from: [f64; 2], to: [f64; 2]) {
        self.mouse("mouseMoved", from, 0);
        self.mouse("mousePressed", from, 1);
        for k in 1..=4 {
            let at = [0, 1].map(|i| from[i] + (to[i] - from[i]) * f64::from(k) / 4.0);
            self.mouse("mouseMoved", at, 1);
        }
        self.mouse("mouseReleased", to, 0);
    }

    pub fn click(&mut self, at: [f64; 2]) {
        self.mouse("mouseMoved", at, 0);
        self.mouse("mousePressed", at, 1);
        self.mouse("mouseReleased", at, 0);
    }

    pub fn key(&mut self, key: &str) {
        for kind in ["rawKeyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
        }
    }

    /// Where an image position (y, x) of a view lies in the window (x, y).
    pub fn place(&mut self, view: &str, y: f64, x: f64) -> [f64; 2] {
        let script = format!(
            "(() => {{ const v = explorer.{view}, box = v.canvas.getBoundingClientRect(), [sy, sx] = v.to([{y}, {x}]), r = v.ratio ?? 1; \
             return [box.left + sx / r, box.top + sy / r]; }})()"
        );
        let at = self.eval(&script);
        [0, 1].map(|i| at[i].as_f64().expect("a number"))
    }

    /// The numbers that a view shows, up to the last bits of float64: compare them as float32.
    pub fn values(&mut self, view: &str) -> Vec<f64> {
        let list = self.eval(&format!("Array.from(explorer.{view}.values)"));
        let list = list.as_array().expect("a list");
        list.iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
    }

    /// Light or dark.
    pub fn theme(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
