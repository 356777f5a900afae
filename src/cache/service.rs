//! [`EdgeCache`]: the service.

use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{CONTENT_LOCATION, HOST, LOCATION};
use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::config::PacedReads;
use super::future::ResponseFuture;
use super::handle::Cache;
use super::key::{RequestUrl, is_cacheable_method, is_safe_method, url_of};
use super::location::same_origin_url;
use super::pass::{Passed, Passing, passes};
use super::policy::{CacheStatus, Fwd};
use super::refusal::private;
use super::visit::{Next, Visit};
use crate::below::{Below, call};
use crate::body::EdgeBody;
use crate::error::{BoxError, OriginError};
use crate::grip;
use crate::handoff::{AskedByHold, SocketEvents};
use crate::mutants::mutant;
use crate::order::{Order, Purge, PurgeMode, Target, Url};
use crate::public_path::is_known;
use crate::request::{Fields, settle_closely};

/// Answers from a cache in front of a service. Made by [`EdgeCacheLayer`](super::EdgeCacheLayer).
///
/// Always ready: a hit must not wait for a service that is at its limit. A fetch waits until it is ready.
///
/// Fetches run in tasks of their own, which `call` spawns: call it within a Tokio runtime.
#[derive(Clone, Debug)]
pub struct EdgeCache<S> {
    inner: S,
    cache: Cache,
    namespace: StdArc<str>,
    enabled: bool,
    paced_reads: PacedReads,
    /// Tells it from other layers of its cache; its clones are the same.
    door: u64,
}

// === impl EdgeCache ===

impl<S> EdgeCache<S> {
    pub(super) fn new(
        inner: S,
        cache: Cache,
        namespace: StdArc<str>,
        enabled: bool,
        paced_reads: PacedReads,
    ) -> Self {
        Self {
            door: cache.next_door(),
            inner,
            cache,
            namespace,
            enabled,
            paced_reads,
        }
    }
}

impl<S, ReqBody> Service<Request<ReqBody>> for EdgeCache<S>
where
    S: Below,
    ReqBody: Body<Data = Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
{
    type Response = Response<EdgeBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        if !self.enabled {
            return self.go_through(request.map(EdgeBody::new));
        }
        let now = Instant::now();
        let mut is_settled = false;
        loop {
            // The request that is judged is the request that is sent.
            let (fields, host) = Fields::of(&request);
            if !is_settled && fields.is_unsettled() {
                settle_closely(&mut request, fields);
                is_settled = true;
                continue;
            }
            if fields.has(Fields::GRIP) && AskedByHold::of(request.extensions()).is_none() {
                // Clients say nothing to a push edge (G-3).
                grip::strip(request.headers_mut());
                continue;
            }
            let is_plain = is_cacheable_method(request.method())
                && !fields.has(Fields::UPGRADE)
                && request.body().is_end_stream();
            if !is_plain {
                return self.pass(request.map(EdgeBody::new), fields, None);
            }
            let (uri, extensions) = (request.uri(), request.extensions());
            let Some(named) = url_of(uri, extensions, (fields, host), &self.namespace) else {
                return self.pass(request.map(|_| EdgeBody::empty()), fields, None);
            };
            let key = named.key();
            let index = self.cache.index();
            let resource = match index.get(&named, key) {
                // Nothing of it is stored or under way.
                Ok(None) => match passes(&self.cache, (&named, key), &request, fields, now) {
                    Some(memo) => {
                        let passing = Passing::new(&self.cache, memo, &request, self.door, now);
                        return self.go_by(passing, request.map(|_| EdgeBody::empty()));
                    }
                    None => index.resource(named, key),
                },
                Ok(Some(resource)) => Ok(resource),
                Err(taken) => Err(taken),
            };
            let Ok(resource) = resource else {
                return self.pass(request.map(|_| EdgeBody::empty()), fields, None);
            };
            let knows = || {
                is_known(request.extensions(), &self.namespace)
                    || self.cache.went_through(request.extensions())
            };
            if !resource.is_of_door(self.door, knows) {
                say_once!(
                    "two cache layers of one edge see the same path, and cannot know whether it is the same URL: they share \
                 nothing. Give each its namespace, turn on the feature `axum`, or make one layer and clone its service"
                );
                return self.pass(request.map(|_| EdgeBody::empty()), fields, Some("other-layer"));
            }
            let visit = Visit::new(&self.cache, resource, request, fields, self.paced_reads);
            return match visit.decide(&self.inner, now) {
                Next::Answer(entry, freshness, served)
                    if let Some(response) = visit.answer(&entry, freshness.as_deref(), served, now) =>
                {
                    ResponseFuture::ready(response)
                }
                next => ResponseFuture::waiting(visit.run(self.inner.clone(), next)),
            };
        }
    }
}

