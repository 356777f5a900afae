//! Held answers on sockets of the kernel, parked each way: what the pipes of `serve_park` cannot show.
#![cfg(feature = "serve")]

mod serve_support;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use gripstack::body::Held;
use gripstack::serve::{Limits, Parking, Stats, serve};
use gripstack::{BoxError, EdgeBody};
use http::{Request, Response};
use http_body::{Body, Frame};
use parking_lot::Mutex;
use serve_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// Not parked, and whoever goes on with what is.
const WAYS: [Parking; 3] = [Parking::Off, Parking::Tasks, Parking::Lots];

/// Who goes on with what is parked.
const PARKED: [Parking; 2] = [Parking::Tasks, Parking::Lots];

/// What a held body does next.
enum Step {
    Say(Bytes),
    Fail,
    PanicNow,
    /// As it is dropped.
    PanicLater,
    /// From now on it always has something to say.
    NeverRest(Bytes),
}

/// A held body that does what a test says.
struct Told {
    steps: mpsc::UnboundedReceiver<Step>,
    said: Arc<AtomicUsize>,
    endless: Option<Bytes>,
    panics: bool,
}

impl Body for Told {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(data) = &self.endless {
                return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
            }
            match ready!(self.steps.poll_recv(cx)) {
                None => return Poll::Ready(None),
                Some(Step::Say(data)) => {
                    self.said.fetch_add(1, SeqCst);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Step::Fail) => return Poll::Ready(Some(Err("broken".into()))),
                Some(Step::PanicNow) => panic!("a body panics, as a test wants it"),
                Some(Step::PanicLater) => self.panics = true,
                Some(Step::NeverRest(data)) => self.endless = Some(data),
            }
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        assert!(!self.panics, "a body panics as it goes, as a test wants it");
    }
}

/// Who tells held bodies what to do, in the order in which they were asked for.
#[derive(Clone, Default)]
struct Holds {
    tell: Arc<Mutex<Vec<mpsc::UnboundedSender<Step>>>>,
    /// Messages that bodies have given.
    said: Arc<AtomicUsize>,
}

impl Holds {
    fn service(&self) -> BoxService {
        let holds = self.clone();
        service(move |request: Request<EdgeBody>| {
            let holds = holds.clone();
            async move {
                if request.uri().path() == "/plain" {
                    return Response::new(EdgeBody::from("plain"));
                }
                let (tell, steps) = mpsc::unbounded_channel();
                let body = Told {
                    steps,
                    said: holds.said.clone(),
                    endless: None,
                    panics: false,
                };
                holds.tell.lock().push(tell);
                let mut response = Response::new(EdgeBody::new(body));
                response.extensions_mut().insert(Held);
                response
            }
        })
    }

    fn last(&self) -> mpsc::UnboundedSender<Step> {
        self.tell.lock().last().expect("held").clone()
    }

    fn tell(&self, step: Step) {
        let _ = self.last().send(step);
    }

    fn say(&self, text: impl AsRef<[u8]>) {
        self.tell(Step::Say(Bytes::copy_from_slice(text.as_ref())));
    }

    /// All end once they have said what they were told.
    fn end(&self) {
        self.tell.lock().clear();
    }
}

/// A server on loopback whose held answers do what a test says.
struct World {
    addr: SocketAddr,
    server: Server,
    holds: Holds,
    parking: Parking,
}

impl World {
    async fn new(parking: Parking) -> Self {
        Self::with(parking, Limits::default(), PATIENCE).await
    }

    async fn with(parking: Parking, limits: Limits, deadline: Duration) -> Self {
        let holds = Holds::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let server = serve(listener, holds.service()).limits(limits).parking(parking);
        Self {
            addr,
            server: Server::start(server, deadline),
            holds,
            parking,
        }
    }

    fn stats(&self) -> &Stats {
        &self.server.stats
    }

    /// Asks, and has the head; where the server parks, it is parked.
    async fn hold(&self) -> Raw<TcpStream> {
        let mut client = connect(self.addr).await;
        self.hold_on(&mut client, GET).await;
        client
    }

