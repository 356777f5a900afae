//! Starts the server as a process and talks to it over sockets.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs. Dropping it ends it.
pub struct Server {
    child: Child,
    pub public: SocketAddr,
    pub control: SocketAddr,
    /// The demo's application.
    pub demo: Option<SocketAddr>,
    log: Receiver<String>,
    seen: Vec<String>,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// An answer that goes on.
pub struct Stream {
    socket: Box<dyn Read>,
    pub text: String,
}

/// The binary, without options from outside.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge_server"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GRIPSTACK_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs until it ends by itself: status, stdout, stderr.
pub fn run(args: &[&str]) -> (ExitStatus, String, String) {
    let output = binary().args(args).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text is UTF-8");
    (output.status, text(output.stdout), text(output.stderr))
}

/// Asks until the answer pleases.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "it never came to this: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Waits until something is stored: a client may have all of an answer a moment before.
pub fn stored(server: &Server) {
    eventually("something is stored", || {
        let metrics = get(server.control, "/metrics").body;
        let bytes = metrics
            .lines()
            .find_map(|line| line.strip_prefix("gripstack_cache_bytes "))?;
        (bytes.parse::<f64>().expect("a number") > 0.0).then_some(())
    });
}

// === impl Server ===

impl Server {
    /// On free ports.
    pub fn start(args: &[&str]) -> Self {
        let mut command = binary();
        command
            .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
            .args(args);
        Self::spawn(command)
    }

    pub fn spawn(command: Command) -> Self {
        Self::spawn_logging_to(command, Stdio::piped())
    }

    /// What is logged is read, if it is piped.
    pub fn spawn_logging_to(mut command: Command, stderr: Stdio) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the binary starts");
        // It has the other ends of what it was given.
        drop(command);
        let (lines, log) = channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if lines.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let mut server = Self {
            public: ([0, 0, 0, 0], 0).into(),
            control: ([0, 0, 0, 0], 0).into(),
            demo: None,
            log,
            seen: Vec::new(),
            child,
        };
        let stdout = BufReader::new(server.child.stdout.take().expect("it is piped"));
        for line in stdout.lines().map_while(Result::ok) {
            let Some(rest) = line.strip_prefix("listening on ") else {
                break;
            };
            let url = rest.split(' ').next().expect("split gives one at least");
            let addr = url
                .split("://")
                .nth(1)
                .and_then(|addr| addr.parse().ok())
                .expect("an address");
            match rest {
                _ if rest.ends_with("(control)") => server.control = addr,
                _ if rest.ends_with("(demo application)") => server.demo = Some(addr),
                _ => server.public = addr,
            }
        }
        assert!(
            server.public.port() != 0 && server.control.port() != 0,
            "it did not start: {}",
            server.all_log()
        );
        server
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an init system does.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the server ends", || child.try_wait().expect("it is our child"))
    }

    /// Waits for a line of its log that has all these parts.
    pub fn logged(&mut self, parts: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            if let Some(line) = self
                .seen
                .iter()
                .find(|line| parts.iter().all(|part| line.contains(part)))
            {
                return line.clone();
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.log.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{parts:?} is not in the log:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// Every line so far.
    pub fn all_log(&mut self) -> String {
        self.seen.extend(self.log.try_iter());
        self.seen.join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request, and its whole answer. `head` is the request line without the version, then fields.
pub fn ask(addr: SocketAddr, head: &str, body: &str) -> Answer {
    let mut socket = connect(addr);
    send(&mut socket, &addr.to_string(), head, body);
    read_answer(socket)
}

/// The whole answer to what was sent here.
pub fn read_answer(mut socket: impl Read) -> Answer {
    let mut bytes = Vec::new();
    // What came before a reset counts.
    let _ = socket.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let head = head.to_ascii_lowercase();
    let body = match head.contains("transfer-encoding: chunked") {
        true => unchunk(body),
        false => body.to_owned(),
    };
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Answer { status, head, body }
}

/// GET.
pub fn get(addr: SocketAddr, path: &str) -> Answer {
    ask(addr, &format!("GET {path}"), "")
}

/// A connection that gives up in time.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(addr).expect("it listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a time above zero");
    socket
}

/// Sends a request for this host, or for that of the URL in it.
pub fn send(socket: &mut impl Write, host: &str, head: &str, body: &str) {
    let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
    let host = match line.split_once("http://") {
        Some((_, url)) => url.split('/').next().unwrap_or_default(),
        None => host,
    };
    let mut request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for field in fields.lines() {
        request.push_str(&format!("{}\r\n", field.trim()));
    }
    if !body.is_empty() || line.starts_with("POST") {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    socket
        .write_all(format!("{request}\r\n{body}").as_bytes())
        .expect("it reads");
}

fn unchunk(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        whole.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    whole
}

// === impl Answer ===

impl Answer {
    /// What the cache says that it did.
    pub fn cache_status(&self) -> &str {
        self.field("cache-status").unwrap_or_default()
    }

    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

// === impl Stream ===

impl Stream {
    /// Events of a URL.
    pub fn open(addr: SocketAddr, path: &str) -> Self {
        let head = format!("GET {path}\nAccept: text/event-stream");
        let mut socket = connect(addr);
        send(&mut socket, &addr.to_string(), &head, "");
        Self::on(socket)
    }

    /// The answer to what was sent here.
    pub fn on(socket: impl Read + 'static) -> Self {
        let (socket, text) = (Box::new(socket), String::new());
        Self { socket, text }
    }

    /// Reads until this has come.
    pub fn wait_for(&mut self, what: &str) {
        while !self.text.contains(what) {
            assert!(self.read() > 0, "it ended before {what:?}: {}", self.text);
        }
    }

    /// Reads to the end.
    pub fn wait_for_end(&mut self) {
        while self.read() > 0 {}
    }

    fn read(&mut self) -> usize {
        let mut bytes = [0; 4096];
        let count = self.socket.read(&mut bytes).expect("it comes in time");
        self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count
    }
}

/// An application: answers each path with what it is told, and counts.
pub struct App {
    pub addr: SocketAddr,
    requests: Receiver<String>,
}

impl App {
    /// `answer`: from the head of a request to a whole answer, in bytes.
    pub fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let (heads, requests) = channel();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|count| count > 0) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let answer = answer(&head);
                if heads.send(head).is_err() {
                    break;
                }
                let _ = socket.write_all(answer.as_bytes());
            }
        });
        Self { addr, requests }
    }

    /// An answer with this body, which may be stored.
    pub fn page(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\
             Cache-Control: s-maxage=600\r\n\r\n{body}",
            body.len()
        )
    }

    /// Heads of the requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}
