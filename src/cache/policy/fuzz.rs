//! Properties of whatever fields of caching come in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONNECTION, ETAG, EXPIRES, IF_NONE_MATCH, LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::date::parse_http_date;
use super::list::Members;
use super::*;
use crate::fuzz::{cut, fields, fields_and_rest};
use crate::time::Now;

/// Longest lifetime, in seconds.
const YEAR: u64 = 365 * 24 * 60 * 60;

/// Fields of a response: its policy, and what becomes of it.
pub fn cache_control(bytes: &[u8]) {
    let response = fields(bytes);
    let policy = CacheControl::parse(&response);
    check_parse(&response, &policy);
    let selected = CacheControl::of(&response);
    assert!(selected == policy || response.contains_key(CDN_CACHE_CONTROL));
    let seed = spread(bytes);
    let status = StatusCode::from_u16(200 + (seed % 400) as u16).expect("it is in range");
    for policy in [policy, selected] {
        check_stored(&response, &policy);
        check_freshness(&response, &policy, status, Duration::from_millis(seed % 10_000));
    }
}

/// Fields of a request, an empty line, those of a stored response: who is answered 304.
pub fn conditions(bytes: &[u8]) {
    let (mut request, stored) = fields_and_rest(bytes);
    let stored = fields(stored);
    let received = wall(1_794_700_800);
    let modified = is_not_modified(&request, &stored, received);
    if modified && request.contains_key(IF_NONE_MATCH) {
        let mut more = request.clone();
        more.append(IF_NONE_MATCH, HeaderValue::from_static("\"another\""));
        assert!(
            is_not_modified(&more, &stored, received),
            "one more tag hides none"
        );
    }
    let told = not_modified_headers(&stored);
    assert_eq!(not_modified_headers(&told), told);
    assert!(!(told.contains_key(LAST_MODIFIED) && told.contains_key(ETAG)));
    if let Some(validators) = Validators::of(&stored, received) {
        assert!(validators.selects(&stored), "a response is about itself");
        validators.conditional_headers(&mut request);
        let comparable = match (&validators.etag, &validators.last_modified) {
            (Some(_), _) => validators.is_strong(),
            (None, Some(_)) => {
                ambiguous_date(&stored, received.into()).is_none()
                    && Validators::of(&stored, received).is_some_and(|it| it.last_modified.is_some())
            }
            (None, None) => false,
        };
        if comparable {
            assert!(
                is_not_modified(&request, &stored, received),
                "{request:?} {stored:?}"
            );
        }
    }
    if let Some(etag) = stored
        .get(ETAG)
        .filter(|_| Validators::of(&stored, received).is_some_and(|it| it.is_strong()))
    {
        let weak = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat()).expect("still a value");
        request.insert(IF_NONE_MATCH, weak);
        assert!(
            is_not_modified(&request, &stored, received),
            "tags compare weakly"
        );
    }
    strip_client_conditionals(&mut request, &VarySpec::default());
    assert!(!is_not_modified(&request, &stored, received));
}

/// A time (4 bytes) and a date: the reader is strict, and agrees with another.
pub fn http_date(bytes: &[u8]) {
    let Some((now, text)) = bytes.split_first_chunk() else {
        return;
    };
    let now = wall(u32::from_be_bytes(*now).into());
    // Any second before the year 10000.
    let any = wall(spread(bytes) % 253_402_300_800);
    for written in written(any) {
        assert_eq!(parse_http_date(written.as_bytes(), any), Some(any), "{written}");
    }
    let Some(date) = parse_http_date(text, now) else {
        // That one takes less exact forms, too; those it writes itself must be known here.
        if let Some(date) = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<httpdate::HttpDate>().ok())
        {
            assert_ne!(date.to_string().as_bytes(), text);
        }
        return;
    };
    if text.contains(&b'-') {
        let window = Duration::from_secs(50 * 366 * 24 * 60 * 60);
        let late = date.duration_since(now).unwrap_or_default();
        let early = now.duration_since(date).unwrap_or_default();
        assert!(late <= window && early <= window, "a two-digit year");
    } else if let Some(other) = read_elsewhere(text) {
        assert_eq!(date, other);
    }
    if date >= UNIX_EPOCH {
        let written = format_http_date(date);
        assert_eq!(parse_http_date(written.as_bytes(), now), Some(date));
    }
}

