//! Properties of whatever comes in on a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tower_service::Service;

use super::adapter::Shared;
use super::authority;
use super::chunked::{Chunked, TrailerLimits};
use super::connection::{Connection, Lead};
use super::framer::{Framer, Step};
use super::head::{self, HeadLimits, Scan};
use super::limits::Limits;
use super::listener::Peer;
use super::refusal::Refusal;
use super::stats::Stats;
use super::trusted::TrustedProxies;
use crate::body::EdgeBody;
use crate::drain::DrainSignal;
use crate::error::BoxError;
use crate::request::{join_cookies, settle_host};
use crate::sync::{Arc, Mutex};

const HEAD: HeadLimits = HeadLimits {
    bytes: 1024,
    fields: 16,
    target_bytes: 256,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longer than any deadline of a connection.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// The size of pieces, and bytes of HTTP/1: they are followed the same way however they are cut.
pub fn framing(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else {
        return;
    };
    let piece = usize::from(piece).max(1);

    let mut scan = Scan::default();
    let at_once = head::read(bytes, &mut Scan::default(), &HEAD);
    let mut shown = 0;
    let in_pieces = loop {
        shown = bytes.len().min(shown + piece);
        let read = head::read(&bytes[..shown], &mut scan, &HEAD);
        if read != Ok(None) || shown == bytes.len() {
            break read;
        }
    };
    assert_eq!(at_once, in_pieces);
    if let Ok(Some(head)) = at_once {
        assert!(head.len <= HEAD.bytes && bytes[..head.len].ends_with(b"\r\n\r\n"));
        let alone = head::read(&bytes[..head.len], &mut Scan::default(), &HEAD);
        assert_eq!(alone, at_once, "what follows a head says nothing about it");
    }

    let limits = TrailerLimits {
        bytes: 128,
        fields: 4,
    };
    let (mut whole, mut stepwise) = (Chunked::new(limits), Chunked::new(limits));
    let at_once = whole.advance(bytes).map(|taken| (taken, whole.is_done()));
    let mut taken = 0;
    let refused = bytes
        .chunks(piece)
        .find_map(|piece| match stepwise.advance(piece) {
            Ok(n) => {
                taken += n;
                None
            }
            Err(refusal) => Some(refusal),
        });
    assert_eq!(at_once, refused.map_or(Ok((taken, stepwise.is_done())), Err));

    // How much of a body that breaks off was good depends on the cut.
    let known = |(mut messages, refusal): (Vec<Message>, _)| {
        for broken in messages.iter_mut().filter(|message| !message.is_complete) {
            broken.body.clear();
        }
        (messages, refusal)
    };
    let whole = messages(bytes, bytes.len().max(1));
    assert_eq!(known(whole), known(messages(bytes, piece)));
}

/// How to send them, and the bytes of a connection: the service sees the requests that a strict reader sees, each with
/// one host in normal form, and nothing after what it refuses. Whatever comes, the connection ends.
pub fn connection(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else {
        return;
    };
    if bytes.starts_with(PREFACE) {
        return;
    }
    let reads = how & 0x80 == 0;
    let (messages, refusal) = messages(bytes, 1);
    let (seen, answers) = serve(bytes, usize::from(how & 0x7f).max(1), reads);

    assert!(seen.len() <= messages.len(), "{seen:?} of {messages:?}");
    let mut ended = false;
    for (at, message) in messages.iter().enumerate() {
        let mut request = message.request();
        message.check(&request);
        let refused = authority::check(&request).is_err();
        settle_host(&mut request.uri, &mut request.headers, &Scheme::HTTP);
        join_cookies(&mut request.headers);
        let Some(seen) = seen.get(at) else {
            // Who does not read a body may lose the connection with it.
            assert!(ended || refused || !reads, "not seen: {message:?}");
            return;
        };
        assert!(!ended && !refused, "seen: {seen:?}");
        assert_eq!(
            (&seen.parts.method, &seen.parts.uri),
            (&request.method, &request.uri)
        );
        assert_eq!(
            (seen.parts.version, &seen.parts.headers),
            (request.version, &request.headers)
        );
        if reads {
            let (data, trailers) = message.content();
            if message.is_complete {
                assert_eq!((seen.is_complete, &seen.data), (true, &data), "{message:?}");
                assert_eq!(seen.trailers, trailers, "{message:?}");
            } else {
                assert!(
                    !seen.is_complete && data.starts_with(&seen.data),
                    "{seen:?} of {message:?}"
                );
            }
        }
        ended = closes(&request);
    }
    if let Some(refusal) = refusal
        && reads
        && !ended
    {
        let answers = String::from_utf8_lossy(&answers);
        let is_answer = |at: &usize| answers[at + 9..].starts_with(|byte: char| byte.is_ascii_digit());
        let starts = answers.match_indices("HTTP/1.").map(|(at, _)| at);
        let last = starts.filter(is_answer).last().expect("an answer");
        assert_eq!(
            answers[last..].split(' ').nth(1),
            Some(refusal.status().as_str()),
            "{answers}"
        );
    }
}

/// Whether the server lets a request with this target and these fields through.
pub(crate) fn names_one_host(parts: &Parts) -> bool {
    authority::check(parts).is_ok()
}

/// A message as a strict reader finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    head: Vec<u8>,
    /// As it is on the wire.
    body: Vec<u8>,
    is_complete: bool,
}

