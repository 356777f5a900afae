//! What answers are.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::app::State;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validates {
    Not,
    ByTag,
    ByWeakTag,
    /// Two versions have one.
    BySharedTag,
    ByDate,
}

pub static START: LazyLock<(Instant, u64)> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
    (Instant::now(), since.as_secs())
});

/// A moment as a date.
pub fn date(at: Instant) -> String {
    let seconds = START.1 + at.saturating_duration_since(START.0).as_secs();
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days.
    let z = day + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (
        doy - (153 * mp + 2) / 5 + 1,
        if mp < 10 { mp + 3 } else { mp - 9 },
    );
    let y = yoe + era * 400 + u64::from(m <= 2);
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    format!(
        "{}, {d:02} {} {y} {:02}:{:02}:{:02} GMT",
        names[(day % 7) as usize],
        months[(m - 1) as usize],
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// What an answer is. Its body is made of it, and its entity tag.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Made {
    pub url: usize,
    pub version: u64,
    /// The values of the fields that it depends on; `None`: it does not.
    pub v: Option<String>,
    pub w: Option<String>,
    /// Whose it is; zero: everybody's.
    pub user: u64,
}

impl Made {
    pub fn text(&self) -> String {
        let field = |field: &Option<String>| field.clone().unwrap_or("*".into());
        format!(
            "{}.{}.{}.{}.{}",
            self.url,
            self.version,
            field(&self.v),
            field(&self.w),
            self.user
        )
    }

    pub fn read(text: &str) -> Self {
        let parts: Vec<&str> = text.split('.').collect();
        assert_eq!(parts.len(), 5, "{text:?}");
        let field = |text: &str| (text != "*").then(|| text.to_owned());
        Self {
            url: parts[0].parse().expect("a number"),
            version: parts[1].parse().expect("a number"),
            v: field(parts[2]),
            w: field(parts[3]),
            user: parts[4].parse().expect("a number"),
        }
    }

    pub fn pieces(&self) -> Vec<String> {
        (0..1 + self.version % 4)
            .map(|n| format!("<{n}:{}>", self.text()))
            .collect()
    }

    pub fn body(&self) -> String {
        self.pieces().concat()
    }

    /// Its validator.
    pub fn validator(&self, validates: Validates, state: &State) -> String {
        match validates {
            Validates::Not => String::new(),
            Validates::ByTag => format!("\"{}\"", self.text()),
            Validates::ByWeakTag => format!("W/\"{}\"", self.text()),
            Validates::BySharedTag => {
                let version = self.version / 2;
                format!(
                    "W/\"{}\"",
                    Self {
                        version,
                        ..self.clone()
                    }
                    .text()
                )
            }
            Validates::ByDate => {
                let began = state.urls[self.url].began.get(&self.version);
                began.map_or_else(|| date(START.0), |began| date(*began))
            }
        }
    }
}
