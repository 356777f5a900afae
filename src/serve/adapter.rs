//! Between hyper and the service: what hyper calls for each request.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

use super::addresses::Addresses;
use super::authority;
use super::body::{Flow, Pace, Reading, RequestBody, ResponseBody};
use super::connection::{Phase, Phases};
use super::head::{is_printable, parse_length};
use super::limits::Limits;
use super::link::{Answered, InFlight, Link};
use super::listener::Peer;
use super::park::{Driver, Framing};
use super::refusal::{Asked, Refusal, Refused};
use super::stats::Stats;
use super::streams::{Handed, Streams};
use super::trusted::TrustedProxies;
use crate::body::{EdgeBody, Held};
use crate::drain::Drain;
use crate::error::BoxError;
use crate::media_type;
use crate::request::{join_cookies, settle_host};
use crate::sync::Arc;

/// Sees each request before the service does.
pub(super) type Hook = dyn Fn(&Peer, &mut Parts) + Send + Sync;

/// Is told of each request that is refused.
pub(super) type RefusalHook = dyn Fn(&Refused) + Send + Sync;

/// What all connections of a server share.
pub(super) struct Shared {
    pub(super) limits: Arc<Limits>,
    pub(super) stats: Stats,
    pub(super) drain: Drain,
    pub(super) hook: Option<Box<Hook>>,
    pub(super) refusal_hook: Option<Box<RefusalHook>>,
    pub(super) trusted: TrustedProxies,
    pub(super) proxy_protocol: bool,
    /// Who goes on with what is parked; `None`: nothing is.
    pub(super) driver: Option<Driver>,
    pub(super) phases: Phases,
    pub(super) addresses: Option<Arc<Addresses>>,
}

/// What hyper calls for each request of a connection.
pub(super) struct Adapter<S> {
    pub(super) service: S,
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Peer,
    pub(super) side: Side,
}

/// The protocol's side of a connection.
#[derive(Clone)]
pub(super) enum Side {
    Http1(Arc<Link>),
    Http2(Arc<Streams>),
}

/// The protocol's side of a request.
enum Exchange {
    Http1 {
        link: Arc<Link>,
        in_flight: InFlight,
        /// How a hold stands on the wire that answers it; `None`: nothing can.
        framing: Option<Framing>,
        version: Version,
    },
    Http2 {
        handed: Arc<Handed>,
        is_head: bool,
    },
}

