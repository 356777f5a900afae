//! Requests in a closed loop: each connection asks again as soon as it has its answer.
//!
//! Says `ready` when all are connected. Told `go`, asks, and in the end says
//! `done <requests> <nanoseconds> <p50> <p99> <worst>`, the last three in microseconds; `fault <text>` if an answer is wrong.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

use super::orders;
use crate::http1::Decoder;
use crate::plan::{Next, Plan};
use crate::stats::percentile;

#[derive(Args)]
pub struct Options {
    #[arg(long)]
    connect: SocketAddr,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// What is asked for: `same:PATH`, `zipf:COUNT:PATH`, `each:COUNT:PATH`, `once:PATH` or `publish:FORM:CHANNELS`;
    /// `{}` in a path is a number below COUNT.
    #[arg(long)]
    plan: Plan,
    /// When to stop asking, where the plan does not say it.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// The length that each answer must have.
    #[arg(long)]
    bytes: Option<u64>,
}

struct Asker {
    stream: TcpStream,
    decoder: Decoder,
    asked: Instant,
    request: Vec<u8>,
    sent: usize,
    /// Bytes of the body so far.
    body: u64,
    is_waiting: bool,
}

struct Load {
    options: Options,
    poll: Poll,
    askers: Vec<Asker>,
    input: Box<[u8]>,
    until: Instant,
    waiting: usize,
    /// Of each answer, in microseconds.
    times: Vec<u32>,
    last: Instant,
}

pub fn run(options: Options) -> io::Result<()> {
    let orders = orders::listen(None);
    let poll = Poll::new()?;
    let mut askers = Vec::with_capacity(options.connections);
    for index in 0..options.connections {
        // Connecting is no part of what is measured, unless a server closes after each answer.
        askers.push(Asker::new(connect(poll.registry(), options.connect, index)?));
    }
    println!("ready");
    if orders.recv().is_err() {
        return Ok(());
    }
    let begun = Instant::now();
    let mut load = Load {
        until: begun + Duration::from_secs_f64(options.seconds),
        options,
        askers,
        input: vec![0; 256 * 1024].into(),
        waiting: 0,
        times: Vec::new(),
        last: begun,
        poll,
    };
    if let Err(fault) = load.go() {
        println!("fault {fault}");
        return Ok(());
    }
    load.times.sort_unstable();
    let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|part| percentile(&load.times, part).unwrap_or(0));
    println!(
        "done {} {} {p50} {p99} {worst}",
        load.times.len(),
        (load.last - begun).as_nanos()
    );
    // Whoever started this ends it, so that nothing is closed while it still measures.
    let _ = orders.recv();
    Ok(())
}

/// A connection that is there.
fn connect(registry: &Registry, addr: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let stream = std::net::TcpStream::connect(addr)?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let mut stream = TcpStream::from_std(stream);
    registry.register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}

// === impl Load ===

impl Load {
    fn go(&mut self) -> Result<(), String> {
        for index in 0..self.askers.len() {
            self.ask(index)?;
        }
        let mut events = Events::with_capacity(1024);
        while self.waiting > 0 {
            match self.poll.poll(&mut events, Some(Duration::from_secs(30))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.map_err(|error| error.to_string())?,
            }
            if events.is_empty() {
                return Err(format!("{} requests have no answer after 30 s", self.waiting));
            }
            for event in &events {
                let Token(index) = event.token();
                if !self.askers[index].is_waiting {
                    continue;
                }
                if event.is_writable() {
                    self.askers[index].send()?;
                }
                if event.is_readable() {
                    self.read(index)?;
                }
            }
        }
        Ok(())
    }

    /// Sends the next request of the plan, if there is one.
    fn ask(&mut self, index: usize) -> Result<(), String> {
        let asker = &mut self.askers[index];
        let now = Instant::now();
        asker.request.clear();
        match self
            .options
            .plan
            .next(index, self.options.connections, &mut asker.request)
        {
            Next::UntilTime if now >= self.until => return Ok(()),
            Next::UntilTime | Next::Asked => {}
            Next::Nothing => return Ok(()),
        }
        asker.asked = now;
        asker.sent = 0;
        asker.body = 0;
        asker.is_waiting = true;
        self.waiting += 1;
        asker.send()
    }

    fn read(&mut self, index: usize) -> Result<(), String> {
        loop {
            let asker = &mut self.askers[index];
            let read = match asker.stream.read(&mut self.input) {
                Ok(0) => return Err("the server closed a connection".to_owned()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            };
            let body = &mut asker.body;
            let fed = asker
                .decoder
                .feed(&self.input[..read], |part| *body += part.len() as u64);
            if fed.map_err(|error| error.to_string())? != read {
                return Err("more than an answer".to_owned());
            }
            if asker.decoder.is_done() {
                let status = asker.decoder.status().unwrap_or(0);
                if !(200..300).contains(&status)
                    || self.options.bytes.is_some_and(|bytes| bytes != asker.body)
                {
                    return Err(format!("status {status} with {} bytes", asker.body));
                }
                if asker.decoder.is_last() {
                    asker.stream = connect(self.poll.registry(), self.options.connect, index)
                        .map_err(|error| error.to_string())?;
                }
                asker.decoder = Decoder::default();
                asker.is_waiting = false;
                self.waiting -= 1;
                self.last = Instant::now();
                self.times.push((self.last - asker.asked).as_micros() as u32);
                return self.ask(index);
            }
            if read < self.input.len() {
                return Ok(());
            }
        }
    }
}

// === impl Asker ===

impl Asker {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            asked: Instant::now(),
            request: Vec::new(),
            sent: 0,
            body: 0,
            is_waiting: false,
        }
    }

    fn send(&mut self) -> Result<(), String> {
        while self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(wrote) => self.sent += wrote,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}
