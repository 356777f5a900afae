//! Varnish, with its objects in memory.

use std::fs;
use std::process::Command;

use super::{Peer, Place};
use crate::Fallible;
use crate::child::{Server, free_addr};

pub const PROGRAM: &str = "/usr/sbin/varnishd";

pub fn start(place: &Place<'_>) -> Fallible<Peer> {
    let addr = free_addr()?;
    let (host, port) = (place.origin.ip(), place.origin.port());
    let path = place.dir.join("origin.vcl");
    fs::write(
        &path,
        format!("vcl 4.1;\nbackend default {{ .host = \"{host}\"; .port = \"{port}\"; }}\n"),
    )?;
    let mut command = Command::new(PROGRAM);
    command.args([
        "-F",
        "-j",
        "none",
        "-a",
        &addr.to_string(),
        "-T",
        "none",
        "-s",
        "malloc,1G",
    ]);
    command.args(["-p", "thread_pool_max=2000", "-p", "thread_pool_min=50"]);
    command.arg("-f").arg(path).arg("-n").arg(place.dir.join("work"));
    Ok(Peer {
        server: Server::start("varnish", place.dir, &command, &[addr])?,
        addr,
        publish: None,
        is_cache: true,
        most_connects: f64::INFINITY,
        metrics: None,
        _files: None,
    })
}
