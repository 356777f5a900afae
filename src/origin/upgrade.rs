//! Upgrades (RFC 9110 7.8): after a 101 both sides are joined and bytes go both ways.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::headers::has_token;

/// A request for another protocol on the client's connection.
pub(super) struct Wanted {
    /// The client's connection, once the 101 is written.
    pub(super) client: OnUpgrade,
    /// The protocols asked for, as sent.
    pub(super) protocols: HeaderValue,
}

/// What a request asks for, if its server can hand over the connection. `h2c` is never forwarded: it would let a
/// client speak past everything that stands in front of the origin.
pub(super) fn wanted(
    version: Version,
    headers: &HeaderMap,
    extensions: &mut http::Extensions,
) -> Option<Wanted> {
    if version != Version::HTTP_11 || !has_token(headers, &CONNECTION, "upgrade") {
        return None;
    }
    let protocols = headers.get(UPGRADE)?.clone();
    if has_token(headers, &UPGRADE, "h2c") || headers.get_all(UPGRADE).iter().count() != 1 {
        return None;
    }
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
