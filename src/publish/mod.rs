//! [`RateLimitedPublishLayer`]: takes GRIP publishes, and [`Publisher`], which does the same for Rust code.
//!
//! `POST /publish` or `/publish/` with `{"items": [..]}`; each item names a `channel` and its `formats`, see
//! [`grip::parse_publish`](crate::grip::parse_publish). All or nothing: one malformed item refuses all. The answer
//! is `Published`, as text or as JSON by `Accept`, when every item has a position or waits for its turn.
//!
//! **Lossless unless told otherwise**: without a policy every message goes out at once and in order, one POST as
//! one order at one position. The policy `latest` is for channels that carry a state, where only the last
//! message matters. It is chosen for channels by their prefix, for all, or by the item (`"policy": "latest"`), and
//! paces whole orders, message and purges together: the first at once, then at most one per interval and
//! channel; of those that wait only the last is sent, with the purges of all, and the last is always sent. What closes
//! or hints is no state: it is sent with them, in its place.
//!
//! ```text
//! published    1   2 3 4                    5
//! sent         1            4               5
//!              |--interval--|--interval--|
//! ```
//!
//! A message that names another `prev-id` than the last message of its channel had waits for its predecessor, for 5 s
//! at most, and its POST is answered then; with `Prefer: respond-async` (RFC 7240), or
//! [so configured](PublishConfig::respond_async), at once, with 202 `Accepted`. A POST that is said again while its
//! message waits shares the outcome; later, a message with the `id`, the `prev-id` and the content of one that the channel has is
//! not sent once more (without a `prev-id`, or of a state: for 60 s). One that has an old `id` but not its content is another message,
//! as of a counter that begins again at 1. What `http-stream` and `http-response` say in calls of their own, under one `id`, are forms
//! of one message. Another message with the same `prev-id` is refused (409), with all of its POST:
//! only one can follow.
//!
//! Credentials are a [key](Key), or whatever an application's [own rules](Auth::custom) accept.
//!
//! An item may purge in the same order: `"surrogate-keys": ["a"]` and `"purge": ["https://example.com/x"]` (a
//! path alone is one of the host that the POST was sent to). What a channel's URL is need not be said: a message
//! ages what it concerns by itself.
//!
//! ```
//! use gripstack::publish::{Auth, PublishConfig, Publisher, RateLimitedPublishLayer, Rule};
//! use gripstack::{Channel, Edge, Message};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let config = PublishConfig::new().channels("counter-", Rule::latest());
//! let publisher = Publisher::new(Edge::new(), config);
//! let layer = RateLimitedPublishLayer::new(publisher.clone(), Auth::token("secret"));
//!
//! // The same from Rust.
//! let receipt = publisher.publish(Channel::new("counter-foo")?, Message::bytes("data: 1\n\n")).await?;
//! assert!(receipt.position.is_some());
//! # let _ = layer;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod auth;
mod config;
mod displaced;
mod driver;
mod lane;
mod layer;
mod newest;
mod pacer;
mod publisher;
mod rested;
mod service;
mod wire;

#[cfg(test)]
mod far_tests;
#[cfg(test)]
mod pacer_properties;
#[cfg(test)]
mod pacer_tests;
#[cfg(test)]
mod tests;

pub use self::auth::{Auth, Key};
pub use self::config::{Policy, PublishConfig, Rule};
pub use self::layer::RateLimitedPublishLayer;
pub use self::publisher::{Item, PublishError, PublishOptions, Publisher, Receipt};
pub use self::service::RateLimitedPublish;
pub use crate::control::ResponseFuture;
#[cfg(feature = "jwt")]
pub use crate::jwt::KeyError;
