//! `Vary`: which requests a stored response is for (RFC 9111 4.1, RFC 9110 12.5.5).

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::list::{members, split_once, trim};

/// Fields that the push layer adds. All requests on its behalf have the same (whether a request is one is part of the
/// primary key), and a signature that changes would make each request a variant of its own.
const SAME_FOR_ALL_HOLDS: [&str; 2] = ["grip-sig", "grip-feature"];

/// The address of each client is written into this field below the cache, which does not see what the origin sees.
const SET_BELOW: &[u8] = b"x-forwarded-for";

/// The codings that are asked for, best first.
const CODINGS: [&str; 3] = ["br", "zstd", "gzip"];

/// Bytes that no header value contains, so that different lists never hash alike.
const PRESENT: &[u8] = b"\x01";
const ABSENT: &[u8] = b"\x02";
const END: &[u8] = b"\0";

/// The request fields that select a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VarySpec {
    /// These, each once, in alphabetical order: the order in which the origin names them means nothing.
    Fields(Vec<HeaderName>),
    /// Something that is no field of the request as it is here. No request matches.
    Star,
}

/// Hashes variants with keys that are random per process, so that nobody can make two of them collide.
#[derive(Clone, Debug, Default)]
pub(crate) struct VariantHasher {
    high: RandomState,
    low: RandomState,
}

/// Rewrites `Accept-Encoding` to the one coding that is served to this client: the best known one that it accepts, or
/// `identity`. A request without the field stays without.
///
/// Variants are told apart by that coding, so whatever is fetched to be filed under
/// [`VarySpec::variant_key`] must have gone through this: else an origin might choose a coding that another client of
/// the same variant cannot read.
pub(crate) fn reduce_accept_encoding(request: &mut HeaderMap) {
    if let Some(coding) = preferred_coding(request) {
        request.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding));
    }
}

// === impl VarySpec ===

impl Default for VarySpec {
    /// No field: one variant.
    fn default() -> Self {
        Self::Fields(Vec::new())
    }
}

impl VarySpec {
    /// Of a response. What is no field name can be in no request and is left out.
    pub(crate) fn of(response: &HeaderMap) -> Self {
        let mut fields = Vec::new();
        for member in members(response.get_all(VARY)) {
            if member == b"*" || member.eq_ignore_ascii_case(SET_BELOW) {
                return Self::Star;
            }
            if let Ok(name) = HeaderName::from_bytes(member)
                && !SAME_FOR_ALL_HOLDS.contains(&name.as_str())
            {
                fields.push(name);
            }
        }
        fields.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        fields.dedup();
        fields.shrink_to_fit();
        Self::Fields(fields)
    }

    /// Whether no request matches.
    pub(crate) fn is_star(&self) -> bool {
        *self == Self::Star
    }

    /// The names; none for a star.
    pub(crate) fn names(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Star => &[],
        }
    }

    /// Whether this field selects.
    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        self.names().contains(name)
    }

    /// These fields and more.
    #[must_use]
    pub(crate) fn with(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        if let Self::Fields(fields) = &mut self {
            fields.extend(names);
            fields.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
            fields.dedup();
        }
        self
    }

    /// Identifies the variant that this request wants; `None` for a star. Two requests have the same key if for each
    /// name both lack the field, or have values that mean the same:
    ///
    /// - `Accept-Encoding`: that lead to the same coding (see [`reduce_accept_encoding`]);
    /// - `Accept-Language`: the same tags and weights in the same order, in any case: of equal weights the first may count;
    /// - `Accept`: the same types in any case, with the same parameters;
    /// - `If-None-Match`: the same set of tags;
    /// - others: the same bytes, where several lines are joined by `, ` (RFC 9110 5.3): what white space and order mean in
    ///   them is not known.
    pub(crate) fn variant_key(&self, request: &HeaderMap, hasher: &VariantHasher) -> Option<u128> {
        let Self::Fields(names) = self else {
            return None;
        };
        let mut key = KeyWriter {
            high: hasher.high.build_hasher(),
            low: hasher.low.build_hasher(),
        };
        for name in names {
            key.write(name.as_str().as_bytes());
            if request.contains_key(name) {
                key.write(PRESENT);
                write_value(&mut key, request, name);
            } else {
                key.write(ABSENT);
            }
            key.write(END);
        }
        Some(u128::from(key.high.finish()) << 64 | u128::from(key.low.finish()))
    }
}

