//! The service below a layer.

use std::future::{Future, poll_fn};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::body::EdgeBody;
use crate::error::BoxError;

/// A service that a layer of ours can stand above: it takes requests with an [`EdgeBody`], answers any body of bytes, can
/// be cloned, and is `Send`. Implemented for each of those, and for nothing else.
pub trait Below:
    Service<
        Request<EdgeBody>,
        Response = Response<Self::Body>,
        Error: Send + 'static,
        Future: Future<Output = Result<Response<Self::Body>, Self::Error>> + Send + 'static,
    > + Clone
    + Send
    + 'static
{
    /// The body that it answers.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> Below for S
where
    S: Service<Request<EdgeBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = B;
}

/// Calls a service as soon as it is ready.
pub(crate) async fn call<S: Below>(
    below: &mut S,
    request: Request<EdgeBody>,
) -> Result<Response<S::Body>, S::Error> {
    poll_fn(|cx| below.poll_ready(cx)).await?;
    below.call(request).await
}
