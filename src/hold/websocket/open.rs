//! From a client's handshake to a connection that is driven.

use http::{Request, Response};
use hyper::upgrade::OnUpgrade;
use tokio::sync::oneshot;

use super::client::Client;
use super::driver::Driver;
use super::handshake;
use super::origin::Origin;
use super::session::Session;
use crate::below::Below;
use crate::body::EdgeBody;
use crate::drain::Drain;
use crate::hold::drained::Drained;
use crate::hold::layer::Shared;
use crate::sync::Arc;

/// Asks the origin whether the connection is opened, and drives it in a task of its own, which also tells the origin of a client
/// that goes away. What the client gets.
pub(in crate::hold) async fn open<S: Below>(
    below: S,
    request: Request<EdgeBody>,
    shared: Arc<Shared>,
) -> Response<EdgeBody> {
    let (mut handshake, _) = request.into_parts();
    let key = match handshake::accept_key(&handshake) {
        Ok(key) => key,
        Err(error) => return error.into_response(),
    };
    // Removed rather than borrowed: a second taker would panic inside hyper.
    let Some(upgrade) = handshake.extensions.remove::<OnUpgrade>() else {
        return handshake::unsupported();
    };
    let server: Option<&Drain> = handshake.extensions.get();
    let drained = Drained::new([server, shared.options.drain.as_ref()]);
    let (answer, answered) = oneshot::channel();
    let driver = Driver::new(
        shared.clone(),
        below,
        Session::new(shared.options.websockets.clone().unwrap_or_default()),
        Client::new(answer, upgrade),
        Origin::of(&handshake),
        key,
        drained,
        handshake.uri.path().into(),
    );
    tokio::spawn(driver.run());
    match answered.await {
        Ok(response) => response,
        Err(_) => super::output::Refusal::Failed(super::end::SocketEnd::NoAnswer)
            .into_response()
            .map(EdgeBody::from),
    }
}
