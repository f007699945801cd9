//! Where copies of a user's profile are, and steps of bounded size over them.

use super::super::holders::{Place, Places};
use super::super::{BATCH, GroupId, UserId};
use highwater_core::reads::Item;
use highwater_protocol::ListKey;

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
