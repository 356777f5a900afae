//! HTTP dates (RFC 9110 5.6.7), read strictly: `Expires` in any other form means "already expired".

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];
const SHORT_DAYS: [&[u8]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];
const LONG_DAYS: [&[u8]; 7] = [
    b"monday",
    b"tuesday",
    b"wednesday",
    b"thursday",
    b"friday",
    b"saturday",
    b"sunday",
];

/// The last second that has a date with a four-digit year: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// Reads one of the three formats: IMF-fixdate, RFC 850, asctime. Names in any case; the zone is GMT; every
/// field has its exact width. A two-digit year (RFC 850 only) is the latest one that is not more than 50
/// years after `now`.
pub(crate) fn parse_http_date(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    match value.get(3)? {
        b',' => imf_fixdate(value),
        b' ' => asctime(value),
        _ => rfc850(value, now),
    }
}

/// Writes IMF-fixdate. Times before 1970 and after the year 9999 become the nearest date that can be written.
pub(crate) fn format_http_date(time: SystemTime) -> HeaderValue {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs().min(LAST_SECOND);
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    HeaderValue::try_from(text).expect("a date is visible ASCII")
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<SystemTime> {
    let (day_name, rest) = value.split_at_checked(3)?;
    let rest = rest.strip_prefix(b", ")?;
    let (day, rest) = field(rest, 2, b' ')?;
    let (month, rest) = field(rest, 3, b' ')?;
    let (year, rest) = field(rest, 4, b' ')?;
    let (time, zone) = field(rest, 8, b' ')?;
    named(&SHORT_DAYS, day_name)?;
    zone.eq_ignore_ascii_case(b"GMT").then_some(())?;
    let days = days(number(year)?, month_of(month)?, number(day)?)?;
    at(days, time_of_day(time)?)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    let comma = value.iter().position(|&byte| byte == b',')?;
    let (day_name, rest) = value.split_at(comma);
    let rest = rest.strip_prefix(b", ")?;
    let (day, rest) = field(rest, 2, b'-')?;
    let (month, rest) = field(rest, 3, b'-')?;
    let (year, rest) = field(rest, 2, b' ')?;
    let (time, zone) = field(rest, 8, b' ')?;
    named(&LONG_DAYS, day_name)?;
    zone.eq_ignore_ascii_case(b"GMT").then_some(())?;
    let (year, month, day) = (number(year)?, month_of(month)?, number(day)?);
    let second = time_of_day(time)?;

    let century = year_of(now).div_euclid(100) * 100;
    [century + 100, century, century - 100]
        .into_iter()
        .map(|century| century + year)
        .find(|year| {
            // The same day 50 years before must not be in the future. A 29th of February that does not
            // exist then counts as the day after.
            at(day_number(year - 50, month, day), second).is_none_or(|earlier| earlier <= now)
        })
        .and_then(|year| at(days(year, month, day)?, second))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<SystemTime> {
    let (day_name, rest) = field(value, 3, b' ')?;
    let (month, rest) = field(rest, 3, b' ')?;
    let (day, rest) = field(rest, 2, b' ')?;
    let (time, year) = field(rest, 8, b' ')?;
    named(&SHORT_DAYS, day_name)?;
    let day = match day {
        [b' ', digit @ b'1'..=b'9'] => i64::from(digit - b'0'),
        [b'1'..=b'9', _] => number(day)?,
        _ => return None,
    };
    (year.len() == 4).then_some(())?;
    let days = days(number(year)?, month_of(month)?, day)?;
    at(days, time_of_day(time)?)
}

/// The first `width` bytes, and what follows the separator after them.
fn field(bytes: &[u8], width: usize, separator: u8) -> Option<(&[u8], &[u8])> {
    let (field, rest) = bytes.split_at_checked(width)?;
    Some((field, rest.strip_prefix(&[separator])?))
}

fn named(names: &[&[u8]], name: &[u8]) -> Option<usize> {
    names.iter().position(|known| known.eq_ignore_ascii_case(name))
}

fn month_of(name: &[u8]) -> Option<i64> {
    named(&MONTHS, name).map(|index| index as i64 + 1)
}

/// All digits; the caller has bounded the length.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// `08:49:37`; second 60 is a leap second.
fn time_of_day(time: &[u8]) -> Option<i64> {
    let (hour, rest) = field(time, 2, b':')?;
    let (minute, second) = field(rest, 2, b':')?;
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 of a date that exists.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    (1..=length).contains(&day).then(|| day_number(year, month, day))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Years start in March, so that the leap day is
/// the last of its year.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// About the calendar year of a time: exact to a day around New Year, which the windowing does not notice.
fn year_of(time: SystemTime) -> i64 {
    let days = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    1970 + (days as f64 / 365.2425) as i64
}

fn at(days: i64, second: i64) -> Option<SystemTime> {
    let seconds = days * 86_400 + second;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-15.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_794_700_800)
    }

    fn parse(text: &str) -> Option<u64> {
        let time = parse_http_date(text.as_bytes(), now())?;
        Some(time.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn rule_s11_three_formats() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 nOV 1994 08:49:37 gMT",
            "sUNDAY, 06-NOV-94 08:49:37 gmt",
        ] {
            assert_eq!(parse(text), Some(784_111_777), "{text}");
        }
        assert_eq!(parse("Sun Nov 16 08:49:37 1994"), Some(784_975_777));
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(parse("Thu, 18 Aug 2050 02:01:18 GMT"), Some(2_544_400_878));
        assert_eq!(parse("Tue, 29 Feb 2000 23:59:60 GMT"), Some(951_868_800));
    }

    #[test]
    fn rule_s11_everything_else_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 2050 02:01:18 +0000",
            "Thu, 18 Aug 2050 02:01:18",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 8 Aug 2050 02:01:18 GMT",
            "Thu,18 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT ",
            " Thu, 18 Aug 2050 02:01:18 GMT",
            "Thu, 18 August 2050 02:01:18 GMT",
            "Xxx, 18 Aug 2050 02:01:18 GMT",
            "Thu, 31 Apr 2050 02:01:18 GMT",
            "Thu, 29 Feb 2100 02:01:18 GMT",
            "Thu, 00 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Thu, 18 Aug 2050 02:60:18 GMT",
            "Thu, 18 Aug 2050 02:01:61 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov 06 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
            "Sun Nov  6 08:49:37 1994 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn rule_s11_two_digit_years_are_at_most_fifty_years_ahead() {
        assert_eq!(parse("Thursday, 18-Aug-50 02:01:18 GMT"), Some(2_544_400_878));
        // 2076-08-18 is less than fifty years ahead of 2026-11-15, 2076-12-18 is more.
        assert_eq!(parse("Tuesday, 18-Aug-76 00:00:00 GMT"), Some(3_364_934_400));
        assert_eq!(parse("Saturday, 18-Dec-76 00:00:00 GMT"), Some(219_715_200));
    }

    #[test]
    fn dates_before_1970_are_dates() {
        let time = parse_http_date(b"Wed, 31 Dec 1969 23:59:59 GMT", now()).unwrap();
        assert_eq!(UNIX_EPOCH.duration_since(time).unwrap(), Duration::from_secs(1));
        assert!(parse_http_date(b"Mon, 01 Jan 0001 00:00:00 GMT", now()).is_some());
    }

    #[test]
    fn formatting_never_fails() {
        assert_eq!(
            format_http_date(UNIX_EPOCH - Duration::from_secs(9)),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
        let late = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(format_http_date(late), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0..=LAST_SECOND) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(parse_http_date(format_http_date(time).as_bytes(), now()), Some(time));
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            value in proptest::collection::vec(any::<u8>(), 0..40),
            seconds in 0..u64::from(u32::MAX),
        ) {
            parse_http_date(&value, UNIX_EPOCH + Duration::from_secs(seconds));
        }

        #[test]
        fn near_dates_are_read_without_panic(
            value in "[A-Za-z]{3,9}[,]?[ ]{1,2}[0-9]{1,2}[ -][A-Za-z]{3}[ -][0-9]{2,4} [0-9:]{8} GMT",
        ) {
            parse_http_date(value.as_bytes(), now());
        }
    }
}
