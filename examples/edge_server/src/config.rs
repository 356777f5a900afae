//! From options to settings: what is read, put together and checked before anything starts.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::{ContextKind, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use gripstack::serve::TrustedProxies;
use serde::Deserialize;

use crate::memory::Memory;
use crate::options::{Command, Mode, Options, Role};
use crate::values::{Addr, HostName, Pace, Pseudonym, Route, Secret, Span};

/// What the server does. Every value is set and fits the others.
#[derive(Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    pub control: SocketAddr,
    pub control_on_public: bool,
    pub tls: Option<Tls>,
    pub max_connections: usize,
    pub max_connections_per_client: usize,
    pub max_origin_connections: usize,
    pub trusted_proxies: TrustedProxies,
    pub proxy_protocol: bool,
    /// Empty: the demo.
    pub routes: Vec<Route>,
    pub origin_ca: Option<PathBuf>,
    pub first_byte: Duration,
    pub first_byte_others: Duration,
    pub pause: Option<Duration>,
    pub stream_pause: Option<Duration>,
    pub head_bytes: usize,
    pub head_fields: usize,
    pub via: Pseudonym,
    pub keep_underscores: bool,
    pub sign: Option<Sign>,
    pub role: Role,
    pub interval: Duration,
    pub pace: Vec<Pace>,
    pub purge_mode: Mode,
    pub outage: Duration,
    pub memory: Memory,
    pub compress: bool,
    pub websocket_over_http: bool,
    pub drain_deadline: Duration,
    pub drain_spread: Duration,
    pub publish_key: Option<Secret>,
    pub purge_token: Option<Secret>,
    pub open_control: bool,
    pub control_host: Vec<HostName>,
    pub log: String,
    pub log_query: bool,
}

/// Files of the public listener's certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What `Grip-Sig` is signed with.
#[derive(Debug)]
pub struct Sign {
    pub iss: String,
    pub key: Secret,
}

/// What is wrong with an option, in one line that names it. Contains no secret.
#[derive(Debug)]
pub struct ConfigError(String);

// === impl ConfigError ===

