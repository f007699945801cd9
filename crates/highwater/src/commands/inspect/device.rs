//! `highwater inspect --verify`: is a device's database what it should be?

use super::{Output, shown};
use crate::exit::Verdict;
use anyhow::Result;
use highwater_sdk::local::{ScrubbedList, scrub};
use serde_json::json;
use std::path::Path;

const COLUMNS: &str =
    "verdict   rows         of           damaged      payloads     missing      phase        list";

/// Checks the database in a file, and changes nothing.
pub(super) fn verify(file: &Path, mut out: Output) -> Result<Verdict> {
    let found = scrub(file)?;
    out.head(COLUMNS)?;
    for list in &found.lists {
        show(list, &mut out)?;
    }
    out.end()?;
    for line in &found.file {
        eprintln!("SQLite: {line}");
    }
    let sound = found.is_sound();
    let whose = match &found.binding {
        Some(binding) => format!("{} at {}", shown(&binding.user), shown(&binding.server)),
        None => "nobody".to_owned(),
    };
    eprintln!(
        "{}: {} lists of {whose}, schema {}",
        if sound { "all agrees" } else { "DAMAGED" },
        found.lists.len(),
        found.schema
    );
    Ok(if sound { Verdict::Yes } else { Verdict::No })
}

fn show(list: &ScrubbedList, out: &mut Output) -> Result<()> {
    let verdict = if list.is_sound() { "sound" } else { "WRONG" };
    out.row(
        || {
            let ids: Vec<String> = list.ids.iter().map(|id| shown(id.as_str())).collect();
            let digest = match list.digest == list.digest_said {
                true => String::new(),
                false => format!("  digest {} should be {}", list.digest, list.digest_said),
            };
            format!(
                "{verdict:<9} {:<12} {:<12} {:<12} {:<12} {:<12} {:<12} {}{digest} {}",
                list.rows,
                list.rows_said,
                list.damaged,
                list.payloads_damaged,
                list.payloads_missing,
                shown(&list.phase),
                shown(&list.list.to_string()),
                ids.join(" "),
            )
            .trim_end()
            .to_owned()
        },
        || {
            let ids: Vec<&str> = list.ids.iter().map(|id| id.as_str()).collect();
            json!({
                "list": list.list.to_string(),
                "sound": list.is_sound(),
                "phase": list.phase,
                "rows": list.rows,
                "rows_said": list.rows_said,
                "damaged": list.damaged,
                "payloads_damaged": list.payloads_damaged,
                "payloads_missing": list.payloads_missing,
                "digest": list.digest.to_string(),
                "digest_said": list.digest_said.to_string(),
                "ids": ids,
            })
        },
    )
}
