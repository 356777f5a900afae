//! What changes something: an order of purges and publications.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use crate::authority;
use crate::message::{Channel, Message};

/// How a surrogate key begins that is a channel's.
pub(crate) const CHANNEL_KEY: &str = "ch:";

/// Purges and publications in one step: it takes one position and is applied as one, so that whoever
/// sees one of its messages and asks again gets nothing older.
///
/// ```
/// use gripstack::{Channel, Message, Order, PurgeMode, Target};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let order = Order::publish(Channel::new("news")?, Message::line("5"))
///     .and_purge(Target::key("front-page"), PurgeMode::SoftBlock);
/// # let _ = order;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Order {
    /// What to purge. The channels of its publications need not be named: a message ages what it concerns.
    pub purges: Vec<Purge>,
    /// What to publish.
    pub publications: Vec<Publication>,
    /// Names this order: while it is one of the last 1,024, what it does at once is done once, however often it is sent, and
    /// it keeps its position. An item that waits for its predecessor is told by its own id. Who changes these fields of a
    /// copy gives that another name.
    pub id: OrderId,
}

/// Names an order, at random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OrderId(u128);

/// A target and what becomes of the objects that name it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Purge {
    /// What it names.
    pub target: Target,
    /// What becomes of the objects.
    pub mode: PurgeMode,
}

/// What a purge names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// One public URL: all variants, both schemes, GET and HEAD.
    Url(Url),
    /// All objects that carry this surrogate key. A URL's channels are keys of it: `ch:<channel>`.
    Key(Arc<str>),
    /// All objects of a host.
    Host(Arc<str>),
    /// All objects.
    Everything,
}

/// A public URL without its scheme: `host[:port]/path[?query]`, the host in lower case and without a default port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Url(Arc<str>);

/// What becomes of a purged object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PurgeMode {
    /// Gone at once, also when the origin is down. Its validators are not used either.
    Hard,
    /// Not served before a revalidation, but still the last good copy when the origin is down.
    SoftBlock,
    /// As if its lifetime ended now: `stale-while-revalidate` and `stale-if-error` apply.
    Soft,
    /// An unsafe method succeeded (RFC 9111 4.4): as `SoftBlock`, but stream holds go on starting from it.
    Invalidated,
}

/// A message for a channel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Publication {
    /// Where it goes.
    pub channel: Channel,
    /// What goes there.
    pub message: Arc<Message>,
    /// It carries a state: the next state takes its place for whoever has not had it, if nothing came between them and
    /// it sends something in the same forms. What closes or hints is never replaced.
    pub latest: bool,
    /// It follows what its publisher said last: if the same was said before, that was another one.
    pub(crate) comes_back: bool,
}

/// A target as marks know it: a hash, seeded by this process, that tells its [kind](TargetKind). Where two collide, a
/// purge is widened: whoever must not take one target for another compares the targets themselves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct TargetKey(u64);

/// How much a target names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TargetKind {
    /// A URL, or a surrogate key.
    Named,
    Host,
    Everything,
}

/// A map whose keys are, or begin with, such a key. They are as good as random already.
pub(crate) type ByTarget<V> = std::collections::HashMap<TargetKey, V, TargetKeyHashing>;

/// Hashes what is made of [`TargetKey`]s.
pub(crate) type TargetKeyHashing = BuildHasherDefault<TargetKeyHasher>;

/// Folds the numbers that it is given, which are as good as random.
#[derive(Default)]
pub(crate) struct TargetKeyHasher(u64);

// === impl Order ===

impl Order {
    /// An order of one publication.
    pub fn publish(channel: Channel, message: Message) -> Self {
        Self::from_iter([Publication::new(channel, message)])
    }

    /// An order of one purge.
    pub fn purge(target: Target, mode: PurgeMode) -> Self {
        Self {
            purges: vec![Purge { target, mode }],
            ..Self::default()
        }
    }

    /// An order, another one, that also publishes this, after the others.
    #[must_use]
    pub fn and(mut self, publication: Publication) -> Self {
        self.publications.push(publication);
        self.renamed()
    }

    /// An order, another one, that also purges this.
    #[must_use]
    pub fn and_purge(mut self, target: Target, mode: PurgeMode) -> Self {
        self.purges.push(Purge { target, mode });
        self.renamed()
    }

    /// Copies of one order that each do something else beside are not that order sent again.
    fn renamed(self) -> Self {
        Self {
            id: OrderId::default(),
            ..self
        }
    }
}

impl FromIterator<Publication> for Order {
    fn from_iter<I: IntoIterator<Item = Publication>>(publications: I) -> Self {
        Self {
            publications: publications.into_iter().collect(),
            ..Self::default()
        }
    }
}

