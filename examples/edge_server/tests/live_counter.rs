//! Fanout's Live Counter behind the server, with the libraries that it is made of: Django, django-grip, gripcontrol,
//! and a fastly client whose `purge_url` sends `PURGE`, over TLS, as it does by itself.
//!
//! `GRIPSTACK_PYTHON` lists interpreters, separated by `:`. Default `python3`. If none has the libraries, it tests
//! nothing and says so, or fails with `GRIPSTACK_REQUIRE_TOOLS=1`.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use common::{Answer, PATIENCE, Server, Stream, ask, connect, eventually, read_answer, send};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const LIBRARIES: &str = "Django, django-grip, gripcontrol and fastly < 1.0";
const IMPORTS: &str = "import django.conf; django.conf.settings.configure(); import django_grip, gripcontrol, fastly; fastly.API";

/// The host that clients ask for, at whatever address it is.
const DOMAIN: &str = "livecounter.test";
const COUNTER: &str = "/counters/foo/";
const KEY: &str = "changeme-to-something-of-32-bytes";
const TOKEN: &str = "test-api-token";

/// A certificate in files, and who trusts it.
struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    trust: Arc<ClientConfig>,
}

/// A process of the application. Dropping it ends it.
struct Process {
    child: Child,
    said: Receiver<String>,
    hears: Sender<String>,
}

/// The server as its clients see it.
struct Site {
    addr: SocketAddr,
    trust: Arc<ClientConfig>,
}

