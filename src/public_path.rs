//! The public path of a request, below routers that strip a prefix. Keys and purges both name URLs by it.

use std::borrow::Cow;

use http::{Extensions, Uri};

/// The path and query that a client asked for, of a request as a layer sees it: below axum's `nest` what the outermost
/// router saw, where that ends in what is seen here; anywhere else this namespace, and what is seen.
///
/// A path that was rewritten otherwise stays as it is: what it was rewritten by (a cookie, say) is not in the public
/// path, so two contents would share that one.
#[inline(always)]
pub(crate) fn public_path<'a>(uri: &'a Uri, extensions: &'a Extensions, namespace: &str) -> Cow<'a, str> {
    let seen = path_and_query(uri);
    let named = match namespace {
        "" => Cow::Borrowed(seen),
        namespace => Cow::Owned(format!("{namespace}{seen}")),
    };
    match original(extensions) {
        None => named,
        Some(original) if ends_in(original, &named) => Cow::Borrowed(original),
        Some(_) => {
            // With a namespace, somebody knows; perhaps of more than this router strips.
            if namespace.is_empty() {
                rewritten();
            }
            named
        }
    }
}

/// Whether that is known to be the public path. Otherwise two layers may see one path of two URLs.
#[cfg(feature = "cache")]
pub(crate) fn is_known(extensions: &Extensions, namespace: &str) -> bool {
    !namespace.is_empty() || original(extensions).is_some()
}

/// What the outermost router of axum saw.
#[cfg(feature = "axum")]
#[inline]
fn original(extensions: &Extensions) -> Option<&str> {
    extensions
        .get::<axum::extract::OriginalUri>()
        .map(|original| path_and_query(original))
}

#[cfg(not(feature = "axum"))]
fn original(_: &Extensions) -> Option<&str> {
    None
}

#[inline]
fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

/// Whether a router may have made this of the original by stripping whole segments: of `/a` it makes `/`.
fn ends_in(original: &str, seen: &str) -> bool {
    if original.ends_with(seen) {
        return true;
    }
    let (original, original_query) = split(original);
    let (seen, seen_query) = split(seen);
    let without_slash = seen.strip_suffix('/');
    original_query == seen_query && without_slash.is_some_and(|seen| original.ends_with(seen))
}

/// A path and its query, if any.
fn split(path_and_query: &str) -> (&str, Option<&str>) {
    match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    }
}

/// Said once.
fn rewritten() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            target: "gripstack",
            "a layer sits below something that rewrites paths and cannot know the public ones: objects are stored and \
             purged by the rewritten path there, so put it above that, or give it a namespace"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("the test wrote it well")
    }

    #[test]
    fn a_namespace_is_put_before_what_is_seen() {
        let none = Extensions::new();
        assert_eq!(public_path(&uri("http://h/x?y"), &none, ""), "/x?y");
        assert_eq!(public_path(&uri("/x?y"), &none, "/a"), "/a/x?y");
        assert_eq!(public_path(&uri("http://h"), &none, ""), "/");
    }

    #[cfg(feature = "axum")]
    #[test]
    fn below_a_nest_it_is_what_the_outermost_router_saw() {
        for (original, seen, namespace, public) in [
            ("/a/x?y", "/x?y", "", "/a/x?y"),
            ("/x", "/x", "", "/x"),
            ("/a", "/", "", "/a"),
            ("/a?y", "/?y", "", "/a?y"),
            ("/a/", "/", "", "/a/"),
            ("/a", "/", "/a", "/a"),
            // The namespace is part of it already.
            ("/a/x", "/x", "/a", "/a/x"),
            ("/api/a/x", "/x", "/a", "/api/a/x"),
            // Something before this process strips more.
            ("/a/x", "/x", "/api/a", "/api/a/x"),
            // Rewritten by something else: several contents may have one original.
            ("/x", "/de/x", "", "/de/x"),
            ("/a/x?y", "/x?z", "", "/x?z"),
            ("/ax", "/x", "", "/x"),
            ("/a?y", "/", "", "/"),
            ("/b/x", "/x", "/a", "/a/x"),
        ] {
            let mut extensions = Extensions::new();
            extensions.insert(axum::extract::OriginalUri(uri(original)));
            let seen = uri(seen);
            let found = public_path(&seen, &extensions, namespace);
            assert_eq!(found, public, "{original} seen as {seen} in {namespace:?}");
        }
    }
}
