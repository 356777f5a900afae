//! How the open files that the system allows are shared out: each connection is one.

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// Of clients.
    pub clients: usize,
    /// Of operators and publishers, who must be heard when clients have taken theirs.
    pub operators: usize,
    /// To origins. Who needs one more waits for one.
    pub origins: usize,
    /// Of so many that the system allows, if it says.
    allowed: Option<usize>,
}

/// What operators and publishers have at most.
const OPERATORS: usize = 512;
/// What is kept for origins, where clients would take it: most who are held need none.
const KEPT_FOR_ORIGINS: usize = 1024;

// === impl Files ===

impl Files {
    /// As many for clients and to origins as asked for, as far as there are.
    pub fn share_out(clients: usize, origins: usize) -> Self {
        // Most systems start a process with 1,024 and let it have more.
        match rlimit::increase_nofile_limit(u64::MAX) {
            Ok(allowed) => Self::of(usize::try_from(allowed).unwrap_or(usize::MAX), clients, origins),
            Err(_) => Self {
                clients,
                operators: OPERATORS,
                origins,
                allowed: None,
            },
        }
    }

    /// Says it in the log; `asked`: for so many clients.
    pub fn say(self, asked: usize) {
        let Self {
            clients,
            operators,
            origins,
            allowed: Some(allowed),
        } = self
        else {
            return;
        };
        tracing::info!(
            clients,
            operators,
            origins,
            "most connections, of the {allowed} open files that the system allows"
        );
        if clients < asked {
            tracing::warn!(
                "at most {clients} connections, not {asked} (--max-connections): the system allows {allowed} open files \
                 (ulimit -n)"
            );
        }
    }

    fn of(allowed: usize, clients: usize, origins: usize) -> Self {
        // The log, listeners, look-ups of names, certificates.
        let own = (allowed / 8).clamp(16, 64);
        let operators = (allowed / 8).clamp(8, OPERATORS);
        let left = allowed.saturating_sub(own + operators);
        let kept = origins.min((left / 4).min(KEPT_FOR_ORIGINS));
        let clients = clients.min(left - kept).max(1);
        let origins = origins.min(left.saturating_sub(clients)).max(1);
        Self {
            clients,
            operators,
            origins,
            allowed: Some(allowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all() {
        let of = |allowed, clients, origins| {
            let shares = Files::of(allowed, clients, origins);
            (shares.clients, shares.operators, shares.origins)
        };
        for (allowed, shares) in [
            (256, (144, 32, 48)),
            (1_024, (624, 128, 208)),
            (12_000, (10_000, 512, 1_424)),
            (20_000, (10_000, 512, 9_424)),
        ] {
            let (clients, operators, origins) = shares;
            assert_eq!(of(allowed, 10_000, 10_000), shares, "{allowed}");
            assert!(clients + operators + origins < allowed);
        }
        assert_eq!(of(1_000_000, 100, 10), (100, 512, 10));
        assert_eq!(of(52_000, 50_000, 50_000).0, 50_000, "as docs/operations.md says");
        assert_eq!(of(1, 100, 100), (1, 8, 1));
    }
}
