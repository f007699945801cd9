//! Every file of `fuzz/corpus/` and every seed, through its target.

use highwater_fuzz::{TARGETS, Target};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// What the corpus may take in the repository.
const CORPUS_BYTES_MAX: u64 = 2 * 1024 * 1024;
const FILES_PER_TARGET_MAX: usize = 150;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// The files of one target, by name.
fn files(target: &Target) -> Vec<PathBuf> {
    let folder = corpus().join(target.name);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// Runs a target on inputs; the names of those that it fails on.
fn failures(target: &Target, inputs: impl Iterator<Item = (String, Vec<u8>)>) -> Vec<String> {
    inputs
        .filter(|(_, bytes)| catch_unwind(|| (target.run)(bytes)).is_err())
        .map(|(name, _)| format!("{}: {name}", target.name))
        .collect()
}

#[test]
fn every_file_of_the_corpus_passes() {
    let mut failed = Vec::new();
    for target in TARGETS {
        let files = files(&target);
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        let read = |path: PathBuf| (path.display().to_string(), fs::read(&path).unwrap());
        failed.extend(failures(&target, files.into_iter().map(read)));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_seed_passes() {
    let mut failed = Vec::new();
    for target in TARGETS {
        let seeds = (target.seeds)().into_iter().enumerate();
        failed.extend(failures(
            &target,
            seeds.map(|(at, bytes)| (at.to_string(), bytes)),
        ));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_corpus_is_small_and_has_a_folder_and_a_program_for_each_target() {
    let mut bytes = 0;
    for target in TARGETS {
        let files = files(&target);
        assert!(files.len() <= FILES_PER_TARGET_MAX, "{}", target.name);
        for path in files {
            bytes += fs::metadata(path).unwrap().len();
        }
        let program = corpus().join(format!("../fuzz_targets/{}.rs", target.name));
        let program = fs::read_to_string(program).unwrap();
        assert!(program.contains(&format!("\"{}\"", target.name)));
    }
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes");
    let folders = fs::read_dir(corpus()).unwrap().count();
    assert_eq!(folders, TARGETS.len(), "a folder of no target");
}
