//! The future of the cache: an answer that is there, or one that is waited for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;

use super::pass::{Passed, Passing};
use crate::body::EdgeBody;
use crate::error::BoxError;

pin_project_lite::pin_project! {
    /// Resolves to the answer. A hit is ready at once; it costs no allocation here, nor does what passes.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, E> {
        #[pin]
        kind: Kind<F, E>,
    }
}

type Boxed<E> = Pin<Box<dyn Future<Output = Result<Response<EdgeBody>, E>> + Send>>;

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<F, E> {
        Ready { response: Option<Response<EdgeBody>> },
        Passing {
            #[pin]
            future: F,
            passing: Option<Passing>,
        },
        Waiting { future: Boxed<E> },
    }
}

// === impl ResponseFuture ===

impl<F, E> ResponseFuture<F, E> {
    pub(super) fn ready(response: Response<EdgeBody>) -> Self {
        let response = Some(response);
        Self {
            kind: Kind::Ready { response },
        }
    }

    pub(super) fn passing(passing: Passing, future: F) -> Self {
        let passing = Some(passing);
        Self {
            kind: Kind::Passing { future, passing },
        }
    }

    pub(super) fn waiting(
        future: impl Future<Output = Result<Response<EdgeBody>, E>> + Send + 'static,
    ) -> Self {
        let future: Boxed<E> = Box::pin(future);
        Self {
            kind: Kind::Waiting { future },
        }
    }
}

impl<F, E, B> Future for ResponseFuture<F, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<EdgeBody>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        match this.kind.as_mut().project() {
            KindProj::Ready { response } => {
                Poll::Ready(Ok(response.take().expect("polled after it was ready")))
            }
            KindProj::Passing { future, passing } => {
                let response = ready!(future.poll(cx))?.map(EdgeBody::new);
                let passing = passing.take().expect("polled after it was ready");
                match passing.answer(response) {
                    Passed::Alike(response) => Poll::Ready(Ok(response)),
                    // In a box of its own: it is rare, and large.
                    Passed::Unlike(unlike) => {
                        let future: Boxed<E> = Box::pin(async move { Ok(unlike.settle().await) });
                        this.kind.set(Kind::Waiting { future });
                        self.poll(cx)
                    }
                }
            }
            KindProj::Waiting { future } => future.as_mut().poll(cx),
        }
    }
}

impl<F, E> std::fmt::Debug for ResponseFuture<F, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