pin_project_lite::pin_project! {
    /// The answer to a request.
    pub(super) struct Respond<S>
    where
        S: Service<Request<EdgeBody>>,
    {
        #[pin]
        state: State<S>,
        exchange: Option<Exchange>,
        // A body is expected and may break off.
        reading: Option<Arc<Reading>>,
        is_connect: bool,
        shared: Arc<Shared>,
        peer: Peer,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<S>
    where
        S: Service<Request<EdgeBody>>,
    {
        Refused { refusal: Refusal },
        Ready { service: S, request: Option<Request<EdgeBody>> },
        Calling { #[pin] future: S::Future },
    }
}

/// What a service did.
enum Outcome<T> {
    Returned(T),
    Failed(String),
    Panicked,
}

// === impl Shared ===

impl Shared {
    /// Tells whoever wants to know of a request that is refused.
    fn tell(&self, refusal: Refusal, asked: Asked, peer: Peer) {
        tracing::debug!(target: "gripstack::serve", reason = refusal.as_str(), "refused a request");
        if let Some(hook) = &self.refusal_hook {
            hook(&asked.refused(refusal, peer));
        }
    }
}

// === impl Adapter ===

impl<S, B> hyper::service::Service<Request<Incoming>> for Adapter<S>
where
    S: Service<Request<EdgeBody>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Infallible;
    type Future = Respond<S>;

    fn call(&self, request: Request<Incoming>) -> Respond<S> {
        let is_connect = request.method() == Method::CONNECT;
        let (exchange, refusal) = match &self.side {
            Side::Http1(link) => {
                let exchange = Exchange::Http1 {
                    link: link.clone(),
                    in_flight: link.in_flight(),
                    framing: framing_of(&request).filter(|_| self.shared.driver.is_some()),
                    version: request.version(),
                };
                (exchange, link.take_refusal())
            }
            Side::Http2(streams) => {
                let exchange = Exchange::Http2 {
                    handed: streams.begin(),
                    is_head: request.method() == Method::HEAD,
                };
                (exchange, None)
            }
        };
        let (mut parts, incoming) = request.into_parts();
        let mut reading = None;
        let checked = refusal.map_or_else(|| self.check(&parts), Err);
        let state = match checked {
            Err((refusal, asked)) => {
                self.shared.tell(refusal, asked, self.peer);
                State::Refused { refusal }
            }
            Ok(()) => {
                self.shared.stats.count_request();
                self.receive(&mut parts);
                parts.extensions.insert(self.shared.drain.clone());
                if let Side::Http1(link) = &self.side {
                    parts.extensions.insert(link.waiting());
                }
                if let Some(hook) = &self.shared.hook {
                    hook(&self.peer, &mut parts);
                }
                let body = if incoming.is_end_stream() {
                    EdgeBody::empty()
                } else {
                    let pace = match is_grpc(&parts) {
                        true => Some(Pace::silence(self.shared.limits.grpc_silence)),
                        false => Pace::new(&self.shared.limits),
                    };
                    let reading = reading.insert(Reading::new(&parts)).clone();
                    EdgeBody::new(RequestBody::new(
                        incoming,
                        pace,
                        reading,
                        self.shared.stats.clone(),
                    ))
                };
                State::Ready {
                    service: self.service.clone(),
                    request: Some(Request::from_parts(parts, body)),
                }
            }
        };
        Respond {
            state,
            exchange: Some(exchange),
            reading,
            is_connect,
            shared: self.shared.clone(),
            peer: self.peer,
        }
    }
}

impl<S> Adapter<S> {
    /// Says how the request came, and undoes what is the protocol's alone.
    fn receive(&self, parts: &mut Parts) {
        parts.extensions.insert(self.peer);
        let (client, scheme) = self.shared.trusted.judge(&self.peer, &parts.headers);
        parts.extensions.insert(client);
        settle_host(&mut parts.uri, &mut parts.headers, &scheme);
        parts.extensions.insert(scheme);
        join_cookies(&mut parts.headers);
    }

    /// What the reader in front of HTTP/1 does not look at, and what HTTP/2 leaves to us.
    fn check(&self, parts: &Parts) -> Result<(), (Refusal, Asked)> {
        let checked = authority::check(parts).and_then(|()| match parts.version {
            Version::HTTP_2 => self.check_http2(parts),
            _ => Ok(()),
        });
        checked.map_err(|refusal| {
            self.shared.stats.count_refusal(refusal);
            (refusal, Asked::new(&parts.method, &parts.uri))
        })
    }

    fn check_http2(&self, parts: &Parts) -> Result<(), Refusal> {
        let limits = &self.shared.limits;
        // A cookie may come in many lines, for they compress better (RFC 9113 8.2.3).
        let crumbs = parts.headers.get_all(header::COOKIE).iter().count();
        if parts.headers.len() - crumbs.saturating_sub(1) > limits.head_fields {
            return Err(Refusal::TooManyFields);
        }
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
        if path.len() > limits.target_bytes {
            return Err(Refusal::TargetTooLong);
        }
        let is_path = path.starts_with('/')
            || (path == "*" && parts.method == Method::OPTIONS)
            || (path.is_empty() && parts.method == Method::CONNECT);
        if !is_path || !is_printable(path.as_bytes()) {
            return Err(Refusal::Target);
        }
        // Malformed (RFC 9113 8.2.1); in HTTP/1 it is no part of the value.
        let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        let has_spaces = |value: &[u8]| is_space(value.first()) || is_space(value.last());
        if parts.headers.values().any(|value| has_spaces(value.as_bytes())) {
            return Err(Refusal::FieldValue);
        }
        let mut lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
        let length = lengths.next();
        if lengths.next().is_some() {
            return Err(Refusal::LengthTwice);
        }
        if length.is_some_and(|length| parse_length(length.as_bytes()).is_none()) {
            return Err(Refusal::LengthInvalid);
        }
        Ok(())
    }
}

/// gRPC's messages may be minutes apart in either direction. It is spoken on HTTP/2 alone.
fn is_grpc(parts: &Parts) -> bool {
    parts.version == Version::HTTP_2 && parts.method == Method::POST && media_type::is_grpc(&parts.headers)
}

// === impl Respond ===

impl<S, B> Future for Respond<S>
where
    S: Service<Request<EdgeBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut me = self.project();
        let outcome = loop {
            match me.state.as_mut().project() {
                StateProj::Refused { refusal } => {
                    let refusal = *refusal;
                    return Poll::Ready(Ok(refuse(take(me.exchange), refusal)));
                }
                // The service is a clone made for this request: it is the one polled and the one called.
                StateProj::Ready { service, request } => {
                    let called = guard(|| match service.poll_ready(cx) {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                        Poll::Ready(Ok(())) => {
                            let request = request.take().expect("called once: the state changes with it");
                            Poll::Ready(Ok(service.call(request)))
                        }
                    });
                    match std::task::ready!(called) {
                        Outcome::Returned(future) => me.state.set(State::Calling { future }),
                        Outcome::Failed(why) => break Outcome::Failed(why),
                        Outcome::Panicked => break Outcome::Panicked,
                    }
                }
                StateProj::Calling { future } => break std::task::ready!(guard(|| future.poll(cx))),
            }
        };

        let exchange = take(me.exchange);
        let broke_off = me.reading.as_ref().and_then(|reading| {
            let on_the_wire = match &exchange {
                Exchange::Http1 { link, .. } => link.take_refusal().map(|(refusal, _)| refusal),
                Exchange::Http2 { .. } => None,
            };
            let refusal = on_the_wire.or_else(|| reading.refusal())?;
            Some((refusal, reading.asked()))
        });
        if let Some((refusal, asked)) = broke_off {
            me.shared.tell(refusal, asked, *me.peer);
            // Whatever the service made of half a body.
            return Poll::Ready(Ok(refuse(exchange, refusal)));
        }
        let is_last = me.shared.phases.has_reached(Phase::Draining);
        Poll::Ready(Ok(match outcome {
            Outcome::Returned(mut response) => {
                let status = response.status();
                let accepted =
                    status == StatusCode::SWITCHING_PROTOCOLS || (*me.is_connect && status.is_success());
                let is_read = me.reading.as_ref().is_none_or(|reading| reading.is_whole());
                let held = exchange.holds(&response, is_read);
                let is_held = response.extensions().get::<Held>().is_some();
                let answered = match () {
                    () if accepted => Answered::Upgraded,
                    () if is_held => Answered::Held,
                    () => Answered::Plainly,
                };
                if is_held && let Exchange::Http1 { link, .. } = &exchange {
                    link.waiting().begin();
                }
                if !accepted && (is_last || is_held || exchange.ends_with(&response)) {
                    exchange.say_last(&mut response);
                }
                match held {
                    Some((link, framing)) => response.map(|body| {
                        link.slot().fill(EdgeBody::new(body), framing);
                        ResponseBody::slot(link, exchange.into_flow(answered))
                    }),
                    None => exchange.answer(response, answered, ResponseBody::service),
                }
            }
            Outcome::Failed(why) => {
                me.shared.stats.count_failure();
                tracing::warn!(target: "gripstack::serve", error = %why, "the service failed");
                // What failed, and where, is not for clients.
                exchange.text(text(StatusCode::BAD_GATEWAY, "the service failed"), is_last)
            }
            Outcome::Panicked => {
                me.shared.stats.count_panic();
                tracing::error!(target: "gripstack::serve", "the service panicked");
                exchange.text(
                    text(StatusCode::INTERNAL_SERVER_ERROR, "the service panicked"),
                    is_last,
                )
            }
        }))
    }
}

