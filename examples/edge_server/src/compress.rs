//! Compression that leaves alone what it would harm.

mod fair;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use gripstack::EdgeBody;
use gripstack::body::Held;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use tower::{Layer, Service};
use tower_http::CompressionLevel;
use tower_http::compression::predicate::Predicate;
use tower_http::compression::{Compression, CompressionLayer};

use self::fair::{Pieces, Turns, is_large};

/// Compresses text whose length is known, of 256 bytes and more, for clients that take gzip or br.
///
/// A body of unknown length may be a stream, and a compressor keeps back what has not filled its window; so
/// streams and holds pass as they are, and so does what says `no-transform` (RFC 9111 5.2.2.6).
#[derive(Clone, Copy)]
pub struct CompressLayer {
    enabled: bool,
}

/// What [`CompressLayer`] makes.
#[derive(Clone)]
pub struct Compress<S> {
    plain: S,
    compressed: Compression<Marked<S>, Worthwhile>,
    enabled: bool,
}

/// Says of each answer that nobody had encoded it.
#[derive(Clone)]
struct Marked<S>(S);

/// The mark.
#[derive(Clone, Copy)]
struct NotEncoded {
    is_large: bool,
}

/// What gains from compression and comes to no harm.
#[derive(Clone, Copy)]
struct Worthwhile;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

// === impl CompressLayer ===

impl CompressLayer {
    /// If not `enabled`, everything passes as it is.
    pub fn new(enabled: bool) -> Self {
        Self { enabled }
    }
}

impl<S: Clone> Layer<S> for CompressLayer {
    type Service = Compress<S>;

    fn layer(&self, inner: S) -> Compress<S> {
        let compression = CompressionLayer::new()
            .quality(CompressionLevel::Precise(4))
            .compress_when(Worthwhile);
        Compress {
            plain: inner.clone(),
            compressed: compression.layer(Marked(inner)),
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

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        if !self.enabled || request.method() == Method::HEAD || !takes_compressed(request.headers()) {
            return Box::pin(self.plain.call(request));
        }
        let response = self.compressed.call(request);
        Box::pin(async move {
            let (mut parts, body) = response.await?.into_parts();
            let new = parts.extensions.remove::<NotEncoded>();
            if new.is_some() && parts.headers.contains_key(header::CONTENT_ENCODING) {
                weaken(&mut parts.headers);
            }
            let body = match new {
                Some(NotEncoded { is_large: true }) => EdgeBody::new(Turns::new(body)),
                _ => EdgeBody::new(body),
            };
            Ok(Response::from_parts(parts, body))
        })
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

/// The compressed form is another one than that which the validator was made for (RFC 9110 8.8.3).
fn weaken(headers: &mut HeaderMap) {
    let Some(etag) = headers.get(header::ETAG).map(HeaderValue::as_bytes) else {
        return;
    };
    if etag.starts_with(b"W/") {
        return;
    }
    if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag].concat()) {
        headers.insert(header::ETAG, weak);
    }
}

// === impl Marked ===

impl<S> Service<Request<EdgeBody>> for Marked<S>
where
    S: Service<Request<EdgeBody>, Response = Response<EdgeBody>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<EdgeBody>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<EdgeBody>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        let response = self.0.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            if !response.headers().contains_key(header::CONTENT_ENCODING) {
                let is_large = is_large(response.body()) && Worthwhile.should_compress(&response);
                response.extensions_mut().insert(NotEncoded { is_large });
                if is_large {
                    response = response.map(|body| EdgeBody::new(Pieces::new(body)));
                }
            }
            Ok(response)
        })
    }
}

// === impl Worthwhile ===

impl Predicate for Worthwhile {
    fn should_compress<B: Body>(&self, response: &Response<B>) -> bool {
        let length = response.body().size_hint().exact();
        let status = response.status();
        let has_body = !status.is_informational()
            && status != StatusCode::NO_CONTENT
            && status != StatusCode::PARTIAL_CONTENT;
        has_body
            && length.is_some_and(|length| length >= 256)
            && response.extensions().get::<Held>().is_none()
            && is_text(response.headers())
            && may_change(response.headers())
    }
}

fn is_text(headers: &HeaderMap) -> bool {
    let Some(kind) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
    else {
        return false;
    };
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if kind == "text/event-stream" {
        return false;
    }
    let known = [
        "application/json",
        "application/javascript",
        "application/xml",
        "application/wasm",
        "image/svg+xml",
    ];
    kind.starts_with("text/")
        || known.contains(&kind.as_str())
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
}

fn may_change(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::CACHE_CONTROL).iter();
    !fields.any(|field| {
        let field = String::from_utf8_lossy(field.as_bytes()).to_ascii_lowercase();
        field.contains("no-transform")
    })
}

#[cfg(test)]
mod tests {
    use gripstack::testing::ScriptedBody;
    use tower::{ServiceExt, service_fn};

    use super::*;

    const TEXT: &[u8] = &[b'a'; 300];

    /// What becomes of a text, changed as told.
    async fn answer(
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
        let request = Request::builder().header(header::ACCEPT_ENCODING, accept);
        let request = request.body(EdgeBody::empty()).expect("the test made it well");
        let response = CompressLayer::new(true).layer(service).oneshot(request).await;
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
    async fn a_client_that_does_not_take_it_gets_it_plain() {
        for accept in ["", "deflate", "identity;q=0, zstd", "*;q=0", "gzip;q=0"] {
            let response = answer(accept, |_| {}).await;
            assert_eq!(response.status(), 200, "{accept}");
            assert!(!is_compressed(&response), "{accept}");
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
