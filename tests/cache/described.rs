//! Responses that are described in instructions in JSON: what surrounds them says how they may be kept, and they are kept like
//! any other.

use crate::origin::Reply;
use crate::world::{Ask, World, get, settle};

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