impl ConfigError {
    /// `option` is a name without dashes.
    pub fn new(option: &str, what: impl std::fmt::Display) -> Self {
        Self(one_line(&format!("--{option}: {what}")))
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

// === impl Settings ===

impl Settings {
    /// Reads arguments, variables and the file. Prints help or the version, and ends the process, where that is
    /// asked for.
    pub fn read() -> Result<Self, ConfigError> {
        let args: Vec<OsString> = std::env::args_os().collect();
        match Command::command().try_get_matches_from(&args) {
            Ok(given) => Self::of(&given),
            Err(error) if !error.use_stderr() => error.exit(),
            Err(error) => Err(explain_given(&error, &args)),
        }
    }

    fn of(given: &ArgMatches) -> Result<Self, ConfigError> {
        let file = match given.get_one::<PathBuf>("config") {
            Some(path) => read_file(path)?,
            None => Options::default(),
        };
        Self::over(file, given)
    }

    /// Flags and variables, and for the rest what the file says.
    fn over(mut options: Options, given: &ArgMatches) -> Result<Self, ConfigError> {
        options
            .update_from_arg_matches(given)
            .map_err(|error| explain(&error))?;
        Self::check(options)
    }

    fn check(options: Options) -> Result<Self, ConfigError> {
        let listen = options.listen.unwrap_or(Addr(([127, 0, 0, 1], 7999).into())).0;
        let control = options.control.unwrap_or(Addr(([127, 0, 0, 1], 5561).into())).0;
        let control_on_public = options.control_on_public.unwrap_or(false);
        let open_control = options.open_control.unwrap_or(false);
        let role = options.role.unwrap_or_default();

        if open_control && !control.ip().is_loopback() {
            return Err(ConfigError::new(
                "open-control",
                format_args!("refused, since --control {control} is not on loopback"),
            ));
        }
        if open_control && control_on_public && !listen.ip().is_loopback() {
            return Err(ConfigError::new(
                "open-control",
                format_args!("refused with --control-on-public, since --listen {listen} is not on loopback"),
            ));
        }
        let control_host = options.control_host.unwrap_or_default();
        if !control_host.is_empty() && !open_control {
            return Err(ConfigError::new(
                "control-host",
                "needs --open-control: with credentials any name will do",
            ));
        }
        let publish_key = secret("publish-key", options.publish_key, options.publish_key_file)?;
        let purge_token = secret("purge-token", options.purge_token, options.purge_token_file)?;
        let grip_key = secret("grip-key", options.grip_key, options.grip_key_file)?;
        for (name, secret) in [("publish-key", &publish_key), ("purge-token", &purge_token)] {
            if let Some(why) = secret.as_ref().and_then(Secret::is_no_field) {
                return Err(ConfigError::new(name, why));
            }
        }
        let tls = match (options.tls_cert, options.tls_key) {
            (Some(cert), Some(key)) => Some(Tls { cert, key }),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::new("tls-cert", "needs --tls-key as well")),
            (None, Some(_)) => return Err(ConfigError::new("tls-key", "needs --tls-cert as well")),
        };
        let sign = match (options.grip_iss, grip_key) {
            (Some(iss), Some(key)) => Some(Sign { iss, key }),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::new("grip-iss", "needs --grip-key as well")),
            (None, Some(_)) => return Err(ConfigError::new("grip-key", "needs --grip-iss as well")),
        };
        let mut routes = options.route.unwrap_or_default();
        if let Some(url) = options.origin {
            let pattern = "*".to_owned();
            routes.push(Route {
                pattern,
                url,
                option: "origin",
            });
        }
        let demo = routes.is_empty();
        if demo && !role.pushes() {
            return Err(ConfigError::new(
                "role",
                "cache needs --origin or --route: the demo shows pushing",
            ));
        }
        if demo && options.origin_ca.is_some() {
            return Err(ConfigError::new("origin-ca", "needs --origin or --route"));
        }
        let trusted_proxies = options.trusted_proxies.unwrap_or_default().0;
        let proxy_protocol = options.proxy_protocol.unwrap_or(false);
        if proxy_protocol && trusted_proxies == TrustedProxies::default() {
            return Err(ConfigError::new(
                "proxy-protocol",
                "needs --trusted-proxies: the connections of which it is expected",
            ));
        }
        let drain_deadline = options
            .drain_deadline
            .map_or(Duration::from_secs(10), |span| span.0);
        let drain_spread = options.drain_spread.map_or(Duration::ZERO, |span| span.0);
        if !drain_spread.is_zero() && drain_spread >= drain_deadline {
            return Err(ConfigError::new(
                "drain-spread",
                format_args!(
                    "{drain_spread:?} is not less than --drain-deadline {drain_deadline:?}: what is still held then \
                     is cut"
                ),
            ));
        }
        let max_connections = options.max_connections.unwrap_or(10_000);
        let max_origin_connections = options.max_origin_connections.unwrap_or(max_connections);
        let head_fields = options.origin_head_fields.unwrap_or(1_000);
        let first_byte = options
            .origin_first_byte
            .map_or(Duration::from_secs(15), |span| span.0);
        let first_byte_others = options
            .origin_first_byte_others
            .map_or(Duration::from_secs(60), |span| span.0);
        for (name, number) in [
            ("max-connections", max_connections),
            ("max-origin-connections", max_origin_connections),
            ("origin-head-fields", head_fields),
        ] {
            if number == 0 {
                return Err(ConfigError::new(name, "is 0; at least 1 is needed"));
            }
        }
        // Of pauses, no time is no limit: who takes it for that here would get 504 for everything.
        for (name, time) in [
            ("origin-first-byte", first_byte),
            ("origin-first-byte-others", first_byte_others),
        ] {
            if time.is_zero() {
                return Err(ConfigError::new(name, "is 0: each answer would be too late"));
            }
        }
        Ok(Self {
            listen,
            control,
            control_on_public,
            tls,
            max_connections,
            max_connections_per_client: options.max_connections_per_client.unwrap_or(0),
            max_origin_connections,
            trusted_proxies,
            proxy_protocol,
            routes,
            origin_ca: options.origin_ca,
            first_byte,
            first_byte_others,
            pause: options
                .origin_pause
                .unwrap_or(Span(Duration::from_secs(30)))
                .limit(),
            stream_pause: options
                .origin_stream_pause
                .unwrap_or(Span(Duration::ZERO))
                .limit(),
            head_bytes: usize::try_from(options.origin_head_bytes.map_or(64 << 10, |amount| amount.0))
                .unwrap_or(usize::MAX),
            head_fields,
            via: options.via.unwrap_or_default(),
            keep_underscores: options.keep_underscores.unwrap_or(false),
            sign,
            role,
            interval: options.interval.map_or(Duration::from_secs(1), |span| span.0),
            pace: options.pace.unwrap_or_default(),
            purge_mode: options
                .purge_mode
                .unwrap_or(if demo { Mode::SoftBlock } else { Mode::Hard }),
            outage: options
                .outage
                .map_or(Duration::from_secs(24 * 3600), |span| span.0),
            memory: Memory::share_out(
                options.memory.map(|amount| amount.0),
                options.cache_bytes.map(|amount| amount.0),
            )?,
            compress: options.compress.unwrap_or(true),
            websocket_over_http: options.websocket_over_http.unwrap_or(false),
            drain_deadline,
            drain_spread,
            publish_key,
            purge_token,
            open_control,
            control_host,
            log: options.log.unwrap_or_else(|| "info".to_owned()),
            log_query: options.log_query.unwrap_or(false),
        })
    }

