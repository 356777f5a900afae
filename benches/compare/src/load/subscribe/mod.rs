//! Many subscribers, each of which looks whether every message arrives, in order.
//!
//! Says `open <count> <repeated>` when all are held, and how many connects it took more; `all <number> <time>` when
//! all have a message; `fault <text>` for what goes wrong. Told `await <count>`, says `reached <count> <time>` when so
//! many messages have arrived in all.

mod connection;
mod tally;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use clap::Args;
use mio::net::TcpStream;
use mio::{Interest, Poll, Token, Waker};
use rustls::ClientConfig;

use self::connection::{Connection, Stage};
use self::tally::Tally;
use super::link::{self, Link};
use super::orders;

#[derive(Args)]
pub struct Options {
    #[arg(long)]
    connect: SocketAddr,
    /// What is asked for; `{}` in it is the number of the subscriber.
    #[arg(long)]
    path: String,
    #[arg(long)]
    count: usize,
    /// Subscribers that begin in a second.
    #[arg(long, default_value_t = 2000.0)]
    rate: f64,
    /// With TLS, by this certificate.
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Streams of HTTP/2 on a connection; 0 is HTTP/1.1.
    #[arg(long, default_value_t = 0)]
    streams: usize,
}

const ORDERS: Token = Token(usize::MAX);
/// Connections that are being made at one time.
const OPENING: usize = 64;
/// How often a connect is repeated that ends before it is held.
const REPEATS: u8 = 5;

struct Load {
    options: Options,
    tls: Option<Arc<ClientConfig>>,
    poll: Poll,
    connections: Vec<Connection>,
    /// How many there are to be.
    wanted: usize,
    tally: Tally,
    input: Box<[u8]>,
    /// Connections whose subscribers are held.
    open: usize,
    /// Those that ended before.
    repeated: usize,
}

pub fn run(options: Options) -> io::Result<()> {
    let on_each = options.streams.max(1);
    if !options.count.is_multiple_of(on_each) {
        return Err(io::Error::other("subscribers must fill their connections"));
    }
    let protocol = if options.streams == 0 { "http/1.1" } else { "h2" };
    let tls = options
        .certificate
        .as_deref()
        .map(|path| link::config(path, protocol))
        .transpose()?;
    let poll = Poll::new()?;
    let orders = orders::listen(Some(Waker::new(poll.registry(), ORDERS)?));
    let mut load = Load {
        tls,
        poll,
        connections: Vec::new(),
        wanted: options.count / on_each,
        tally: Tally::new(options.count),
        input: vec![0; 64 * 1024].into(),
        open: 0,
        repeated: 0,
        options,
    };
    load.go(&orders)
}

// === impl Load ===

impl Load {
    fn go(&mut self, orders: &Receiver<String>) -> io::Result<()> {
        let begun = Instant::now();
        let mut events = mio::Events::with_capacity(1024);
        loop {
            let is_opening = self.connections.len() < self.wanted;
            if is_opening {
                self.begin(begun.elapsed())?;
            }
            let wait = is_opening.then_some(Duration::from_millis(1));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    ORDERS => self.obey(orders),
                    Token(index) => self.turn(index, event.is_writable()),
                }
            }
        }
    }

    /// Begins as many as the rate has room for.
    fn begin(&mut self, elapsed: Duration) -> io::Result<()> {
        let rate = self.options.rate / self.options.streams.max(1) as f64;
        let due = (elapsed.as_secs_f64() * rate) as usize + 1;
        let due = due.min(self.wanted).min(self.open + OPENING);
        while self.connections.len() < due {
            let connection = self.connect(self.connections.len())?;
            self.connections.push(connection);
        }
        Ok(())
    }

    fn connect(&self, index: usize) -> io::Result<Connection> {
        let mut stream = TcpStream::connect(self.options.connect)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(index), interest)?;
        Ok(Connection::new(
            Link::new(stream, self.tls.as_ref())?,
            self.options.streams,
        ))
    }

    fn obey(&mut self, orders: &Receiver<String>) {
        while let Ok(order) = orders.try_recv() {
            match order.split_once(' ').map(|(word, count)| (word, count.parse())) {
                Some(("await", Ok(count))) => self.tally.wait(count),
                _ => self.tally.fault(&format!("unknown order: {order}")),
            }
        }
    }

    fn turn(&mut self, index: usize, is_writable: bool) {
        let was = self.connections[index].stage;
        let done = match was {
            Stage::Ended => return,
            Stage::Connecting if is_writable => {
                let paths = self.paths(index);
                self.connections[index].ask(&paths)
            }
            _ => self.connections[index].read(&mut self.input, &mut self.tally),
        };
        if let Err(fault) = done {
            self.failed(index, &fault);
        }
        if was != Stage::Held && self.connections[index].stage == Stage::Held {
            self.open += 1;
            if self.open == self.wanted {
                println!("open {} {}", self.options.count, self.repeated);
            }
        }
    }

    /// What the subscribers of a connection ask for.
    fn paths(&self, index: usize) -> Vec<String> {
        let on_each = self.options.streams.max(1);
        let subscribers = index * on_each..(index + 1) * on_each;
        subscribers
            .map(|number| self.options.path.replace("{}", &number.to_string()))
            .collect()
    }

    /// Who was not held yet tries again, as any client does; who was, has lost something.
    fn failed(&mut self, index: usize, fault: &str) {
        let Connection { stage, repeats, .. } = self.connections[index];
        if stage != Stage::Held
            && repeats < REPEATS
            && let Ok(again) = self.connect(index)
        {
            self.repeated += 1;
            self.connections[index] = again;
            self.connections[index].repeats = repeats + 1;
            return;
        }
        self.connections[index].stage = Stage::Ended;
        self.tally.fault(&format!("connection {index}: {fault}"));
    }
}
