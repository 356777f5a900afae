//! The mechanism broken on purpose, so that tests can show that they would notice.
//!
//! Only with `--cfg gripstack_mutants`; `GRIPSTACK_MUTANT` then names the one that is on. `tests/model/clock.py`
//! describes each.

#[cfg(gripstack_mutants)]
pub(crate) fn on(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("GRIPSTACK_MUTANT").unwrap_or_default()) == name
}

/// Whether this mutant is on; without `--cfg gripstack_mutants`, a constant `false`.
macro_rules! mutant {
    ($name:literal) => {{
        #[cfg(gripstack_mutants)]
        let on = crate::mutants::on($name);
        #[cfg(not(gripstack_mutants))]
        let on = false;
        on
    }};
}

pub(crate) use mutant;
