//! Requests that have been here before (RFC 8586).

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::failure;
use crate::body::EdgeBody;
use crate::error::{OriginError, OriginFailure};
use crate::hop_by_hop::CDN_LOOP;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// By what an [`Origin`](super::Origin) knows requests that it has forwarded once.
#[derive(Clone, Debug)]
pub(super) struct CdnLoop {
    id: HeaderValue,
    /// It was said that there is a loop.
    is_said: Arc<AtomicBool>,
}

/// Answers requests that its [`Origin`](super::Origin) has forwarded before with 508 (RFC 5842 7.2) and
/// `gripstack-error: loop`. From [`Origin::loop_layer`](super::Origin::loop_layer); put it outside of a cache, where a
/// request that comes again would wait for the answer to itself.
#[derive(Clone, Debug)]
pub struct LoopLayer(CdnLoop);

/// The service of a [`LoopLayer`].
#[derive(Clone, Debug)]
pub struct LoopGuard<S> {
    inner: S,
    known: CdnLoop,
}

pin_project_lite::pin_project! {
    /// The answer of a [`LoopGuard`], to come.
    #[must_use = "futures do nothing unless polled"]
    pub struct LoopFuture<F> {
        #[pin]
        outcome: Outcome<F>,
    }
}

pin_project_lite::pin_project! {
    #[project = OutcomeProj]
    enum Outcome<F> {
        Passes { #[pin] inner: F },
        Loops { error: Option<OriginError> },
    }
}

// === impl CdnLoop ===

impl CdnLoop {
    /// Known by this name.
    pub(super) fn new(name: &HeaderName) -> Self {
        Self::known_as(name.as_str())
    }

    /// Known by a name that nobody else has: one edge may stand behind another.
    pub(super) fn random() -> Self {
        Self::known_as(&format!("gripstack-{:016x}", RandomState::new().hash_one(0u8)))
    }

    fn known_as(id: &str) -> Self {
        Self {
            id: HeaderValue::from_str(id).expect("a token is a value, too"),
            is_said: Arc::default(),
        }
    }

    /// Says to who comes next that a request was here.
    pub(super) fn append(&self, headers: &mut HeaderMap) {
        headers.append(CDN_LOOP, self.id.clone());
    }

    /// An error, if a request was here before.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), OriginError> {
        let mut fields = headers.get_all(CDN_LOOP).iter();
        let ours = self.id.as_bytes();
        if !fields.any(|field| ids(field.as_bytes()).any(|id| id.eq_ignore_ascii_case(ours))) {
            return Ok(());
        }
        if !self.is_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "gripstack::origin", "a request came again: an origin leads back to this server");
        }
        Err(OriginError::new(
            OriginFailure::Loop,
            "it was here before (CDN-Loop)",
        ))
    }
}

/// The ids of a `CDN-Loop`, without their parameters: `#( cdn-id *( OWS ";" OWS parameter ) )`. A comma within a quoted
/// parameter only makes more of them.
fn ids(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(|member| {
        let id = member.split(|byte| *byte == b';').next().unwrap_or_default();
        id.trim_ascii()
    })
}

// === impl LoopLayer ===

impl LoopLayer {
    pub(super) fn new(known: CdnLoop) -> Self {
        Self(known)
    }
}

impl<S> Layer<S> for LoopLayer {
    type Service = LoopGuard<S>;

    fn layer(&self, inner: S) -> LoopGuard<S> {
        LoopGuard {
            inner,
            known: self.0.clone(),
        }
    }
}

// === impl LoopGuard ===

impl<S, B> Service<Request<B>> for LoopGuard<S>
where
    S: Service<Request<B>, Response = Response<EdgeBody>>,
{
    type Response = Response<EdgeBody>;
    type Error = S::Error;
    type Future = LoopFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let outcome = match self.known.check(request.headers()) {
            Ok(()) => Outcome::Passes {
                inner: self.inner.call(request),
            },
            Err(error) => Outcome::Loops { error: Some(error) },
        };
        LoopFuture { outcome }
    }
}

// === impl LoopFuture ===

impl<F, E> Future for LoopFuture<F>
where
    F: Future<Output = Result<Response<EdgeBody>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().outcome.project() {
            OutcomeProj::Passes { inner } => inner.poll(cx),
            OutcomeProj::Loops { error } => {
                let error = error.take().expect("not polled after it was ready");
                Poll::Ready(Ok(failure::response(error)))
            }
        }
    }
}

impl<F> fmt::Debug for LoopFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_whole_ids_wherever_they_stand() {
        let known = CdnLoop::new(&HeaderName::from_static("edge-1"));
        let check = |values: &[&'static str]| {
            let fields = values
                .iter()
                .map(|value| (CDN_LOOP, HeaderValue::from_static(value)));
            known.check(&fields.collect()).is_err()
        };
        for loops in [
            &["edge-1"][..],
            &["foo.example, edge-1"],
            &["foo.example; a=\"b, c\" , edge-1;x=y"],
            &["EDGE-1 ; x"],
            &["a", "b, edge-1"],
            // Nobody can hide it behind what is malformed.
            &["\"", "edge-1"],
            &["\", edge-1"],
        ] {
            assert!(check(loops), "{loops:?}");
        }
        for passes in [&[][..], &["edge-10"], &["a; edge-1"], &["my-edge-1, edge"], &[""]] {
            assert!(!check(passes), "{passes:?}");
        }
    }

    #[test]
    fn two_edges_are_two() {
        let mut headers = HeaderMap::new();
        CdnLoop::random().append(&mut headers);
        assert!(CdnLoop::random().check(&headers).is_ok());
    }
}