    async fn hold_on(&self, client: &mut Raw<TcpStream>, request: &str) -> String {
        let before = self.stats().parked();
        client.send(request).await;
        let head = soon(client.head()).await;
        if self.parking != Parking::Off {
            until("it is parked", || self.stats().parked() == before + 1).await;
        }
        head
    }

    async fn is_empty(&self) {
        until("nobody is left", || self.stats().open() == 0).await;
        assert_eq!(self.stats().parked(), 0, "{:?}", self.parking);
    }
}

const GET: &str = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";

/// The data of chunks, however they were cut; the end is told by `<end>`.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(at) = chunks.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&chunks[..at]).expect("text");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let rest = &chunks[at + 2..];
        all.extend_from_slice(&rest[..size]);
        if size == 0 {
            all.extend_from_slice(b"<end>");
        }
        chunks = rest[size..].strip_prefix(b"\r\n").expect("a chunk's end");
    }
    assert!(chunks.is_empty(), "{}", chunks.escape_ascii());
    all
}

/// A client that takes little at a time.
async fn small_reader(addr: SocketAddr) -> Raw<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 * 1024).expect("allowed");
    Raw::new(soon(socket.connect(addr)).await.expect("connects"))
}

#[tokio::test]
async fn s7_a_held_answer_is_the_same_on_the_wire() {
    let mut heads = Vec::new();
    for parking in WAYS {
        let world = World::new(parking).await;
        let mut client = connect(world.addr).await;
        let head = world.hold_on(&mut client, GET).await;
        for text in ["a", "bc", "0123456789abcdef"] {
            world.holds.say(text);
            let size = format!("{:X}\r\n", text.len());
            let wire = soon(client.bytes(size.len() + text.len() + 2)).await;
            assert_eq!(wire, format!("{size}{text}\r\n").into_bytes(), "{parking:?}");
        }
        for text in ["x", "", "y"] {
            world.holds.say(text);
        }
        world.holds.end();
        assert_eq!(joined(&soon(client.rest()).await), b"xy<end>", "{parking:?}");
        world.is_empty().await;
        let head = head.lines().filter(|line| !line.starts_with("date:"));
        heads.push(head.collect::<Vec<_>>().join("\n"));

        // To the end of the connection, and one that breaks off.
        let mut client = connect(world.addr).await;
        world
            .hold_on(&mut client, "GET /hold HTTP/1.0\r\nHost: a\r\n\r\n")
            .await;
        world.holds.say("a");
        assert_eq!(soon(client.bytes(1)).await, b"a");
        world.holds.say("b");
        world.holds.end();
        assert_eq!(soon(client.rest()).await, b"b", "{parking:?}");
        let mut client = world.hold().await;
        world.holds.say("a");
        world.holds.tell(Step::Fail);
        let wire = soon(client.rest()).await;
        assert!(
            wire.is_empty() || wire == b"1\r\na\r\n",
            "{parking:?}: {}",
            wire.escape_ascii()
        );
        world.is_empty().await;
    }
    assert!(
        heads.iter().all(|head| *head == heads[0]),
        "{heads:?} are not the same"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s7_a_slow_reader_gets_all_of_it_once() {
    const MESSAGES: usize = 400;
    for parking in WAYS {
        let world = World::new(parking).await;
        let mut client = small_reader(world.addr).await;
        world.hold_on(&mut client, GET).await;
        let mut all = Vec::new();
        for n in 0..MESSAGES {
            let text = format!("{n}.").repeat(5_000);
            all.extend_from_slice(text.as_bytes());
            world.holds.say(text);
        }
        world.holds.end();
        // Now and again the buffers are full, and now and again empty.
        until("it has begun", || world.holds.said.load(SeqCst) > 0).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(
            world.holds.said.load(SeqCst) < MESSAGES,
            "{parking:?}: nobody waits for its reader"
        );
        let mut got = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        let mut reads = 0;
        loop {
            let most = [1, 700, 64 * 1024][reads % 3];
            reads += 1;
            match soon(client.io.read(&mut piece[..most])).await.expect("no reset") {
                0 => break,
                read => got.extend_from_slice(&piece[..read]),
            }
        }
        all.extend_from_slice(b"<end>");
        assert!(joined(&got) == all, "{parking:?}");
        assert_eq!(world.stats().stalled(), 0);
        world.is_empty().await;
    }
}

#[tokio::test]
async fn s7_who_reads_nothing_is_cut_and_counted() {
    for parking in WAYS {
        let limits = Limits::new().stall(Duration::from_millis(300));
        let world = World::with(parking, limits, PATIENCE).await;
        let mut client = small_reader(world.addr).await;
        world.hold_on(&mut client, GET).await;
        let mut other = world.hold().await;
        let slow = world.holds.tell.lock()[0].clone();
        for _ in 0..100 {
            let _ = slow.send(Step::Say(vec![b'x'; 100_000].into()));
        }
        soon(slow.closed()).await;
        assert_eq!(world.stats().stalled(), 1, "{parking:?}");
        world.holds.say("a");
        assert_eq!(soon(other.bytes(6)).await, b"1\r\na\r\n");
        assert_eq!(world.stats().open(), 1);
        drop((client, other));
        world.is_empty().await;
    }
}

#[tokio::test]
async fn s7_a_client_that_goes_away_is_noticed_however_it_goes() {
    for parking in WAYS {
        let world = World::new(parking).await;
        for way in ["close", "half", "reset", "unread", "said", "behind"] {
            let mut client = world.hold().await;
            let hold = world.holds.last();
            match way {
                "close" => drop(client),
                "half" => {
                    client.io.shutdown().await.expect("open");
                    soon(hold.closed()).await;
                }
                "reset" => {
                    client.io.set_zero_linger().expect("a socket");
                    drop(client);
                }
                // It has not read what came: the kernel resets.
                "unread" => {
                    world.holds.say("a");
                    soon(client.io.readable()).await.expect("open");
                    drop(client);
                }
                // Its end stands behind bytes that nobody wants.
                "said" => {
                    client.send("x".repeat(3_000)).await;
                    client.io.shutdown().await.expect("open");
                    soon(hold.closed()).await;
                }
                // It goes while the socket takes nothing.
                _ => {
                    for _ in 0..100 {
                        world.holds.say("x".repeat(100_000));
                    }
                    soon(client.io.readable()).await.expect("open");
                    drop(client);
                }
            }
            soon(hold.closed()).await;
            until(way, || world.stats().open() == 0).await;
            assert_eq!(world.stats().parked(), 0, "{parking:?} {way}");
        }
        assert_eq!(world.stats().stalled(), 0);
    }
}

#[tokio::test]
async fn s7_so_many_extra_bytes_are_dropped_and_one_more_cuts() {
    const MOST: usize = 64 * 1024;
    for parking in PARKED {
        let world = World::new(parking).await;
        for (before, at_once) in [(0, true), (0, false), (1_000, true)] {
            let mut client = connect(world.addr).await;
            let request = format!("{GET}{}", "x".repeat(before));
            world.hold_on(&mut client, &request).await;
            let hold = world.holds.last();
            let rest = vec![b'x'; MOST - before];
            match at_once {
                true => client.send(rest).await,
                false => {
                    for (n, piece) in rest.chunks(1_000).enumerate() {
                        client.send(piece).await;
                        world.holds.say("a");
                        assert_eq!(soon(client.bytes(6)).await, b"1\r\na\r\n", "{n}");
                    }
                }
            }
            for _ in 0..20 {
                world.holds.say("a");
                assert_eq!(soon(client.bytes(6)).await, b"1\r\na\r\n");
            }
            assert!(!hold.is_closed(), "{parking:?}");
            client.send("x").await;
            soon(hold.closed()).await;
        }
        world.is_empty().await;
    }
}

/// Closing would reset the connection, and its client might lose the end of its answer (RFC 9112 9.6).
#[tokio::test]
async fn s7_who_is_still_sending_gets_the_end_of_its_answer() {
    for parking in WAYS {
        let world = World::new(parking).await;
        let mut client = world.hold().await;
        client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").await;
        world.holds.say("a");
        assert_eq!(soon(client.bytes(6)).await, b"1\r\na\r\n");
        world.holds.say("b");
        world.holds.end();
        assert_eq!(
            soon(client.bytes(11)).await,
            b"1\r\nb\r\n0\r\n\r\n",
            "{parking:?}"
        );
        // It goes on, and sees the end all the same.
        client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(soon(client.rest()).await, b"", "{parking:?}");
        drop(client);
        world.is_empty().await;
    }
}

#[tokio::test]
async fn s7_a_drain_waits_for_those_that_end_and_cuts_the_others() {
    for parking in WAYS {
        let mut world = World::new(parking).await;
        let mut client = world.hold().await;
        world.server.begin_drain();
        until("the listener is closed", || {
            std::net::TcpStream::connect(world.addr).is_err()
        })
        .await;
        world.holds.say("a");
        assert_eq!(soon(client.bytes(6)).await, b"1\r\na\r\n");
        world.holds.end();
        assert_eq!(soon(client.rest()).await, b"0\r\n\r\n");
        let stats = world.stats().clone();
        let drained = world.server.drained().await;
        assert_eq!((drained.cut, drained.left), (0, 0), "{parking:?}");
        assert_eq!((stats.open(), stats.parked()), (0, 0));

        let mut world = World::with(parking, Limits::default(), Duration::from_millis(1)).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(world.hold().await);
        }
        world.server.begin_drain();
        let stats = world.stats().clone();
        let drained = world.server.drained().await;
        assert_eq!((drained.cut, drained.left), (5, 0), "{parking:?}");
        assert_eq!((stats.open(), stats.parked()), (0, 0));
        for mut client in clients {
            // Reset or closed, but without an end.
            let mut rest = Vec::new();
            let _ = soon(client.io.read_to_end(&mut rest)).await;
            assert_eq!(rest, b"");
        }
    }
}

#[tokio::test]
async fn s7_dropping_the_server_cuts_what_is_parked() {
    for parking in WAYS {
        let world = World::new(parking).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(world.hold().await);
        }
        let stats = world.stats().clone();
        drop(world.server);
        let holds = std::mem::take(&mut *world.holds.tell.lock());
        for hold in holds {
            soon(hold.closed()).await;
        }
        until("all are gone", || stats.open() == 0).await;
        assert_eq!(stats.parked(), 0, "{parking:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s7_each_of_many_gets_each_message_in_order() {
    const CLIENTS: usize = 2_000;
    const PUBLISHERS: usize = 4;
    const MESSAGES: usize = 25;
    for parking in PARKED {
        let world = World::new(parking).await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = connect(world.addr).await;
            client.send(GET).await;
            clients.push(client);
        }
        until("all are parked", || world.stats().parked() == CLIENTS as u64).await;
        let mut readers = tokio::task::JoinSet::new();
        for mut client in clients {
            readers.spawn(async move {
                client.head().await;
                let wire = client.rest().await;
                let text = String::from_utf8(joined(&wire)).expect("text");
                let text = text.strip_suffix("<end>").expect("an end");
                let mut next = [0; PUBLISHERS];
                for message in text.split_terminator(';') {
                    let (publisher, number) = message.split_once(':').expect("a message");
                    let publisher: usize = publisher.parse().expect("a number");
                    assert_eq!(next[publisher], number.parse::<usize>().expect("a number"));
                    next[publisher] += 1;
                }
                assert_eq!(next, [MESSAGES; PUBLISHERS]);
            });
        }
        let mut publishers = tokio::task::JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let holds: Vec<_> = world.holds.tell.lock().clone();
            publishers.spawn(async move {
                for number in 0..MESSAGES {
                    let message = Bytes::from(format!("{publisher}:{number};"));
                    for hold in &holds {
                        hold.send(Step::Say(message.clone())).expect("held");
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        // Others are served meanwhile.
        for _ in 0..20 {
            let mut client = connect(world.addr).await;
            client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(soon(client.answer()).await.text(), "plain");
        }
        while let Some(published) = publishers.join_next().await {
            published.expect("no panic");
        }
        world.holds.end();
        while let Some(read) = soon(readers.join_next()).await {
            read.expect("all of it, in order");
        }
        world.is_empty().await;
    }
}

#[tokio::test]
async fn s7_a_body_that_panics_is_counted_and_takes_nobody_along() {
    for parking in WAYS {
        let world = World::new(parking).await;
        let mut bystander = world.hold().await;
        let bystands = world.holds.last();
        // As it is polled; as it goes, with its client, and at its own end; and both.
        let ways = [
            (false, true, false),
            (true, false, true),
            (true, false, false),
            (true, true, false),
        ];
        let mut panics = 0;
        for (later, now, leaves) in ways {
            let mut client = world.hold().await;
            if later {
                world.holds.tell(Step::PanicLater);
            }
            match now {
                true => world.holds.tell(Step::PanicNow),
                // What it was told before it has done.
                false => {
                    world.holds.say("a");
                    assert_eq!(soon(client.bytes(6)).await, b"1\r\na\r\n");
                }
            }
            world.holds.tell.lock().truncate(1);
            match leaves {
                true => drop(client),
                false => {
                    let mut rest = Vec::new();
                    let _ = soon(client.io.read_to_end(&mut rest)).await;
                    let is_whole = rest.ends_with(b"0\r\n\r\n");
                    // hyper drops it before it writes the end.
                    let may_be_whole = !now && parking != Parking::Off;
                    assert_eq!(is_whole, may_be_whole, "{parking:?}");
                }
            }
            until("it is gone", || world.stats().open() == 1).await;
            panics += u64::from(later) + u64::from(now);
            assert_eq!(world.stats().panicked(), panics, "{parking:?}");
            let _ = bystands.send(Step::Say("b".into()));
            assert_eq!(soon(bystander.bytes(6)).await, b"1\r\nb\r\n", "{parking:?}");
        }
        drop(bystander);
        world.is_empty().await;
    }
}

/// One that always has something to say, to a reader who takes all of it.
#[test]
fn s7_one_that_never_rests_keeps_nobody_from_his_turn() {
    let (told, is_told) = std::sync::mpsc::channel();
    // A thread, which is left behind where the runtime does not come back.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for parking in PARKED {
                for data in ["x", "", &"x".repeat(100_000)] {
                    let mut world = World::with(parking, Limits::default(), Duration::from_millis(1)).await;
                    let mut other = world.hold().await;
                    let others = world.holds.last();
                    let greedy = world.hold().await;
                    let greedy = greedy.io.into_std().expect("open");
                    greedy.set_nonblocking(false).expect("a socket");
                    std::thread::spawn(move || {
                        let mut greedy = greedy;
                        let _ = std::io::copy(&mut greedy, &mut std::io::sink());
                    });
                    world.holds.tell(Step::NeverRest(data.to_owned().into()));
                    for _ in 0..100 {
                        let _ = others.send(Step::Say("a".into()));
                        assert_eq!(soon(other.bytes(6)).await, b"1\r\na\r\n", "{parking:?}");
                    }
                    world.server.begin_drain();
                    let drained = world.server.drained().await;
                    assert_eq!((drained.cut, drained.left), (2, 0), "{parking:?}");
                }
            }
        });
        told.send(()).expect("somebody waits");
    });
    is_told
        .recv_timeout(6 * PATIENCE)
        .expect("the others have their turns");
}