#[test]
fn the_live_counter_runs_behind_the_server() {
    let listed = std::env::var("GRIPSTACK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut runs = 0;
    for python in listed.split(':') {
        let tried = Command::new(python).args(["-c", IMPORTS]).output();
        if tried.is_ok_and(|output| output.status.success()) {
            live_counter(python);
            runs += 1;
        }
    }
    if runs == 0 {
        let required = std::env::var("GRIPSTACK_REQUIRE_TOOLS").is_ok_and(|value| value == "1");
        assert!(!required, "no Python of {listed:?} has {LIBRARIES}");
        eprintln!("skipped: no Python of {listed:?} has {LIBRARIES}");
    }
}

fn live_counter(python: &str) {
    let certificate = Certificate::new();
    let start = |command: &str, token: &str, edge: u16, control: u16| {
        let mut process = Command::new(python);
        process
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live_counter/app.py"))
            .arg(command)
            .env("EDGE_PORT", edge.to_string())
            .env("FASTLY_API_KEY", token)
            .env("FASTLY_DOMAIN", DOMAIN)
            .env(
                "GRIP_URL",
                format!("http://127.0.0.1:{control}/?iss=realm&key={KEY}"),
            )
            .env("SSL_CERT_FILE", &certificate.cert)
            // A proxy of the environment is not what is tested.
            .env("NO_PROXY", "*");
        Process::start(process)
    };
    let app = start("serve", TOKEN, 0, 0);
    let port = app.wait_for("ready ").split_off("ready ".len());
    let server = Server::start(&[
        "--origin",
        &format!("http://127.0.0.1:{port}"),
        "--tls-cert",
        &certificate.cert.to_string_lossy(),
        "--tls-key",
        &certificate.key.to_string_lossy(),
        "--purge-token",
        TOKEN,
        "--publish-key",
        KEY,
        "--grip-iss",
        "realm",
        "--grip-key",
        KEY,
        "--purge-mode",
        "soft-block",
    ]);
    let ports = (server.public.port(), server.control.port());
    let publisher = start("publish", TOKEN, ports.0, ports.1);
    publisher.wait_for("ready");
    let site = Site {
        addr: server.public,
        trust: certificate.trust.clone(),
    };
    let post = || {
        let answer = site.ask(&format!("POST {COUNTER}"));
        // What the application hands to its publisher.
        let change = app.wait_for("{");
        publisher.hears.send(change).expect("it runs");
        answer
    };
    let sent = |value: u32| {
        assert_eq!(publisher.wait_for("purge foo"), format!("purge foo {value} ok"));
        assert_eq!(publisher.wait_for("publish"), format!("publish foo {value} ok"));
    };

    // Text: from the application, then from the cache.
    let first = site.get();
    assert_eq!((first.status, first.body.as_str()), (200, "0\n"), "{first:?}");
    assert!(first.cache_status().contains("fwd=uri-miss"), "{first:?}");
    assert!(site.get().cache_status().contains("; hit"));

    // Events: the padding, the value, and silence. The second one does not reach the application.
    let mut one = site.listen();
    one.wait_for("data: 0\n\n");
    let mut two = site.listen();
    for stream in [&mut one, &mut two] {
        stream.wait_for("event: message\ndata: 0\n\n");
        let head = stream.text.split("\r\n\r\n").next().unwrap_or_default();
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert!(
            !head.contains("grip-") && !head.contains("content-length"),
            "{head}"
        );
        assert!(stream.text.contains(&" ".repeat(2048)), "{}", stream.text);
    }
    // The first one's answer may still have been on its way.
    assert!(
        two.text.contains("; hit") || two.text.contains("; collapsed"),
        "{}",
        two.text
    );

    // A change: whoever listens gets it, whoever asks gets it, and the next one from the cache.
    assert_eq!(post().body, "1\n");
    sent(1);
    for stream in [&mut one, &mut two] {
        stream.wait_for("event: message\ndata: 1\n\n");
    }
    let fresh = site.get();
    assert_eq!(fresh.body, "1\n", "{fresh:?}");
    assert!(
        fresh.cache_status().contains("fwd="),
        "both variants are purged: {fresh:?}"
    );
    assert!(site.get().cache_status().contains("; hit"));
    let mut three = site.listen();
    three.wait_for("data: 1\n\n");

    // Many: the application merges them, and the last one comes.
    for value in 2..=20 {
        assert_eq!(post().body, format!("{value}\n"));
    }
    for stream in [&mut one, &mut two, &mut three] {
        stream.wait_for("data: 20\n\n");
    }
    while publisher.wait_for("publish") != "publish foo 20 ok" {}
    assert_eq!(site.get().body, "20\n");

    // The wrong token purges nothing, the wrong key publishes nothing. The application says so.
    let change = r#"{"name": "foo", "value": 666}"#;
    let stranger = start("publish", "another", ports.0, ports.1);
    stranger.hears.send(change.to_owned()).expect("it runs");
    assert_eq!(stranger.wait_for("purge"), "purge foo 666 AuthenticationError");
    let purge = |token| site.ask(&format!("PURGE {COUNTER}\nFastly-Key: {token}")).status;
    assert_eq!((purge("another"), purge(TOKEN)), (401, 200));
    let item = r#"{"items":[{"channel":"counter-foo","http-stream":{"content":"data: 666\n\n"}}]}"#;
    let forged = ask(
        server.control,
        "POST /publish/\nAuthorization: Bearer x.y.z",
        item,
    );
    assert_eq!(forged.status, 401, "{forged:?}");

    // A change that nobody asks for before the application dies; its publisher does not.
    assert_eq!(site.get().body, "20\n");
    let mut four = site.listen();
    four.wait_for("data: 20\n\n");
    assert_eq!(post().body, "21\n");
    while publisher.wait_for("publish") != "publish foo 21 ok" {}
    drop(app);
    eventually("its port is closed", || {
        TcpStream::connect(format!("127.0.0.1:{port}"))
            .is_err()
            .then_some(())
    });
    let stale = site.get();
    assert_eq!((stale.status, stale.body.as_str()), (200, "20\n"), "{stale:?}");
    assert!(stale.cache_status().contains("outage"), "{stale:?}");
    let mut five = site.listen();
    // The last good copy, and what was published since.
    five.wait_for("data: 21\n\n");
    assert_eq!(site.ask(&format!("POST {COUNTER}")).status, 502);
    let change = r#"{"name": "foo", "value": 22}"#;
    publisher.hears.send(change.to_owned()).expect("it runs");
    for stream in [&mut one, &mut two, &mut three, &mut four, &mut five] {
        stream.wait_for("event: message\ndata: 22\n\n");
        assert!(!stream.text.contains("666"), "{}", stream.text);
    }
    let mut six = site.listen();
    six.wait_for("data: 22\n\n");
    assert_eq!(site.get().status, 200);
}

// === impl Certificate ===

impl Certificate {
    /// For the clients' host, and for the name under which the publisher connects.
    fn new() -> Self {
        let names = [DOMAIN.to_owned(), "localhost".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("the names are good");
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-counter-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the directory is ours");
        let (cert_path, key_path) = (dir.join("cert.pem"), dir.join("key.pem"));
        std::fs::write(&cert_path, cert.pem()).expect("the directory is ours");
        std::fs::write(&key_path, signing_key.serialize_pem()).expect("the directory is ours");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("it can be parsed");
        let trust = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            cert: cert_path,
            key: key_path,
            trust: Arc::new(trust),
        }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = self.cert.parent().map(std::fs::remove_dir_all);
    }
}

// === impl Process ===

impl Process {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it started before");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (lines, said) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stdin = child.stdin.take().expect("it is piped");
        let (hears, lines) = channel::<String>();
        std::thread::spawn(move || {
            for line in lines {
                if writeln!(stdin, "{line}").is_err() {
                    break;
                }
            }
        });
        Self { child, said, hears }
    }

    /// The next line that begins so. Those before it are forgotten.
    fn wait_for(&self, begin: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{begin:?} was not said: {error}"));
            if line.starts_with(begin) {
                return line;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Site ===

impl Site {
    fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from(DOMAIN).expect("it is a name");
        let session = ClientConnection::new(self.trust.clone(), name).expect("the configuration is complete");
        StreamOwned::new(session, connect(self.addr))
    }

    fn ask(&self, head: &str) -> Answer {
        let mut socket = self.connect();
        send(&mut socket, DOMAIN, head, "");
        read_answer(socket)
    }

    fn get(&self) -> Answer {
        self.ask(&format!("GET {COUNTER}"))
    }

    /// As an `EventSource` does.
    fn listen(&self) -> Stream {
        let mut socket = self.connect();
        let head = format!("GET {COUNTER}\nAccept: text/event-stream");
        send(&mut socket, DOMAIN, &head, "");
        Stream::on(socket)
    }
}