// === impl Publication ===

impl Publication {
    /// Of a message that matters for itself.
    pub fn new(channel: Channel, message: impl Into<Arc<Message>>) -> Self {
        Self {
            channel,
            message: message.into(),
            latest: false,
            comes_back: false,
        }
    }

    /// The same one as a state: see [`latest`](#structfield.latest).
    #[must_use]
    pub fn latest(mut self) -> Self {
        self.latest = true;
        self
    }

    /// A state follows whatever a hold has: there is no gap between states.
    pub(crate) fn unchain_state(&mut self) {
        if self.latest && self.message.prev_id.is_some() {
            Arc::make_mut(&mut self.message).prev_id = None;
        }
    }
}

// === impl Purge ===

impl Purge {
    /// About how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let name = match &self.target {
            Target::Url(url) => url.as_str().len(),
            Target::Key(name) | Target::Host(name) => name.len(),
            Target::Everything => 0,
        };
        size_of::<Self>() + name
    }
}

// === impl OrderId ===

impl Default for OrderId {
    fn default() -> Self {
        Self(u128::from(random()) << 64 | u128::from(random()))
    }
}

/// Of the system's randomness.
fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

// === impl Url ===

impl Url {
    /// Of an authority, and a path with its query (`/` if empty), byte for byte.
    pub fn new(authority: &str, path_and_query: &str) -> Self {
        let host = authority::normal(authority);
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        Self(format!("{host}{slash}{path_and_query}").into())
    }

    /// `host/path?query`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, with its port if that is not the default one.
    pub fn host(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The same URL with its query as API clients rebuild it, which decode and encode it: keys sorted, the first of repeated
    /// ones, `k` as `k=`, each escaped in one way. `None` if that is the same.
    pub(crate) fn canonical(&self) -> Option<Url> {
        let (path, query) = self.0.split_once('?')?;
        let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let is_lost = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
        if pairs.iter().any(|(key, value)| is_lost(key) || is_lost(value)) {
            // Bytes that are no text: two that differ must not become one.
            return None;
        }
        // Clients choose how many there are. The order of equal keys stays.
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        pairs.dedup_by(|(a, _), (b, _)| a == b);
        let mut canonical = path.to_owned();
        if !pairs.is_empty() {
            canonical.push('?');
            let start = canonical.len();
            let mut query = form_urlencoded::Serializer::for_suffix(canonical, start);
            canonical = query.extend_pairs(pairs).finish();
        }
        (*canonical != *self.0).then(|| Url(canonical.into()))
    }
}

// === impl Target ===

impl Target {
    /// One public URL, of its authority and its path with the query: see [`Url::new`].
    pub fn url(authority: &str, path_and_query: &str) -> Self {
        Self::Url(Url::new(authority, path_and_query))
    }

    /// A surrogate key.
    pub fn key(key: impl Into<Arc<str>>) -> Self {
        Self::Key(key.into())
    }

    /// All of a host, with its port if that is not the default one.
    pub fn host(authority: &str) -> Self {
        Self::Host(authority::normal(authority).into())
    }

    /// The key of a channel: objects whose URL names the channel carry it by themselves.
    pub fn channel(channel: &Channel) -> Self {
        Self::Key(format!("{CHANNEL_KEY}{channel}").into())
    }

    /// Whether it is the key of a channel.
    pub(crate) fn is_of_channel(&self) -> bool {
        matches!(self, Self::Key(key) if key.starts_with(CHANNEL_KEY))
    }

    /// What marks are set for: a URL also in the form that API clients rebuild.
    pub(crate) fn mark_keys(&self) -> [Option<TargetKey>; 2] {
        let canonical = match self {
            Self::Url(url) => url.canonical().map(|url| TargetKey::of(&Self::Url(url))),
            _ => None,
        };
        [Some(TargetKey::of(self)), canonical]
    }
}

// === impl TargetKey ===

impl TargetKey {
    /// Two bits for the kind, where neither maps nor [slots](Self::slot) look.
    const KIND: u32 = 54;

    pub(crate) fn of(target: &Target) -> Self {
        match target {
            Target::Url(url) => {
                let (host, path) = url.0.split_at(url.0.find('/').unwrap_or(url.0.len()));
                Self::of_url(host.as_bytes(), path)
            }
            Target::Key(key) => Self::hash(1, key.as_bytes(), b""),
            Target::Host(host) => Self::hash(2, host.as_bytes(), b""),
            Target::Everything => Self::hash(3, b"", b""),
        }
    }

