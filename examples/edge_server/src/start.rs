//! What is made of the settings before the stack: listeners, certificates, credentials, origins.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use gripstack::cache::CacheConfig;
use gripstack::hold::GripHoldLayer;
use gripstack::hub::LogLimits;
use gripstack::origin::Origin;
use gripstack::publish::{self, PublishConfig, Publisher, Rule};
use gripstack::serve::Tls;
use gripstack::{Edge, PurgeMode, purge};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::config::{self, ConfigError, Settings};
use crate::control::Closed;
use crate::demo::{self, Demo};
use crate::files::Files;
use crate::local::LocalOnly;
use crate::options::Mode;
use crate::values::{Route, Secret};

/// A listener and where it is.
pub struct Bound {
    pub listener: TcpListener,
    pub addr: SocketAddr,
}

/// The public listener's certificate and where it is read from.
pub struct Certificate {
    files: config::Tls,
    tls: Tls,
}

/// Who may publish and purge.
pub struct Keys {
    /// What publishers present, or sign with.
    publish_key: Option<Secret>,
    /// The publish key is the demo's own, which nobody else has.
    is_demo_key: bool,
    purge_token: Option<Secret>,
    open: bool,
}

/// The runtime that everything runs on.
pub fn runtime(settings: Settings) -> Result<(Settings, Runtime), ConfigError> {
    match Runtime::new() {
        Ok(runtime) => Ok((settings, runtime)),
        Err(error) => Err(ConfigError::new("listen", error)),
    }
}

/// 0 after a drain; 2 for what could not start, with one line that says why.
pub fn exit_code(ended: Result<(), ConfigError>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody can read it, the code says it.
            let _ = writeln!(std::io::stderr(), "edge_server: {error}");
            ExitCode::from(2)
        }
    }
}

/// Listens at an address; port 0 is any free one.
pub async fn bind(option: &str, addr: SocketAddr) -> Result<Bound, ConfigError> {
    let wrong = |error| ConfigError::new(option, format_args!("{addr}: {error}"));
    let listener = TcpListener::bind(addr).await.map_err(wrong)?;
    let addr = listener.local_addr().map_err(wrong)?;
    Ok(Bound { listener, addr })
}

/// The public listener's certificate, if it has one.
pub fn tls(settings: &Settings) -> Result<Option<Certificate>, ConfigError> {
    let Some(files) = &settings.tls else {
        return Ok(None);
    };
    let (cert, key) = (read("tls-cert", &files.cert)?, read("tls-key", &files.key)?);
    let tls = Tls::from_pem(&cert, &key).map_err(|error| tls_error(&error))?;
    let files = files.clone();
    Ok(Some(Certificate { files, tls }))
}

/// Where requests go: to the demo, or by the routes.
pub fn origin(settings: &Settings, files: Files, demo: Option<&Demo>) -> Result<Origin, ConfigError> {
    let mut builder = Origin::builder()
        .max_connections(files.origins)
        .first_byte_timeout(settings.first_byte)
        .other_first_byte_timeout(settings.first_byte_others)
        .between_bytes(settings.pause)
        .stream_silence(settings.stream_pause)
        .max_head_bytes(settings.head_bytes)
        .max_head_fields(settings.head_fields);
    if let Some(demo) = demo {
        let builder = builder.route("*", &format!("http://{}", demo.addr()));
        return builder.build().map_err(|error| ConfigError::new("origin", error));
    }
    if let Some(path) = &settings.origin_ca {
        builder = builder.ca_pem(read("origin-ca", path)?);
    }
    builder = match &settings.via.0 {
        Some(name) => builder.via(name),
        None => builder.without_via(),
    };
    for route in &settings.routes {
        builder = builder.route(&route.pattern, &route.url.0);
    }
    builder
        .build()
        .map_err(|error| ConfigError::new(option_of(&error, &settings.routes), error))
}

/// Which option a route came from.
fn option_of(error: &gripstack::origin::BuildError, routes: &[Route]) -> &'static str {
    if matches!(error.problem(), gripstack::origin::BuildProblem::Tls(_)) {
        return "origin-ca";
    }
    let told = error.to_string();
    let is_it = |route: &&Route| told.contains(&format!("{:?}", route.url.0));
    routes.iter().find(is_it).map_or("route", |route| route.option)
}

/// The demo's application, which publishes at the control listener.
pub async fn demo(control: SocketAddr, keys: &Keys) -> Result<Demo, ConfigError> {
    let base = format!("http://{}", reachable(control));
    let wrong = |error: String| ConfigError::new("control", error);
    let key = keys
        .publish_key
        .as_ref()
        .ok_or_else(|| wrong("the demo has no key".to_owned()))?;
    let publisher =
        demo::Publisher::new(&base, key, keys.is_demo_key).map_err(|error| wrong(error.to_string()))?;
    Demo::start(publisher)
        .await
        .map_err(|error| wrong(error.to_string()))
}

