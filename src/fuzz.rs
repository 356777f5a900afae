//! What must hold of whatever bytes come in, as functions of bytes that panic where it does not.
//!
//! Beside each parser lies a file `fuzz.rs` with its properties; [`TARGETS`] names them all. `fuzz/run` drives them
//! with a coverage-guided fuzzer, and a test replays what is in `fuzz/seeds`. No part of the public interface: built
//! for these two only.

mod url;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Checks one input. Panics where a property does not hold.
pub type Target = fn(&[u8]);

/// All targets by name. The seeds of each are in `fuzz/seeds/<name>`.
pub const TARGETS: &[(&str, Target)] = &[
    ("cache_control", crate::cache::fuzz::policy::cache_control),
    ("cache_conditions", crate::cache::fuzz::policy::conditions),
    ("cache_status", crate::cache::fuzz::policy::cache_status),
    ("cache_vary", crate::cache::fuzz::policy::vary),
    ("http_date", crate::cache::fuzz::policy::http_date),
    ("grip_headers", crate::grip::fuzz::headers),
    ("grip_json", crate::grip::fuzz::json),
    ("grip_publish", crate::grip::fuzz::publish),
    ("origin_fields", crate::origin::fuzz::fields),
    ("origin_route", crate::origin::fuzz::route),
    ("purge", crate::purge::fuzz::request),
    ("serve_connection", crate::serve::fuzz::connection),
    ("serve_framing", crate::serve::fuzz::framing),
    ("url", url::url),
    ("ws_control", crate::grip::fuzz::ws_control),
    ("ws_events", crate::grip::fuzz::ws_events),
    ("ws_headers", crate::grip::fuzz::ws_headers),
];

/// The target of this name.
///
/// # Panics
/// If there is none.
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no target {name:?}")).1
}

/// Fields, one in each line: `name: value`. What is none is left out.
pub(crate) fn fields(text: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in text.split(|&byte| byte == b'\n') {
        let (name, value) = cut(line, b':');
        if let Ok(name) = HeaderName::from_bytes(name)
            && let Ok(value) = HeaderValue::from_bytes(value.trim_ascii())
            && fields.len() < 200
        {
            fields.append(name, value);
        }
    }
    fields
}

/// The fields before the first empty line, and what follows it.
pub(crate) fn fields_and_rest(bytes: &[u8]) -> (HeaderMap, &[u8]) {
    match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (fields(&bytes[..end]), &bytes[end + 2..]),
        None => (fields(bytes), &[]),
    }
}

/// Before and after the first separator; all and nothing where there is none.
pub(crate) fn cut(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&byte| byte == separator) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_seeds_pass() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        if !fuzz.exists() {
            // Not part of the published package.
            return;
        }
        for (name, target) in TARGETS {
            let seeds = std::fs::read_dir(fuzz.join("seeds").join(name)).expect("a target has seeds");
            let mut count = 0;
            for seed in seeds {
                let path = seed.expect("a readable folder").path();
                println!("{}", path.display());
                target(&std::fs::read(path).expect("a readable seed"));
                count += 1;
            }
            assert!(count > 0, "{name} has no seed");
        }
    }

    #[test]
    fn seeds_are_of_a_target() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for folder in std::fs::read_dir(seeds).into_iter().flatten() {
            let name = folder.expect("a readable folder").file_name();
            target(name.to_str().expect("a name in ASCII"));
        }
    }
}
