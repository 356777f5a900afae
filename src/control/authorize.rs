//! An application's own rules of who may do what.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;

/// An application's own rules, in place of tokens: of purges `T` is a [`Target`](crate::Target), of publishes an
/// `Item`. Both methods are asked on the runtime's threads and must not block.
///
/// A function of the head alone is one, too; who is known by it may do everything.
///
/// ```
/// # #[cfg(feature = "purge")] {
/// use gripstack::Target;
/// use gripstack::control::{Authorizer, Caller, Denied};
/// use gripstack::purge::Auth;
/// use http::request::Parts;
///
/// /// Each team has a key, and purges what is on a host of its own.
/// struct Teams;
///
/// impl Authorizer<Target> for Teams {
///     fn identify(&self, head: &Parts) -> Result<Caller, Denied> {
///         match head.headers.get("x-team-key").map(|key| key.as_bytes()) {
///             None => Err(Denied::missing("send the key of your team as X-Team-Key")),
///             Some(b"hush") => Ok(Caller::new("news")),
///             Some(_) => Err(Denied::invalid("no team has this key")),
///         }
///     }
///
///     fn authorize(&self, team: &Caller, _: &Parts, targets: &[Target]) -> Result<(), Denied> {
///         let host = format!("{}.example.com", team.name());
///         let own = |target: &Target| matches!(target, Target::Url(url) if url.host() == host);
///         match targets.iter().all(own) {
///             true => Ok(()),
///             false => Err(Denied::forbidden(format!("{} purges URLs of {host}", team.name()))),
///         }
///     }
/// }
///
/// let auth = Auth::custom(Teams);
/// let loopback = Auth::custom(|head: &Parts| match head.extensions.get::<std::net::SocketAddr>() {
///     Some(addr) if addr.ip().is_loopback() => Ok(Caller::new("loopback")),
///     _ => Err(Denied::forbidden("from this machine only")),
/// });
/// # let _ = (auth, loopback);
/// # }
/// ```
pub trait Authorizer<T>: Send + Sync + 'static {
    /// Who sends this request, by its head alone. Asked first: who is denied learns nothing more of the request, and
    /// nothing more of it is read.
    fn identify(&self, head: &Parts) -> Result<Caller, Denied>;

    /// Whether they may do it to all of these; else nothing of it is done. Default: they may.
    fn authorize(&self, caller: &Caller, head: &Parts, what: &[T]) -> Result<(), Denied> {
        let _ = (caller, head, what);
        Ok(())
    }
}

/// Who sends a request: by this name limits per credential are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller(Arc<str>);

/// Why a request is refused. The reason is for the client: in the body of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// It presents no credentials: 401, but for the method `PURGE`, unless its layer challenges, 405 without a
    /// reason, as if there were none.
    Missing(Cow<'static, str>),
    /// It presents credentials that nobody has: 401.
    Invalid(Cow<'static, str>),
    /// Whoever it is may not do this: 403.
    Forbidden(Cow<'static, str>),
}

/// An [`Authorizer`].
pub struct Custom<T>(Arc<dyn Authorizer<T>>);

// === impl Authorizer ===

impl<T, F> Authorizer<T> for F
where
    F: Fn(&Parts) -> Result<Caller, Denied> + Send + Sync + 'static,
{
    fn identify(&self, head: &Parts) -> Result<Caller, Denied> {
        self(head)
    }
}

// === impl Caller ===

impl Caller {
    /// Names are the application's own; equal ones share a limit.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

// === impl Denied ===

impl Denied {
    /// [`Denied::Missing`].
    pub fn missing(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Missing(reason.into())
    }

    /// [`Denied::Invalid`].
    pub fn invalid(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(reason.into())
    }

    /// [`Denied::Forbidden`].
    pub fn forbidden(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden(reason.into())
    }
}

// === impl Custom ===

impl<T: 'static> Custom<T> {
    pub(crate) fn new(authorizer: impl Authorizer<T>) -> Self {
        Self(Arc::new(authorizer))
    }

    pub(crate) fn identify(&self, head: &Parts) -> Result<Caller, Denied> {
        self.0.identify(head)
    }

    pub(crate) fn authorize(&self, caller: &Caller, head: &Parts, what: &[T]) -> Result<(), Denied> {
        self.0.authorize(caller, head, what)
    }
}

impl<T> Clone for Custom<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Custom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom(..)")
    }
}