impl<S: Below> EdgeCache<S> {
    /// What is remembered as uncacheable. It is sent at once, if the service below is ready.
    fn go_by(&self, passing: Passing, request: Request<EdgeBody>) -> ResponseFuture<S::Future, S::Error> {
        let mut inner = self.inner.clone();
        match inner.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => ResponseFuture::passing(passing, inner.call(request)),
            Poll::Ready(Err(error)) => ResponseFuture::waiting(async move { Err(error) }),
            Poll::Pending => ResponseFuture::waiting(async move {
                let response = call(&mut inner, request).await?.map(EdgeBody::new);
                Ok(match passing.answer(response) {
                    Passed::Alike(response) => response,
                    Passed::Unlike(unlike) => unlike.settle().await,
                })
            }),
        }
    }

    /// As if it were not there.
    fn go_through(&self, request: Request<EdgeBody>) -> ResponseFuture<S::Future, S::Error> {
        self.cache.counters().pass.add(1);
        let mut inner = self.inner.clone();
        ResponseFuture::waiting(async move { Ok(call(&mut inner, request).await?.map(EdgeBody::new)) })
    }

    /// What is never answered from the cache. What it changed is invalidated. `detail`: why, beside the usual.
    fn pass(
        &self,
        request: Request<EdgeBody>,
        fields: Fields,
        detail: Option<&'static str>,
    ) -> ResponseFuture<S::Future, S::Error> {
        let mut inner = self.inner.clone();
        self.cache.counters().pass.add(1);
        let reader = self.cache.reader(request.extensions());
        let fwd = if is_cacheable_method(request.method()) {
            Fwd::Bypass
        } else {
            Fwd::Method
        };
        let mut status = CacheStatus::forwarded(fwd).name(self.cache.config().name);
        if let Some(detail) = detail {
            status = status.detail(detail);
        }
        let status = status.to_value();
        let changes_nothing = request.extensions().get::<SocketEvents>().is_some();
        if changes_nothing || is_safe_method(request.method()) {
            return ResponseFuture::waiting(async move {
                let response = call(&mut inner, request).await?.map(EdgeBody::new);
                Ok(private(response, reader, status))
            });
        }
        let host = request.headers().get(HOST);
        let url = url_of(
            request.uri(),
            request.extensions(),
            (fields, host),
            &self.namespace,
        );
        let url = url.map(RequestUrl::into_url);
        let cache = self.cache.clone();
        ResponseFuture::waiting(async move {
            std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
            let change = url.map(|url| Change {
                cache: cache.clone(),
                url: Some(url),
            });
            // An error leaves it open whether the change was made, as a client does that goes away.
            let response = inner.call(request).await?.map(EdgeBody::new);
            let url = change.and_then(|mut change| change.url.take());
            if let Some(url) = url
                && may_have_changed(&response)
            {
                invalidate(&cache, &url, response.headers()).await;
            }
            Ok(private(response, reader, status))
        })
    }
}

/// An unsafe request under way. If its client goes away before the answer, the change may have been made.
struct Change {
    cache: Cache,
    url: Option<Url>,
}

// === impl Change ===

impl Drop for Change {
    fn drop(&mut self) {
        let (Some(url), Ok(runtime)) = (self.url.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let cache = self.cache.clone();
        runtime.spawn(async move { invalidate(&cache, &url, &HeaderMap::new()).await });
    }
}

/// Whether an unsafe method may have changed something: it succeeded, or nobody knows.
fn may_have_changed(response: &Response<EdgeBody>) -> bool {
    let status = response.status();
    let failed = response.extensions().get::<OriginError>();
    status.is_success()
        || status.is_redirection()
        || failed.is_some_and(|error| error.failure.is_after_asking())
}

/// An unsafe method succeeded (RFC 9111 4.4).
async fn invalidate(cache: &Cache, url: &Url, response: &HeaderMap) {
    let mut urls = vec![url.clone()];
    for name in [LOCATION, CONTENT_LOCATION] {
        let location = response.get(name).and_then(|location| location.to_str().ok());
        urls.extend(location.and_then(|location| same_origin_url(location, url)));
    }
    if mutant!("post-skips") && cache.stats().entries == 0 {
        return;
    }
    // Also what nobody knows: a fetch of it may be under way (rules C4, M5).
    let invalidated = |url| Purge {
        target: Target::Url(url),
        mode: PurgeMode::Invalidated,
    };
    let order = Order {
        purges: urls.into_iter().map(invalidated).collect(),
        ..Order::default()
    };
    if let Err(error) = cache.bus().submit(order).await {
        tracing::warn!(target: "gripstack::cache", url = url.as_str(), %error, "an invalidation was lost");
    }
}
