//! What a server counts, as Prometheus reads it.

use anyhow::{Context, ensure};

/// The text of one `/metrics`.
#[derive(Debug, Clone)]
pub struct Scrape(String);

impl Scrape {
    /// Asks the server at `url`.
    ///
    /// # Errors
    /// It does not answer with 200.
    pub async fn of(url: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http.get(format!("{url}/metrics")).send().await?;
        ensure!(answer.status().is_success(), "/metrics: {}", answer.status());
        Ok(Self(answer.text().await?))
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The sum of all series of this name whose labels hold each of `labels` (`code="ok"`). 0: there is none.
    ///
    /// # Errors
    /// A value is no number.
    pub fn sum(&self, name: &str, labels: &[&str]) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for line in self.0.lines() {
            let Some(rest) = line.strip_prefix(name) else { continue };
            let is_whole = rest.starts_with([' ', '{']);
            if is_whole && labels.iter().all(|label| rest.contains(label)) {
                let value = rest.rsplit(' ').next().context("no value")?;
                sum += value.parse::<f64>().with_context(|| format!("no number: {line}"))?;
            }
        }
        Ok(sum)
    }
}
