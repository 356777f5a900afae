//! Plain hyper.

use super::{Peer, Place};
use crate::Fallible;
use crate::child::{Server, free_addr, own};

pub fn start(place: &Place<'_>) -> Fallible<Peer> {
    let addr = free_addr()?;
    let mut command = own("hyper")?;
    command.args(["--listen", &addr.to_string()]);
    Ok(Peer {
        server: Server::start("hyper", place.dir, &command, &[addr])?,
        addr,
        publish: None,
        is_cache: false,
        most_connects: f64::INFINITY,
        metrics: None,
        _files: None,
    })
}
