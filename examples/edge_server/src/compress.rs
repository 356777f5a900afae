//! Compression that leaves alone what it would harm.

mod budget;
mod fair;
mod gain;
mod tags;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use gripstack::EdgeBody;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use tower::{Layer, Service};
use tower_http::CompressionLevel;
use tower_http::compression::predicate::Predicate;
use tower_http::compression::{Compression, CompressionLayer};

use self::budget::{Budget, Room};
use self::fair::{Pieces, Turns, is_large};
use self::gain::gains;

/// Compresses text whose length is known, of 256 bytes and more, for clients that take gzip or br.
///
/// A body of unknown length may be a stream, and a compressor keeps back what has not filled its window; so
/// streams and holds pass as they are, and so does what says `no-transform` (RFC 9111 5.2.2.6), or has a digest or a signature.
///
/// The compressed form is another representation: its validator is weak, and `Vary` says so with each form. A HEAD and
/// a 304 say what the answer with the body would (RFC 9110 9.3.2, 15.4.5), and a validator that was handed out is
/// understood when it comes back.
///
/// Where compressors have all the memory that is theirs (128 MiB in all), answers go out as they are.
#[derive(Clone)]
pub struct CompressLayer {
    enabled: bool,
    budget: Budget,
}

/// What [`CompressLayer`] makes.
#[derive(Clone)]
pub struct Compress<S> {
    plain: Judging<S>,
    compressed: Compression<Judging<S>, Judged>,
    enabled: bool,
}

/// Judges each answer before it is compressed.
#[derive(Clone)]
struct Judging<S> {
    inner: S,
    /// `None`: its client does not take it compressed.
    budget: Option<Budget>,
}

/// Of an answer that nobody had encoded.
#[derive(Clone)]
struct Verdict {
    /// There is a compressed form of it.
    gains: bool,
    /// For making that.
    room: Option<Room>,
    is_large: bool,
    /// It stands for an answer with a body.
    has_no_body: bool,
}

/// Compresses what was judged so.
#[derive(Clone, Copy)]
struct Judged;

/// In the place of a body that is not sent.
struct NoBody;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

// === impl CompressLayer ===

impl CompressLayer {
    /// If not `enabled`, everything passes as it is. So many `bytes` are for all compressors together.
    pub fn new(enabled: bool, bytes: u64) -> Self {
        Self {
            enabled,
            budget: Budget::new(bytes),
        }
    }
}

impl<S: Clone> Layer<S> for CompressLayer {
    type Service = Compress<S>;

    fn layer(&self, inner: S) -> Compress<S> {
        let compression = CompressionLayer::new()
            .quality(CompressionLevel::Precise(4))
            .compress_when(Judged);
        Compress {
            plain: Judging {
                inner: inner.clone(),
                budget: None,
            },
            compressed: compression.layer(Judging {
                inner,
                budget: Some(self.budget.clone()),
            }),
            enabled: self.enabled,
        }
    }
}

// === impl Compress ===

impl<S> Service<Request<EdgeBody>> for Compress<S>
where
    S: Service<Request<EdgeBody>, Response = Response<EdgeBody>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<EdgeBody>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<EdgeBody>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        std::task::ready!(self.plain.poll_ready(cx))?;
        self.compressed.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<EdgeBody>) -> Self::Future {
        if !self.enabled {
            return Box::pin(self.plain.inner.call(request));
        }
        tags::understand(request.headers_mut());
        if takes_compressed(request.headers()) {
            let response = self.compressed.call(request);
            Box::pin(async move { Ok(finish(response.await?)) })
        } else {
            let response = self.plain.call(request);
            Box::pin(async move { Ok(finish(response.await?)) })
        }
    }
}

/// Says of an answer what it now is.
fn finish<B>(response: Response<B>) -> Response<EdgeBody>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<gripstack::BoxError>,
{
    let (mut parts, body) = response.into_parts();
    let Some(verdict) = parts.extensions.remove::<Verdict>() else {
        return Response::from_parts(parts, EdgeBody::new(body));
    };
    if verdict.gains {
        vary(&mut parts.headers);
    }
    let is_compressed = parts.headers.contains_key(header::CONTENT_ENCODING);
    if is_compressed {
        tags::weaken(&mut parts.headers);
        if parts.status == StatusCode::NOT_MODIFIED {
            parts.headers.remove(header::CONTENT_ENCODING);
        }
    }
    let body = match verdict {
        Verdict {
            has_no_body: true, ..
        } => EdgeBody::empty(),
        Verdict { is_large: true, .. } => EdgeBody::new(Turns::new(body)),
        _ => EdgeBody::new(body),
    };
    let body = match verdict.room.filter(|_| is_compressed) {
        Some(room) => room.keep(body),
        None => body,
    };
    Response::from_parts(parts, body)
}

