//! A running `emstream explore`, a small HTTP client, and a browser that tests drive.
#![allow(dead_code)]

use ndarray::Array4;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program with its page on; it ends with the test.
pub struct Explore {
    child: Child,
    pub port: u16,
    pub token: String,
    pub folder: PathBuf,
}

/// The program, on the CPU.
pub fn emstream() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emstream"));
    command.args(["--backend", "cpu"]).env("HDF5_USE_FILE_LOCKING", "FALSE");
    command
}

/// Runs the program to its end; panics with its words unless it succeeds.
pub fn run(folder: &Path, args: &[&str]) -> String {
    let output = emstream()
        .current_dir(folder)
        .args(args)
        .output()
        .expect("the program starts");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {words}");
    words
}

impl Explore {
    pub fn start(folder: &Path, args: &[&str]) -> Explore {
        let mut command = emstream();
        command.current_dir(folder).arg("explore").args(args).arg("--no-open");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        let rest = line
            .trim()
            .strip_prefix("http://127.0.0.1:")
            .unwrap_or_else(|| panic!("no address: '{line}'"));
        let (port, token) = rest.split_once("/?token=").expect("a token");
        Explore {
            child,
            port: port.parse().expect("a port"),
            token: token.to_owned(),
            folder: folder.to_owned(),
        }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream
    }

    /// Sends bytes as they are and takes the answer.
    pub fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A server that refuses may close before it has read everything.
        let _ = stream.write_all(request);
        Answer::read(&mut stream)
    }

    /// GET with headers; `Connection: close` is added.
    pub fn with(&self, target: &str, headers: &str) -> Answer {
        self.raw(
            format!(
                "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n{headers}\r\n",
                self.port
            )
            .as_bytes(),
        )
    }

    /// GET with the token.
    pub fn get(&self, target: &str) -> Answer {
        self.with(target, &format!("X-Emstream-Token: {}\r\n", self.token))
    }

    /// JSON of a good answer.
    pub fn json(&self, target: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Head and numbers of a good answer.
    pub fn numbers(&self, target: &str) -> (Value, Vec<f64>) {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        answer.numbers()
    }

    /// Asks until the work is done.
    pub fn follow(&self, target: &str) -> (Value, Vec<f64>) {
        let mut after = 0;
        loop {
            let (head, values) = self.numbers(&format!("{target}&after={after}"));
            assert!(head["error"].is_null(), "{target}: {}", head["error"]);
            if head["done"] == true {
                return (head, values);
            }
            after = head["version"].as_u64().expect("a version");
        }
    }

    /// Resident memory of the program in bytes, and the most it was.
    pub fn memory(&self) -> [u64; 2] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        ["VmRSS:", "VmHWM:"].map(|name| {
            let line = status.lines().find(|l| l.starts_with(name)).expect("a line");
            let kb = line.split_whitespace().nth(1).and_then(|t| t.parse::<u64>().ok());
            kb.expect("a number") << 10
        })
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }
}

impl Drop for Explore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer of the server.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    fn read(stream: &mut TcpStream) -> Answer {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let end = all.windows(4).position(|w| w == b"\r\n\r\n").map_or(all.len(), |p| p + 4);
        let head = String::from_utf8_lossy(&all[..end]).into_owned();
        let status = head.split_whitespace().nth(1).and_then(|t| t.parse().ok()).unwrap_or(0);
        Answer {
            status,
            head,
            body: all.split_off(end),
        }
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub fn numbers(&self) -> (Value, Vec<f64>) {
        let length = u32::from_le_bytes(self.body[..4].try_into().expect("four bytes")) as usize;
        assert_eq!((4 + length) % 8, 0, "numbers are aligned");
        let head: Value = serde_json::from_slice(&self.body[4..4 + length]).expect("a head");
        let bytes = &self.body[4 + length..];
        let values = match head["dtype"].as_str() {
            Some("u1") => bytes.iter().map(|&b| f64::from(b)).collect(),
            Some("u2") => bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| f64::from(u16::from_le_bytes(*b)))
                .collect(),
            Some("f4") => bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| f64::from(f32::from_le_bytes(*b)))
                .collect(),
            other => panic!("dtype {other:?}"),
        };
        (head, values)
    }
}

/// A scan whose every pixel is known, in a file: bright pixels in a ring, which grow with the position.
pub fn scan(folder: &Path, name: &str, nav: [usize; 2], sig: [usize; 2]) -> Array4<u16> {
    let centre = [(sig[0] as f64 - 1.0) / 2.0, (sig[1] as f64 - 1.0) / 2.0];
    let pixels = Array4::from_shape_fn((nav[0], nav[1], sig[0], sig[1]), |(y, x, j, i)| {
        let r = (j as f64 - centre[0]).hypot(i as f64 - centre[1]);
        let ring = if (r - sig[0] as f64 / 4.0).abs() < 2.0 {
            40 + 3 * y + 7 * x
        } else {
            0
        };
        (ring + (31 * j + 17 * i + 5 * y + x) % 23) as u16
    });
    emstream::io::array::save_npy(folder.join(name), pixels.view(), true).expect("a file");
    pixels
}