/// A runtime need not have sockets: pipes have none.
#[test]
fn s7_what_needs_no_sockets_is_parked_without_them() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for parking in WAYS {
            let holds = Holds::default();
            let (pipes, listener) = Pipes::new();
            let server = Server::start(serve(listener, holds.service()).parking(parking), PATIENCE);
            let mut client = pipes.connect(4_096);
            client.send(GET).await;
            soon(client.head()).await;
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            holds.say("a");
            holds.end();
            let rest = soon(client.rest()).await;
            assert_eq!(joined(&rest), b"a<end>", "{parking:?}");
            assert_eq!(server.stats.panicked(), 0);
        }
    });
}

/// A server in each of several runtimes, two in one, and one in a local set.
#[test]
fn s7_servers_do_not_meet() {
    let run = |parking| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let both = async {
            let (one, other) = (World::new(parking).await, World::new(parking).await);
            let mut clients = (one.hold().await, other.hold().await);
            let stats = one.stats().clone();
            drop(one.server);
            until("it is gone", || stats.open() == 0).await;
            other.holds.say("a");
            assert_eq!(soon(clients.1.bytes(6)).await, b"1\r\na\r\n");
            drop(clients);
            other.is_empty().await;
            // Left behind for the runtime to end.
            (other.stats().clone(), other.hold().await, other)
        };
        let local = tokio::task::LocalSet::new();
        let (stats, client, world) = local.block_on(&runtime, both);
        let hold = world.holds.last();
        drop(local);
        drop(runtime);
        assert_eq!((stats.open(), stats.parked()), (0, 0), "{parking:?}");
        assert!(hold.is_closed());
        drop((client, world));
    };
    std::thread::scope(|scope| {
        for parking in WAYS {
            scope.spawn(move || run(parking));
        }
    });
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s7_no_descriptor_is_left_behind() {
    const ALONE: &str = "GRIPSTACK_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        // In a process where nobody else opens any.
        let alone = std::process::Command::new(std::env::current_exe().expect("a test"))
            .args(["--exact", "s7_no_descriptor_is_left_behind"])
            .env(ALONE, "1")
            .output()
            .expect("it runs");
        assert!(
            alone.status.success(),
            "{}",
            String::from_utf8_lossy(&alone.stdout)
        );
        return;
    }
    let open = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    let before = open();
    for parking in WAYS {
        let world = World::new(parking).await;
        for round in 0..3 {
            let mut clients = Vec::new();
            for _ in 0..100 {
                clients.push(world.hold().await);
            }
            for hold in world.holds.tell.lock().iter().skip(50) {
                let _ = hold.send(Step::Say("a".into()));
            }
            if round == 1 {
                world.holds.end();
            }
            drop(clients);
            world.is_empty().await;
            world.holds.end();
        }
        let left = world.hold().await;
        drop((world, left));
        until("all descriptors are closed", || open() == before).await;
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn s7_so_it_goes_through_tls() {
    use gripstack::serve::Tls;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    for parking in WAYS {
        let tls = Tls::from_pem(chain.as_bytes(), key.as_bytes()).expect("it fits");
        let holds = Holds::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let limits = Limits::new().stall(Duration::from_millis(500));
        let server = serve(listener, holds.service())
            .limits(limits)
            .tls(tls)
            .parking(parking);
        let server = Server::start(server, PATIENCE);
        let mut clients = Vec::new();
        for _ in 0..12 {
            let tcp = small_reader(addr).await.io;
            let name = ServerName::try_from("localhost").expect("a name");
            let mut client = Raw::new(soon(connector.connect(name, tcp)).await.expect("a handshake"));
            client.send(GET).await;
            soon(client.head()).await;
            clients.push(client);
        }
        if parking != Parking::Off {
            until("all are parked", || server.stats.parked() == 12).await;
        }
        let tell = holds.tell.lock().clone();
        // One leaves, one says good-bye, one reads nothing.
        drop(clients.remove(0));
        soon(tell[0].closed()).await;
        soon(clients[0].io.shutdown()).await.expect("open");
        soon(tell[1].closed()).await;
        for _ in 0..100 {
            let _ = tell[2].send(Step::Say(vec![b'x'; 100_000].into()));
        }
        soon(tell[2].closed()).await;
        assert_eq!(server.stats.stalled(), 1, "{parking:?}");
        for hold in &tell[3..] {
            for n in 0..100 {
                let _ = hold.send(Step::Say(format!("{n}.").into()));
            }
        }
        holds.end();
        drop(tell);
        let said: String = (0..100).map(|n| format!("{n}.")).collect();
        for client in &mut clients[2..] {
            let text = String::from_utf8(joined(&soon(client.rest()).await)).expect("text");
            assert_eq!(text, format!("{said}<end>"), "{parking:?}");
        }
        drop(clients);
        until("nobody is left", || server.stats.open() == 0).await;
        assert_eq!(server.stats.parked(), 0);
    }
}