/// What the service sees of a request.
#[derive(Debug)]
struct Seen {
    parts: Parts,
    data: Vec<u8>,
    trailers: HeaderMap,
    is_complete: bool,
}

/// The messages in these bytes, and why there are no more.
fn messages(bytes: &[u8], piece: usize) -> (Vec<Message>, Option<Refusal>) {
    let mut framer = Framer::new(HEAD);
    let mut messages: Vec<Message> = Vec::new();
    let (mut at, mut shown) = (0, 0);
    while shown < bytes.len() {
        shown = bytes.len().min(shown + piece);
        while at < shown {
            if framer.is_undecided() {
                framer.decide(false);
            }
            match framer.step(&bytes[at..shown]) {
                Ok(Step::More) => break,
                Ok(Step::Skip(n)) => at += n,
                Ok(Step::Head(n)) => {
                    messages.push(Message {
                        head: bytes[at..at + n].to_vec(),
                        body: Vec::new(),
                        is_complete: !framer.is_in_body(),
                    });
                    at += n;
                }
                Ok(Step::Body(n)) => {
                    let message = messages.last_mut().expect("a head comes first");
                    message.body.extend_from_slice(&bytes[at..at + n]);
                    message.is_complete = !framer.is_in_body();
                    at += n;
                }
                Err(refusal) => return (messages, Some(refusal)),
            }
        }
    }
    (messages, None)
}

// === impl Message ===

impl Message {
    /// What the head says, taken apart in the simplest way: it is known to be well-formed.
    fn request(&self) -> Parts {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
        let mut lines = self
            .head
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = text(lines.next().expect("a request line"));
        let words: Vec<&str> = line.split(' ').collect();
        let mut request = Request::new(());
        *request.method_mut() = words[0].parse().expect("a method");
        *request.uri_mut() = words[1].parse().expect("a target");
        *request.version_mut() = match words[2] {
            "HTTP/1.0" => Version::HTTP_10,
            _ => Version::HTTP_11,
        };
        *request.headers_mut() = fields(lines);
        request.into_parts().0
    }

    /// Nothing in the head could be read in another way (RFC 9112 2.2, 3.2, 5, 6).
    fn check(&self, request: &Parts) {
        let text = self.head.strip_suffix(b"\r\n\r\n").expect("an empty line");
        let is_line = |line: &[u8]| !line.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127));
        let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
        let (last, before) = lines.split_last().expect("a request line");
        let ended = before
            .iter()
            .map(|line| line.strip_suffix(b"\r").expect("a CR before each LF"));
        assert!(ended.chain([*last]).all(is_line));
        assert!(lines[1..].iter().all(|line| line[0] != b' ' && line[0] != b'\t'));

        let all = |name| request.headers.get_all(name).iter().collect::<Vec<_>>();
        let (hosts, lengths) = (all(header::HOST), all(header::CONTENT_LENGTH));
        let codings = all(header::TRANSFER_ENCODING);
        let is_1_1 = request.version == Version::HTTP_11;
        assert!(hosts.len() == 1 || (hosts.is_empty() && !is_1_1));
        assert!(
            hosts
                .iter()
                .all(|host| !host.is_empty() && !host.as_bytes().contains(&b','))
        );
        assert!(lengths.len() + codings.len() <= 1, "one framing");
        assert!(
            lengths
                .iter()
                .all(|length| length.as_bytes().iter().all(u8::is_ascii_digit))
        );
        assert!(
            codings
                .iter()
                .all(|coding| is_1_1 && coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        );
        assert!(request.method != Method::CONNECT || lengths.len() + codings.len() == 0);
    }

    /// The data and the trailers in the body, each chunk line well-formed (RFC 9112 7.1).
    fn content(&self) -> (Vec<u8>, HeaderMap) {
        if !self.request().headers.contains_key(header::TRANSFER_ENCODING) {
            return (self.body.clone(), HeaderMap::new());
        }
        let mut data = Vec::new();
        let mut rest = &self.body[..];
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line = rest[..end].strip_suffix(b"\r").expect("a CR before each LF");
            let size = line.iter().position(|byte| !byte.is_ascii_hexdigit());
            let (digits, extension) = line.split_at(size.unwrap_or(line.len()));
            assert!(extension.is_empty() || extension.trim_ascii_start().starts_with(b";"));
            let digits = std::str::from_utf8(digits).expect("digits");
            let size = usize::from_str_radix(digits, 16).expect("a size");
            rest = &rest[end + 1..];
            if size == 0 {
                let mut trailers = fields(
                    rest.split(|&byte| byte == b'\n')
                        .map(|line| line.trim_ascii_end()),
                );
                crate::trailers::clean(&mut trailers);
                return (data, trailers);
            }
            let here = size.min(rest.len());
            data.extend_from_slice(&rest[..here]);
            rest = &rest[here..];
            assert!(rest.len() < 2 || rest.starts_with(b"\r\n"));
            rest = rest.get(2..).unwrap_or_default();
        }
        (data, HeaderMap::new())
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = crate::fuzz::cut(line, b':');
        let value = HeaderValue::from_bytes(value.trim_ascii()).expect("a value");
        fields.append(HeaderName::from_bytes(name).expect("a name"), value);
    }
    fields
}

