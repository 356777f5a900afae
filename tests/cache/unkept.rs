//! What many may have and nobody can keep: too large, of unknown end, without memory. Who wants less than all of it asks
//! the origin for less.

use gripstack::cache::CacheConfig;
use gripstack::error::CloseDelimited;
use http::Method;

use crate::origin::{Call, Gate, Reply, Step};
use crate::world::{Ask, World, chunk, done, get, head, ms, pass, secs, settle};

const LARGEST: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    TooLarge,
    /// Nobody knows how large before it has come.
    TooLargeUnsaid,
    CloseDelimited,
    NoMemory,
}

const WHYS: [Why; 4] = [
    Why::TooLarge,
    Why::TooLargeUnsaid,
    Why::CloseDelimited,
    Why::NoMemory,
];

impl Why {
    fn size(self) -> usize {
        match self {
            Self::TooLarge | Self::TooLargeUnsaid => 10 * LARGEST,
            Self::CloseDelimited | Self::NoMemory => LARGEST,
        }
    }

    fn config(self) -> CacheConfig {
        let budget = if self == Self::NoMemory { 100 } else { 1 << 20 };
        CacheConfig::new()
            .max_object_bytes(LARGEST as u64)
            .flight_budget_bytes(budget)
    }

    /// An origin that knows parts, conditions and heads.
    fn reply(self, call: &Call) -> Reply {
        let size = self.size();
        let reply = match (
            call.method.as_str(),
            call.header("range"),
            call.header("if-none-match"),
        ) {
            ("HEAD", ..) => Reply::ok("").header("content-length", &size.to_string()),
            (_, _, Some("\"1\"")) => Reply::not_modified(),
            (_, Some("bytes=2-4"), _) => Reply::ok("xxx")
                .code(206)
                .header("content-range", &format!("bytes 2-4/{size}")),
            _ if self == Self::TooLargeUnsaid => {
                Reply::stream([Step::Data(chunk(LARGEST)), Step::Data(chunk(size - LARGEST))])
            }
            _ => Reply::ok(chunk(size)).header("content-length", &size.to_string()),
        };
        let reply = reply.cc("max-age=60").header("etag", "\"1\"");
        match self {
            Self::CloseDelimited => reply.extension(CloseDelimited),
            _ => reply,
        }
    }