    /// Whether the demo application is started.
    pub fn is_demo(&self) -> bool {
        self.routes.is_empty()
    }
}

/// A secret, given as it is or in a file.
fn secret(name: &str, given: Option<Secret>, file: Option<PathBuf>) -> Result<Option<Secret>, ConfigError> {
    let (option, secret) = match (given, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(ConfigError::new(
                name,
                format_args!("is given beside --{name}-file"),
            ));
        }
        (Some(secret), None) => (name.to_owned(), secret),
        (None, Some(path)) => {
            let option = format!("{name}-file");
            let wrong = |what: &dyn std::fmt::Display| {
                ConfigError::new(&option, format_args!("{}: {what}", path.display()))
            };
            let bytes = fs::read(&path).map_err(|error| wrong(&error))?;
            // An error of its own would quote it.
            let text = String::from_utf8(bytes).map_err(|_| wrong(&"is not text"))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            let secret = Secret::new(line.strip_suffix('\r').unwrap_or(line));
            (option, secret)
        }
    };
    match secret.reveal().trim().is_empty() {
        true => Err(ConfigError::new(&option, "is empty")),
        false => Ok(Some(secret)),
    }
}

/// Reads the file, key by key, so that each error names its key.
fn read_file(path: &Path) -> Result<Options, ConfigError> {
    let wrong = |what: String| ConfigError::new("config", format_args!("{}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    parse_file(&text).map_err(wrong)
}

fn parse_file(text: &str) -> Result<Options, String> {
    // An error's own text shows the line, which may hold a secret.
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let key = error.span().and_then(|span| text.get(span));
        match key {
            Some(key) if error.message().starts_with("duplicate key") && is_option(key) => {
                format!("line {line}: key {key:?} is there twice")
            }
            _ => format!("line {line} is not TOML, as in listen = \"0.0.0.0:80\""),
        }
    })?;
    for (key, value) in &table {
        if key == "config" || !is_option(key) {
            return Err(match like(key) {
                Some(like) => format!("unknown key {key:?}; is {like:?} meant?"),
                None => format!("unknown key {key:?}"),
            });
        }
        // Each by itself first, for an error of the whole does not name its key.
        let only: toml::Table = [(key.clone(), value.clone())].into_iter().collect();
        Options::deserialize(only).map_err(|error| format!("key {key:?}: {}", error.message()))?;
    }
    Options::deserialize(table).map_err(|error| error.message().to_owned())
}

fn is_option(name: &str) -> bool {
    let command = Command::command();
    command.get_arguments().any(|arg| arg.get_long() == Some(name))
}

