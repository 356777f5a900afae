//! Logs and metrics of the process.

use std::sync::{Arc, OnceLock};

use gripstack::Edge;
use gripstack::error::OriginFailure;
use gripstack::origin::Origin;
use gripstack::serve::{Refusal, Stats};
use gripstack::telemetry::{self, names};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::ConfigError;
use crate::lines::Lines;

/// Upper bounds of the buckets of histograms, in seconds.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

const LOG_LINES_LOST: &str = "gripstack_log_lines_lost_total";

/// All numbers of the process, as Prometheus reads them. A handle.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    sources: Arc<OnceLock<Sources>>,
}

/// What counts for itself, and is asked when somebody wants to know.
pub struct Sources {
    pub edge: Edge,
    pub origin: Origin,
    /// Listeners by name.
    pub servers: [(&'static str, Stats); 2],
    pub log: Lines,
}

/// Logs to stderr.
pub fn log(filter: &str) -> Result<Lines, ConfigError> {
    let filter = read_filter(filter)?;
    let lines = Lines::to_stderr().map_err(|error| ConfigError::new("log", error))?;
    lines.take_panics();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines.clone())
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        // It would say on stderr that it cannot write there.
        .log_internal_errors(false)
        .init();
    Ok(lines)
}

/// A word alone is a level: as a target it would be valid, and a misspelt level silence all others.
fn read_filter(text: &str) -> Result<EnvFilter, ConfigError> {
    for word in text.split(',').map(str::trim) {
        let is_name = word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if is_name && !word.is_empty() && word.parse::<LevelFilter>().is_err() {
            return Err(ConfigError::new(
                "log",
                format_args!(
                    "{word:?} is no level (off, error, warn, info, debug, trace); a target needs one, as in {word}=info"
                ),
            ));
        }
    }
    EnvFilter::try_new(text).map_err(|error| ConfigError::new("log", error))
}

// === impl Metrics ===

impl Metrics {
    /// Installs the recorder. Layers that are made before count nothing.
    pub fn install() -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)?
            .install_recorder()?;
        describe();
        Ok(Self {
            handle,
            sources: Arc::default(),
        })
    }

    /// What to ask. Later calls do nothing.
    pub fn ask(&self, sources: Sources) {
        let _ = self.sources.set(sources);
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        if let Some(sources) = self.sources.get() {
            sources.collect();
        }
        self.handle.run_upkeep();
        self.handle.render()
    }
}

// === impl Sources ===

impl Sources {
    fn collect(&self) {
        telemetry::record(&self.edge);
        counter!(LOG_LINES_LOST).absolute(self.log.lost());
        for (url, stats) in self.origin.stats() {
            let url = url.to_owned();
            counter!("gripstack_origin_requests_total", "origin" => url.clone()).absolute(stats.requests());
            counter!("gripstack_origin_retries_total", "origin" => url.clone()).absolute(stats.retries());
            for failure in OriginFailure::ALL {
                let count = stats.failures(failure);
                if count > 0 {
                    counter!("gripstack_origin_errors_total", "origin" => url.clone(), "reason" => failure.as_str())
                        .absolute(count);
                }
            }
        }
        for (name, stats) in &self.servers {
            gauge!("gripstack_connections", "listener" => *name).set(stats.open() as f64);
            gauge!("gripstack_connections_parked", "listener" => *name).set(stats.parked() as f64);
            let total = |what: &'static str, count| counter!(what, "listener" => *name).absolute(count);
            total("gripstack_connections_total", stats.accepted());
            total("gripstack_accept_pauses_total", stats.paused());
            total("gripstack_accept_errors_total", stats.accept_errors());
            total("gripstack_handshake_failures_total", stats.handshake_failures());
            total(
                "gripstack_connections_over_client_limit_total",
                stats.over_client_limit(),
            );
            total("gripstack_requests_total", stats.requests());
            total("gripstack_readers_stalled_total", stats.stalled());
            total("gripstack_http2_floods_total", stats.flooded());
            total(
                "gripstack_service_errors_total",
                stats.failed() + stats.panicked(),
            );
            let refused = Refusal::ALL.iter().map(|reason| stats.refused(*reason)).sum();
            total("gripstack_requests_refused_total", refused);
        }
    }
}

