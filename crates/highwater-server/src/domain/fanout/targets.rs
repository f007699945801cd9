//! Where copies of a user's profile are, and steps of bounded size over them.

use super::super::holders::{Place, Places};
use super::super::{BATCH, GroupId, UserId};
use super::{Clock, FanOut, Stop};
use highwater_core::reads::Item;
use highwater_protocol::ListKey;
use highwater_store::{Store, StoreError, Write};
use std::fmt;

/// A place or some that hold a copy of a user's profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Lists of another user's.
    Holder(UserId, Places),
    /// The members of a group that the user is in.
    Group(GroupId),
    /// The applications to a group that the user applies to.
    Application(GroupId),
}

/// Which list of the user's leads to targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trail {
    Holders,
    Groups,
    Applications,
}

impl Trail {
    pub(super) const ALL: [Self; 3] = [Self::Holders, Self::Groups, Self::Applications];

    pub(super) fn list(self, user: &UserId) -> ListKey {
        match self {
            Self::Holders => user.holders(),
            Self::Groups => user.groups(),
            Self::Applications => user.sent_join_requests(),
        }
    }

    /// Where an item of that list leads to.
    pub(super) fn target(self, item: &Item) -> Option<Target> {
        let id = item.id.as_str();
        match self {
            Self::Holders => UserId::new(id)
                .ok()
                .map(|holder| Target::Holder(holder, Places::of(item))),
            Self::Groups => GroupId::new(id).ok().map(Target::Group),
            Self::Applications => GroupId::new(id).ok().map(Target::Application),
        }
    }
}

impl Target {
    /// The lists that hold the copies.
    pub(super) fn lists(&self) -> Vec<ListKey> {
        match self {
            Self::Holder(holder, places) => places.iter().map(|at| at.list(holder)).collect(),
            Self::Group(group) => vec![group.members()],
            Self::Application(group) => vec![group.join_requests()],
        }
    }

    /// The locale of whose owner ranks a copy depends on, if any does.
    pub(super) fn ranked_by(&self) -> Option<&UserId> {
        match self {
            Self::Holder(holder, places) => {
                let is_friend = places.iter().any(|place| place == Place::Friends);
                is_friend.then_some(holder)
            }
            Self::Group(_) | Self::Application(_) => None,
        }
    }
}

/// How a job goes along a trail: with writes that are made of targets.
pub(super) struct Walk<'a, W> {
    pub(super) user: &'a UserId,
    /// Lists that each step declares beside those of its targets.
    pub(super) beside: usize,
    /// How many lists a target takes.
    pub(super) lists: fn(&Target) -> usize,
    pub(super) step: fn(UserId, Vec<Target>) -> W,
}

impl<S: Store> FanOut<S> {
    /// Goes along a trail, page by page. `false`: it was told to stop before the
    /// end.
    pub(super) async fn walk<W: Write>(
        &self,
        trail: Trail,
        walk: &Walk<'_, W>,
        clock: &Clock,
        stop: &Stop,
    ) -> Result<bool, StoreError>
    where
        W::Refusal: fmt::Display,
    {
        let list = trail.list(walk.user);
        let mut after = None;
        loop {
            let (items, next) = self.page(&list, after.as_ref()).await?;
            let targets: Vec<_> = items.iter().filter_map(|item| trail.target(item)).collect();
            for targets in steps(&targets, walk.beside, walk.lists) {
                if stop.is_said() {
                    return Ok(false);
                }
                self.step(clock, (walk.step)(walk.user.clone(), targets))
                    .await?;
            }
            after = next;
            if after.is_none() {
                return Ok(true);
            }
        }
    }
}

/// Cuts work into steps that declare at most 250 lists, `beside` of them in each
/// step, and `lists` for each piece.
pub(super) fn steps<T: Clone>(
    work: &[T],
    beside: usize,
    lists: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut steps = Vec::<Vec<T>>::new();
    let mut declared = usize::MAX;
    for piece in work {
        let more = lists(piece);
        if declared.saturating_add(more) > BATCH {
            steps.push(Vec::new());
            declared = beside;
        }
        declared += more;
        if let Some(step) = steps.last_mut() {
            step.push(piece.clone());
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_declare_no_more_than_their_limit_and_leave_nothing_out() {
        let work: Vec<usize> = (0..1_000).map(|at| at % 6).collect();
        let cut = steps(&work, 2, |lists| *lists);
        assert!(
            cut.iter()
                .all(|step| step.iter().sum::<usize>() <= BATCH - 2)
        );
        assert_eq!(cut.concat(), work);
        assert!(cut.len() < 12, "{}", cut.len());
        assert!(steps(&work[..0], 2, |lists| *lists).is_empty());
    }
}