fn take(exchange: &mut Option<Exchange>) -> Exchange {
    exchange.take().expect("not polled after it was ready")
}

/// Runs code of the service. A panic ends the request, not the connection.
fn guard<T, E: Into<BoxError>>(f: impl FnOnce() -> Poll<Result<T, E>>) -> Poll<Outcome<T>> {
    // What panicked is dropped and never used again.
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Ok(value))) => Poll::Ready(Outcome::Returned(value)),
        Ok(Poll::Ready(Err(error))) => Poll::Ready(Outcome::Failed(chain(error.into()))),
        Err(_) => Poll::Ready(Outcome::Panicked),
    }
}

/// An error and what caused it, in one line.
fn chain(error: BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.replace(['\r', '\n'], " ")
}

/// How a held answer to this request stands on the wire, if the connection can be parked under it.
fn framing_of<B>(request: &Request<B>) -> Option<Framing> {
    let leaves = [Method::HEAD, Method::CONNECT].contains(request.method())
        || request.headers().contains_key(header::UPGRADE);
    match request.version() {
        _ if leaves => None,
        Version::HTTP_11 => Some(Framing::Chunked),
        Version::HTTP_10 => Some(Framing::Close),
        _ => None,
    }
}

impl Exchange {
    /// If this answer is held on a connection of HTTP/1, nothing follows it there. Where to put its body, if the connection
    /// can be parked: the framing must be ours to choose, and the request read to its end.
    fn holds<B: Body>(&self, response: &Response<B>, is_read: bool) -> Option<(Arc<Link>, Framing)> {
        let Self::Http1 { link, framing, .. } = self else {
            return None;
        };
        response.extensions().get::<Held>()?;
        let headers = response.headers();
        let frames_itself = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TRAILER]
            .iter()
            .any(|name| headers.contains_key(name));
        let has_body = !matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS
        );
        let is_open = !response.body().is_end_stream() && response.body().size_hint().exact().is_none();
        let can_park = is_read
            && has_body
            && is_open
            && !frames_itself
            && response.version() == Version::HTTP_11
            && !response.status().is_informational();
        framing
            .filter(|_| can_park)
            .map(|framing| (link.clone(), framing))
    }

    /// Whether only the end of the connection ends this answer (RFC 9112 6.3): HTTP/1.0 knows no chunks.
    fn ends_with<B: Body>(&self, response: &Response<B>) -> bool {
        let is_old = matches!(
            self,
            Self::Http1 {
                version: Version::HTTP_10,
                ..
            }
        );
        is_old
            && !response.headers().contains_key(header::CONTENT_LENGTH)
            && response.body().size_hint().exact().is_none()
    }

    /// Says that the connection ends with this answer. On HTTP/2 that is GOAWAY's to say.
    fn say_last<B>(&self, response: &mut Response<B>) {
        if let Self::Http1 { version, .. } = self {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
            if *version == Version::HTTP_10 {
                // Or hyper would add that it stays, for the client asked for that.
                *response.version_mut() = Version::HTTP_10;
            }
        }
    }

    /// An answer of ours.
    fn text<B>(self, mut response: Response<String>, is_last: bool) -> Response<ResponseBody<B>> {
        if is_last {
            self.say_last(&mut response);
        }
        self.answer(response, Answered::Plainly, ResponseBody::text)
    }

    /// The response with its body on its way. Where there is no content (RFC 9110 6.4.1), hyper keeps it back on HTTP/1, and
    /// leaves that to us on HTTP/2.
    fn answer<T: Body, B>(
        self,
        mut response: Response<T>,
        answered: Answered,
        body: impl FnOnce(T, Flow) -> ResponseBody<B>,
    ) -> Response<ResponseBody<B>> {
        let is_head = matches!(self, Self::Http2 { is_head: true, .. });
        let status = response.status();
        let has_none = matches!(self, Self::Http2 { .. })
            && (status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED);
        if !is_head && !has_none {
            return response.map(|content| body(content, self.into_flow(answered)));
        }
        if let Some(length) = response
            .body()
            .size_hint()
            .exact()
            .filter(|length| *length > 0 && !has_none)
        {
            // As hyper does on HTTP/1.
            let length = HeaderValue::from(length);
            response
                .headers_mut()
                .entry(header::CONTENT_LENGTH)
                .or_insert(length);
        }
        response.map(|_| ResponseBody::empty(self.into_flow(answered)))
    }

    /// Where the response's body goes. What becomes of the connection is decided with it.
    fn into_flow(self, answered: Answered) -> Flow {
        match self {
            Self::Http1 { link, in_flight, .. } => {
                link.answer(answered);
                Flow::Http1 {
                    _in_flight: in_flight,
                }
            }
            Self::Http2 { handed, .. } => Flow::Http2 {
                handed,
                rest: Bytes::new(),
            },
        }
    }
}

fn refuse<B>(exchange: Exchange, refusal: Refusal) -> Response<ResponseBody<B>> {
    exchange.text(text(refusal.status(), &refusal.to_string()), true)
}

/// An answer of one line.
fn text(status: StatusCode, why: &str) -> Response<String> {
    let mut response = Response::new(format!("{status}: {why}\n"));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
