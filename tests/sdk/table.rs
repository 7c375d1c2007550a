//! What came of all runs: a row for each release and form, a column for each thing that a client can do.

use std::fmt::{self, Display, Formatter, Write};

use crate::{
    matrix::{Capability, Form, Release},
    run::Outcome,
    steps::{Step, steps},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    release: &'static Release,
    form: Form,
    done: Vec<&'static Step>,
    failures: String,
}

impl Table {
    /// The rows of these releases, where nothing has been done.
    pub(crate) fn of(releases: impl Iterator<Item = &'static Release>) -> Self {
        let row = |release, form| Row { release, form, done: Vec::new(), failures: String::new() };
        Self(releases.flat_map(|release| Form::ALL.map(|form| row(release, form))).collect())
    }

    /// Enters what came of a run.
    pub(crate) fn add(&mut self, outcome: Outcome) {
        let Outcome { release, form, part, done, failure } = outcome;
        let row = self.0.iter_mut().find(|row| row.release == release && row.form == form);
        let Some(row) = row else { return };
        row.done.extend(done);
        if let Some(error) = failure {
            // A string takes what it is given.
            let _ = writeln!(row.failures, "{release}, {}, {}: {error:#}", form.name(), part.name());
        }
    }

    /// Whether each client can do everything.
    pub(crate) fn is_full(&self) -> bool {
        let can_all = |row: &Row| Capability::ALL.into_iter().all(|capability| row.can(capability));
        self.0.iter().all(|row| row.failures.is_empty() && can_all(row))
    }

    /// Why not.
    pub(crate) fn failures(&self) -> String {
        self.0.iter().map(|row| row.failures.as_str()).collect()
    }
}

impl Row {
    /// Whether all that shows it was done.
    fn can(&self, capability: Capability) -> bool {
        let mut shown_by = steps(self.release).filter(|step| step.shows.contains(&capability));
        shown_by.all(|step| self.done.contains(&step))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18} {:<8} {:<9}", "SDK", "release", "form")?;
        for capability in Capability::ALL {
            write!(f, " {:<9}", capability.name())?;
        }
        for row in &self.0 {
            let Release { sdk, version, .. } = row.release;
            write!(f, "\n{:<18} {version:<8} {:<9}", sdk.name(), row.form.name())?;
            for capability in Capability::ALL {
                write!(f, " {:<9}", if row.can(capability) { "pass" } else { "FAIL" })?;
            }
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        matrix::RELEASES,
        run::Part,
        steps::{ASKED_TO_REFRESH, SENT_THE_LOG},
    };

    /// What comes of the runs of one release in one form if all but the step `left` is done.
    fn outcomes(left: Option<&str>) -> impl Iterator<Item = Outcome> {
        Part::ALL.into_iter().map(move |part| {
            let steps = steps(&RELEASES[0]).filter(|step| step.part == part);
            let done = steps.filter(|step| Some(step.name) != left).collect();
            Outcome { release: &RELEASES[0], form: Form::Json, part, done, failure: None }
        })
    }

    fn row(left: Option<&str>) -> Vec<bool> {
        let mut table = Table::of([&RELEASES[0]].into_iter());
        outcomes(left).for_each(|outcome| table.add(outcome));
        Capability::ALL.map(|capability| table.0[0].can(capability)).to_vec()
    }

    #[test]
    fn what_was_not_done_is_not_passed() {
        assert_eq!(row(None), [true; 8]);
        let all_but = |failed: &[usize]| (0..8).map(|at| !failed.contains(&at)).collect::<Vec<_>>();
        assert_eq!(row(Some("an expired token is renewed")), all_but(&[0]));
        assert_eq!(row(Some(SENT_THE_LOG)), all_but(&[1, 2, 3, 4]));
        assert_eq!(row(Some(ASKED_TO_REFRESH)), all_but(&[6]));
    }

    #[test]
    fn a_table_is_full_when_nothing_is_missing_and_nothing_failed() {
        let table = |failure: Option<&str>, forms: usize| {
            let mut table = Table::of([&RELEASES[0]].into_iter());
            for form in Form::ALL.into_iter().take(forms) {
                for mut outcome in outcomes(None) {
                    outcome.form = form;
                    outcome.failure = failure.map(|why| anyhow::anyhow!("{why}"));
                    table.add(outcome);
                }
            }
            table
        };
        assert!(table(None, 2).is_full());
        assert!(!table(None, 1).is_full());
        let failed = table(Some("a reason"), 2);
        assert!(!failed.is_full());
        assert!(failed.failures().contains("a reason"));
    }
}
