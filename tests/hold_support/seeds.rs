//! Worlds that a seed makes, and who asks for one of them.

/// Choices that a seed makes.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// Runs on a clock that passes when nothing else happens.
pub fn paused<T>(world: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(world)
}

/// Runs so many worlds, each of which may tell what was wrong in it: more with `GRIPSTACK_FULL=1`, and only that of
/// `GRIPSTACK_SEED`, if that is there.
pub fn worlds(some: u64, many: u64, run: impl Fn(u64) -> Result<(), String>) {
    let seeds = match std::env::var("GRIPSTACK_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("GRIPSTACK_SEED is a number");
            seed..seed + 1
        }
        Err(_) if std::env::var("GRIPSTACK_FULL").is_ok_and(|full| full == "1") => 0..many,
        Err(_) => 0..some,
    };
    for seed in seeds {
        run(seed).unwrap_or_else(|story| panic!("{story}"));
    }
}
