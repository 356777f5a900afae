//! nginx as a cache. What it stores is in files, so their memory is the kernel's.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Files, Peer, Place};
use crate::Fallible;
use crate::child::{Server, free_addr};

pub const PROGRAM: &str = "/usr/sbin/nginx";

/// A configuration: what stands before `http`, and what stands in it.
pub fn command(dir: &Path, before: &str, http: &str) -> Fallible<Command> {
    let shown = dir.display();
    let config = format!(
        "{before}
daemon off;
user root;
pid {shown}/nginx.pid;
error_log stderr warn;
worker_processes auto;
worker_rlimit_nofile 20000;
events {{ worker_connections 19900; }}
http {{
  access_log off;
  client_body_temp_path {shown}/body;
  proxy_temp_path {shown}/proxy;
  fastcgi_temp_path {shown}/fastcgi;
  uwsgi_temp_path {shown}/uwsgi;
  scgi_temp_path {shown}/scgi;
  tcp_nodelay on;
  keepalive_requests 1000000000;
{http}
}}
"
    );
    let path = dir.join("nginx.conf");
    fs::write(&path, config)?;
    let mut command = Command::new(PROGRAM);
    command.arg("-c").arg(path);
    Ok(command)
}

pub fn start(place: &Place<'_>) -> Fallible<Peer> {
    let addr = free_addr()?;
    // In memory, as with the others: a disk is not what is measured.
    let files = Files(PathBuf::from(format!("/dev/shm/compare-{}", addr.port())));
    let command = command(place.dir, "", &cache(addr, place.origin, &files.0))?;
    Ok(Peer {
        server: Server::start("nginx", place.dir, &command, &[addr])?,
        addr,
        publish: None,
        is_cache: true,
        most_connects: f64::INFINITY,
        metrics: None,
        _files: Some(files),
    })
}

fn cache(addr: SocketAddr, origin: SocketAddr, stored: &Path) -> String {
    let stored = stored.display();
    format!(
        "  sendfile on;
  tcp_nopush on;
  open_file_cache max=15000 inactive=600s;
  open_file_cache_valid 600s;
  proxy_cache_path {stored} levels=1:2 keys_zone=objects:64m max_size=2g inactive=1h use_temp_path=off;
  upstream origin {{
    server {origin};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {addr} backlog=4096;
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_cache objects;
      proxy_cache_lock on;
    }}
  }}"
    )
}
