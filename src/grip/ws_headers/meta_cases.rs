//! The conformance cases of what is remembered.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::cases::{lines, map};
use super::*;

/// W13: answers, and what later requests have.
#[test]
fn what_is_remembered() {
    let mut meta = Meta::default();
    for (case, answer, request) in [
        ("one", &[("Set-Meta-User", "bob")][..], &["meta-user: bob"][..]),
        (
            "another",
            &[("set-meta-x_y", "1 2"), ("ETag", "1")],
            &["meta-user: bob", "meta-x_y: 1 2"],
        ),
        (
            "nothing said: as before",
            &[],
            &["meta-user: bob", "meta-x_y: 1 2"],
        ),
        (
            "in its place",
            &[("SET-META-USER", "al")],
            &["meta-user: al", "meta-x_y: 1 2"],
        ),
        (
            "the last one",
            &[("Set-Meta-User", "a"), ("Set-Meta-User", "b")],
            &["meta-user: b", "meta-x_y: 1 2"],
        ),
        ("empty: gone", &[("Set-Meta-X_Y", "")], &["meta-user: b"]),
        ("what was not there", &[("Set-Meta-Z", "")], &["meta-user: b"]),
        (
            "no name",
            &[("Set-Meta-", "1"), ("Meta-User", "eve")],
            &["meta-user: b"],
        ),
        (
            "gone and set anew",
            &[("Set-Meta-User", ""), ("Set-Meta-User", "c")],
            &["meta-user: c"],
        ),
        ("all", &[("Set-Meta-User", "")], &[]),
    ] {
        println!("W13 {case}");
        meta.apply(&map(answer)).unwrap();
        let mut headers = HeaderMap::new();
        meta.write(&mut headers);
        assert_eq!(lines(&headers), request, "W13 {case}");
        assert_eq!((meta.len(), meta.is_empty()), (request.len(), request.is_empty()));
    }
}

#[test]
fn what_is_remembered_has_limits_and_changes_at_once_or_not() {
    let mut meta = Meta::default();
    let many = |count| {
        let mut answer = HeaderMap::new();
        for n in 0..count {
            let name = HeaderName::from_bytes(format!("set-meta-{n}").as_bytes()).unwrap();
            answer.insert(name, HeaderValue::from_static("1"));
        }
        answer
    };
    assert_eq!(meta.apply(&many(MAX_META + 1)), Err(MetaError::TooMany));
    assert!(meta.is_empty());
    assert_eq!(meta.apply(&many(MAX_META)), Ok(()));
    assert_eq!(
        meta.apply(&map(&[("Set-Meta-0", "2"), ("Set-Meta-X", "1")])),
        Err(MetaError::TooMany)
    );
    // In the place of one that goes there is room.
    assert_eq!(
        meta.apply(&map(&[("Set-Meta-1", ""), ("Set-Meta-X", "1")])),
        Ok(())
    );
    // Whichever is said first.
    let set = [("Set-Meta-Y", "1"), ("Set-Meta-X", ""), ("Set-Meta-A", "")];
    assert_eq!(meta.apply(&map(&set)), Ok(()));
    let mut headers = HeaderMap::new();
    meta.write(&mut headers);
    assert_eq!(
        (&headers["meta-0"], headers.len()),
        (&HeaderValue::from_static("1"), MAX_META)
    );

    let mut meta = Meta::default();
    let most = MAX_META_BYTES - "meta-x".len();
    assert_eq!(
        meta.apply(&map(&[("Set-Meta-X", &"x".repeat(most + 1))])),
        Err(MetaError::TooLarge)
    );
    assert!(meta.is_empty());
    assert_eq!(meta.apply(&map(&[("Set-Meta-X", &"x".repeat(most))])), Ok(()));
    assert_eq!(meta.apply(&map(&[("Set-Meta-Y", "1")])), Err(MetaError::TooLarge));
    assert_eq!(meta.len(), 1);
}
