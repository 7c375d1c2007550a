//! How fast events of the past are shown.

use std::{str::FromStr, time::Duration};

use schemas::Timestamp;

/// No pause is longer: quiet nights pass quickly at any speed.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(3);

/// How fast time passes in a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Speed {
    /// So many seconds of the past in one second.
    Times(f64),
    /// No waiting.
    Max,
}

/// Says how long to wait before each event.
#[derive(Debug)]
pub(super) struct Pace {
    speed: Speed,
    before: Option<Timestamp>,
}

impl FromStr for Speed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err("a speed is a number above 0 (1 is as it was, 60 a minute a second) or max".to_owned()),
        }
    }
}

impl Pace {
    pub(super) fn new(speed: Speed) -> Self {
        Self { speed, before: None }
    }

    /// How long to wait before what happened at `at` is shown. Nothing before the first event, and nothing where
    /// time went backwards.
    pub(super) fn pause(&mut self, at: Timestamp) -> Duration {
        let before = self.before.replace(at).unwrap_or(at);
        let Speed::Times(times) = self.speed else { return Duration::ZERO };
        let millis = u64::try_from(at.as_millis().saturating_sub(before.as_millis())).unwrap_or(0);
        let seconds = Duration::from_millis(millis).as_secs_f64() / times;
        Duration::try_from_secs_f64(seconds).map_or(PAUSE_MAX, |pause| pause.min(PAUSE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(speed: &str, times: &[i64]) -> Vec<u128> {
        let mut pace = Pace::new(speed.parse().unwrap());
        times.iter().map(|time| pace.pause(Timestamp::from_millis(*time)).as_millis()).collect()
    }

    #[test]
    fn pauses_follow_the_times_divided_by_the_speed() {
        assert_eq!(pauses("1", &[5_000, 6_000, 6_500]), [0, 1_000, 500]);
        assert_eq!(pauses("60", &[0, 60_000]), [0, 1_000]);
        assert_eq!(pauses("0.5", &[0, 1_000]), [0, 2_000]);
        assert_eq!(pauses("max", &[0, 1_000]), [0, 0]);
    }

    #[test]
    fn nights_are_short_and_time_never_goes_back() {
        assert_eq!(pauses("1", &[0, 3_000, 6_001, 100_000_000]), [0, 3_000, 3_000, 3_000]);
        assert_eq!(pauses("1e-300", &[0, 1]), [0, 3_000]);
        assert_eq!(pauses("1", &[5_000, 1_000, 1_200]), [0, 0, 200]);
    }

    #[test]
    fn only_numbers_above_zero_are_speeds() {
        for wrong in ["0", "-1", "NaN", "inf", "fast", ""] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }
}
