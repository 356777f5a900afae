//! What can be set: each option is a flag `--name`, a variable `GRIPSTACK_NAME` and a key `name` of the file.
//! A flag wins over a variable, a variable over the file, the file over the default.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use serde::Deserialize;

use crate::values::{
    Addr, Amount, HostName, Pace, Proxies, Pseudonym, Route, Secret, Span, Url, count, list, number, switch,
};

/// The gripstack edge server: a push edge (GRIP) and a pull cache in front of any HTTP application.
///
/// Without --origin and --route it starts with a demo application of its own: open the address it prints.
#[derive(Parser, Debug)]
#[command(name = "edge_server", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Command {
    /// TOML file with options. Its keys are the names below, without the dashes
    #[arg(long, value_name = "FILE", env = "GRIPSTACK_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

const AFTER_HELP: &str = "\
Each option can also be given as a variable (GRIPSTACK_LISTEN=...) or as a key of the file (listen = \"...\").
A flag wins over a variable, a variable over the file. TIME is a number with ms, s, m, h or d; BYTES a number
with k, M or G (powers of 1024).

Signals: SIGTERM and SIGINT drain and end the server, SIGHUP reads certificate and key again.

  edge_server                                           the demo
  edge_server --origin http://127.0.0.1:8000 --publish-key KEY --purge-token TOKEN
  edge_server --route example.com=http://10.0.0.1:80 --route example.com/api=http://10.0.0.2:80";

