//! Who may read which list, decided in the snapshot that the answer is read
//! from, and remembered.
//!
//! A user reads the lists that are theirs, and the `members` of a group whose
//! members they are among. The second takes a read for each list, so it is remembered
//! as the pair (group, lineage of its members) for as long as the user's own
//! `groups` stays at one point. That is exact:
//!
//! - whoever enters or leaves a live group has their `groups` moved by the same
//!   transaction (a group's fan-out moves it only more often), so between two
//!   commits that show one point of it, no such thing happened in either order;
//! - a group that ends, and perhaps begins again under the same name, has
//!   another lineage or none: there the pair says nothing.
//!
//! A remembered right is only used beside states of one single commit.

use super::{Actor, KINDS, UserId};
use crate::generations::{Generations, Weight};
use highwater_core::answer::Access;
use highwater_core::reads::{ListState, Reads};
use highwater_protocol::{Code, Lineage, ListKey, OwnerId, Point, Refusal, kinds};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::slice;

/// What the kind of a list and its owner say about a reader.
enum Rule<'a> {
    May,
    MayNot,
    /// If this user is among the list's items.
    IfMember(&'a UserId),
    NoSuchKind,
}

fn rule<'a>(actor: &'a Actor, list: &ListKey) -> Rule<'a> {
    let kind = list.kind.as_str();
    match (kind, actor) {
        (_, Actor::Service) if KINDS.contains(&kind) => Rule::May,
        (_, Actor::User(user)) if is_users_own(kind) => {
            if *user.as_owner() == list.owner {
                Rule::May
            } else {
                Rule::MayNot
            }
        }
        (kinds::MEMBERS, Actor::User(user)) => Rule::IfMember(user),
        (kinds::JOIN_REQUESTS | kinds::ACTIVITY, Actor::User(_)) => Rule::MayNot,
        _ => Rule::NoSuchKind,
    }
}

/// Whether lists of this kind are read by the user who owns them, and by nobody
/// else but services.
fn is_users_own(kind: &str) -> bool {
    matches!(
        kind,
        kinds::PROFILE
            | kinds::FRIENDS
            | kinds::FRIEND_REQUESTS
            | kinds::SENT_FRIEND_REQUESTS
            | kinds::BLOCKS
            | kinds::GROUPS
            | kinds::SENT_JOIN_REQUESTS
            | kinds::CONVERSATIONS
    )
}

/// The list whose standing still means that nothing changed about what a
/// reader may read; `None`: a service's rights never change.
#[must_use]
pub fn own_list(actor: &Actor) -> Option<ListKey> {
    match actor {
        Actor::User(user) => Some(user.groups()),
        Actor::Service => None,
    }
}

/// The point of a list that is there.
fn point(state: &ListState) -> Option<Point> {
    match state {
        ListState::Live(head) => Some(head.point()),
        ListState::Ended(_) | ListState::Absent(_) => None,
    }
}

/// The groups that a user is known to be in.
#[derive(Debug)]
struct Known {
    /// Of the user's `groups`: what is known is known at this point.
    at: Point,
    /// By group, the lineage of its members.
    groups: HashMap<OwnerId, Lineage>,
}

impl Weight for Known {
    fn weight(&self) -> usize {
        1 + self.groups.len()
    }
}

/// States of lists, all of one commit.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Of the reader's [`own_list`]; `None` for a service.
    pub own: Option<&'a ListState>,
    /// Each list with its state.
    pub lists: &'a [(&'a ListKey, &'a ListState)],
}

/// Decides and remembers who may read what.
#[derive(Debug)]
pub struct Rights {
    known: Mutex<Generations<OwnerId, Known>>,
}

impl Rights {
    /// Remembers at least `capacity` pairs of user and group, and at most twice
    /// as many.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            known: Mutex::new(Generations::new(capacity)),
        }
    }

    /// Whether it is remembered that `actor` may read all of these lists. If it
    /// is not, they may or may not.
    #[must_use]
    pub fn recalls(&self, actor: &Actor, held: Held<'_>) -> bool {
        let own = held.own.and_then(point);
        held.lists
            .iter()
            .all(|(list, state)| match rule(actor, list) {
                Rule::May => true,
                Rule::IfMember(user) => own.is_some_and(|own| self.knows(user, own, list, state)),
                Rule::MayNot | Rule::NoSuchKind => false,
            })
    }

    /// Decides about each of `lists`, in the snapshot that they will be read
    /// from. The field of a refusal counts the lists.
    ///
    /// # Errors
    /// What the store could not read.
    pub async fn decide<R: Reads>(
        &self,
        actor: &Actor,
        reads: &R,
        lists: &[&ListKey],
    ) -> Result<Vec<Access>, R::Error> {
        let own = match own_list(actor) {
            Some(own) => point(&reads.state(&own).await?),
            None => None,
        };
        let mut learned = Vec::new();
        let mut rights = Vec::with_capacity(lists.len());
        for (at, list) in lists.iter().enumerate() {
            rights.push(match rule(actor, list) {
                Rule::May => Access::Read,
                Rule::MayNot => Access::Denied,
                Rule::NoSuchKind => Access::Refused(no_such_kind(list, at)),
                Rule::IfMember(user) => {
                    let state = reads.state(list).await?;
                    if own.is_some_and(|own| self.knows(user, own, list, &state)) {
                        Access::Read
                    } else if is_member(reads, list, &state, user).await? {
                        learned.extend(point(&state).map(|point| (*list, point.lineage)));
                        Access::Read
                    } else {
                        Access::Denied
                    }
                }
            });
        }
        if let (Actor::User(user), Some(own), false) = (actor, own, learned.is_empty()) {
            self.learn(user, own, learned);
        }
        Ok(rights)
    }

    fn knows(&self, user: &UserId, own: Point, list: &ListKey, state: &ListState) -> bool {
        let Some(Point { lineage, .. }) = point(state) else {
            return false;
        };
        let mut known = self.known.lock();
        known
            .recall(user.as_owner())
            .is_some_and(|known| known.at == own && known.groups.get(&list.owner) == Some(&lineage))
    }

    fn learn(&self, user: &UserId, at: Point, learned: Vec<(&ListKey, Lineage)>) {
        let mut memory = self.known.lock();
        let mut known = match memory.take(user.as_owner()) {
            Some(known) if known.at == at => known,
            _ => Known {
                at,
                groups: HashMap::new(),
            },
        };
        let learned = learned
            .into_iter()
            .map(|(list, lineage)| (list.owner.clone(), lineage));
        known.groups.extend(learned);
        memory.keep(user.as_owner().clone(), known);
    }
}

async fn is_member<R: Reads>(
    reads: &R,
    list: &ListKey,
    state: &ListState,
    user: &UserId,
) -> Result<bool, R::Error> {
    if point(state).is_none() {
        return Ok(false);
    }
    let found = reads.items(list, slice::from_ref(user.as_item())).await?;
    Ok(!found.is_empty())
}

fn no_such_kind(list: &ListKey, at: usize) -> Refusal {
    let message = format!(
        "no kind of list is called {}; this server knows {}",
        list.kind,
        KINDS.join(", ")
    );
    Refusal::new(Code::UnknownKind, message).at(format!("lists[{at}].kind"))
}
