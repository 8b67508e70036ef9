//! Times: the command keeps seconds since 1970 in the pool and shows them in the local time zone.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, tz::TimeZone};

/// Now, as seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time for people: in the local time zone, `-` for 0.
pub fn local(seconds: u64) -> String {
    match timestamp(seconds) {
        Some(time) if seconds > 0 => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        _ => "-".to_owned(),
    }
}

/// A time for machines: RFC 3339 in UTC.
pub fn utc(seconds: u64) -> Option<String> {
    timestamp(seconds).filter(|_| seconds > 0).map(|time| time.to_string())
}

fn timestamp(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::{local, utc};

    #[test]
    fn times_are_shown_and_nonsense_is_a_dash() {
        assert_eq!(utc(1_700_000_000).as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(local(1_700_000_000).len(), 19);
        assert_eq!((local(0).as_str(), local(u64::MAX).as_str()), ("-", "-"));
    }
}
