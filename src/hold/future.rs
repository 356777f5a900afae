//! The response's future. A response without instructions passes without a box and without a task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use tower_service::Service;

use super::answer;
use super::client_request::ClientRequest;
use crate::below::Below;
use crate::body::{EdgeBody, Held};
use crate::grip;
use crate::hub::Fetch;

pin_project_lite::pin_project! {
    /// The future of a [`GripHold`](super::GripHold)'s response. A long poll waits in it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, F, E> {
        #[pin]
        state: State<S, F, E>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<S, F, E> {
        /// The layer has nothing to do with it.
        Passing {
            #[pin]
            future: F,
        },
        /// The service below is asked.
        Asking {
            #[pin]
            future: F,
            asking: Option<(ClientRequest<S>, Fetch)>,
        },
        /// Its answer has instructions.
        Settling {
            settling: Settling<E>,
        },
    }
}

pub(super) type Settling<E> = Pin<Box<dyn Future<Output = Result<Response<EdgeBody>, E>> + Send>>;

// === impl ResponseFuture ===

impl<S, F, E> ResponseFuture<S, F, E> {
    pub(super) fn passing(future: F) -> Self {
        Self {
            state: State::Passing { future },
        }
    }

    /// What this comes to.
    #[cfg(feature = "websocket")]
    pub(super) fn settling(settling: Settling<E>) -> Self {
        Self {
            state: State::Settling { settling },
        }
    }

    pub(super) fn asking(future: F, client: ClientRequest<S>, fetch: Fetch) -> Self {
        Self {
            state: State::Asking {
                future,
                asking: Some((client, fetch)),
            },
        }
    }
}

impl<S, F, E> Future for ResponseFuture<S, F, E>
where
    S: Below + Service<Request<EdgeBody>, Error = E, Future = F>,
    F: Future<Output = Result<Response<S::Body>, E>>,
    E: Send + 'static,
{
    type Output = Result<Response<EdgeBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let settling: Settling<E> = match this.state.as_mut().project() {
                StateProj::Passing { future } => {
                    return future.poll(cx).map_ok(|response| response.map(EdgeBody::new));
                }
                StateProj::Settling { settling } => return settling.as_mut().poll(cx),
                StateProj::Asking { future, asking } => {
                    let mut response = match ready!(future.poll(cx)) {
                        Ok(response) => response.map(EdgeBody::new),
                        Err(error) => return Poll::Ready(Err(error)),
                    };
                    let (client, fetch) = asking.take().expect("polled after it was ready");
                    if response.extensions().get::<Held>().is_some() {
                        client
                            .shared
                            .warn_of_order("a hold layer above another one does nothing");
                        return Poll::Ready(Ok(response));
                    }
                    let instructions = answer::is_for_us(&response);
                    let status = response.status();
                    client
                        .original
                        .note(&client.shared.plain_urls, status, instructions);
                    if !instructions {
                        return Poll::Ready(Ok(response));
                    }
                    if status.is_informational() {
                        grip::strip(response.headers_mut());
                        return Poll::Ready(Ok(response));
                    }
                    Box::pin(client.settle(response, fetch))
                }
            };
            this.state.set(State::Settling { settling });
        }
    }
}
