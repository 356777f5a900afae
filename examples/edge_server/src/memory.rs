//! How memory is shared out among what grows with use and is bounded.

use crate::config::ConfigError;

/// Most bytes of each thing that grows with use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Stored answers.
    pub cache: u64,
    /// Answers that arrive, or are read after they have left the cache.
    pub flights: u64,
    /// The channels' logs.
    pub logs: u64,
    /// Messages that wait for their predecessor.
    pub waiting: u64,
    /// Messages that wait for their turn.
    pub pacing: u64,
    /// Compressors.
    pub compressors: u64,
}

const MIB: u64 = 1 << 20;

/// Where nobody says how much there is.
const USUAL: Memory = Memory {
    cache: 256 * MIB,
    flights: 64 * MIB,
    logs: 256 * MIB,
    waiting: 64 * MIB,
    pacing: 64 * MIB,
    compressors: 128 * MIB,
};

/// With less of it, what is stored would hardly be anything.
const LEAST: u64 = 64 * MIB;

/// Has the kernel give pages of 4 KiB, not huge ones of 2 MiB where it is set so. What clients and answers take is small
/// and goes in no order: of huge pages more is kept, and more is cleared for each connection.
pub fn take_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay as the kernel is set");
    }
}

// === impl Memory ===

impl Memory {
    /// `all`: for all of them. `cache`: of that, or as it is, for stored answers. What is not asked for is shared out as usual.
    pub fn share_out(all: Option<u64>, cache: Option<u64>) -> Result<Self, ConfigError> {
        let Some(all) = all else {
            return Ok(Self {
                cache: cache.unwrap_or(USUAL.cache),
                ..USUAL
            });
        };
        if all < LEAST {
            return Err(ConfigError::new("memory", "64M at least"));
        }
        let (left, of) = match cache {
            Some(cache) if cache > all / 2 => {
                return Err(ConfigError::new("cache-bytes", "is more than half of --memory"));
            }
            Some(cache) => (all - cache, USUAL.all() - USUAL.cache),
            None => (all, USUAL.all()),
        };
        let share = |usual: u64| (u128::from(left) * u128::from(usual) / u128::from(of)) as u64;
        Ok(Self {
            cache: cache.unwrap_or(share(USUAL.cache)),
            flights: share(USUAL.flights),
            logs: share(USUAL.logs),
            waiting: share(USUAL.waiting),
            pacing: share(USUAL.pacing),
            compressors: share(USUAL.compressors),
        })
    }

    /// Of all of them.
    pub fn all(&self) -> u64 {
        self.cache + self.flights + self.logs + self.waiting + self.pacing + self.compressors
    }

    /// Says it in the log.
    pub fn say(&self) {
        tracing::info!(
            cache = %Mib(self.cache),
            flights = %Mib(self.flights),
            logs = %Mib(self.logs),
            waiting = %Mib(self.waiting),
            pacing = %Mib(self.pacing),
            compressors = %Mib(self.compressors),
            "most memory: {}, and what connections take",
            Mib(self.all())
        );
    }
}

/// A number of bytes, in short.
struct Mib(u64);

impl std::fmt::Display for Mib {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes < 10 * MIB => write!(f, "{}k", bytes >> 10),
            bytes => write!(f, "{}M", bytes / MIB),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_is_shared_out_as_usual() {
        let share = |all, cache| Memory::share_out(all, cache).expect("enough");
        assert_eq!(share(None, None), USUAL);
        assert_eq!(share(None, Some(1)).all(), USUAL.all() - USUAL.cache + 1);
        assert_eq!(share(Some(2 * USUAL.all()), None).logs, 2 * USUAL.logs);
        let given = share(Some(1 << 30), Some(300 * MIB));
        assert_eq!(given.cache, 300 * MIB);
        for all in [LEAST, 100_000_001, 1 << 30, u64::MAX] {
            for cache in [None, Some(0), Some(all / 2)] {
                let shared = share(Some(all), cache).all();
                assert!(shared <= all && shared > all - 6, "{shared} of {all}");
            }
        }
    }

    #[test]
    fn too_little_is_refused() {
        for (all, cache) in [(LEAST - 1, None), (LEAST, Some(LEAST / 2 + 1))] {
            assert!(Memory::share_out(Some(all), cache).is_err());
        }
    }
}
