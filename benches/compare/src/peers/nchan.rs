//! nginx with nchan, as Debian has it. It has no origin: subscribers get what is published, and nothing before.

use super::{Peer, Place, nginx};
use crate::Fallible;
use crate::child::{Server, free_addr};
use crate::publish::Form;

pub const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

pub fn start(place: &Place<'_>) -> Fallible<Peer> {
    let addr = free_addr()?;
    // Publishers come without TLS, to the edge as well.
    let (publish, tls) = match place.certificate {
        None => (addr, String::new()),
        Some(certificate) => {
            let publish = free_addr()?;
            let (chain, key) = (certificate.chain.display(), certificate.key.display());
            let tls = format!(
                "listen {addr} ssl http2 backlog=4096;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    http2_max_concurrent_streams 200;"
            );
            (publish, tls)
        }
    };
    let http = format!(
        "  nchan_shared_memory_size 512M;
  server {{
    listen {publish} backlog=4096;
    {tls}
    location ~ ^/hold/(.+)$ {{
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }}
    location ~ ^/pub/(.+)$ {{
      nchan_publisher;
      nchan_channel_id $1;
      nchan_message_buffer_length 1000;
    }}
  }}"
    );
    let command = nginx::command(place.dir, &format!("load_module {MODULE};"), &http)?;
    Ok(Peer {
        server: Server::start("nchan", place.dir, &command, &[addr, publish])?,
        addr,
        publish: Some((publish, Form::Raw)),
        is_cache: true,
        most_connects: f64::INFINITY,
        metrics: None,
        _files: None,
    })
}
