//! The edge server of this repository.

use std::path::PathBuf;
use std::process::Command;

use super::{Peer, Place};
use crate::Fallible;
use crate::child::{Server, free_addr};
use crate::publish::Form;

/// Beside this program.
pub fn binary() -> Fallible<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("edge_server"))
}

pub fn start(place: &Place<'_>) -> Fallible<Peer> {
    let (addr, control) = (free_addr()?, free_addr()?);
    let mut command = Command::new(binary()?);
    command.args([
        "--listen",
        &addr.to_string(),
        "--control",
        &control.to_string(),
        "--open-control",
    ]);
    command.args(["--origin", &format!("http://{}", place.origin)]);
    command.args([
        "--max-connections",
        "19000",
        "--cache-bytes",
        "512M",
        "--drain-deadline",
        "1s",
    ]);
    command.args(["--log", "warn"]);
    if let Some(certificate) = place.certificate {
        command
            .arg("--tls-cert")
            .arg(&certificate.chain)
            .arg("--tls-key")
            .arg(&certificate.key);
    }
    Ok(Peer {
        server: Server::start("edge", place.dir, &command, &[addr, control])?,
        addr,
        publish: Some((control, Form::Grip)),
        is_cache: true,
        most_connects: f64::INFINITY,
        metrics: Some(control),
        _files: None,
    })
}