struct KeyWriter {
    high: DefaultHasher,
    low: DefaultHasher,
}

// === impl KeyWriter ===

impl KeyWriter {
    fn write(&mut self, bytes: &[u8]) {
        self.high.write(bytes);
        self.low.write(bytes);
    }

    fn write_lower(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(32) {
            let mut lower = [0; 32];
            let lower = &mut lower[..chunk.len()];
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            self.write(lower);
        }
    }
}

fn write_value(key: &mut KeyWriter, request: &HeaderMap, name: &HeaderName) {
    let lines = request.get_all(name);
    if *name == ACCEPT_ENCODING {
        key.write(preferred_coding(request).unwrap_or_default().as_bytes());
    } else if *name == ACCEPT_LANGUAGE {
        write_languages(key, request);
    } else if *name == ACCEPT {
        for member in members(lines).filter(|member| !member.is_empty()) {
            for (index, part) in member.split(|&byte| byte == b';').enumerate() {
                match index {
                    0 => key.write_lower(trim(part)),
                    _ => {
                        key.write(b";");
                        key.write(trim(part));
                    }
                }
            }
            key.write(b",");
        }
    } else if *name == IF_NONE_MATCH {
        let mut tags: Vec<&[u8]> = members(lines).filter(|tag| !tag.is_empty()).collect();
        tags.sort_unstable();
        tags.dedup();
        for tag in tags {
            key.write(tag);
            key.write(b",");
        }
    } else {
        for (n, line) in lines.into_iter().enumerate() {
            key.write(if n > 0 { b", " } else { b"" });
            key.write(line.as_bytes());
        }
    }
}

/// Tags with their weights.
fn write_languages(key: &mut KeyWriter, request: &HeaderMap) {
    let members = members(request.get_all(ACCEPT_LANGUAGE)).filter(|member| !member.is_empty());
    for (member, (tag, weight)) in members.map(|member| (member, weighted(member))) {
        match weight {
            Some(1000) => key.write_lower(tag),
            Some(weight) => {
                key.write_lower(tag);
                let digit = |place: u16| b'0' + (weight / place % 10) as u8;
                key.write(&[b';', digit(100), digit(10), digit(1)]);
            }
            // Whatever that means to the origin.
            None => key.write_lower(member),
        }
        key.write(b",");
    }
}

/// The coding that `Accept-Encoding` leads to; `None` without the field (RFC 9110 12.5.3).
fn preferred_coding(request: &HeaderMap) -> Option<&'static str> {
    if !request.contains_key(ACCEPT_ENCODING) {
        return None;
    }
    let mut accepted = [None; CODINGS.len()];
    let mut any_other = false;
    for member in members(request.get_all(ACCEPT_ENCODING)) {
        let (coding, weight) = weighted(member);
        let accepts = weight.is_some_and(|weight| weight > 0);
        if coding == b"*" {
            any_other = accepts;
            continue;
        }
        let coding = if coding.eq_ignore_ascii_case(b"x-gzip") {
            b"gzip"
        } else {
            coding
        };
        if let Some(index) = CODINGS
            .iter()
            .position(|known| coding.eq_ignore_ascii_case(known.as_bytes()))
        {
            accepted[index] = Some(accepts);
        }
    }
    let best = accepted.iter().position(|accepts| accepts.unwrap_or(any_other));
    Some(best.map_or("identity", |index| CODINGS[index]))
}

/// A member without its weight, and the weight in thousandths: 1000 if there is none, `None` if it is malformed
/// (RFC 9110 12.4.2).
fn weighted(member: &[u8]) -> (&[u8], Option<u16>) {
    let (value, parameter) = split_once(member, b';');
    let value = trim(value);
    let Some(parameter) = parameter else {
        return (value, Some(1000));
    };
    match trim(parameter) {
        [b'q' | b'Q', b'=', weight @ ..] => (value, thousandths(weight)),
        _ => (value, None),
    }
}

fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, fraction) = split_once(weight, b'.');
    let fraction = fraction.unwrap_or_default();
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut thousandths = 0;
    for place in 0..3 {
        thousandths = thousandths * 10 + u16::from(fraction.get(place).map_or(0, |digit| digit - b'0'));
    }
    match whole {
        b"0" => Some(thousandths),
        b"1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
