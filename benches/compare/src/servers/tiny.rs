//! An HTTP/1.1 server that does the least a program can: one thread, one epoll, one `send` for each thing to say.
//!
//! Once a connection is held, nothing of it is kept but its socket and its place in a channel.

use std::collections::{BinaryHeap, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::net;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::http1::{self, Parsed, Request};

/// What a server answers. Bytes go to `out`; what else is to happen is returned.
pub trait App {
    fn answer(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Then;
}

/// What happens with the bytes of an answer, and the connection.
pub enum Then {
    /// They are sent; the next request is read.
    Keep,
    /// They are sent; the connection is one of this channel from now on.
    Hold { channel: String },
    /// First `chunk` goes to all of the channel, then they are sent.
    Publish { channel: String, chunk: Vec<u8> },
    /// They are sent after this time.
    Later(Duration),
}

const LISTENER: Token = Token(usize::MAX);

struct Server<A> {
    app: A,
    poll: Poll,
    slots: Vec<Slot>,
    free: Vec<u32>,
    channels: HashMap<String, Vec<u32>>,
    timers: BinaryHeap<Timer>,
    /// What is read into, and what answers are made in.
    input: Box<[u8]>,
    out: Vec<u8>,
}

enum Slot {
    Free,
    Talking(Box<Talk>),
    /// What could not be sent yet is beside, which happens to nobody who reads.
    #[expect(clippy::box_collection, reason = "it is 8 bytes of each hold instead of 24")]
    Held(TcpStream, Option<Box<Vec<u8>>>),
}

struct Talk {
    stream: TcpStream,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

struct Timer {
    at: Instant,
    slot: u32,
    bytes: Vec<u8>,
}

/// Whether a connection goes on.
#[derive(PartialEq)]
enum Going {
    On,
    Ended,
}

/// Serves until the process ends.
pub fn serve(listener: net::TcpListener, app: impl App) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        app,
        poll,
        slots: Vec::new(),
        free: Vec::new(),
        channels: HashMap::new(),
        timers: BinaryHeap::new(),
        input: vec![0; 64 * 1024].into(),
        out: Vec::new(),
    };
    let mut events = Events::with_capacity(1024);
    loop {
        let wait = server
            .timers
            .peek()
            .map(|timer| timer.at.saturating_duration_since(Instant::now()));
        match server.poll.poll(&mut events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        server.fire()?;
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&listener)?,
                Token(slot) => server.turn(slot as u32, event.is_readable(), event.is_writable()),
            }
        }
    }
}

// === impl Server ===

