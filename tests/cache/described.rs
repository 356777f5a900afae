//! Responses that are described in instructions in JSON: what surrounds them says how they may be kept, and they are kept like
//! any other.

use crate::origin::{Call, Refused, Reply};
use crate::world::{Ask, Got, World, get, pass, secs, settle};

fn by_hold() -> Ask {
    get("/a").by_hold()
}

fn instructs(json: impl Into<String>) -> Reply {
    Reply::ok(json.into()).header("content-type", "application/grip-instruct")
}

#[tokio::test(start_paused = true)]
async fn what_a_described_field_is_of_one_client_is_for_that_one() {
    let holds = ["", r#""hold":{"mode":"stream","channels":[{"name":"c"}]},"#];
    let fields = [
        ("set-cookie", r#"no-cache=\"Set-Cookie\""#),
        ("x-user", r#"private=\"X-User\""#),
    ];
    for hold in holds {
        for (name, policy) in fields {
            let world = World::new(move |call| {
                let fields = format!(r#""Cache-Control":"{policy}","{name}":"{}""#, call.n);
                let json = format!(r#"{{{hold}"response":{{"headers":{{{fields}}},"body":"a"}}}}"#);
                instructs(json).cc("max-age=60")
            });
            world.get(by_hold()).await;
            settle().await;
            world.get(by_hold()).await;
            assert_eq!(world.origin.count(), 2, "{name} {hold}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_keeps_to_the_fields_that_the_200_kept_to() {
    let json = r#"{"response":{"headers":{"ETag":"\"1\""},"body":"a"}}"#;
    let user = |reply: Reply, call: &Call| {
        reply
            .cc("max-age=60, private=\"x-user\"")
            .header("x-user", &call.n.to_string())
    };
    let world = World::new(move |call| match call.is_conditional() {
        false => user(instructs(json), call),
        true => user(Reply::not_modified().header("etag", "\"1\""), call),
    });
    for _ in 0..2 {
        let got = world.get(by_hold()).await;
        assert!(!got.headers.contains_key("x-user"), "{got:?}");
        pass(secs(61)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_described_error_takes_the_place_of_nothing_good() {
    for cc in ["max-age=5", "no-store", "private"] {
        let world = World::new(move |call| match call.n {
            1 => instructs(r#"{"response":{"body":"good"}}"#).cc("max-age=1, stale-if-error=600"),
            2 => instructs(r#"{"response":{"code":503,"body":"bad"}}"#).cc(cc),
            _ => Reply::fail(Refused("down")),
        });
        for wait in [0, 2, 10] {
            pass(secs(wait)).await;
            let response = world.try_response(by_hold()).await.expect("an old one");
            let got = Got::of(response).await;
            assert_eq!(
                (got.status.as_u16(), got.body.as_str()),
                (200, "good"),
                "{cc} {wait}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_as_old_as_the_304_that_confirmed_it_says() {
    let world = World::new(|call| match call.is_conditional() {
        false => instructs(r#"{"response":{"headers":{"ETag":"\"1\""},"body":"a"}}"#)
            .cc("max-age=60")
            .header("age", "50"),
        true => Reply::not_modified().header("etag", "\"1\""),
    });
    world.get(by_hold()).await;
    pass(secs(11)).await;
    assert_eq!(world.get(by_hold()).await.field("age"), "");
    pass(secs(20)).await;
    world.get(by_hold()).await.expect_short("a", "hit");
}
