//! A request that asks for itself alone, and what is for one request only.

use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;

use super::arrived::{Arrived, Disposition, Sent, look_at};
use super::entry::Entry;
use super::fetch::carry_alone;
use super::find::NESTED;
use super::flight::{Failure, Flight, Landing};
use super::policy::{
    Arrival, CacheStatus, Fwd, is_not_modified, names_no_tag, not_modified_headers, reduce_accept_encoding,
};
use super::refusal::{failed, private};
use super::visit::Visit;
use crate::below::{Below, call};
use crate::body::{EdgeBody, Selected};
use crate::grip;
use crate::handoff::ClientHasIt;
use crate::hub::Fetch;
use crate::position::Stamp;
use crate::request::Fields;
use crate::sync::Arc;
use crate::time::Now;

/// A foreign cache between may have answered with something older than this request may have (rule X1).
pub(super) const FOREIGN_AGE: &str = "foreign-age";

/// The conditions of a request that an answer is for.
pub(super) enum Conditions {
    /// The origin has judged them.
    Sent,
    /// They did not reach it, so that others could have the answer, too.
    Withheld,
}

impl Visit {
    /// Asks for itself alone.
    pub(super) async fn go_alone<S: Below>(
        self,
        mut below: S,
        why: &'static str,
        old: Option<Arc<Entry>>,
    ) -> Result<Response<EdgeBody>, S::Error> {
        // Rule C3.
        let fetch = self.cache.hub().begin_fetch(Instant::now());
        let at = Now::read();
        self.cache.counters().pass.add(1);
        self.cache.counters().fetches.add(1);
        let mut request = Request::from_parts(self.parts.clone(), EdgeBody::empty());
        reduce_accept_encoding(request.headers_mut());
        request.extensions_mut().insert(self.cache.id());
        let headers = request.headers().clone();
        let response = match call(&mut below, request).await {
            Ok(response) => response.map(EdgeBody::new),
            Err(error) => {
                self.cache.fetch_failed(&self.resource, Failure::Service);
                return match self.old_after_failure(old.as_ref(), None) {
                    Some(old) => Ok(old),
                    None => Err(error),
                };
            }
        };
        let method = self.parts.method.clone();
        let sent = Sent {
            method: &method,
            headers: &headers,
            is_https: self.is_https,
            by_hold: self.needs.by_hold,
            stamp: fetch.stamp(),
            at,
        };
        // What is made for who has had something already is for nobody else (rule D7).
        let keeps = !self.resumes() && why != NESTED;
        Ok(self.settle(response, sent, (why, keeps), old, fetch).await)
    }

