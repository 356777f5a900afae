//! The fuzzer of the target that `GRIPSTACK_FUZZ` names. See `fuzz/run`.
#![no_main]

use std::sync::OnceLock;

use gripstack::fuzz::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("GRIPSTACK_FUZZ").expect("GRIPSTACK_FUZZ names a target");
        gripstack::fuzz::target(&name)
    });
    target(bytes);
});