/// Says that the answer depends on what the client takes.
fn vary(headers: &mut HeaderMap) {
    let mut fields = headers.get_all(header::VARY).iter();
    let says_so = fields.any(|field| {
        let mut members = field
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii);
        members.any(|member| member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding"))
    });
    if !says_so {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Whether it is simple to say that the client takes it. What excludes `identity` is left to the origin, for
/// the compressing service would answer 406 in its place.
fn takes_compressed(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut takes = false;
    let understood = fields.all(|field| {
        let field = field.to_str().unwrap_or("*").to_ascii_lowercase();
        takes |= field.contains("gzip") || field.contains("br");
        !field.contains('*') && !field.contains("identity")
    });
    takes && understood
}

/// Whether brotli is what a client gets that [takes it compressed](takes_compressed).
fn takes_brotli(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::ACCEPT_ENCODING).iter();
    fields.any(|field| {
        let field = field.as_bytes().windows(2);
        field.into_iter().any(|two| two.eq_ignore_ascii_case(b"br"))
    })
}

// === impl Judging ===

impl<S> Service<Request<EdgeBody>> for Judging<S>
where
    S: Service<Request<EdgeBody>, Response = Response<EdgeBody>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<EdgeBody>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<EdgeBody>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        let is_head = request.method() == Method::HEAD;
        let conditions = request.headers().get_all(header::IF_NONE_MATCH).iter();
        let has: Vec<HeaderValue> = conditions.cloned().collect();
        let in_brotli = self.budget.is_some() && takes_brotli(request.headers());
        let budget = self.budget.clone();
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            if response.headers().contains_key(header::CONTENT_ENCODING) {
                return Ok(response);
            }
            let gains = gains(&response, is_head, &has);
            let has_no_body = is_head || response.status() == StatusCode::NOT_MODIFIED;
            let is_large = gains && !has_no_body && is_large(response.body());
            let room = budget
                .filter(|_| gains && !has_no_body)
                .and_then(|budget| budget.take(in_brotli, response.body().size_hint().exact()));
            response.extensions_mut().insert(Verdict {
                gains,
                room,
                is_large,
                has_no_body,
            });
            Ok(match (has_no_body, is_large) {
                (true, _) => response.map(|_| EdgeBody::new(NoBody)),
                (_, true) => response.map(|body| EdgeBody::new(Pieces::new(body))),
                _ => response,
            })
        })
    }
}

// === impl Judged ===

impl Predicate for Judged {
    fn should_compress<B: Body>(&self, response: &Response<B>) -> bool {
        let verdict = response.extensions().get::<Verdict>();
        verdict.is_some_and(|verdict| verdict.gains && (verdict.has_no_body || verdict.room.is_some()))
    }
}

// === impl NoBody ===

