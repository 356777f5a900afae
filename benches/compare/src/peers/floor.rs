//! The least a program can do.

use super::{Peer, Place};
use crate::Fallible;
use crate::child::{Server, free_addr, own};
use crate::publish::Form;

pub fn start(place: &Place<'_>) -> Fallible<Peer> {
    let addr = free_addr()?;
    let mut command = own("floor")?;
    command.args(["--listen", &addr.to_string()]);
    // Huge pages would be counted as 2 MB each, which is more than all of its holds.
    command.env("MIMALLOC_ALLOW_THP", "0");
    Ok(Peer {
        server: Server::start("floor", place.dir, &command, &[addr])?,
        addr,
        publish: Some((addr, Form::Raw)),
        is_cache: true,
        most_connects: f64::INFINITY,
        metrics: None,
        _files: None,
    })
}
