//! The way from one window to another: as few steps as an app can animate.

use super::Change;
use crate::local::ReadRow;
use crate::page::Row;
use highwater_protocol::{ItemId, Rank, Stamp};
use std::collections::{BTreeMap, BTreeSet};

/// What a window held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: ItemId,
    pub(crate) rank: Rank,
    pub(crate) stamp: Stamp,
    pub(crate) whole: bool,
}

impl Seen {
    pub(crate) fn of(read: &ReadRow) -> Self {
        Self {
            id: read.row.id.clone(),
            rank: read.row.rank.clone(),
            stamp: read.row.stamp,
            whole: read.row.payload.is_some(),
        }
    }
}

/// A step between two windows; indices of rows are those of the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Remove { at: usize, id: ItemId },
    Move { from: usize, to: usize, new: usize },
    Insert { at: usize },
    Update { at: usize },
}

/// The steps from what a window held to `rows`, of which `now` is what is seen.
pub(crate) fn changes<T>(before: &[Seen], now: &[Seen], rows: Vec<Row<T>>) -> Vec<Change<T>> {
    let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
    // Each row of the new window is named by one step at most.
    let mut take = |at: usize| rows.get_mut(at).and_then(Option::take);
    steps(before, now)
        .into_iter()
        .filter_map(|step| match step {
            Step::Remove { at, id } => Some(Change::Remove { at, id }),
            Step::Move { from, to, new } => take(new).map(|row| Change::Move { from, to, row }),
            Step::Insert { at } => take(at).map(|row| Change::Insert { at, row }),
            Step::Update { at } => take(at).map(|row| Change::Update { at, row }),
        })
        .collect()
}

/// The steps from one window to another, with as few moves as there can be:
/// removals from the end, moves, insertions from the start, updates.
fn steps(before: &[Seen], now: &[Seen]) -> Vec<Step> {
    let place: BTreeMap<&ItemId, usize> = now
        .iter()
        .enumerate()
        .map(|(at, seen)| (&seen.id, at))
        .collect();
    let mut steps = Vec::new();
    for (at, seen) in before.iter().enumerate().rev() {
        if !place.contains_key(&seen.id) {
            let id = seen.id.clone();
            steps.push(Step::Remove { at, id });
        }
    }
    // What stays, as places in the new window, in the old order.
    let kept: Vec<(usize, &Seen)> = before
        .iter()
        .filter_map(|seen| place.get(&seen.id).map(|&at| (at, seen)))
        .collect();
    let mut order: Vec<usize> = kept.iter().map(|(at, _)| *at).collect();
    let stable: BTreeSet<usize> = longest_rising(&order).into_iter().collect();
    let mut settled = stable.clone();
    let mut movers: Vec<usize> = order
        .iter()
        .copied()
        .filter(|at| !stable.contains(at))
        .collect();
    movers.sort_unstable();
    for new in &movers {
        // Behind the nearest that stands before it in the new window.
        let from = position(&order, *new);
        order.remove(from);
        let to = settled
            .range(..new)
            .next_back()
            .map_or(0, |before| position(&order, *before) + 1);
        order.insert(to, *new);
        settled.insert(*new);
        steps.push(Step::Move {
            from,
            to,
            new: *new,
        });
    }
    let kept: BTreeMap<usize, &Seen> = kept.into_iter().collect();
    steps.extend(
        (0..now.len())
            .filter(|at| !kept.contains_key(at))
            .map(|at| Step::Insert { at }),
    );
    let is_changed =
        |at: usize, seen: &Seen| seen.stamp != now[at].stamp || seen.whole != now[at].whole;
    let updated = kept
        .into_iter()
        .filter(|(at, seen)| stable.contains(at) && is_changed(*at, seen));
    steps.extend(updated.map(|(at, _)| Step::Update { at }));
    steps
}

fn position(order: &[usize], wanted: usize) -> usize {
    order
        .iter()
        .position(|at| *at == wanted)
        .unwrap_or_default()
}

/// The longest rising subsequence of distinct numbers.
fn longest_rising(numbers: &[usize]) -> Vec<usize> {
    // The end of the best subsequence of each length, and what precedes each.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::with_capacity(numbers.len());
    for (at, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|&end| numbers[end] < *number);
        previous.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut rising = Vec::with_capacity(ends.len());
    let mut at = ends.last().copied();
    while let Some(index) = at {
        rising.push(numbers[index]);
        at = previous[index];
    }
    rising.reverse();
    rising
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A window written as words: `b` or, with other content, `b2`.
    fn window(text: &str) -> Vec<Seen> {
        text.split_whitespace()
            .map(|word| Seen {
                id: ItemId::new(&word[..1]).unwrap(),
                rank: Rank::default(),
                stamp: Stamp([word.len() as u8; 16]),
                whole: true,
            })
            .collect()
    }

    /// What an app that applies the steps ends with.
    fn applied(before: &[Seen], now: &[Seen], steps: &[Step]) -> Vec<Seen> {
        let mut shown = before.to_vec();
        for step in steps {
            match step {
                Step::Remove { at, id } => assert_eq!(shown.remove(*at).id, *id),
                Step::Move { from, to, new } => {
                    assert_eq!(shown.remove(*from).id, now[*new].id);
                    shown.insert(*to, now[*new].clone());
                }
                Step::Insert { at } => shown.insert(*at, now[*at].clone()),
                Step::Update { at } => {
                    assert_eq!(shown[*at].id, now[*at].id);
                    shown[*at] = now[*at].clone();
                }
            }
        }
        shown
    }

    fn between(before: &str, now: &str) -> Vec<Step> {
        let (before, now) = (window(before), window(now));
        let steps = steps(&before, &now);
        assert_eq!(applied(&before, &now, &steps), now);
        steps
    }

    #[test]
    fn each_difference_is_one_step() {
        assert_eq!(between("a b c", "a b c"), []);
        assert_eq!(between("a b c", "a b2 c"), [Step::Update { at: 1 }]);
        assert_eq!(between("a c", "a b c"), [Step::Insert { at: 1 }]);
        assert_eq!(
            between("a b c d e", "b c d e a"),
            [Step::Move {
                from: 0,
                to: 4,
                new: 4
            }]
        );
        assert_eq!(
            between("a b c d e", "e2 a b c d"),
            [Step::Move {
                from: 4,
                to: 0,
                new: 0
            }]
        );
        let id = ItemId::new("a").unwrap();
        assert_eq!(between("a b", "b"), [Step::Remove { at: 0, id }]);
    }

    #[test]
    fn any_window_leads_to_any_other() {
        let mut random = 7_u64;
        let mut roll = |sides: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % sides
        };
        let mut some = || {
            let mut letters: Vec<char> = ('a'..='l').collect();
            let mut words = String::new();
            for _ in 0..roll(13) {
                let letter = letters.swap_remove(roll(letters.len() as u64) as usize);
                words.push(letter);
                words.push_str(if roll(3) == 0 { "2 " } else { " " });
            }
            words
        };
        for _ in 0..2_000 {
            between(&some(), &some());
        }
    }

    #[test]
    fn the_longest_rising_part_stays() {
        assert_eq!(longest_rising(&[]), Vec::<usize>::new());
        assert_eq!(longest_rising(&[5, 1, 2, 9, 3]), [1, 2, 3]);
        assert_eq!(longest_rising(&[3, 2, 1]).len(), 1);
    }
}