/// Whether the connection ends with this request. Where `Connection` contradicts itself hyper heeds its last line.
fn closes(request: &Parts) -> bool {
    let mut keeps = request.version == Version::HTTP_11;
    for value in request.headers.get_all(header::CONNECTION) {
        let token = if keeps { "close" } else { "keep-alive" };
        let mut tokens = value.to_str().unwrap_or_default().split(',');
        if tokens.any(|listed| listed.trim().eq_ignore_ascii_case(token)) {
            keeps = !keeps;
        }
    }
    !keeps
}

/// What a service sees when a client sends these bytes in such pieces, and what it is answered.
fn serve(bytes: &[u8], piece: usize, reads: bool) -> (Vec<Seen>, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let service = Watcher {
        reads,
        seen: Arc::default(),
    };
    let client = Client {
        left: bytes.to_vec(),
        piece,
        pauses: false,
        answers: Arc::default(),
    };
    let (seen, answers) = (service.seen.clone(), client.answers.clone());
    runtime.block_on(async {
        let limits = Limits {
            head_bytes: HEAD.bytes,
            head_fields: HEAD.fields,
            target_bytes: HEAD.target_bytes,
            ..Limits::default()
        };
        let stats = Stats::new();
        let slot = std::sync::Arc::new(Semaphore::new(1)).try_acquire_owned();
        let open = stats.open_connection(slot.expect("nobody else has it"));
        let (_signal, drain) = DrainSignal::new();
        let lead = Lead::new();
        let address = ([127, 0, 0, 1], 1).into();
        let connection = Connection {
            service,
            shared: Arc::new(Shared {
                limits: Arc::new(limits),
                stats,
                drain,
                hook: None,
                refusal_hook: None,
                addresses: None,
                trusted: TrustedProxies::default(),
                proxy_protocol: false,
                driver: crate::serve::park::Driver::new(crate::serve::Parking::Lots, lead.phases()),
                phases: lead.phases(),
            }),
            peer: Peer::new(address, address),
            phases: lead.phases(),
            tls: None,
        };
        let end = tokio::time::timeout(FOR_EVER, connection.run(client, open)).await;
        end.expect("a connection ends by itself");
    });
    let answers = std::mem::take(&mut *answers.lock());
    (std::mem::take(&mut *seen.lock()), answers)
}

/// A client that sends what it has in pieces, and then waits.
struct Client {
    left: Vec<u8>,
    piece: usize,
    pauses: bool,
    answers: Arc<Mutex<Vec<u8>>>,
}

// === impl Client ===

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pauses = !self.pauses;
        if self.left.is_empty() || self.pauses {
            if !self.left.is_empty() {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let here = self.piece.min(buf.remaining()).min(self.left.len());
        buf.put_slice(&self.left[..here]);
        self.left.drain(..here);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answers.lock().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A service that writes down what it sees.
#[derive(Clone)]
struct Watcher {
    reads: bool,
    seen: Arc<Mutex<Vec<Seen>>>,
}

// === impl Watcher ===

impl Service<Request<EdgeBody>> for Watcher {
    type Response = Response<EdgeBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<EdgeBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        let (parts, mut body) = request.into_parts();
        let mut response = Response::new(EdgeBody::from("ok"));
        if parts.method == Method::CONNECT {
            // A 200 would end HTTP.
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
        let at = {
            let mut seen = self.seen.lock();
            seen.push(Seen {
                parts,
                data: Vec::new(),
                trailers: HeaderMap::new(),
                is_complete: false,
            });
            seen.len() - 1
        };
        let Self { reads, seen } = self.clone();
        Box::pin(async move {
            loop {
                if !reads {
                    break;
                }
                let frame = body.frame().await.transpose()?;
                let seen = &mut seen.lock()[at];
                match frame.map(|frame| frame.into_data()) {
                    None => {
                        seen.is_complete = true;
                        break;
                    }
                    Some(Ok(data)) => seen.data.extend_from_slice(&data),
                    Some(Err(frame)) => seen.trailers = frame.into_trailers().unwrap_or_default(),
                }
            }
            Ok(response)
        })
    }
}
