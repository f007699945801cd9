//! Keeps the corpus of the fuzz targets: `highwater-fuzz seed DIR` writes what
//! it begins with, `highwater-fuzz cap DIR FILES` keeps so many files of each
//! target, from the shortest to the longest, and those named `found-…`.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["seed", folder] => seed(Path::new(folder)),
        ["cap", folder, files] => {
            let files = files.parse().context("FILES is a number")?;
            cap(Path::new(folder), files)
        }
        _ => bail!("usage: highwater-fuzz seed DIR | highwater-fuzz cap DIR FILES"),
    }
}

fn seed(corpus: &Path) -> Result<()> {
    for target in highwater_fuzz::TARGETS {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (at, bytes) in (target.seeds)().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{at:03}")), bytes)?;
        }
    }
    Ok(())
}

fn cap(corpus: &Path, files: usize) -> Result<()> {
    for target in highwater_fuzz::TARGETS {
        let mut found: Vec<_> = fs::read_dir(corpus.join(target.name))?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.metadata()?.len(), entry.path()))
            })
            .collect::<std::io::Result<_>>()?;
        found.retain(|(_, path)| !is_find(path));
        found.sort();
        let keeps = |at: usize| {
            // Spread evenly: every (length / files)th.
            at * files / found.len() != (at + 1) * files / found.len()
        };
        for (at, (_, path)) in found.iter().enumerate() {
            if found.len() > files && !keeps(at) {
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}

/// Whether a file is what led to a fix.
fn is_find(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("found-"))
}