/// Variables that look like options and are none, a line for each. Without values, which may be secrets.
pub fn strangers() -> Vec<String> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    strangers_of(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
}

fn strangers_of(variables: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut strangers = Vec::new();
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix("GRIPSTACK_") else {
            continue;
        };
        let option = name.to_lowercase().replace('_', "-");
        // Kubernetes tells each container of the Services around it, also of one that is named gripstack.
        let is_of_service =
            name.starts_with("SERVICE_") || name.starts_with("PORT_") || value.starts_with("tcp://");
        if is_option(&option) || is_of_service {
            continue;
        }
        let meant = like(&option).map(|like| like.to_uppercase().replace('-', "_"));
        strangers.push(match meant {
            Some(meant) => format!("{variable} is no option; is GRIPSTACK_{meant} meant?"),
            None => format!("{variable} is no option; see --help"),
        });
    }
    strangers
}

/// The name of an option that looks like this.
fn like(key: &str) -> Option<String> {
    let tried = Command::command().try_get_matches_from(["edge_server", &format!("--{key}")]);
    let like = tried.err()?.get(ContextKind::SuggestedArg)?.to_string();
    let name = like.trim_start_matches('-');
    (name != "config").then(|| name.to_owned())
}

/// Options whose values are nobody's business.
const SECRETS: [&str; 3] = ["publish-key", "purge-token", "grip-key"];

/// The same, of these arguments: what stands behind an option whose value is a secret is that, whatever it looks like.
fn explain_given(error: &clap::Error, args: &[OsString]) -> ConfigError {
    let is_dashed = |arg: &OsString| arg.to_string_lossy().starts_with('-');
    let mut pairs = args.windows(2).filter(|pair| is_dashed(&pair[1]));
    let secret = pairs.find_map(|pair| {
        let option = pair[0].to_str()?.strip_prefix("--")?;
        SECRETS.into_iter().find(|secret| *secret == option)
    });
    match (error.kind(), secret) {
        (ErrorKind::UnknownArgument, Some(secret)) => ConfigError::new(
            secret,
            format_args!("a value is needed; one that begins with a dash is given as --{secret}=VALUE"),
        ),
        _ => explain(error),
    }
}

/// An error of the arguments or variables in one line.
fn explain(error: &clap::Error) -> ConfigError {
    let context = |kind| error.get(kind).map(ToString::to_string);
    let arg = context(ContextKind::InvalidArg).unwrap_or_default();
    let option = arg.split([' ', '=', '[']).next().unwrap_or_default();
    let name = option.trim_start_matches('-');
    let text = match error.kind() {
        // What is no option may be a secret at the wrong place.
        ErrorKind::UnknownArgument if matches!(arg.as_str(), "true" | "false") => {
            return ConfigError(format!(
                "{arg} is no option; a switch takes it after =, as in --compress={arg}"
            ));
        }
        ErrorKind::UnknownArgument if !arg.starts_with('-') => {
            return ConfigError("an argument that is no option; see --help".to_owned());
        }
        ErrorKind::UnknownArgument => match context(ContextKind::SuggestedArg) {
            Some(like) => format!("there is no such option; is {like} meant?"),
            None => "there is no such option; see --help".to_owned(),
        },
        ErrorKind::ArgumentConflict => "is given twice".to_owned(),
        _ => match std::error::Error::source(error) {
            Some(source) => source.to_string(),
            None => {
                let value = context(ContextKind::InvalidValue).unwrap_or_default();
                match (value.is_empty(), context(ContextKind::ValidValue)) {
                    (true, _) => "a value is needed".to_owned(),
                    (false, Some(valid)) => format!("{value:?} is none of {valid}"),
                    (false, None) => format!("{value:?} is not valid"),
                }
            }
        },
    };
    match variable(name) {
        Some(variable) => ConfigError::new(name, format_args!("{text} (flag, or variable {variable})")),
        None => ConfigError::new(name, text),
    }
}

/// The variable of an option, if it is set and thus may be what is wrong.
fn variable(name: &str) -> Option<String> {
    let command = Command::command();
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name))?;
    let variable = arg.get_env()?;
    std::env::var_os(variable).map(|_| variable.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
