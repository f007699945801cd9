//! What the demo found: as JSON for machines, as a table for people.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The whole demo.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Every copy of every list is what the server has, and what the history
    /// means.
    pub(crate) equal: bool,
    /// Transactions replayed.
    pub(crate) transactions: usize,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Content coding on both sides of the comparison: `identity`, or what was
    /// negotiated.
    pub(crate) coding: &'static str,
    /// One by one.
    pub(crate) devices: Vec<DeviceReport>,
    /// What befell the devices, and what each repair cost.
    pub(crate) repairs: Vec<RepairReport>,
    /// What differs, if anything does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) differences: Vec<String>,
}

/// One device.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct DeviceReport {
    /// How it lives.
    pub(crate) name: &'static str,
    /// Whose it is.
    pub(crate) user: String,
    /// How often it synchronised.
    pub(crate) syncs: u64,
    /// Requests that this took.
    pub(crate) requests: u64,
    /// Bytes it wrote to its socket, headers included.
    pub(crate) bytes_sent: u64,
    /// Bytes it read from its socket, headers included.
    pub(crate) bytes_received: u64,
    /// Bytes it would have read, had it pulled every list whole at each sync.
    pub(crate) bytes_full_pull: u64,
    /// Bytes it would have read, had it pulled just those lists whole that had
    /// changed; the answers about the others are not counted.
    pub(crate) bytes_etag_pull: u64,
    /// Bytes of those other answers (status 304).
    pub(crate) bytes_etag_unchanged: u64,
    /// `bytes_full_pull` for each byte received.
    pub(crate) ratio: f64,
    /// `bytes_etag_pull` for each byte received.
    pub(crate) ratio_etag: f64,
    /// The most changes of one list that one sync caught up with.
    pub(crate) largest_gap: u64,
    /// How often a list was read whole after its first sync.
    pub(crate) full_scans: u64,
    /// Lists that it holds at the end.
    pub(crate) lists: usize,
    /// Items in them, headers included.
    pub(crate) items: usize,
    /// Time spent in its syncs.
    pub(crate) seconds: f64,
    /// Whether all its copies are right.
    pub(crate) equal: bool,
}

/// One repair, of all lists that something befell at once.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RepairReport {
    /// Of this device.
    pub(crate) device: &'static str,
    /// What happened; or, if nothing was done to the device, why the copies were
    /// found to differ.
    pub(crate) what: String,
    /// Lists that were wrong, by the rung of the repair ladder that made them
    /// right.
    pub(crate) rungs: BTreeMap<&'static str, usize>,
    /// Elements that differed, in all of them.
    pub(crate) differed: u64,
    /// Requests of the sync that repaired them.
    pub(crate) requests: u64,
    /// Bytes it wrote to its socket, headers included.
    pub(crate) bytes_sent: u64,
    /// Bytes it read from its socket, headers included.
    pub(crate) bytes_received: u64,
}

impl DeviceReport {
    /// Works out the ratios.
    pub(crate) fn finish(&mut self) {
        self.ratio = ratio(self.bytes_full_pull, self.bytes_received);
        self.ratio_etag = ratio(self.bytes_etag_pull, self.bytes_received);
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn ratio(pulled: u64, received: u64) -> f64 {
    (pulled as f64 / received.max(1) as f64 * 10.0).round() / 10.0
}

impl Report {
    /// The table, and the verdict under it.
    pub(crate) fn table(&self) -> String {
        let head = [
            "device",
            "user",
            "syncs",
            "requests",
            "sent",
            "received",
            "full pulls",
            "less",
            "if changed",
            "less",
            "gap",
            "scans",
            "lists",
            "items",
            "time",
            "equal",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.devices.iter().map(|device| {
            [
                device.name.to_owned(),
                device.user.clone(),
                device.syncs.to_string(),
                device.requests.to_string(),
                bytes(device.bytes_sent),
                bytes(device.bytes_received),
                bytes(device.bytes_full_pull),
                format!("{:.0} x", device.ratio),
                bytes(device.bytes_etag_pull),
                format!("{:.0} x", device.ratio_etag),
                device.largest_gap.to_string(),
                device.full_scans.to_string(),
                device.lists.to_string(),
                device.items.to_string(),
                format!("{:.1} s", device.seconds),
                (if device.equal { "yes" } else { "NO" }).to_owned(),
            ]
        }));
        let mut out = aligned(&rows, 2);
        if !self.repairs.is_empty() {
            out.push('\n');
            out.push_str(&aligned(&self.repair_rows(), 3));
        }
        for difference in &self.differences {
            let _ = writeln!(out, "DIFFERS: {difference}");
        }
        let lists: usize = self.devices.iter().map(|device| device.lists).sum();
        let items: usize = self.devices.iter().map(|device| device.items).sum();
        let verdict = if self.equal {
            "every copy is exactly right"
        } else {
            "COPIES DIFFER"
        };
        let _ = write!(
            out,
            "\n{verdict}: {lists} lists with {items} elements on {} devices, compared one by one with the\n\
             server's database and with the history itself, after {} transactions in {:.1} s ({}).",
            self.devices.len(),
            self.transactions,
            self.seconds,
            match self.coding {
                "identity" => "no compression on either side",
                _ => "compressed on both sides",
            }
        );
        out
    }
}

impl Report {
    fn repair_rows(&self) -> Vec<Vec<String>> {
        let head = [
            "repair of",
            "after",
            "lists mended by",
            "differed",
            "requests",
            "sent",
            "received",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.repairs.iter().map(|repair| {
            let rungs: Vec<String> = repair
                .rungs
                .iter()
                .map(|(rung, lists)| format!("{rung} {lists}"))
                .collect();
            vec![
                repair.device.to_owned(),
                repair.what.clone(),
                rungs.join(", "),
                repair.differed.to_string(),
                repair.requests.to_string(),
                bytes(repair.bytes_sent),
                bytes(repair.bytes_received),
            ]
        }));
        rows
    }
}

/// Rows in columns, the first `left` of them to the left.
fn aligned(rows: &[impl AsRef<[String]>], left: usize) -> String {
    let columns = rows.first().map_or(0, |row| row.as_ref().len());
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.as_ref()[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (column, (cell, width)) in row.as_ref().iter().zip(&widths).enumerate() {
            let _ = match column < left {
                true => write!(out, "{cell:<width$}  "),
                false => write!(out, "{cell:>width$}  "),
            };
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// Bytes with a unit, three digits.
fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut number = count as f64;
    for unit in ["B", "kB", "MB"] {
        if number < 999.5 {
            let digits = if unit == "B" || number >= 99.95 { 0 } else { 1 };
            return format!("{number:.digits$} {unit}");
        }
        number /= 1_000.0;
    }
    format!("{number:.1} GB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_and_a_unit() {
        let shown: Vec<String> = [0, 999, 1_000, 99_940, 123_456, 999_499_999, 5_000_000_000]
            .map(bytes)
            .into();
        assert_eq!(
            shown,
            [
                "0 B", "999 B", "1.0 kB", "99.9 kB", "123 kB", "999 MB", "5.0 GB"
            ]
        );
    }

    #[test]
    fn a_difference_is_shouted() {
        let report = Report {
            equal: false,
            transactions: 1,
            seconds: 1.0,
            coding: "identity",
            devices: vec![DeviceReport {
                name: "d",
                ..DeviceReport::default()
            }],
            repairs: Vec::new(),
            differences: vec!["groups/u1: g1 is missing".to_owned()],
        };
        let table = report.table();
        assert!(table.contains("COPIES DIFFER") && table.contains("DIFFERS: groups/u1: g1"));
    }
}
