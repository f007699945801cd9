//! Checks larger bounds than the tests do, by hand: `highwater-model writes=4
//! purges=1 restores=2 crashes=1 lates=1 page=1 devices=2`. What is
//! not named is 0, but for `page=2` and `devices=2`.

use highwater_model::{Bounds, World};
use stateright::report::WriteReporter;
use stateright::{Checker, DiscoveryClassification, Model};
use std::process::ExitCode;

fn main() -> ExitCode {
    match bounds() {
        Ok(bounds) => check(bounds),
        Err(wrong) => {
            eprintln!("error: {wrong}");
            ExitCode::from(2)
        }
    }
}

fn check(bounds: Bounds) -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checked = World::of(bounds)
        .checker()
        .threads(threads)
        .spawn_bfs()
        .report(&mut WriteReporter::new(&mut std::io::stderr()));
    eprintln!(
        "{bounds:?}: {} states, {} deep",
        checked.unique_state_count(),
        checked.max_depth()
    );
    let found = checked.discoveries();
    let broken: Vec<_> = found
        .iter()
        .filter(|(name, _)| {
            matches!(
                checked.discovery_classification(name),
                DiscoveryClassification::Counterexample
            )
        })
        .collect();
    for (name, path) in &broken {
        eprintln!("{name}: {path:?}");
    }
    ExitCode::from(u8::from(!broken.is_empty()))
}

fn bounds() -> Result<Bounds, String> {
    let mut bounds = Bounds::NONE;
    for word in std::env::args().skip(1) {
        let (name, number) = word
            .split_once('=')
            .ok_or_else(|| format!("{word:?} is not name=number"))?;
        let number = number
            .parse()
            .map_err(|_| format!("{number:?} is no number from 0 to 255"))?;
        match name {
            "writes" => bounds.writes = number,
            "purges" => bounds.purges = number,
            "restores" => bounds.restores = number,
            "crashes" => bounds.crashes = number,
            "lates" => bounds.lates = number,
            "page" => bounds.page = number,
            "devices" => bounds.devices = number,
            "wrong_server" => bounds.wrong_server = number > 0,
            _ => return Err(format!("there is no bound {name:?}")),
        }
    }
    Ok(bounds)
}
