//! The path of an order, from whoever publishes to whoever reads: random ones, and those for which there is no room.
#![cfg(all(feature = "hold", feature = "cache", feature = "publish", feature = "testing"))]

mod again;
mod alone;
mod begun;
mod bursts;
mod hold_room;
#[path = "../hold_support/mod.rs"]
mod hold_support;
mod ids_again;
mod interleaved;
mod model;
mod nested;
mod on_the_way;
mod ordinary;
mod overtaken;
mod posts;
mod publish_model;
mod real;
mod released;
mod room;
mod threads;
mod wild;

use proptest::test_runner::Config;

/// 200 of each, unless `PROPTEST_CASES` asks for many: then a tenth of that, for each is long.
fn cases() -> Config {
    let config = Config::default();
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config.cases / 10,
        None => 200,
    };
    Config { cases, ..config }
}
