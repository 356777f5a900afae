//! Pushpin, as Debian has it. It stores nothing: each subscriber is a request at the origin.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::{Peer, Place};
use crate::Fallible;
use crate::child::{Server, free_addr};
use crate::publish::Form;

pub const PROGRAM: &str = "/usr/bin/pushpin";

pub fn start(place: &Place<'_>) -> Fallible<Peer> {
    let (addr, publish) = (free_addr()?, free_addr()?);
    let (push, subscribe, command) = (free_addr()?, free_addr()?, free_addr()?);
    let dir = place.dir.display();
    let run = place.dir.join("run");
    fs::create_dir_all(&run)?;
    fs::write(place.dir.join("routes"), format!("* {}\n", place.origin))?;
    // As it is installed, but for places, ports, and limits that these rows would run into.
    let config = format!(
        "[global]
include={{libdir}}/internal.conf
rundir={dir}/run
ipc_prefix=compare-
port_offset=0
stats_connection_ttl=120

[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port={addr}
logdir={dir}/run
log_level=1
client_buffer_size=8192
client_maxconn=19000
condure_bin=condure
zurl_bin=zurl

[proxy]
routesfile={dir}/routes
zurl_out_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in
zurl_out_stream_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in-stream
zurl_in_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-out
debug=false
auto_cross_origin=false
accept_x_forwarded_protocol=false
set_x_forwarded_protocol=proto-only
sig_iss=pushpin
sig_key=changeme

[handler]
push_in_spec=tcp://{push}
push_in_sub_specs=tcp://{subscribe}
push_in_sub_connect=false
push_in_http_addr={publish_host}
push_in_http_port={publish_port}
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
stats_spec=ipc://{{rundir}}/{{ipc_prefix}}stats
command_spec=tcp://{command}
message_rate=100000000
message_hwm=100000000
message_wait=5000
id_cache_ttl=60
connection_subscription_max=20
subscription_linger=60
stats_connection_ttl=120
stats_subscription_ttl=60
stats_report_interval=10
stats_format=tnetstring
",
        publish_host = publish.ip(),
        publish_port = publish.port(),
    );
    let path = place.dir.join("pushpin.conf");
    fs::write(&path, config)?;
    let mut program = Command::new(PROGRAM);
    program
        .arg("--merge-output")
        .arg(format!("--config={}", path.display()));
    let server = Server::start("pushpin", place.dir, &program, &[addr, publish])?;
    // Its processes find each other some time after they accept; until then it cancels what it holds.
    thread::sleep(Duration::from_secs(2));
    Ok(Peer {
        server,
        addr,
        publish: Some((publish, Form::Grip)),
        is_cache: false,
        most_connects: 250.0,
        metrics: None,
        _files: None,
    })
}