/// A name, a detail, and numbers: always one member of a list.
pub fn cache_status(bytes: &[u8]) {
    let (name, rest) = cut(bytes, b'\n');
    let (detail, rest) = cut(rest, b'\n');
    let (name, detail) = (String::from_utf8_lossy(name), String::from_utf8_lossy(detail));
    let status = match rest.first() {
        None => CacheStatus::hit(),
        Some(bits) => CacheStatus::forwarded(Fwd::Stale)
            .stored(bits & 1 == 0)
            .collapsed(bits & 2 == 0)
            .fwd_status(StatusCode::BAD_GATEWAY),
    };
    let ttl = rest
        .iter()
        .fold(0, |ttl: i64, &byte| ttl.wrapping_mul(257) + i64::from(byte));
    let value = status.name(&name).detail(&detail).ttl(ttl).to_value();
    let text = value.to_str().expect("visible ASCII");
    assert_eq!(Members::of(text.as_bytes()).count(), 1, "{text}");
    // Outside strings, parameters are all there is.
    let mut rest = text;
    let mut bare = String::new();
    while let Some((before, quoted)) = rest.split_once('"') {
        bare.push_str(before);
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next().expect("a string ends") {
                (at, '"') => break at,
                (_, '\\') => assert!(matches!(chars.next(), Some((_, '"' | '\\')))),
                _ => {}
            }
        };
        rest = &quoted[end + 1..];
    }
    bare.push_str(rest);
    let parameters = if rest.len() == text.len() || bare.contains("; fwd=") {
        0
    } else {
        1
    };
    assert!(
        bare.matches(';').count() >= 2 + parameters && !bare.contains([',', '\\']),
        "{text}"
    );
}

/// Fields of a response, an empty line, those of a request: which variant that is.
pub fn vary(bytes: &[u8]) {
    let (response, request) = fields_and_rest(bytes);
    let request = fields(request);
    let spec = VarySpec::of(&response);
    if !spec.is_star() {
        let names: Vec<&str> = spec.names().iter().map(HeaderName::as_str).collect();
        let text = names.join(", ").to_ascii_uppercase();
        let written = HeaderMap::from_iter([(VARY, HeaderValue::try_from(text).expect("names"))]);
        assert_eq!(VarySpec::of(&written), spec);
        assert_eq!(spec.clone().with(spec.names().to_vec()), spec);
    }
    let hasher = VariantHasher::default();
    let key = |request: &HeaderMap| spec.variant_key(request, &hasher);
    assert_eq!(key(&request).is_none(), spec.is_star());

    let mut reduced = request.clone();
    reduce_accept_encoding(&mut reduced);
    assert_eq!(key(&reduced), key(&request), "{request:?}");
    let mut twice = reduced.clone();
    reduce_accept_encoding(&mut twice);
    assert_eq!(twice, reduced);
    if let Some(coding) = reduced
        .get(ACCEPT_ENCODING)
        .filter(|coding| *coding != "identity")
    {
        let asked = request.get_all(ACCEPT_ENCODING).iter().any(|line| {
            let line = String::from_utf8_lossy(line.as_bytes()).to_ascii_lowercase();
            line.contains('*') || line.contains(coding.to_str().expect("a coding"))
        });
        assert!(asked, "{coding:?} for {request:?}");
    }

    // Where what a list means is known; in others each byte counts.
    let known = ["accept", "accept-encoding", "accept-language", "if-none-match"];
    let mut joined = request.clone();
    for name in request.keys().filter(|name| known.contains(&name.as_str())) {
        joined.insert(
            name,
            join(&request, name).unwrap_or_else(|| request[name].clone()),
        );
        if join(&request, name).is_none() {
            return;
        }
    }
    assert_eq!(
        key(&joined),
        key(&request),
        "lines of lists mean nothing: {request:?}"
    );
}

