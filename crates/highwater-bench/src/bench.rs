//! All benches, in the order in which they run: those that only read first,
//! since the others change the lists that they read.

use crate::context::Context;
use crate::report::Row;
use crate::{device, program, repair, server_sync, server_writes};
use anyhow::Result;

/// One bench. It may give several lines, whose names begin with its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bench {
    /// As `--only` and `docs/benchmarks.md` name it.
    pub(crate) name: &'static str,
    /// What it measures, and beside what.
    pub(crate) about: &'static str,
    /// Measures.
    pub(crate) run: fn(&mut Context) -> Result<Vec<Row>>,
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Bench> {
    [
        server_sync::BENCHES,
        device::BENCHES,
        repair::BENCHES,
        server_writes::BENCHES,
        program::BENCHES,
    ]
    .into_iter()
    .flatten()
}

/// Those that `only` names: by a name, or by what names begin with (`catchup`
/// for all of `catchup.…`). All, if it names none.
///
/// # Errors
/// The first name that nothing has.
pub(crate) fn named(only: &[String]) -> Result<Vec<&'static Bench>, String> {
    let matches = |bench: &Bench, name: &str| {
        let rest = bench.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some(unknown) = only
        .iter()
        .find(|name| !all().any(|bench| matches(bench, name)))
    {
        return Err(unknown.clone());
    }
    let chosen = |bench: &&Bench| only.is_empty() || only.iter().any(|name| matches(bench, name));
    Ok(all().filter(chosen).collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn benches_are_chosen_by_name_or_by_what_names_begin_with() {
        let names = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
            named(&only).map(|benches| {
                let names = benches.into_iter().map(|bench| bench.name);
                names.collect::<Vec<_>>()
            })
        };
        assert_eq!(names(&[]).unwrap().len(), all().count());
        assert_eq!(
            names(&["aligned", "apply.1"]).unwrap(),
            ["aligned.rps", "aligned.bytes", "apply.1"]
        );
        assert_eq!(names(&["apply.1", "align"]), Err("align".to_owned()));
    }

    #[test]
    fn each_bench_has_a_name_of_its_own() {
        let names: BTreeSet<_> = all().map(|bench| bench.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
