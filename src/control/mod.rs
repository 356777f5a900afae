//! What the two control layers share, and [`NotFound`], over which they are a service of their own.
//!
//! ```
//! use gripstack::control::NotFound;
//! use gripstack::purge::{Auth, PurgeLayer};
//! use gripstack::Edge;
//! use tower_layer::Layer;
//!
//! // A listener that purges and does nothing else.
//! let control = PurgeLayer::new(Edge::new(), Auth::token("secret")).layer(NotFound);
//! # let _ = control;
//! ```

mod authorize;
mod future;
mod http;
mod secret;
mod service;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use ::http::{Request, Response, StatusCode};
use tower_service::Service;

use crate::body::EdgeBody;

pub use self::authorize::{Authorizer, Caller, Custom, Denied};
pub use self::future::ResponseFuture;
#[cfg(feature = "publish")]
pub(crate) use self::http::text;
#[cfg(feature = "purge")]
pub(crate) use self::http::under;
pub(crate) use self::http::{ReadError, authority, normal_prefix, read, respond, seconds_to_wait, url};
pub(crate) use self::secret::Secret;
pub use self::service::ControlService;
pub(crate) use self::service::Endpoint;

/// Answers 404 to everything: the service below the control layers on a listener that has no other.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotFound;

impl<B> Service<Request<B>> for NotFound {
    type Response = Response<EdgeBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<EdgeBody>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        ready(Ok(respond(StatusCode::NOT_FOUND, "text/plain", "Not Found\n")))
    }
}