impl<A: App> Server<A> {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.slots.push(Slot::Free);
                (self.slots.len() - 1) as u32
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(slot as usize), interest)?;
            self.slots[slot as usize] = Slot::Talking(Box::new(Talk {
                stream,
                unread: Vec::new(),
                unsent: Vec::new(),
            }));
        }
    }

    /// Sends what was to be sent later.
    fn fire(&mut self) -> io::Result<()> {
        while self.timers.peek().is_some_and(|timer| timer.at <= Instant::now()) {
            let timer = self.timers.pop().expect("it was just seen");
            if let Slot::Talking(talk) = &mut self.slots[timer.slot as usize]
                && send(&mut talk.stream, &mut talk.unsent, &timer.bytes).is_err()
            {
                self.end(timer.slot);
            }
        }
        Ok(())
    }

    fn turn(&mut self, slot: u32, is_readable: bool, is_writable: bool) {
        let going = match &mut self.slots[slot as usize] {
            Slot::Free => return,
            Slot::Held(stream, unsent) => {
                let mut going = Going::On;
                if is_writable && let Some(bytes) = unsent.take() {
                    let mut later = Vec::new();
                    going = Going::of(send(stream, &mut later, &bytes));
                    *unsent = (!later.is_empty()).then(|| Box::new(later));
                }
                if is_readable && going == Going::On {
                    going = drained(stream, &mut self.input);
                }
                going
            }
            Slot::Talking(talk) => {
                let mut going = Going::On;
                if is_writable && !talk.unsent.is_empty() {
                    let bytes = std::mem::take(&mut talk.unsent);
                    going = Going::of(send(&mut talk.stream, &mut talk.unsent, &bytes));
                }
                if is_readable && going == Going::On {
                    going = self.read(slot);
                }
                going
            }
        };
        if going == Going::Ended {
            self.end(slot);
        }
    }

    fn read(&mut self, slot: u32) -> Going {
        loop {
            let Slot::Talking(talk) = &mut self.slots[slot as usize] else {
                return Going::On;
            };
            let read = match talk.stream.read(&mut self.input) {
                Ok(0) => return Going::Ended,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Going::On,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Going::Ended,
            };
            let going = if talk.unread.is_empty() {
                // Nearly always: what was read is a request.
                let input = std::mem::take(&mut self.input);
                let going = self.requests(slot, &input[..read]);
                self.input = input;
                going
            } else {
                let mut bytes = std::mem::take(&mut talk.unread);
                bytes.extend_from_slice(&self.input[..read]);
                self.requests(slot, &bytes)
            };
            // What is shorter than the buffer was all there was.
            if going == Going::Ended || read < self.input.len() {
                return going;
            }
        }
    }

    /// Answers all requests in `bytes`, and keeps what is left of them.
    fn requests(&mut self, slot: u32, mut bytes: &[u8]) -> Going {
        while !bytes.is_empty() {
            let (request, used) = match http1::request(bytes) {
                Parsed::Whole(request, used) => (request, used),
                Parsed::More => break,
                Parsed::Bad => return Going::Ended,
            };
            self.out.clear();
            let then = self.app.answer(&request, &mut self.out);
            if let Then::Publish { channel, chunk } = &then {
                self.publish(channel, chunk);
            }
            let Slot::Talking(talk) = &mut self.slots[slot as usize] else {
                return Going::On;
            };
            match then {
                Then::Keep | Then::Publish { .. } => {
                    if send(&mut talk.stream, &mut talk.unsent, &self.out).is_err() {
                        return Going::Ended;
                    }
                }
                Then::Later(time) => self.timers.push(Timer {
                    at: Instant::now() + time,
                    slot,
                    bytes: self.out.clone(),
                }),
                Then::Hold { channel } => {
                    if send(&mut talk.stream, &mut talk.unsent, &self.out).is_err() {
                        return Going::Ended;
                    }
                    let was = std::mem::replace(&mut self.slots[slot as usize], Slot::Free);
                    if let Slot::Talking(talk) = was {
                        let Talk { stream, unsent, .. } = *talk;
                        let unsent = (!unsent.is_empty()).then(|| Box::new(unsent));
                        self.slots[slot as usize] = Slot::Held(stream, unsent);
                    }
                    self.channels.entry(channel).or_default().push(slot);
                    return Going::On;
                }
            }
            bytes = &bytes[used..];
        }
        if let Slot::Talking(talk) = &mut self.slots[slot as usize] {
            talk.unread = bytes.to_vec();
        }
        Going::On
    }

    fn publish(&mut self, channel: &str, chunk: &[u8]) {
        let Some(mut members) = self.channels.remove(channel) else {
            return;
        };
        members.retain(|&slot| match &mut self.slots[slot as usize] {
            Slot::Held(_, Some(unsent)) => {
                unsent.extend_from_slice(chunk);
                true
            }
            Slot::Held(stream, unsent) => {
                let mut later = Vec::new();
                if send(stream, &mut later, chunk).is_err() {
                    self.slots[slot as usize] = Slot::Free;
                    self.free.push(slot);
                    return false;
                }
                *unsent = (!later.is_empty()).then(|| Box::new(later));
                true
            }
            _ => false,
        });
        self.channels.insert(channel.to_owned(), members);
    }

    fn end(&mut self, slot: u32) {
        let was = std::mem::replace(&mut self.slots[slot as usize], Slot::Free);
        if let Slot::Held(..) = was {
            // Holds end all at once, when a load does: looking for them costs only then.
            for members in self.channels.values_mut() {
                members.retain(|&member| member != slot);
            }
        }
        self.free.push(slot);
    }
}

// === impl Going ===

impl Going {
    fn of(result: io::Result<()>) -> Self {
        if result.is_ok() { Going::On } else { Going::Ended }
    }
}

/// One `send`; what it does not take is kept until the socket can be written to again.
fn send(stream: &mut TcpStream, unsent: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while unsent.is_empty() && sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(wrote) => sent += wrote,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    unsent.extend_from_slice(&bytes[sent..]);
    Ok(())
}

/// Reads what a held client sends, which is nothing, or its end.
fn drained(stream: &mut TcpStream, input: &mut [u8]) -> Going {
    loop {
        match stream.read(input) {
            Ok(0) => return Going::Ended,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Going::On,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Going::Ended,
        }
    }
}

// === impl Timer ===

impl Ord for Timer {
    /// The heap's first is the earliest.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}
