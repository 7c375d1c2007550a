//! The official client SDKs, as they come from npm, `PyPI` and as Go modules, against the real server: two releases of each,
//! in both wire forms.
//!
//! Reading path: [`matrix`] (what is crossed with what), [`steps`] (what shows that a client can do something), [`run`] (one
//! script on its own server: [`protocol`], [`refresh`], [`follow`]), [`table`] (what came of it).
//!
//! Each script is a program that uses the SDK alone. It judges what it can see, and names each step when it is done; what it
//! was sent is judged here, byte for byte against what the log says. [`recorder`] keeps what the SDKs send, in
//! `target/sdk-frames`.

use std::io::{self, Write};

use anyhow::ensure;
use futures_util::{StreamExt, stream};

mod follow;
mod frames;
mod matrix;
mod protocol;
mod recorder;
mod refresh;
mod run;
mod stage;
mod steps;
mod table;

use matrix::{Form, RELEASES};
use run::{Part, Run};
use table::Table;

/// Scripts that run beside each other, each with its server. More would wait for the processors.
const RUNS_AT_ONCE: usize = 4;

#[tokio::test]
async fn two_releases_of_each_sdk_do_everything_in_both_forms() -> anyhow::Result<()> {
    recorder::forget()?;
    let mut kits = Vec::new();
    for release in &RELEASES {
        if let Some(kit) = release.kit().await? {
            kits.push((release, kit));
        }
    }
    let mut runs = Vec::new();
    for (release, kit) in &kits {
        for form in Form::ALL {
            runs.extend(Part::ALL.map(|part| Run { release, kit, form, part }));
        }
    }
    let mut table = Table::of(kits.iter().map(|(release, _)| *release));
    let mut outcomes = stream::iter(runs).map(Run::go).buffer_unordered(RUNS_AT_ONCE);
    while let Some(outcome) = outcomes.next().await {
        table.add(outcome);
    }
    // Not by the macro, whose output the test runner keeps to itself when a test passes.
    writeln!(io::stdout(), "\n{table}")?;
    ensure!(table.is_full(), "not all pass:\n{}", table.failures());
    Ok(())
}