/// Where this process reaches a listener of its own.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// The push edge.
pub fn hold(edge: &Edge, settings: &Settings) -> Result<GripHoldLayer, ConfigError> {
    let layer = edge
        .hold_layer()
        .drain_spread(settings.drain_spread)
        .websocket_over_http(settings.websocket_over_http);
    match &settings.sign {
        Some(sign) => layer
            .sign(&sign.iss, sign.key.reveal())
            .map_err(|error| ConfigError::new("grip-key", error)),
        None => Ok(layer),
    }
}

/// The clock, the channels and the cache.
pub fn edge(settings: &Settings) -> Edge {
    let cache = CacheConfig::new()
        .capacity_bytes(settings.memory.cache)
        .flight_budget_bytes(settings.memory.flights)
        .interval(settings.interval)
        .outage(Some(settings.outage))
        .flight_timeout(settings.first_byte);
    // What a cache below may wait for an origin.
    let logs = LogLimits::new()
        .overlap(settings.first_byte)
        .total_bytes(as_usize(settings.memory.logs))
        .waiting_bytes(as_usize(settings.memory.waiting));
    Edge::builder().log_limits(logs).cache(cache).build()
}

/// What takes publishes.
pub fn publisher(edge: &Edge, settings: &Settings) -> Publisher {
    let mut config = PublishConfig::new()
        .rule(Rule::all().interval(settings.interval))
        .purge_mode(settings.purge_mode.into())
        .max_pending_bytes(as_usize(settings.memory.pacing));
    for pace in &settings.pace {
        config = config.channels(&pace.prefix, Rule::latest().interval(pace.interval));
    }
    Publisher::new(edge.clone(), config)
}

/// Says where it listens, so that a script or a test can find it.
pub fn announce(settings: &Settings, public: SocketAddr, control: SocketAddr, demo: Option<&Demo>) {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let mut text = format!("listening on {scheme}://{public}\nlistening on http://{control} (control)\n");
    match demo {
        Some(demo) => {
            text.push_str(&format!(
                "listening on http://{} (demo application)\n",
                demo.addr()
            ));
            text.push_str(&format!(
                "ready: open {scheme}://{}/ in a browser\n",
                reachable(public)
            ));
        }
        None => text.push_str("ready\n"),
    }
    // Nobody may read it, which is no reason to end.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn as_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| ConfigError::new(option, format_args!("{}: {error}", path.display())))
}

fn tls_error(error: &gripstack::serve::TlsError) -> ConfigError {
    let option = match error {
        gripstack::serve::TlsError::Key(_) => "tls-key",
        _ => "tls-cert",
    };
    ConfigError::new(option, error)
}

// === impl Keys ===

impl Keys {
    /// Those of the settings. The demo publishes with a key of its own, if there is none.
    pub fn of(settings: &Settings) -> Self {
        let is_demo_key = settings.is_demo() && settings.publish_key.is_none();
        let publish_key = match is_demo_key {
            true => Some(Secret::random()),
            false => settings.publish_key.clone(),
        };
        Self {
            publish_key,
            is_demo_key,
            purge_token: settings.purge_token.clone(),
            open: settings.open_control,
        }
    }

    /// Who may publish.
    pub fn publish(&self) -> Result<publish::Auth, ConfigError> {
        if self.open {
            return Ok(publish::Auth::Open);
        }
        let mut keys = Vec::new();
        if let Some(key) = &self.publish_key {
            let jwt = publish::Key::jwt(key.reveal(), None);
            keys.push(jwt.map_err(|error| ConfigError::new("publish-key", error))?);
            keys.push(publish::Key::token(key.reveal()));
        }
        Ok(publish::Auth::Keys(keys))
    }

    /// Who may purge on the control listener.
    pub fn purge(&self) -> purge::Auth {
        match self.open {
            true => purge::Auth::Open,
            false => purge::Auth::tokens(self.purge_token.as_ref().map(Secret::reveal)),
        }
    }

    /// Who may purge on the public listener: that control is open says nothing about it, unless it is there, too.
    pub fn purge_on_public(&self, has_control: bool) -> purge::Auth {
        match has_control {
            true => self.purge(),
            false => purge::Auth::tokens(self.purge_token.as_ref().map(Secret::reveal)),
        }
    }

    /// Who may publish and purge without credentials, if anybody.
    pub fn open_to(&self, settings: &Settings) -> Option<LocalOnly> {
        self.open.then(|| LocalOnly::new(settings.control_host.clone()))
    }

    /// Who is told that a credential is missing in the settings.
    pub fn closed(&self) -> Closed {
        Closed {
            publish: !self.open && (self.publish_key.is_none() || self.is_demo_key),
            except_demo: self.is_demo_key,
            purge: !self.open && self.purge_token.is_none(),
        }
    }
}

// === impl Certificate ===

impl Certificate {
    /// What the server speaks.
    pub fn handle(&self) -> Tls {
        self.tls.clone()
    }

    /// Reads the files again; on an error the old certificate stays.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let (cert, key) = (
            read("tls-cert", &self.files.cert)?,
            read("tls-key", &self.files.key)?,
        );
        self.tls
            .reload_pem(&cert, &key)
            .map_err(|error| tls_error(&error))
    }
}

// === impl Mode ===

impl From<Mode> for PurgeMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Hard => Self::Hard,
            Mode::SoftBlock => Self::SoftBlock,
        }
    }
}