    /// Takes what came for this request alone. `keeps`: what proves storable after all is stored.
    pub(super) async fn settle(
        self,
        response: Response<EdgeBody>,
        sent: Sent<'_>,
        (why, keeps): (&'static str, bool),
        old: Option<Arc<Entry>>,
        pin: Fetch,
    ) -> Response<EdgeBody> {
        let arrived = match look_at(&self.cache, &self.resource, sent, response).await {
            Ok(arrived) => arrived,
            Err(failure) => {
                self.cache.fetch_failed(&self.resource, failure);
                let old = self.old_after_failure(old.as_ref(), None);
                return old.unwrap_or_else(|| failed(failure));
            }
        };
        let disposition = arrived.disposition();
        let asked_for = || {
            let vary = self.resource.state.lock().vary.clone();
            self.cache.variant(vary.as_deref(), &sent)
        };
        self.cache
            .take_note(&self.resource, &arrived, disposition, asked_for, old.as_ref());
        if let Some(error) = arrived.error()
            && let Some(old) = self.old_after_failure(old.as_ref(), Some(error))
        {
            return old;
        }
        let is_kept = keeps && disposition.kept().is_ok() && !(self.is_of_url() && arrived.is_coded());
        let why = match disposition {
            Disposition::Failed(failure) => failure.as_str(),
            Disposition::Private(why) | Disposition::Kept(why) | Disposition::Shared(Err(why)) => why,
            Disposition::Shared(Ok(())) => why,
        };
        let fwd = match old {
            Some(_) => Fwd::Stale,
            None => Fwd::UriMiss,
        };
        match is_kept {
            true => self.keep(arrived, sent, (fwd, why), pin),
            false => self.give_private(arrived, Conditions::Sent, fwd, why),
        }
    }

    /// Gives an answer that goes into the store as well, if it is that of all requests of which no more than this is known.
    fn keep(
        self,
        arrived: Arrived,
        sent: Sent<'_>,
        (fwd, why): (Fwd, &'static str),
        pin: Fetch,
    ) -> Response<EdgeBody> {
        let why = self.detail_of(&arrived, why);
        let own = arrived.own_fields();
        let (mut landed, body) = arrived.into_landed(&self.cache, &self.resource, sent, Ok(()));
        // Which variant it is cannot be told.
        landed.storable &= !self.is_of_url() || landed.entry.head.vary.names().is_empty();
        landed.storable &= self.has_seen_marks(&landed.entry, sent.stamp);
        let landing = Landing {
            resource: self.resource.clone(),
            flight: Arc::new(Flight::new(landed.entry.head.variant, None)),
            pin,
        };
        let status = CacheStatus::forwarded(fwd).stored(landed.storable).detail(why);
        let response = self.give(&landed.entry, &landed.entry.head.freshness, Some(status));
        tokio::spawn(carry_alone(self.cache.clone(), landing, (landed, body)));
        let Some(mut response) = response else {
            return failed(Failure::Died);
        };
        response.headers_mut().extend(own);
        response
    }

    /// Lets an answer see all marks since its fetch, which may have begun before the pin did, if they are still there and have
    /// not killed it (rule C4). Of those that come from now on the pin keeps all.
    fn has_seen_marks(&self, entry: &Entry, fetched: Stamp) -> bool {
        let hub = self.cache.hub();
        let channels = self.resource.channels(hub);
        let is_alive = self
            .cache
            .is_alive(&self.resource, entry, &channels, Instant::now());
        // In this order: what is forgotten after it was seen does no harm.
        is_alive && hub.remembers_marks_above(fetched.at)
    }

    /// Gives an answer that is for this request alone. `why` it is so.
    pub(super) fn give_private(
        &self,
        arrived: Arrived,
        conditions: Conditions,
        fwd: Fwd,
        why: &'static str,
    ) -> Response<EdgeBody> {
        let detail = self.detail_of(&arrived, why);
        let arrival = Arrival {
            proves_after: self.cache.dates().prove_after(&self.resource),
            ..arrived.arrival()
        };
        let (status, headers) = arrived.seen();
        // RFC 9110 13.2.1.
        let has_it = matches!(conditions, Conditions::Withheld)
            && self.fields.has(Fields::CONDITION)
            && status == StatusCode::OK
            && is_not_modified(&self.parts.headers, headers, arrival);
        let mut response = arrived.into_private(&self.resource);
        if has_it {
            response = self.unchanged(response);
        }
        if self.needs.is_head {
            *response.body_mut() = EdgeBody::empty();
        }
        let reader = self
            .reader
            .unwrap_or_else(|| self.cache.reader(&self.parts.extensions));
        let status = CacheStatus::forwarded(fwd)
            .name(self.cache.config().name)
            .stored(false)
            .detail(detail);
        private(response, reader, status.to_value())
    }

    /// What is said of an answer for this request alone, first of all that a foreign cache's is too old for it.
    fn detail_of(&self, arrived: &Arrived, why: &'static str) -> &'static str {
        match arrived.is_too_old(self.cache.hub(), &self.resource, &self.needs) {
            true => FOREIGN_AGE,
            false => why,
        }
    }

    /// An answer that the client has already: what it may be held with, or 304.
    fn unchanged(&self, mut response: Response<EdgeBody>) -> Response<EdgeBody> {
        let headers = response.headers();
        let is_held = self.needs.by_hold && (grip::has_grip(headers) || grip::is_instruct_type(headers));
        if is_held {
            let whichever = names_no_tag(&self.parts.headers);
            response.extensions_mut().insert(ClientHasIt { whichever });
            return response;
        }
        let (mut parts, body) = response.into_parts();
        parts.status = StatusCode::NOT_MODIFIED;
        let headers = not_modified_headers(&parts.headers);
        let mut selected = std::mem::replace(&mut parts.headers, headers);
        if let Some(length) = body.size_hint().exact() {
            selected.insert(CONTENT_LENGTH, length.into());
        }
        parts.extensions.insert(Selected(selected));
        Response::from_parts(parts, EdgeBody::empty())
    }
}