    /// Of the URL of this authority, which is in [normal form](crate::authority::normal), and this path, which begins with a slash.
    pub(crate) fn of_url(host: &[u8], path_and_query: &str) -> Self {
        Self::hash(0, host, path_and_query.as_bytes())
    }

    pub(crate) fn kind(self) -> TargetKind {
        match self.0 >> Self::KIND & 3 {
            2 => TargetKind::Host,
            3 => TargetKind::Everything,
            _ => TargetKind::Named,
        }
    }

    fn hash(kind: u8, first: &[u8], second: &[u8]) -> Self {
        static SHARED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(random()));
        static SEEDED: LazyLock<SeedableRandomState> =
            LazyLock::new(|| SeedableRandomState::with_seed(random(), &SHARED));
        let mut hasher = SEEDED.build_hasher();
        hasher.write(first);
        hasher.write(second);
        // Where the texts begin and end.
        hasher.write_u64((first.len() as u64) << 8 | u64::from(kind));
        Self(hasher.finish() & !(3 << Self::KIND) | u64::from(kind) << Self::KIND)
    }

    /// All of it.
    #[cfg(feature = "hold")]
    pub(crate) fn get(self) -> u64 {
        self.0
    }

    /// One of `n` slots. Of the upper half: maps take the lower one.
    pub(crate) fn slot(self, n: usize) -> usize {
        ((self.0 >> 32) % n as u64) as usize
    }
}

// === impl TargetKeyHasher ===

impl Hasher for TargetKeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(29) ^ number;
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64((number >> 64) as u64 ^ (number as u64).rotate_left(32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_keyed_without_case_default_port_and_root_dot() {
        for authority in [
            "Example.COM",
            "example.com:443",
            "example.com.",
            "example.com.:80",
            "u@example.com",
        ] {
            assert_eq!(
                Url::new(authority, "/A?b").as_str(),
                "example.com/A?b",
                "{authority}"
            );
        }
        assert_eq!(Url::new("h:8080", "/").as_str(), "h:8080/");
        assert_eq!(Url::new("h:8080", "").as_str(), "h:8080/");
    }

    #[test]
    fn a_key_is_the_same_by_url_and_by_parts() {
        for authority in ["example.com", "h:8080", "[::1]:81", ""] {
            let url = Url::new(authority, "/a?b/c");
            assert_eq!(
                TargetKey::of_url(authority.as_bytes(), "/a?b/c"),
                TargetKey::of(&Target::Url(url))
            );
        }
    }

    #[test]
    fn keys_of_different_targets_differ() {
        let url = |host, path| Target::Url(Url::new(host, path));
        let targets = [
            url("a", "/b"),
            url("a", "/b/"),
            url("ab", "/"),
            Target::Key("a/b".into()),
            Target::Key("".into()),
            Target::Host("a/b".into()),
            Target::Host("".into()),
            Target::Everything,
        ];
        let keys: std::collections::HashSet<_> = targets.iter().map(TargetKey::of).collect();
        assert_eq!(keys.len(), targets.len());
        for target in &targets {
            let kind = match target {
                Target::Url(_) | Target::Key(_) => TargetKind::Named,
                Target::Host(_) => TargetKind::Host,
                Target::Everything => TargetKind::Everything,
            };
            assert_eq!(TargetKey::of(target).kind(), kind, "{target:?}");
        }
    }

    #[test]
    fn pur_10_the_canonical_query_is_what_api_clients_send() {
        let canonical = |query: &str| {
            Url::new("h", query)
                .canonical()
                .map(|url| url.as_str().to_owned())
        };
        assert_eq!(canonical("/x?b=1&a=2").as_deref(), Some("h/x?a=2&b=1"));
        assert_eq!(canonical("/x?k").as_deref(), Some("h/x?k="));
        assert_eq!(canonical("/x?a=1&a=2").as_deref(), Some("h/x?a=1"));
        assert_eq!(canonical("/x?a=2&b=1&a=1").as_deref(), Some("h/x?a=2&b=1"));
        assert_eq!(canonical("/x?a=1&b=2"), None);
        assert_eq!(canonical("/x"), None);
    }

    /// Anybody may send as many parameters as fit a request target, and each miss looks at them. To compare each with
    /// each would take minutes here.
    #[test]
    fn pur_10_many_parameters_take_no_more_than_their_sorting() {
        let keys: Vec<String> = (0..300_000).rev().map(|n| format!("{n:06}=")).collect();
        let canonical = Url::new("h", &format!("/?{}", keys.join("&"))).canonical();
        let sorted: Vec<&str> = keys.iter().rev().map(String::as_str).collect();
        assert_eq!(canonical, Some(Url::new("h", &format!("/?{}", sorted.join("&")))));
    }
}
