//! The gripstack edge server: a push edge and a pull cache in front of any HTTP application.
//!
//! ```sh
//! cargo run --release -p edge_server        # then open http://127.0.0.1:7999/
//! curl -N -H 'Accept: text/event-stream' http://127.0.0.1:7999/counters/demo/
//! ```
//!
//! [`run`] is the whole of it: settings, the stack, two listeners, the drain.

mod access;
mod answer;
mod compress;
mod config;
mod control;
mod demo;
mod files;
mod lines;
mod local;
mod memory;
mod options;
mod signals;
mod start;
mod telemetry;
mod values;

use std::process::ExitCode;
use std::time::Duration;

use gripstack::control::NotFound;
use gripstack::publish::RateLimitedPublishLayer;
use gripstack::purge;
use gripstack::serve::{Limits, serve};
use gripstack::{DrainSignal, KeepUnderscores};
use tokio::time::timeout;
use tower::ServiceBuilder;

use crate::access::AccessLayer;
use crate::compress::CompressLayer;
use crate::config::{ConfigError, Settings};
use crate::control::ControlLayer;
use crate::demo::DemoLayer;
use crate::files::Files;
use crate::lines::LastLines;
use crate::telemetry::{Metrics, Sources};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::take_small_pages();
    match Settings::read().and_then(start::runtime) {
        Ok((settings, runtime)) => {
            let ended = runtime.block_on(run(settings));
            // Look-ups of names that nobody waits for any more must not keep the process.
            runtime.shutdown_background();
            start::exit_code(ended)
        }
        Err(error) => start::exit_code(Err(error)),
    }
}

/// Serves until a signal, then drains.
async fn run(settings: Settings) -> Result<(), ConfigError> {
    let log = telemetry::log(&settings.log)?;
    let _last_lines = LastLines::of(&log);
    for stranger in config::strangers() {
        tracing::warn!("{stranger}");
    }
    // Before any layer: what counts looks for the recorder when it is made.
    let metrics = Metrics::install().map_err(|error| ConfigError::new("control", error))?;
    let (going, drain) = DrainSignal::new();
    let public = start::bind("listen", settings.listen).await?;
    let control = start::bind("control", settings.control).await?;
    let tls = start::tls(&settings)?;

    let edge = start::edge(&settings);
    let access = AccessLayer::new(settings.log_query);
    let control_access = access.control();
    let (refusals, control_refusals) = (access.clone(), control_access.clone());
    let keys = start::Keys::of(&settings);
    let demo = match settings.is_demo() {
        true => Some(start::demo(control.addr, &keys).await?),
        false => None,
    };
    let files = Files::share_out(settings.max_connections, settings.max_origin_connections);
    let origin = start::origin(&settings, files, demo.as_ref())?;
    let front = DemoLayer::new(demo.clone(), access.holds());
    let operators =
        ControlLayer::new(metrics.clone(), drain.clone(), keys.closed()).open_to(keys.open_to(&settings));
    let publisher = start::publisher(&edge, &settings);
    let publish =
        RateLimitedPublishLayer::new(publisher.clone(), keys.publish()?).enabled(settings.role.pushes());
    // A token has one limit on both listeners.
    let limits = purge::Limits::default();
    let purge = |auth| {
        let layer = edge.purge_layer(auth).limits(limits.clone());
        layer.mode(settings.purge_mode.into())
    };
    let (role, on_public) = (settings.role, settings.control_on_public);
    let keep_underscores = settings.keep_underscores;

    // What clients reach. A request goes from top to bottom, its answer from bottom to top.
    let stack = ServiceBuilder::new()
        // The demo's page and switch work while its application is stopped, and nothing of them is logged.
        .layer(front)
        // Sees an answer as the client gets it, to its end.
        .layer(access)
        // Outside the cache, where a request that comes again would wait for itself.
        .layer(origin.loop_layer())
        // Outside the cache, which keeps one form of each answer; leaves holds and streams alone.
        .layer(CompressLayer::new(settings.compress, settings.memory.compressors))
        // Control endpoints take paths, so they are here only when asked for.
        .layer(operators.clone().enabled(on_public))
        .layer(publish.clone().enabled(on_public && role.pushes()))
        // The method PURGE takes none: with a valid token it works on both listeners.
        .layer(
            purge(keys.purge_on_public(on_public))
                .api(on_public)
                .enabled(role.caches()),
        )
        // Holds what the layers below answer with instructions, stored or fresh.
        .layer(start::hold(&edge, &settings)?.enabled(role.pushes()))
        // Stores answers together with their instructions.
        .layer(edge.cache_layer().enabled(role.caches()))
        // The application.
        .service(origin.clone());

    // What operators and publishers reach.
    let control_stack = ServiceBuilder::new()
        .layer(control_access)
        .layer(operators)
        .layer(publish)
        .layer(
            purge(keys.purge())
                .api(true)
                .challenge(true)
                .enabled(role.caches()),
        )
        .service(NotFound);

    let ended = async move {
        drain.begun().await;
        // What waits for its turn has been accepted, and the holds are still there.
        let _ = timeout(Duration::from_secs(1), publisher.flush()).await;
    };
    let mut serving = serve(public.listener, stack)
        .limits(
            Limits::new()
                .connections(files.clients)
                .connections_per_client(settings.max_connections_per_client)
                // Origins are spoken to over HTTP/1, so what calls itself gRPC is a body like any other.
                .grpc_silence(Limits::default().body_grace),
        )
        .trusted_proxies(settings.trusted_proxies.clone())
        .proxy_protocol(settings.proxy_protocol)
        .on_refusal(move |refused| refusals.refused(refused))
        .on_request(move |_, parts| {
            if keep_underscores {
                parts.extensions.insert(KeepUnderscores);
            }
        })
        .drain(ended, settings.drain_deadline);
    if let Some(tls) = &tls {
        serving = serving.tls(tls.handle());
    }
    // The control listener goes last: publishes reach the holds that are still there.
    let (served, is_served) = tokio::sync::oneshot::channel::<()>();
    let controlling = serve(control.listener, control_stack)
        .limits(Limits::new().connections(files.operators))
        .on_refusal(move |refused| control_refusals.refused(refused))
        .drain(is_served, Duration::from_millis(500));

    metrics.ask(Sources {
        edge,
        origin,
        servers: [("public", serving.stats()), ("control", controlling.stats())],
        log: log.clone(),
    });
    signals::watch(going, tls, log).map_err(|error| ConfigError::new("listen", error))?;
    files.say(settings.max_connections);
    settings.memory.say();
    start::announce(&settings, public.addr, control.addr, demo.as_ref());

    let controlling = tokio::spawn(controlling.into_future());
    let drained = serving.await.map_err(|error| ConfigError::new("listen", error))?;
    tracing::info!(cut = drained.cut, "drained");
    drop(served);
    let _ = controlling.await;
    Ok(())
}
