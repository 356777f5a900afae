//! Properties of whatever fields come in.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::grip::properties::assert_linear;

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop_oneof![
        "(set[-_])?meta[-_][a-c]?",
        "(content|keep|connection|sec|grip|accept)[-_.](bytes-accepted|alive-interval|id|websocket-extensions|sig|type)",
        "cookie|etag|upgrade|connection|host",
    ];
    let value = prop_oneof![
        "[-0-9a-c]{0,3}",
        r#"grip(; ?message-prefix=["\\a-c]{0,4})?"#,
        "upgrade, (cookie|meta-a|connection-id)",
    ];
    vec((name, value), 0..10).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(&value).expect("a value"));
        }
        headers
    })
}

proptest! {
    /// Whatever a client and the answers before say, what is the edge's to say stands in a request once, as it says it.
    #[test]
    fn a_client_cannot_speak_as_the_edge(client in headers(), answers in vec(headers(), 0..3), replayed in 0usize..3) {
        let mut meta = Meta::default();
        for answer in &answers {
            meta.apply(answer).expect("it is not much");
        }
        let connection_id = &HeaderValue::from_static("id");
        let mut request = client;
        keep_for_requests(&mut request);
        RequestFields { connection_id, meta: &meta, body_bytes: 6, replayed }.write(&mut request);
        let mut own = HeaderMap::new();
        RequestFields { connection_id, meta: &meta, body_bytes: 6, replayed }.write(&mut own);
        for (name, value) in &own {
            prop_assert_eq!(request.get_all(name).iter().collect::<Vec<_>>(), [value]);
        }
        let others = request.keys().filter(|name| !own.contains_key(*name));
        for name in others {
            let dashed: String = name.as_str().replace(['_', '.'], "-");
            let edges = ["meta-", "content-", "grip-"].iter().any(|edges| dashed.starts_with(edges));
            prop_assert!(!edges && dashed != "connection-id", "{}", name);
        }
    }

    #[test]
    fn what_is_the_edges_reaches_no_client(answer in headers()) {
        let read = Answer::from_headers(&answer);
        let mut client = answer.clone();
        keep_for_client(&mut client);
        // For the edge they say nothing more.
        prop_assert_eq!(Answer::from_headers(&client), Ok(Answer::default()));
        let mut meta = Meta::default();
        prop_assert_eq!(meta.apply(&client), Ok(()));
        prop_assert!(meta.is_empty());
        if let Ok(Answer { keep_alive: KeepAliveInterval::Every(interval), .. }) = read {
            prop_assert!(interval >= MIN_INTERVAL);
        }
        let again = client.clone();
        keep_for_client(&mut client);
        prop_assert_eq!(client, again);
    }
}

#[test]
fn the_cost_of_an_extension_grows_with_its_length_only() {
    for piece in ["a,", "\"\",", "a;b=\"\\\"\";", "\"\\", "grip;", "\""] {
        assert_linear(piece, |n| {
            let mut headers = HeaderMap::new();
            let value = piece.repeat(n / piece.len());
            headers.insert(
                "sec-websocket-extensions",
                HeaderValue::from_str(&value).expect("a value"),
            );
            let _ = Answer::from_headers(&headers);
        });
    }
}