impl Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use gripstack::body::{Held, Selected};
    use gripstack::testing::ScriptedBody;
    use tower::{ServiceExt, service_fn};

    use super::*;

    const TEXT: &[u8] = &[b'a'; 300];

    /// What becomes of a text, changed as told.
    async fn answer(
        accept: &str,
        change: impl Fn(&mut Response<EdgeBody>) + Clone + Send + 'static,
    ) -> Response<EdgeBody> {
        answer_to(Request::builder(), accept, change).await
    }

    async fn answer_to(
        request: http::request::Builder,
        accept: &str,
        change: impl Fn(&mut Response<EdgeBody>) + Clone + Send + 'static,
    ) -> Response<EdgeBody> {
        let service = service_fn(move |_: Request<EdgeBody>| {
            let mut response = Response::new(EdgeBody::new(ScriptedBody::new(&[TEXT], None)));
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            headers.insert(header::CONTENT_LENGTH, TEXT.len().into());
            headers.insert(header::ETAG, HeaderValue::from_static("\"a\""));
            change(&mut response);
            async { Ok::<_, Infallible>(response) }
        });
        let request = request.header(header::ACCEPT_ENCODING, accept);
        let request = request.body(EdgeBody::empty()).expect("the test made it well");
        let response = CompressLayer::new(true, 128 << 20)
            .layer(service)
            .oneshot(request)
            .await;
        response.unwrap_or_else(|never| match never {})
    }

    fn is_compressed(response: &Response<EdgeBody>) -> bool {
        let compressed = response.headers().contains_key(header::CONTENT_ENCODING);
        if !compressed {
            assert_eq!(
                response.body().size_hint().exact(),
                Some(300),
                "the length is kept"
            );
            assert_eq!(response.headers()[header::CONTENT_LENGTH], "300");
            assert_eq!(response.headers()[header::ETAG], "\"a\"");
        }
        compressed
    }

    #[tokio::test]
    async fn text_of_known_length_is_compressed() {
        for accept in ["gzip", "br", "deflate, gzip, br, zstd"] {
            let response = answer(accept, |_| {}).await;
            assert!(is_compressed(&response), "{accept}");
            assert_eq!(response.headers()[header::ETAG], "W/\"a\"");
            assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
        }
    }

    #[tokio::test]
    async fn without_room_it_goes_out_plain_and_says_so() {
        let text = "a".repeat(1_500_000);
        let origin = move |_: Request<EdgeBody>| {
            let mut response = Response::new(EdgeBody::from(text.clone()));
            let kind = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, text.len().into());
            async { Ok::<_, Infallible>(response) }
        };
        let service = CompressLayer::new(true, 128 << 20).layer(service_fn(origin));
        let ask = async || {
            let request = Request::builder().header(header::ACCEPT_ENCODING, "br");
            let request = request.body(EdgeBody::empty()).expect("the test made it well");
            let response = service.clone().oneshot(request).await;
            response.unwrap_or_else(|never| match never {})
        };
        let is_compressed =
            |response: &Response<EdgeBody>| response.headers().contains_key(header::CONTENT_ENCODING);
        let mut read_slowly = Vec::new();
        let without = loop {
            let response = ask().await;
            if !is_compressed(&response) {
                break response;
            }
            read_slowly.push(response);
        };
        assert_eq!(read_slowly.len(), 24);
        assert_eq!(without.headers()[header::VARY], "accept-encoding");
        assert_eq!(without.body().size_hint().exact(), Some(1_500_000));
        read_slowly.pop();
        assert!(is_compressed(&ask().await));
    }

    #[tokio::test]
    async fn a_client_that_does_not_take_it_gets_it_plain() {
        for accept in ["", "deflate", "identity;q=0, zstd", "*;q=0", "gzip;q=0"] {
            let response = answer(accept, |_| {}).await;
            assert_eq!(response.status(), 200, "{accept}");
            assert!(!is_compressed(&response), "{accept}");
            assert_eq!(response.headers()[header::VARY], "accept-encoding", "{accept}");
        }
    }

    /// Fields that a HEAD or a 304 must have as the answer with the body has them.
    fn told(response: &Response<EdgeBody>) -> [Option<&HeaderValue>; 2] {
        [header::ETAG, header::VARY].map(|name| response.headers().get(name))
    }

    #[tokio::test]
    async fn a_head_says_what_the_answer_with_the_body_would() {
        for accept in ["gzip", "br", "", "gzip;q=0"] {
            let whole = answer(accept, |_| {}).await;
            let request = Request::head("/");
            let head = answer_to(request, accept, |response| {
                *response.body_mut() = EdgeBody::empty()
            })
            .await;
            let mut expected = whole.headers().clone();
            expected.remove(header::CONTENT_LENGTH);
            let mut said = head.headers().clone();
            said.remove(header::CONTENT_LENGTH);
            assert_eq!(said, expected, "{accept}");
            assert!(head.body().is_end_stream(), "{accept}");
        }
    }

    /// Of a stored answer, whose fields are known.
    #[tokio::test]
    async fn a_304_says_what_the_answer_with_the_body_would() {
        fn not_modified(response: &mut Response<EdgeBody>) {
            let selected = Selected(response.headers().clone());
            response.extensions_mut().insert(selected);
            bare_304(response);
        }
        for accept in ["gzip", "br", "", "gzip;q=0"] {
            for kind in ["text/plain", "image/png"] {
                let set = move |response: &mut Response<EdgeBody>| {
                    response
                        .headers_mut()
                        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                };
                let whole = answer(accept, set).await;
                let answered = answer(accept, move |response| {
                    set(response);
                    not_modified(response);
                });
                let answered = answered.await;
                assert_eq!(answered.status(), 304);
                assert_eq!(told(&answered), told(&whole), "{accept} {kind}");
                assert!(!answered.headers().contains_key(header::CONTENT_ENCODING));
                assert!(answered.body().is_end_stream());
            }
        }
    }

    fn bare_304(response: &mut Response<EdgeBody>) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = EdgeBody::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }

    /// The origin's own, which says nothing of the content: who has the weak form has it from here.
    #[tokio::test]
    async fn a_304_of_the_origin_is_for_the_form_that_the_client_has() {
        for (has, etag, vary) in [
            ("W/\"a\"", "W/\"a\"", Some("accept-encoding")),
            ("\"x\", W/\"a\"", "W/\"a\"", Some("accept-encoding")),
            ("\"a\"", "\"a\"", None),
            ("W/\"x\"", "\"a\"", None),
        ] {
            let request = Request::get("/").header(header::IF_NONE_MATCH, has);
            let answered = answer_to(request, "gzip", bare_304).await;
            assert_eq!(answered.headers()[header::ETAG], etag, "{has}");
            let said = answered.headers().get(header::VARY).map(HeaderValue::as_bytes);
            assert_eq!(said, vary.map(str::as_bytes), "{has}");
        }
    }

    #[tokio::test]
    async fn what_is_sealed_stays_as_it_is() {
        for seal in [
            "content-digest",
            "repr-digest",
            "digest",
            "content-md5",
            "signature",
            "signature-input",
        ] {
            let response = answer("gzip", move |response| {
                response
                    .headers_mut()
                    .insert(seal, HeaderValue::from_static("x=:AA==:"));
            });
            let response = response.await;
            assert!(!is_compressed(&response), "{seal}");
            assert!(!response.headers().contains_key(header::VARY), "{seal}: one form");
        }
    }

    #[tokio::test]
    async fn vary_is_said_once() {
        for said in ["Accept-Encoding", "origin, ACCEPT-ENCODING", "*"] {
            for accept in ["gzip", ""] {
                let response = answer(accept, move |response| {
                    response
                        .headers_mut()
                        .insert(header::VARY, HeaderValue::from_static(said));
                });
                let response = response.await;
                let all: Vec<_> = response.headers().get_all(header::VARY).iter().collect();
                // Beside `*` the compressing service says it too.
                assert_eq!(all[0], said, "{accept}");
                assert!(all.len() == 1 || said == "*", "{said}");
            }
        }
    }

    #[tokio::test]
    async fn holds_streams_and_what_must_not_change_pass() {
        let held = answer("gzip", |response| {
            response.extensions_mut().insert(Held);
        });
        let held = held.await;
        assert!(!is_compressed(&held));
        let set = |name, value: &'static str| {
            move |response: &mut Response<EdgeBody>| {
                response
                    .headers_mut()
                    .insert(&name, HeaderValue::from_static(value));
            }
        };
        for (name, value) in [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CONTENT_TYPE, "image/png"),
            (header::CONTENT_TYPE, "application/grpc"),
            (header::CACHE_CONTROL, "public, No-Transform"),
            (header::CONTENT_RANGE, "bytes 0-299/1000"),
        ] {
            assert!(!is_compressed(&answer("gzip", set(name, value)).await), "{value}");
        }
        let stream = answer("gzip", |response| {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = EdgeBody::new(Endless);
        });
        assert!(!stream.await.headers().contains_key(header::CONTENT_ENCODING));
    }

    #[tokio::test]
    async fn a_large_text_lets_others_have_the_thread() {
        // It comes to a few kilobytes: what takes the time is what goes in.
        let large = answer("gzip", |response| {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = EdgeBody::from(vec![b'x'; 4 << 20]);
        });
        let mut body = large.await.into_body();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut bytes, mut pauses) = (0, 0);
        loop {
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Ready(Some(frame)) => bytes += frame.expect("whole").into_data().expect("data").len(),
                Poll::Ready(None) => break,
                Poll::Pending => pauses += 1,
            }
        }
        assert!(pauses >= 15, "{pauses} pauses");
        assert!(bytes < 20_000, "{bytes} bytes: a pause must not end a block");
    }

    #[tokio::test]
    async fn what_is_encoded_already_keeps_its_validator() {
        let response = answer("gzip", |response| {
            let gzip = HeaderValue::from_static("gzip");
            response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
        });
        let response = response.await;
        assert_eq!(response.headers()[header::ETAG], "\"a\"");
        assert_eq!(response.body().size_hint().exact(), Some(300));
    }

    struct Endless;

    impl Body for Endless {
        type Data = bytes::Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
            Poll::Pending
        }
    }
}
