//! Upgrades (RFC 9110 7.8): after a 101 both sides are joined and bytes go both ways.

use http::{HeaderMap, HeaderValue, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::request;

/// A request for another protocol on the client's connection.
pub(super) struct Wanted {
    /// The client's connection, once the 101 is written.
    pub(super) client: OnUpgrade,
    /// The protocols asked for, as sent.
    pub(super) protocols: HeaderValue,
}

/// What a request asks for, if its server can hand over the connection.
pub(super) fn wanted(
    version: Version,
    headers: &HeaderMap,
    extensions: &mut http::Extensions,
) -> Option<Wanted> {
    let protocols = request::wanted_upgrade(version, headers)?.clone();
    // Removed rather than borrowed: a second taker would panic inside hyper.
    let client = extensions.remove::<OnUpgrade>()?;
    Some(Wanted { client, protocols })
}

// === impl Wanted ===

impl Wanted {
    /// Whether this protocol was asked for.
    pub(super) fn offers(&self, protocol: &HeaderValue) -> bool {
        self.protocols
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|offer| offer.trim_ascii().eq_ignore_ascii_case(protocol.as_bytes()))
    }
}

/// Joins both sides in a task of its own, until both have ended or one has failed.
pub(super) fn join(client: OnUpgrade, origin: OnUpgrade) {
    tokio::spawn(async move {
        let (client, origin) = match tokio::try_join!(client, origin) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(target: "gripstack::origin", %error, "upgrade not completed");
                return;
            }
        };
        let (mut client, mut origin) = (TokioIo::new(client), TokioIo::new(origin));
        match tokio::io::copy_bidirectional(&mut client, &mut origin).await {
            Ok((up, down)) => {
                tracing::debug!(target: "gripstack::origin", up, down, "upgraded connection ended")
            }
            Err(error) => tracing::debug!(target: "gripstack::origin", %error, "upgraded connection broke"),
        }
    });
}