/// A number that differs where the bytes do (FNV-1a).
fn spread(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

fn wall(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A time in the three formats.
fn written(time: SystemTime) -> [String; 3] {
    let date = httpdate::fmt_http_date(time);
    let words: Vec<&str> = date.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    let [name, day, month, year, time, _] = words[..] else {
        panic!("{date}");
    };
    let long = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let long = long
        .iter()
        .find(|long| long.starts_with(name))
        .expect("a day of the week");
    let rfc850 = format!("{long}, {day}-{month}-{} {time} GMT", &year[2..]);
    let asctime = format!("{name} {month} {:>2} {time} {year}", day.trim_start_matches('0'));
    [date, rfc850, asctime]
}

/// The same date as another library reads it, which knows neither other cases of letters nor leap seconds.
fn read_elsewhere(text: &[u8]) -> Option<SystemTime> {
    let mut upper = true;
    let lower = text.iter().map(|&byte| {
        let cased = if upper {
            byte.to_ascii_uppercase()
        } else {
            byte.to_ascii_lowercase()
        };
        upper = !byte.is_ascii_alphabetic();
        char::from(cased)
    });
    let text = lower.collect::<String>().replace("Gmt", "GMT");
    httpdate::parse_http_date(&text).ok()
}

/// All lines of a field as one; `None` if a quote is left open in one of them, for it ends with its line.
fn join(fields: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let lines: Vec<&[u8]> = fields.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let closed = |line: &&[u8]| {
        let mut quoted = false;
        let mut bytes = line.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => quoted = !quoted,
                b'\\' if quoted => drop(bytes.next()),
                _ => {}
            }
        }
        !quoted
    };
    let joined = lines.join(&b", "[..]);
    (lines.iter().all(closed)).then(|| HeaderValue::from_bytes(&joined).expect("lines of values"))
}

fn check_parse(response: &HeaderMap, policy: &CacheControl) {
    for lifetime in [
        policy.max_age,
        policy.s_maxage,
        policy.stale_while_revalidate,
        policy.stale_if_error,
    ] {
        assert!(lifetime.is_none_or(|lifetime| lifetime <= Duration::from_secs(1 << 31)));
    }
    let with = |change: &dyn Fn(&[u8]) -> Vec<u8>| {
        let mut changed = response.clone();
        changed.remove(CACHE_CONTROL);
        for line in response.get_all(CACHE_CONTROL) {
            let line = HeaderValue::from_bytes(&change(line.as_bytes())).expect("still a value");
            changed.append(CACHE_CONTROL, line);
        }
        changed
    };
    let upper = CacheControl::parse(&with(&|line| line.to_ascii_uppercase()));
    assert_eq!(upper, *policy, "case means nothing");
    if let Some(joined) = join(response, &CACHE_CONTROL) {
        let mut one = response.clone();
        if one.contains_key(CACHE_CONTROL) {
            one.insert(CACHE_CONTROL, joined);
        }
        assert_eq!(CacheControl::parse(&one), *policy, "lines mean nothing");
    }
    // Nothing can hide what forbids.
    let mut line_more = response.clone();
    line_more.append(
        CACHE_CONTROL,
        HeaderValue::from_static("no-store, private, no-cache"),
    );
    let behind = with(&|line| [line, b", no-store, private, no-cache"].concat());
    let before = with(&|line| [b"no-store, private, no-cache, ", line].concat());
    for strict in [line_more, behind, before] {
        let strict_policy = CacheControl::parse(&strict);
        if strict.contains_key(CACHE_CONTROL) {
            assert!(strict_policy.no_store && strict_policy.is_private() && strict_policy.always_validates());
        }
    }
    let _ = RequestDirectives::parse(response);
}

