//! How the program ends: what it says, and the code that says it to scripts.

use std::fmt;
use std::process::ExitCode;

/// The answer to what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is well.
    Yes,
    /// It is not: copies differ, a database is damaged.
    No,
}

/// An error that is the caller's: a wrong argument, a file that is not what it
/// should be.
#[derive(Debug)]
pub(crate) struct BadInput(pub String);

impl fmt::Display for BadInput {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// Marks an error as the caller's.
pub(crate) fn bad_input(error: &anyhow::Error) -> anyhow::Error {
    BadInput(format!("{error:#}")).into()
}

/// Says what went wrong, and chooses the exit code.
pub(crate) fn report(outcome: anyhow::Result<Verdict>) -> ExitCode {
    match outcome {
        Ok(Verdict::Yes) => ExitCode::SUCCESS,
        Ok(Verdict::No) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<BadInput>() { 2 } else { 3 })
        }
    }
}
