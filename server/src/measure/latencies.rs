//! Latencies, all of them: what the slowest one in a thousand saw is the point.

use std::time::Duration;

/// Latencies in rising order.
#[derive(Debug)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Takes them in any order.
    pub fn new(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self(latencies)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    /// The smallest latency that at least this share (0 to 1) of all do not exceed; zero if there are none.
    pub fn at(&self, share: f64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "at most ten million")]
        let rank = (share * self.0.len() as f64).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the length"
        )]
        let index = (rank as usize).saturating_sub(1);
        self.0.get(index).or(self.0.last()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_were_seen() {
        let latencies = Latencies::new((1..=1_000).rev().map(Duration::from_millis).collect());
        let ms = |share| latencies.at(share).as_millis();
        assert_eq!([ms(0.5), ms(0.9), ms(0.99), ms(0.999), ms(1.0), ms(0.0)], [500, 900, 990, 999, 1_000, 1]);
        assert_eq!(latencies.count(), 1_000);
    }

    #[test]
    fn few_latencies_have_percentiles_too() {
        let one = Latencies::new(vec![Duration::from_millis(7)]);
        assert_eq!([one.at(0.5), one.at(0.999), one.at(1.0)], [Duration::from_millis(7); 3]);
        assert_eq!(Latencies::new(Vec::new()).at(0.5), Duration::ZERO);
    }
}