/// All options, each set or not.
#[derive(Args, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Where clients connect [default: 127.0.0.1:7999]
    #[arg(
        long,
        value_name = "ADDR",
        env = "GRIPSTACK_LISTEN",
        help_heading = "Addresses"
    )]
    pub listen: Option<Addr>,

    /// Where publish, purge, /metrics and /healthz are [default: 127.0.0.1:5561]
    #[arg(
        long,
        value_name = "ADDR",
        env = "GRIPSTACK_CONTROL",
        help_heading = "Addresses"
    )]
    pub control: Option<Addr>,

    /// Has them at --listen as well
    #[arg(
        long,
        value_name = "BOOL",
        env = "GRIPSTACK_CONTROL_ON_PUBLIC",
        help_heading = "Addresses"
    )]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(deserialize_with = "switch")]
    pub control_on_public: Option<bool>,

    /// Certificate chain in PEM: clients connect with TLS
    #[arg(
        long,
        value_name = "FILE",
        env = "GRIPSTACK_TLS_CERT",
        help_heading = "Addresses"
    )]
    pub tls_cert: Option<PathBuf>,

    /// Its private key in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "GRIPSTACK_TLS_KEY",
        help_heading = "Addresses"
    )]
    pub tls_key: Option<PathBuf>,

    /// Open connections in all; beyond it, new ones wait. Fewer, where the system allows fewer open files: some are kept
    /// for origins and for --control [default: 10000]
    #[arg(
        long,
        value_name = "NUMBER",
        env = "GRIPSTACK_MAX_CONNECTIONS",
        help_heading = "Addresses",
        value_parser = count,
        allow_negative_numbers = true
    )]
    #[serde(deserialize_with = "number")]
    pub max_connections: Option<usize>,

    /// Open connections of one client: of an address, or of version 6 of its first 64 bits; beyond it they are closed. 0: as
    /// many as there are. Those of --trusted-proxies do not count [default: 0]
    #[arg(
        long,
        value_name = "NUMBER",
        env = "GRIPSTACK_MAX_CONNECTIONS_PER_CLIENT",
        help_heading = "Addresses",
        value_parser = count,
        allow_negative_numbers = true
    )]
    #[serde(deserialize_with = "number")]
    pub max_connections_per_client: Option<usize>,

    /// Proxies of one's own in front of the server: their X-Forwarded-* are believed, those of others removed. Networks
    /// and addresses, as in 10.0.0.0/8,fd00::1
    #[arg(
        long,
        value_name = "CIDR,...",
        env = "GRIPSTACK_TRUSTED_PROXIES",
        help_heading = "Addresses"
    )]
    pub trusted_proxies: Option<Proxies>,

    /// Connections from --trusted-proxies begin with a header of the PROXY protocol, version 1 or 2
    #[arg(
        long,
        value_name = "BOOL",
        env = "GRIPSTACK_PROXY_PROTOCOL",
        help_heading = "Addresses"
    )]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(deserialize_with = "switch")]
    pub proxy_protocol: Option<bool>,

    /// The application, for all hosts and paths; a path of the URL is put in front of that of the request
    #[arg(long, value_name = "URL", env = "GRIPSTACK_ORIGIN", help_heading = "Origin")]
    pub origin: Option<Url>,

    /// The application for a host, or for what is below a path of it; the longest prefix wins. Repeatable, or
    /// with commas between
    #[arg(
        long,
        value_name = "HOST[/PREFIX]=URL",
        env = "GRIPSTACK_ROUTE",
        help_heading = "Origin"
    )]
    #[arg(value_delimiter = ',')]
    #[serde(deserialize_with = "list")]
    pub route: Option<Vec<Route>>,

    /// Certificates in PEM that https:// origins are checked with, instead of the system's
    #[arg(
        long,
        value_name = "FILE",
        env = "GRIPSTACK_ORIGIN_CA",
        help_heading = "Origin"
    )]
    pub origin_ca: Option<PathBuf>,

    /// Connections to all applications together; who needs one more waits for one. As many as --max-connections where
    /// nothing is said, and fewer where the system allows fewer open files
    #[arg(
        long,
        value_name = "NUMBER",
        env = "GRIPSTACK_MAX_ORIGIN_CONNECTIONS",
        help_heading = "Origin",
        value_parser = count,
        allow_negative_numbers = true
    )]
    #[serde(deserialize_with = "number")]
    pub max_origin_connections: Option<usize>,

    /// Longest wait for the head of an answer to a GET or HEAD: what may be stored or held. A stream that begins with an answer
    /// that took more than 15 s may have missed messages of a busy channel, and is marked then [default: 15s]
    #[arg(
        long,
        value_name = "TIME",
        env = "GRIPSTACK_ORIGIN_FIRST_BYTE",
        help_heading = "Origin"
    )]
    pub origin_first_byte: Option<Span>,

    /// The same of all other methods [default: 60s]
    #[arg(
        long,
        value_name = "TIME",
        env = "GRIPSTACK_ORIGIN_FIRST_BYTE_OTHERS",
        help_heading = "Origin"
    )]
    pub origin_first_byte_others: Option<Span>,

    /// Longest pause within the body of an answer; then it breaks off. 0s: none [default: 30s]
    #[arg(
        long,
        value_name = "TIME",
        env = "GRIPSTACK_ORIGIN_PAUSE",
        help_heading = "Origin"
    )]
    pub origin_pause: Option<Span>,

    /// The same of text/event-stream, multipart/x-mixed-replace and gRPC that pass through, and of upgraded connections. 0s:
    /// none [default: 0s]
    #[arg(
        long,
        value_name = "TIME",
        env = "GRIPSTACK_ORIGIN_STREAM_PAUSE",
        help_heading = "Origin"
    )]
    pub origin_stream_pause: Option<Span>,

    /// Longest head of an answer [default: 64k]
    #[arg(
        long,
        value_name = "BYTES",
        env = "GRIPSTACK_ORIGIN_HEAD_BYTES",
        help_heading = "Origin"
    )]
    pub origin_head_bytes: Option<Amount>,

    /// Most field lines in the head of an answer [default: 1000]
    #[arg(
        long,
        value_name = "NUMBER",
        env = "GRIPSTACK_ORIGIN_HEAD_FIELDS",
        help_heading = "Origin",
        value_parser = count,
        allow_negative_numbers = true
    )]
    #[serde(deserialize_with = "number")]
    pub origin_head_fields: Option<usize>,

    /// What the server calls itself in Via, to the application and to clients; `off`: it does not [default: gripstack]
    #[arg(long, value_name = "NAME", env = "GRIPSTACK_VIA", help_heading = "Origin")]
    pub via: Option<Pseudonym>,

    /// Passes on request fields like X_Forwarded_Host, which CGI, WSGI and PHP take for X-Forwarded-Host
    #[arg(
        long,
        value_name = "BOOL",
        env = "GRIPSTACK_KEEP_UNDERSCORES",
        help_heading = "Origin"
    )]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(deserialize_with = "switch")]
    pub keep_underscores: Option<bool>,

    /// Name under which Grip-Sig is signed
    #[arg(long, value_name = "ISS", env = "GRIPSTACK_GRIP_ISS", help_heading = "Origin")]
    pub grip_iss: Option<String>,

    /// Key with which Grip-Sig is signed (HS256; base64:... is a key in base64), so that the application knows who asks
    #[arg(
        long,
        value_name = "KEY",
        env = "GRIPSTACK_GRIP_KEY",
        hide_env_values = true,
        help_heading = "Origin"
    )]
    pub grip_key: Option<Secret>,

    /// File with that key
    #[arg(
        long,
        value_name = "FILE",
        env = "GRIPSTACK_GRIP_KEY_FILE",
        help_heading = "Origin"
    )]
    pub grip_key_file: Option<PathBuf>,

    /// What it is: a push edge, a pull cache, or both [default: both]
    #[arg(long, env = "GRIPSTACK_ROLE", help_heading = "Behaviour")]
    pub role: Option<Role>,

    /// At most one revalidation that messages cause, per interval and object [default: 1s]
    #[arg(
        long,
        value_name = "TIME",
        env = "GRIPSTACK_INTERVAL",
        help_heading = "Behaviour"
    )]
    pub interval: Option<Span>,

    /// Of channels whose names begin so, only the last message matters: at most one is sent in this time, the last one
    /// always. Repeatable, or with commas between; the longest prefix wins
    #[arg(
        long,
        value_name = "PREFIX=TIME",
        env = "GRIPSTACK_PACE",
        help_heading = "Behaviour"
    )]
    #[arg(value_delimiter = ',')]
    #[serde(deserialize_with = "list")]
    pub pace: Option<Vec<Pace>>,

    /// What a purge of a URL or a key means that does not say it. `soft-block` keeps the last good copy for an outage.
    /// purge_all is always hard [default: hard; demo: soft-block]
    #[arg(long, env = "GRIPSTACK_PURGE_MODE", help_heading = "Behaviour")]
    pub purge_mode: Option<Mode>,

    /// How long stored answers are served when the application is down [default: 24h]
    #[arg(
        long,
        value_name = "TIME",
        env = "GRIPSTACK_OUTAGE",
        help_heading = "Behaviour"
    )]
    pub outage: Option<Span>,

    /// Memory for all that grows with use and is bounded: stored answers and those that arrive, channels, what waits,
    /// compressors. Connections come on top [default: 832M]
    #[arg(
        long,
        value_name = "BYTES",
        env = "GRIPSTACK_MEMORY",
        help_heading = "Behaviour"
    )]
    pub memory: Option<Amount>,

    /// Of that, for stored answers: at most half, and 31 % of --memory if nothing is said; those that arrive or are still read
    /// have their own [default: 256M]
    #[arg(
        long,
        value_name = "BYTES",
        env = "GRIPSTACK_CACHE_BYTES",
        help_heading = "Behaviour"
    )]
    pub cache_bytes: Option<Amount>,

    /// Compresses answers of known length (gzip, br) [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        env = "GRIPSTACK_COMPRESS",
        help_heading = "Behaviour"
    )]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(deserialize_with = "switch")]
    pub compress: Option<bool>,

    /// Speaks WebSockets here, and HTTP with their origin (application/websocket-events); else they pass through to it
    /// [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        env = "GRIPSTACK_WEBSOCKET_OVER_HTTP",
        help_heading = "Behaviour"
    )]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(deserialize_with = "switch")]
    pub websocket_over_http: Option<bool>,

    /// How long a drain may take [default: 10s]
    #[arg(
        long,
        value_name = "TIME",
        env = "GRIPSTACK_DRAIN_DEADLINE",
        help_heading = "Behaviour"
    )]
    pub drain_deadline: Option<Span>,

    /// In a drain, holds end at random within this time, so that their clients do not all come back at once. Less than
    /// the deadline; 0s: all end at once [default: 0s]
    #[arg(
        long,
        value_name = "TIME",
        env = "GRIPSTACK_DRAIN_SPREAD",
        help_heading = "Behaviour"
    )]
    pub drain_spread: Option<Span>,

    /// Who may publish: this bearer token, or a JWT signed with it (HS256; base64:... is a key in base64). Without it,
    /// nobody
    #[arg(
        long,
        value_name = "KEY",
        env = "GRIPSTACK_PUBLISH_KEY",
        hide_env_values = true,
        help_heading = "Access"
    )]
    pub publish_key: Option<Secret>,

    /// File with that key; a line break at its end is none of it
    #[arg(
        long,
        value_name = "FILE",
        env = "GRIPSTACK_PUBLISH_KEY_FILE",
        help_heading = "Access"
    )]
    pub publish_key_file: Option<PathBuf>,

    /// Who may purge: this token, as Fastly-Key or bearer token. Without it, nobody
    #[arg(
        long,
        value_name = "TOKEN",
        env = "GRIPSTACK_PURGE_TOKEN",
        hide_env_values = true,
        help_heading = "Access"
    )]
    pub purge_token: Option<Secret>,

    /// File with that token
    #[arg(
        long,
        value_name = "FILE",
        env = "GRIPSTACK_PURGE_TOKEN_FILE",
        help_heading = "Access"
    )]
    pub purge_token_file: Option<PathBuf>,

    /// Publish and purge without credentials; only where their listener is on loopback, and only for programs that ask
    /// it as localhost or by its address: websites in a browser on this machine are refused
    #[arg(
        long,
        value_name = "BOOL",
        env = "GRIPSTACK_OPEN_CONTROL",
        help_heading = "Access"
    )]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(deserialize_with = "switch")]
    pub open_control: Option<bool>,

    /// Another name that --open-control may be asked by, without a port. Repeatable, or with commas between
    #[arg(
        long,
        value_name = "HOST",
        env = "GRIPSTACK_CONTROL_HOST",
        help_heading = "Access"
    )]
    #[arg(value_delimiter = ',')]
    #[serde(deserialize_with = "list")]
    pub control_host: Option<Vec<HostName>>,

    /// What is logged, e.g. `warn,access=info`. `info,access=debug` has each request to --control, too, not only those
    /// that were refused [default: info]
    #[arg(long, value_name = "FILTER", env = "GRIPSTACK_LOG", help_heading = "Log")]
    pub log: Option<String>,

    /// Queries in the access log
    #[arg(long, value_name = "BOOL", env = "GRIPSTACK_LOG_QUERY", help_heading = "Log")]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(deserialize_with = "switch")]
    pub log_query: Option<bool>,
}

/// What the server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds clients and pushes; stores nothing.
    Push,
    /// Stores; what the application says to a push edge is answered as it is, without holding.
    Cache,
    /// Both.
    #[default]
    Both,
}

/// What a purge means that does not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Gone at once, also when the application is down.
    #[default]
    Hard,
    /// Asked for again before it is served, but kept for an outage.
    SoftBlock,
}

// === impl Role ===

impl Role {
    /// Whether it holds clients.
    pub fn pushes(self) -> bool {
        self != Self::Cache
    }

    /// Whether it stores.
    pub fn caches(self) -> bool {
        self != Self::Push
    }
}
