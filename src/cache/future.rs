//! The future of the cache: an answer that is there, or one that is waited for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

use crate::body::EdgeBody;

/// Resolves to the answer. A hit is ready at once and costs no allocation here.
pub struct ResponseFuture<E>(Kind<E>);

type Boxed<E> = Pin<Box<dyn Future<Output = Result<Response<EdgeBody>, E>> + Send>>;

enum Kind<E> {
    Ready(Option<Response<EdgeBody>>),
    Waiting(Boxed<E>),
}

// === impl ResponseFuture ===

impl<E> ResponseFuture<E> {
    pub(super) fn ready(response: Response<EdgeBody>) -> Self {
        Self(Kind::Ready(Some(response)))
    }

    pub(super) fn waiting(
        future: impl Future<Output = Result<Response<EdgeBody>, E>> + Send + 'static,
    ) -> Self {
        Self(Kind::Waiting(Box::pin(future)))
    }
}

impl<E> Unpin for ResponseFuture<E> {}

impl<E> Future for ResponseFuture<E> {
    type Output = Result<Response<EdgeBody>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Kind::Ready(response) => Poll::Ready(Ok(response.take().expect("polled after it was ready"))),
            Kind::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

impl<E> std::fmt::Debug for ResponseFuture<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
