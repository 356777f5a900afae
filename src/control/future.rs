//! The future of a control layer: the inner service's, or its own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;

use crate::body::EdgeBody;
use crate::error::BoxError;

pin_project_lite::pin_project! {
    /// The response of a control layer. What passes through costs no box but that of a foreign body, unless it has to
    /// wait for the service below.
    pub struct ResponseFuture<F>
    where
        F: Future,
    {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProjection]
    enum Kind<F>
    where
        F: Future,
    {
        Pass { #[pin] inner: F },
        Wait { inner: Pin<Box<dyn Future<Output = F::Output> + Send>> },
        Own { answer: Pin<Box<dyn Future<Output = Response<EdgeBody>> + Send>> },
    }
}

// === impl ResponseFuture ===

impl<F: Future> ResponseFuture<F> {
    pub(crate) fn pass(inner: F) -> Self {
        Self {
            kind: Kind::Pass { inner },
        }
    }

    pub(crate) fn wait(inner: impl Future<Output = F::Output> + Send + 'static) -> Self {
        Self {
            kind: Kind::Wait {
                inner: Box::pin(inner),
            },
        }
    }

    pub(crate) fn own(answer: impl Future<Output = Response<EdgeBody>> + Send + 'static) -> Self {
        Self {
            kind: Kind::Own {
                answer: Box::pin(answer),
            },
        }
    }
}

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Output = Result<Response<EdgeBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            // Each for itself: a response is large, and moved once less.
            KindProjection::Pass { inner } => {
                Poll::Ready(ready!(inner.poll(cx)).map(|response| response.map(EdgeBody::new)))
            }
            KindProjection::Wait { inner } => {
                Poll::Ready(ready!(inner.as_mut().poll(cx)).map(|response| response.map(EdgeBody::new)))
            }
            KindProjection::Own { answer } => answer.as_mut().poll(cx).map(Ok),
        }
    }
}
