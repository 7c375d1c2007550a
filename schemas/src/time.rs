//! Points in time, to the millisecond.

use std::{fmt, str::FromStr};

use jiff::tz::Offset;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::string;

/// Milliseconds since 1970-01-01T00:00:00Z. In JSON an RFC 3339 text (`2024-02-26T08:49:39.372Z`), in
/// Avro a `timestamp-millis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time between the years 0000 and 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a time; write it like 2024-02-26T08:49:39.372Z")]
pub struct TimestampError {
    found: String,
}

impl Timestamp {
    /// 9999-12-30T22:00:00.000Z: nearly the last that RFC 3339 can write, in every time zone.
    const MILLIS_MAX: i64 = 253_402_207_200_000;
    /// 0000-01-01T00:00:00Z, the first that RFC 3339 can write.
    const MILLIS_MIN: i64 = -62_167_219_200_000;

    /// The time so many milliseconds after 1970 (before, if negative). Held within the years
    /// 0000 to 9999, so that each can be written as text.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(Self::MILLIS_MIN, Self::MILLIS_MAX))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// As text. Every event that is told has two of them, so it is made digit by digit.
    fn text(self) -> [u8; 24] {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        // It lies within what can be written, whatever it was made from.
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        let time = Offset::UTC.to_datetime(time);
        for (place, number) in [
            (0..4, time.year()),
            (5..7, time.month().into()),
            (8..10, time.day().into()),
            (11..13, time.hour().into()),
            (14..16, time.minute().into()),
            (17..19, time.second().into()),
            (20..23, time.millisecond()),
        ] {
            let mut rest = number.unsigned_abs();
            for digit in text.get_mut(place).into_iter().flatten().rev() {
                *digit += (rest % 10) as u8;
                rest /= 10;
            }
        }
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(s: &str) -> Result<Self, TimestampError> {
        s.parse::<jiff::Timestamp>()
            .map(|time| Self::from_millis(time.as_millisecond()))
            .map_err(|_| TimestampError { found: s.chars().take(40).collect() })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            string::parsed(deserializer)
        } else {
            i64::deserialize(deserializer).map(Self::from_millis)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_millis_agree() {
        let time: Timestamp = "2024-02-26T08:49:39.372Z".parse().unwrap();
        assert_eq!(time.as_millis(), 1_708_937_379_372);
        assert_eq!(time.to_string(), "2024-02-26T08:49:39.372Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        for millis in (0..400).map(|step| Timestamp::MILLIS_MIN + step * 788_923_149_999) {
            let time = Timestamp::from_millis(millis);
            let of_library = jiff::Timestamp::from_millisecond(time.as_millis()).unwrap();
            assert_eq!(time.to_string(), format!("{of_library:.3}"));
        }
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn extremes_can_still_be_written() {
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-30T22:00:00.000Z");
        assert_eq!(Timestamp::from_millis(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
    }
}
