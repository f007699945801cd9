//! What is said about a measurement: one JSON object a line, and a table for
//! people when all is done.

use anyhow::Result;
use serde::Serialize;
use std::io::Write;

/// What a number is expected to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Goal {
    /// At least so many times the limit.
    RatioAtLeast(f64),
    /// At most so many times the limit.
    RatioAtMost(f64),
    /// At most this, in the value's unit.
    AtMost(f64),
    /// At most this, in the value's unit, which is worked out as the text says.
    AtMostBy(f64, String),
}

impl Goal {
    fn text(&self, unit: &str) -> String {
        match self {
            Self::RatioAtLeast(ratio) => format!("at least {ratio} of the limit"),
            Self::RatioAtMost(ratio) => format!("at most {ratio} times the limit"),
            Self::AtMost(value) => format!("at most {value} {unit}"),
            Self::AtMostBy(value, why) => format!("at most {} {unit} ({why})", number(*value)),
        }
    }

    fn is_met(&self, value: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::RatioAtLeast(least) => Some(ratio? >= *least),
            Self::RatioAtMost(most) => Some(ratio? <= *most),
            Self::AtMost(most) | Self::AtMostBy(most, _) => Some(value <= *most),
        }
    }
}

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// What was measured, as `docs/benchmarks.md` names it.
    pub(crate) name: String,
    /// The median, in `unit`.
    pub(crate) value: f64,
    /// Of `value` and `limit`.
    pub(crate) unit: &'static str,
    /// What this machine allowed in the same run; `null` if there is no such
    /// thing.
    pub(crate) limit: Option<f64>,
    /// `value` divided by `limit`.
    pub(crate) ratio: Option<f64>,
    /// What the number should be; `null` if it is only to be known.
    pub(crate) goal: Option<String>,
    /// Whether it is.
    pub(crate) met: Option<bool>,
    /// How many samples `value` is the median of.
    pub(crate) n: usize,
    /// What one has to know about it.
    pub(crate) note: String,
    /// Taken at sizes that show no more than that it runs.
    pub(crate) quick: bool,
}

impl Row {
    /// A line about a value.
    #[must_use]
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str, n: usize) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            limit: None,
            ratio: None,
            goal: None,
            met: None,
            n,
            note: String::new(),
            quick: false,
        }
    }

    /// What the machine allowed, in the same unit.
    #[must_use]
    pub(crate) fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self.ratio = (limit > 0.0).then(|| self.value / limit);
        self
    }

    /// What it should be. After [`limit`](Self::limit).
    #[must_use]
    pub(crate) fn goal(mut self, goal: &Goal) -> Self {
        self.goal = Some(goal.text(self.unit));
        self.met = goal.is_met(self.value, self.ratio);
        self
    }

    /// What one has to know about it.
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The line as JSON.
    ///
    /// # Errors
    /// None that can happen: every field is JSON.
    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

/// Writes all rows as a table, with what was missed at the end of each line.
///
/// # Errors
/// What the writer fails with.
pub(crate) fn table(out: &mut impl Write, rows: &[Row]) -> Result<()> {
    let cells: Vec<[String; 6]> = rows.iter().map(cells).collect();
    let head = ["name", "value", "limit", "ratio", "n", "goal"].map(str::to_owned);
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let lengths = cells.iter().chain([&head]);
            lengths
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    for row in [&head].into_iter().chain(&cells) {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let padded = match column {
                0 => format!("{cell:<width$}  "),
                5 => cell.clone(),
                _ => format!("{cell:>width$}  "),
            };
            line.push_str(&padded);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    let judged = rows.iter().filter_map(|row| row.met);
    let (met, all) = judged.fold((0, 0), |(met, all), is| (met + u32::from(is), all + 1));
    writeln!(out, "\n{met} of {all} goals are met.")?;
    if rows.iter().any(|row| row.quick) {
        writeln!(out, "Quick run: small sizes, numbers that mean nothing.")?;
    }
    Ok(())
}

fn cells(row: &Row) -> [String; 6] {
    let judged = match (&row.goal, row.met) {
        (Some(goal), Some(true)) => format!("met: {goal}"),
        (Some(goal), Some(false)) => format!("MISSED: {goal}"),
        (Some(goal), None) => goal.clone(),
        (None, _) => String::new(),
    };
    [
        row.name.clone(),
        format!("{} {}", number(row.value), row.unit),
        row.limit.map(number).unwrap_or_default(),
        row.ratio
            .map(|ratio| format!("{ratio:.2}"))
            .unwrap_or_default(),
        row.n.to_string(),
        judged,
    ]
}

/// Three digits that count, and thousands apart.
#[must_use]
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ if value == 0.0 => 0,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match rest {
        "" => grouped,
        rest => format!("{grouped}.{rest}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_by_ratio_or_by_value() {
        let row = Row::new("a", 50.0, "µs", 3).limit(20.0);
        let met = |goal| row.clone().goal(&goal).met;
        assert_eq!(row.ratio, Some(2.5));
        assert_eq!(met(Goal::RatioAtLeast(2.5)), Some(true));
        assert_eq!(met(Goal::RatioAtMost(2.4)), Some(false));
        assert_eq!(met(Goal::AtMost(50.0)), Some(true));
        assert_eq!(met(Goal::AtMostBy(49.0, "why".to_owned())), Some(false));
        let unlimited = Row::new("a", 1.0, "µs", 1).goal(&Goal::RatioAtMost(1.0));
        assert_eq!((unlimited.ratio, unlimited.met), (None, None));
    }

    #[test]
    fn numbers_keep_the_digits_that_count() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.0123"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234_567.8, "1,234,568"),
            (-1_234.0, "-1,234"),
            (-123.0, "-123"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_table_names_what_was_missed() {
        let rows = [
            Row::new("aligned.rps", 90_000.0, "1/s", 5)
                .limit(100_000.0)
                .goal(&Goal::RatioAtLeast(0.85)),
            Row::new("binary.size", 50.0, "MB", 1).goal(&Goal::AtMost(40.0)),
            Row::new("known", 1.0, "µs", 1),
        ];
        let mut out = Vec::new();
        table(&mut out, &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "name              value    limit  ratio  n  goal\n\
             aligned.rps  90,000 1/s  100,000   0.90  5  met: at least 0.85 of the limit\n\
             binary.size     50.0 MB                  1  MISSED: at most 40 MB\n\
             known           1.00 µs                  1\n\
             \n1 of 2 goals are met.\n"
        );
    }
}
