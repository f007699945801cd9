//! `highwater inspect receipts`: what devices told a server of their repairs.

use super::{Output, shown};
use crate::backend::Operator;
use anyhow::Result;
use serde_json::Value;

const COLUMNS: &str = "at_ms          reason    rung      mended  added    removed  changed  requests  up        down      items     ms        user / list";

/// Shows the last receipts that the server keeps.
pub(super) fn show(operator: &Operator, out: &mut Output) -> Result<()> {
    let (wanted, receipts) = operator.backend()?.receipts()?;
    if !wanted {
        eprintln!("the server asks for none: its option receipts_kept is 0");
    }
    out.head(COLUMNS)?;
    for receipt in receipts {
        out.row(|| line(&receipt), || receipt.clone())?;
    }
    Ok(())
}

fn line(receipt: &Value) -> String {
    let word = |name: &str| shown(receipt[name].as_str().unwrap_or_default());
    let number = |name: &str| receipt[name].as_i64().unwrap_or_default();
    format!(
        "{:<14} {:<9} {:<9} {:<7} {:<8} {:<8} {:<8} {:<9} {:<9} {:<9} {:<9} {:<9} {} {}",
        number("at_ms"),
        word("reason"),
        word("rung"),
        receipt["mended"].as_bool().unwrap_or_default(),
        number("added"),
        number("removed"),
        number("changed"),
        number("requests"),
        number("bytes_up"),
        number("bytes_down"),
        number("item_bytes"),
        number("duration_ms"),
        word("user"),
        word("list"),
    )
}
