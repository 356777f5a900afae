//! [`EdgeCache`]: the service.

use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::config::PacedReads;
use super::fields::Fields;
use super::future::ResponseFuture;
use super::handle::Cache;
use super::key::{RequestUrl, is_cacheable_method, is_safe_method, named_by, same_origin_url};
use super::pass::{Passed, Passing, passes};
use super::policy::{CacheStatus, Fwd};
use super::unkeyed::straighten;
use super::visit::{Next, Visit, private};
use crate::below::{Below, call};
use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::grip;
use crate::handoff::AskedByHold;
use crate::order::{Order, Purge, PurgeMode, Target, Url};

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
        let now = Instant::now();
        let (fields, host) = Fields::of(request.headers());
        let is_plain = is_cacheable_method(request.method())
            && !fields.has(Fields::UPGRADE)
            && request.body().is_end_stream();
        if !self.enabled || !is_plain {
            return self.pass(request.map(EdgeBody::new));
        }
        let Some(named) = named_by(request.uri(), (fields, host), &self.namespace) else {
            return self.pass(request.map(|_| EdgeBody::empty()));
        };
        let key = named.key();
        let index = self.cache.index();
        let resource = match index.get(&named, key) {
            // Nothing of it is stored or under way.
            Ok(None) => match passes(&self.cache, (&named, key), &request, fields, now) {
                Some(memo) => {
                    let passing = Passing::new(&self.cache, memo, &request, now);
                    return self.go_by(passing, request.map(|_| EdgeBody::empty()), fields);
                }
                None => index.resource(named, key),
            },
            Ok(Some(resource)) => Ok(resource),
            Err(taken) => Err(taken),
        };
        let Ok(resource) = resource else {
            return self.pass(request.map(|_| EdgeBody::empty()));
        };
        straighten(&mut request, fields);
        let visit = Visit::new(&self.cache, resource, request, fields, self.paced_reads);
        match visit.decide(&self.inner, now) {
            Next::Answer(entry, freshness, served)
                if let Some(response) = visit.answer(&entry, freshness, served, now) =>
            {
                ResponseFuture::ready(response)
            }
            next => ResponseFuture::waiting(visit.run(self.inner.clone(), next)),
        }
    }
}

impl<S: Below> EdgeCache<S> {
    /// What is remembered as uncacheable. It is sent at once, if the service below is ready.
    fn go_by(
        &self,
        passing: Passing,
        mut request: Request<EdgeBody>,
        fields: Fields,
    ) -> ResponseFuture<S::Future, S::Error> {
        if fields.has(Fields::GRIP) && !passing.is_by_hold() {
            grip::strip(request.headers_mut());
        }
        straighten(&mut request, fields);
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

    /// What is never answered from the cache. What it changed is invalidated.
    fn pass(&self, mut request: Request<EdgeBody>) -> ResponseFuture<S::Future, S::Error> {
        let mut inner = self.inner.clone();
        self.cache.counters().pass.add(1);
        if !self.enabled {
            return ResponseFuture::waiting(async move {
                std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
                Ok(inner.call(request).await?.map(EdgeBody::new))
            });
        }
        let by_hold = AskedByHold::of(request.extensions()).is_some();
        if !by_hold {
            grip::strip(request.headers_mut());
        }
        let fwd = if is_cacheable_method(request.method()) {
            Fwd::Bypass
        } else {
            Fwd::Method
        };
        let status = CacheStatus::forwarded(fwd)
            .name(self.cache.config().name)
            .to_value();
        if is_safe_method(request.method()) {
            return ResponseFuture::waiting(async move {
                std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
                let response = inner.call(request).await?.map(EdgeBody::new);
                Ok(private(response, by_hold, status))
            });
        }
        let fields = Fields::of(request.headers());
        let url = named_by(request.uri(), fields, &self.namespace).map(RequestUrl::into_url);
        let cache = self.cache.clone();
        ResponseFuture::waiting(async move {
            std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
            let change = url.map(|url| Change {
                cache: cache.clone(),
                url: Some(url),
            });
            let response = inner.call(request).await;
            let url = change.and_then(|mut change| change.url.take());
            let response = response?.map(EdgeBody::new);
            if let Some(url) = url
                && (response.status().is_success() || response.status().is_redirection())
            {
                invalidate(&cache, &url, response.headers()).await;
            }
            Ok(private(response, by_hold, status))
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

/// An unsafe method succeeded (RFC 9111 4.4).
async fn invalidate(cache: &Cache, url: &Url, response: &HeaderMap) {
    let mut urls = vec![url.clone()];
    for name in [LOCATION, CONTENT_LOCATION] {
        let location = response.get(name).and_then(|location| location.to_str().ok());
        urls.extend(location.and_then(|location| same_origin_url(location, url)));
    }
    let known = urls.into_iter().filter(|url| cache.index().knows(url));
    let purges: Vec<Purge> = known
        .map(|url| Purge {
            target: Target::Url(url),
            mode: PurgeMode::Invalidated,
        })
        .collect();
    if purges.is_empty() {
        return;
    }
    let order = Order {
        purges,
        ..Order::default()
    };
    if let Err(error) = cache.bus().submit(order).await {
        tracing::warn!(target: "gripstack::cache", url = url.as_str(), %error, "an invalidation was lost");
    }
}