fn describe() {
    describe_gauge!(
        names::HOLDS,
        "Holds (clients that wait for messages) that are open"
    );
    describe_counter!(
        names::HOLDS_ENDED,
        "Holds (clients that wait for messages) that ended, by reason"
    );
    describe_counter!(
        names::HOLDS_MARKED,
        "Holds that started although messages may be missing"
    );
    describe_counter!(names::DELIVERIES, "Messages handed to holds");
    describe_counter!(
        names::PUBLISHED,
        "Messages that publishers sent and that were accepted"
    );
    describe_counter!(
        names::SUPERSEDED,
        "Messages that a later one of their channel replaced before they went out"
    );
    describe_histogram!(
        names::QUEUE_SECONDS,
        "Seconds that messages of paced channels waited for their turn"
    );
    describe_counter!(
        names::PURGES,
        "Purges, each of one URL, key, host or of everything"
    );
    describe_counter!(
        names::CACHE,
        "Requests that the cache answered, by where the answer came from"
    );
    describe_counter!(names::FETCHES, "Requests that the cache sent to the origin");
    describe_counter!(
        names::FETCH_ERRORS,
        "Requests that the cache sent to the origin and that failed"
    );
    describe_gauge!(names::CACHE_BYTES, "Bytes of answers stored in the cache");
    describe_gauge!(
        names::CACHE_MEMORY_BYTES,
        "Bytes of answers in the cache's memory: stored, arriving, or still read by clients"
    );
    describe_gauge!(
        names::CHANNEL_BYTES,
        "Bytes of messages remembered for clients that come back"
    );
    describe_gauge!(
        names::WAITING,
        "Messages that wait until the one before them, by prev-id, has come"
    );
    describe_gauge!(
        names::WAITING_BYTES,
        "Bytes of messages that wait until the one before them has come"
    );
    describe_gauge!(
        names::CHANNELS,
        "Channels that have clients or remembered messages"
    );
    describe_gauge!(
        names::SUBSCRIPTIONS,
        "Subscriptions: each hold has one for each of its channels"
    );
    describe_counter!(
        "gripstack_origin_requests_total",
        "Requests that were sent to an origin"
    );
    describe_counter!(
        "gripstack_origin_retries_total",
        "Requests sent to an origin once more, since their kept connection ended"
    );
    describe_counter!(
        "gripstack_origin_errors_total",
        "Requests to an origin that got no answer or only a part of one, by reason"
    );
    describe_counter!(
        LOG_LINES_LOST,
        "Lines of the log that were not written, since stderr takes them too slowly or fails"
    );
    describe_gauge!("gripstack_connections", "Connections of clients that are open");
    describe_gauge!(
        "gripstack_connections_parked",
        "Of these, those of which a held answer is all that is left"
    );
    describe_counter!(
        "gripstack_connections_total",
        "Connections of clients that were accepted"
    );
    describe_counter!(
        "gripstack_accept_pauses_total",
        "Pauses in accepting connections because --max-connections were open"
    );
    describe_counter!(
        "gripstack_accept_errors_total",
        "Failures to accept a connection, for instance for lack of file descriptors"
    );
    describe_counter!(
        "gripstack_handshake_failures_total",
        "Connections closed because their TLS handshake or PROXY header failed"
    );
    describe_counter!(
        "gripstack_connections_over_client_limit_total",
        "Connections closed at once because their client had --max-connections-per-client"
    );
    describe_counter!(
        "gripstack_requests_total",
        "Requests of clients that were well-formed and handled"
    );
    describe_counter!(
        "gripstack_readers_stalled_total",
        "Connections cut because their client read nothing of its answer for too long"
    );
    describe_counter!(
        "gripstack_http2_floods_total",
        "Connections cut because their client sent HTTP/2 frames that bring nothing, without end"
    );
    describe_counter!(
        "gripstack_service_errors_total",
        "Requests that ended in an error or panic of the server itself"
    );
    describe_counter!(
        "gripstack_requests_refused_total",
        "Requests refused because they were malformed or too large"
    );
}