fn check_stored(response: &HeaderMap, policy: &CacheControl) {
    let stored = stored_headers(response, policy);
    assert!(!stored.contains_key(CONNECTION) && !stored.contains_key(AGE));
    assert_eq!(stored_headers(&stored, policy), stored, "twice is once");
    for name in stored.keys() {
        assert!(!policy.drops(name) && response.get_all(name) == stored.get_all(name));
    }
    let mut merged = stored.clone();
    merge_304(&mut merged, response);
    let once = merged.clone();
    merge_304(&mut merged, response);
    assert_eq!(merged, once, "twice is once");
    assert!(!merged.contains_key(CONNECTION) && !merged.contains_key(AGE));
}

fn check_freshness(response: &HeaderMap, policy: &CacheControl, status: StatusCode, delay: Duration) {
    let sent = Now {
        mono: Instant::now(),
        wall: wall(1_794_700_800),
    };
    let come = Now {
        mono: sent.mono + delay,
        wall: sent.wall + delay,
    };
    let freshness = Freshness::of(sent, come, response, policy).of_status(status);
    assert!(freshness.lifetime() <= Duration::from_secs(YEAR));
    if policy.max_age.is_none() && policy.s_maxage.is_none() && !response.contains_key(EXPIRES) {
        assert!(freshness.lifetime().is_zero());
    }
    let outage = StaleReason::Outage(Outage::default());
    let strict = StaleReason::Outage(Outage {
        max_stale: Duration::ZERO,
        ..Outage::default()
    });
    let mut fresh_before = true;
    let mut served_before = true;
    for seconds in [
        0,
        1,
        9,
        10,
        59,
        60,
        61,
        3_600,
        86_400,
        86_401,
        YEAR,
        YEAR + 1,
        1 << 31,
        1 << 33,
    ] {
        let now = come.mono + Duration::from_secs(seconds);
        let fresh = freshness.is_fresh(now);
        let serve = |reason| freshness.may_serve_stale(now, reason);
        assert!(fresh_before || !fresh, "nothing gets fresh by itself");
        assert!(served_before || !serve(outage));
        assert!(!fresh || (serve(StaleReason::Revalidating) && serve(StaleReason::Error) && serve(strict)));
        assert!(
            !serve(StaleReason::Error) || serve(strict),
            "an outage permits what an error does"
        );
        assert!(!serve(strict) || serve(outage));
        if policy.must_revalidate && !fresh {
            assert!(
                ![StaleReason::Revalidating, StaleReason::Error, outage]
                    .into_iter()
                    .any(serve)
                    || policy.always_validates()
                    || freshness.ttl(now) > 0
            );
        }
        if policy.always_validates() {
            assert!(
                ![StaleReason::Revalidating, StaleReason::Error, outage]
                    .into_iter()
                    .any(serve)
            );
        }
        if freshness.ttl(now) > 0 && freshness.lifetime().subsec_nanos() == 0 {
            let sum = freshness.age(now).as_secs() as i64 + freshness.ttl(now);
            assert_eq!(sum as u64, freshness.lifetime().as_secs());
        }
        assert!(!freshness.as_if_expired_at(come.mono).is_fresh(now));
        (fresh_before, served_before) = (fresh, serve(outage));
    }
    check_verdict(response, policy, &freshness, status);
}

fn check_verdict(response: &HeaderMap, policy: &CacheControl, freshness: &Freshness, status: StatusCode) {
    let request = HeaderMap::new();
    let facts = ResponseFacts {
        status,
        headers: response,
        policy,
        freshness,
        has_instructions: false,
    };
    let of = |request: RequestFacts<'_>| decide(&request, &facts, &StoreLimits::default());
    let get = of(RequestFacts::of(&Method::GET, &request));
    assert_eq!(get.is_storable(), get.storable.is_ok());
    let forbidden = (policy.no_store && !policy.must_understand) || policy.is_private();
    assert!(!forbidden || (get.storable.is_err() && get.shareable.is_err()));
    assert!(!policy.always_validates() || get.shareable.is_err());
    let authorized = of(RequestFacts {
        has_authorization: true,
        ..RequestFacts::of(&Method::GET, &request)
    });
    assert!(authorized.storable.is_err() || policy.permits_authorized());
    assert!(!of(RequestFacts::of(&Method::POST, &request)).is_storable());
}