    /// After its first answer.
    async fn known(self) -> World {
        let world = World::config(self.config(), move |call| self.reply(call));
        assert_eq!(world.get("/a").await.body.len(), self.size(), "{self:?}");
        settle().await;
        world
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_is_a_part_from_the_second_request_on() {
    for why in WHYS {
        let world = why.known().await;
        for n in 2..4 {
            let got = world.get(get("/a").header("range", "bytes=2-4")).await;
            assert_eq!((got.status.as_u16(), got.body.as_str()), (206, "xxx"), "{why:?}");
            assert_eq!(got.field("content-range"), format!("bytes 2-4/{}", why.size()));
            assert_eq!(world.origin.count(), n, "{why:?}");
            settle().await;
        }
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_condition_goes_along_from_the_second_request_on() {
    for why in WHYS {
        let world = why.known().await;
        for (tag, status) in [("\"1\"", 304), ("\"2\"", 200), ("\"1\"", 304)] {
            let got = world.get(get("/a").header("if-none-match", tag)).await;
            assert_eq!(got.status, status, "{why:?}");
            assert_eq!(world.origin.last().header("if-none-match"), Some(tag), "{why:?}");
            settle().await;
        }
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_reaches_the_origin_as_a_head() {
    for why in WHYS {
        let world = why.known().await;
        for _ in 0..2 {
            let got = world.get(head("/a")).await;
            assert_eq!((got.status.as_u16(), got.body.as_str()), (200, ""));
            assert_eq!(got.field("content-length"), why.size().to_string());
            assert_eq!(world.origin.last().method, Method::HEAD, "{why:?}");
            settle().await;
        }
        world.is_idle();
    }
}

/// All of it is still the same for all.
#[tokio::test(start_paused = true)]
async fn those_who_want_all_of_it_share_one_request_and_the_others_wait_for_nobody() {
    for why in WHYS {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::config(why.config(), move |call| {
            let reply = why.reply(call);
            match call.n > 1 && call.method == Method::GET && call.headers.len() < 2 {
                true => reply.gated(&held),
                false => reply,
            }
        });
        world.get("/a").await;
        settle().await;
        let mut wholes = Vec::new();
        for _ in 0..3 {
            wholes.push(world.start("/a").await);
        }
        assert_eq!(world.origin.count(), 2, "{why:?}");
        let asks: [(fn() -> Ask, u16); 3] = [
            (|| get("/a").header("range", "bytes=2-4"), 206),
            (|| get("/a").header("if-none-match", "\"1\""), 304),
            (|| head("/a"), 200),
        ];
        let start = tokio::time::Instant::now();
        for (ask, status) in asks {
            assert_eq!(world.get(ask()).await.status, status, "{why:?}");
        }
        assert_eq!(start.elapsed(), ms(0), "{why:?}");
        gate.open();
        for whole in wholes {
            assert_eq!(done(whole).await.body.len(), why.size(), "{why:?}");
        }
        assert_eq!(world.origin.count(), 5, "{why:?}");
        settle().await;
        world.is_idle();
    }
}

/// The hold layer asks for its clients.
#[tokio::test(start_paused = true)]
async fn it_is_so_for_the_clients_of_the_hold_layer() {
    for why in WHYS {
        let world = World::config(why.config(), move |call| why.reply(call));
        world.get(get("/a").by_hold()).await;
        settle().await;
        let got = world.get(get("/a").header("range", "bytes=2-4").by_hold()).await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (206, "xxx"), "{why:?}");
        let got = world
            .get(get("/a").header("if-none-match", "\"1\"").by_hold())
            .await;
        assert_eq!(got.status, 304, "{why:?}");
        world.get(head("/a").by_hold()).await;
        assert_eq!(world.origin.last().method, Method::HEAD, "{why:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_becomes_small_enough_is_kept_again() {
    for why in [Why::TooLarge, Why::TooLargeUnsaid, Why::CloseDelimited] {
        let world = World::config(why.config(), move |call| match call.n {
            1..3 => why.reply(call),
            _ => Reply::ok("0123456789").cc("max-age=60"),
        });
        world.get("/a").await;
        settle().await;
        assert_eq!(
            world.get(get("/a").header("range", "bytes=2-4")).await.status,
            206
        );
        assert_eq!(world.get("/a").await.body, "0123456789", "{why:?}");
        settle().await;
        let got = world.get(get("/a").header("range", "bytes=2-4")).await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (206, "234"), "{why:?}");
        assert_eq!(world.origin.count(), 3, "{why:?}");
        pass(secs(1)).await;
        world.is_idle();
    }
}

/// A part that the origin gave is no page for anybody else.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_part_is_kept() {
    for why in WHYS {
        let world = why.known().await;
        for ask in [
            get("/a").header("range", "bytes=2-4"),
            head("/a"),
            get("/a").header("if-none-match", "\"1\""),
        ] {
            world.get(ask).await;
            settle().await;
            let got = world.get("/a").await;
            assert_eq!(
                (got.status.as_u16(), got.body.len()),
                (200, why.size()),
                "{why:?}"
            );
            settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_takes_its_part_along() {
    for why in WHYS {
        let world = World::config(why.config(), move |call| match call.header("range") {
            Some(_) => Reply::hang(),
            None => why.reply(call),
        });
        world.get("/a").await;
        settle().await;
        let task = world.start(get("/a").header("range", "bytes=2-4")).await;
        assert_eq!(world.origin.open_calls(), 1, "{why:?}");
        task.abort();
        settle().await;
        world.is_idle();
    }
}
