//! Who may read which list, decided in the snapshot that the answer is read
//! from, and remembered.
//!
//! A user reads the lists that are theirs, and lists of the groups whose members
//! they are among, as the table of [`permissions`](super::permissions) says. The
//! latter takes reads for each list, so it is remembered that a user is in a group
//! in which all members see one another, as the triple (group, lineage of its
//! members, point of its `rights`), for as long as the user's own `groups` stays
//! at one point. That is exact:
//!
//! - whoever enters or leaves a live group has their `groups` moved by the same
//!   transaction (a group's fan-out moves it only more often), so between two
//!   commits that show one point of it, no such thing happened in either order;
//! - a group that ends, and perhaps begins again under the same name, has
//!   another lineage or none: there the triple says nothing;
//! - whoever changes who may see a group's members moves its `rights` in the same
//!   transaction. Where only the owner and the admins may, and for the lists that
//!   only they read, nothing is remembered.
//!
//! A remembered right is only used beside states of one single commit.

use super::operations::sees_members;
use super::permissions::{Allowed, OnGroup, Standing};
use super::{Actor, GroupId, KINDS, UserId};
use crate::generations::{Generations, Weight};
use highwater_core::answer::Access;
use highwater_core::reads::{ListState, Reads};
use highwater_protocol::kinds::{GroupProfile, Member, Payload as _};
use highwater_protocol::{Code, ItemId, Lineage, ListKey, OwnerId, Point, Refusal, kinds};
use parking_lot::Mutex;
use std::collections::HashMap;

/// What the kind of a list and its owner say about a reader.
enum Rule<'a> {
    May,
    MayNot,
    /// As the user stands to the group that owns the list.
    OfGroup(&'a UserId, OnGroup),
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
        (kinds::MEMBERS, Actor::User(user)) => Rule::OfGroup(user, OnGroup::ReadMembers),
        (kinds::ACTIVITY, Actor::User(user)) => Rule::OfGroup(user, OnGroup::ReadActivity),
        (kinds::JOIN_REQUESTS, Actor::User(user)) => Rule::OfGroup(user, OnGroup::ReadJoinRequests),
        _ => Rule::NoSuchKind,
    }
}

/// Whether a right follows from what is remembered of a group: that the user is
/// in it, and that all members see one another.
const fn is_members_right(what: OnGroup) -> bool {
    matches!(what, OnGroup::ReadMembers | OnGroup::ReadActivity)
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

/// The lists beside `lists` whose states say whether a remembered right to read
/// these still holds: [`Held::beside`] has them in this order.
#[must_use]
pub fn beside<'a>(actor: &Actor, lists: impl IntoIterator<Item = &'a ListKey>) -> Vec<ListKey> {
    let mut beside = Vec::new();
    for list in lists {
        if let Rule::OfGroup(_, what) = rule(actor, list)
            && is_members_right(what)
            && let Some(group) = group_of(list)
        {
            beside.extend([group.members(), group.rights()]);
        }
    }
    beside
}

/// The group that owns a list. `None`: no group has such an id.
fn group_of(list: &ListKey) -> Option<GroupId> {
    GroupId::new(list.owner.as_str()).ok()
}

/// The point of a list that is there.
fn point(state: &ListState) -> Option<Point> {
    match state {
        ListState::Live(head) => Some(head.point()),
        ListState::Ended(_) | ListState::Absent(_) => None,
    }
}

/// What a remembered right depends on beside the user's own `groups`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Basis {
    /// Of the group's members.
    lineage: Lineage,
    /// Of the group's `rights`; `None`: who may see the members was never changed.
    rights: Option<Point>,
}

impl Basis {
    /// `None`: there is no such group.
    fn of(members: &ListState, rights: &ListState) -> Option<Self> {
        Some(Self {
            lineage: point(members)?.lineage,
            rights: point(rights),
        })
    }
}

/// The groups that a user is known to be in, where all members see one another.
#[derive(Debug)]
struct Known {
    /// Of the user's `groups`: what is known is known at this point.
    at: Point,
    groups: HashMap<OwnerId, Basis>,
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
    /// Each list.
    pub lists: &'a [&'a ListKey],
    /// Of what is [`beside`] them.
    pub beside: &'a [ListState],
}

/// Decides and remembers who may read what.
#[derive(Debug)]
pub struct Rights {
    known: Mutex<Generations<OwnerId, Known>>,
}

/// Rights that were learned at one point of a user's `groups`.
type Learned = Vec<(OwnerId, Basis)>;

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
        let mut beside = held.beside.chunks_exact(2);
        held.lists.iter().all(|list| match rule(actor, list) {
            Rule::May => true,
            Rule::OfGroup(user, what) if is_members_right(what) => {
                let basis = match beside.next() {
                    Some([members, rights]) => Basis::of(members, rights),
                    _ => None,
                };
                own.zip(basis)
                    .is_some_and(|(own, basis)| self.knows(user, own, &list.owner, basis))
            }
            Rule::OfGroup(..) | Rule::MayNot | Rule::NoSuchKind => false,
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
        let mut learned = Learned::new();
        let mut rights = Vec::with_capacity(lists.len());
        for (at, list) in lists.iter().enumerate() {
            rights.push(match rule(actor, list) {
                Rule::May => Access::Read,
                Rule::MayNot => Access::Denied,
                Rule::NoSuchKind => Access::Refused(no_such_kind(list, at)),
                Rule::OfGroup(user, what) => match group_of(list) {
                    Some(group) => {
                        self.decide_of_group(user, own, what, &group, reads, &mut learned)
                            .await?
                    }
                    None => Access::Denied,
                },
            });
        }
        if let (Actor::User(user), Some(own), false) = (actor, own, learned.is_empty()) {
            self.learn(user, own, learned);
        }
        Ok(rights)
    }

    async fn decide_of_group<R: Reads>(
        &self,
        user: &UserId,
        own: Option<Point>,
        what: OnGroup,
        group: &GroupId,
        reads: &R,
        learned: &mut Learned,
    ) -> Result<Access, R::Error> {
        let members = group.members();
        let state = reads.state(&members).await?;
        let rights = reads.state(&group.rights()).await?;
        let Some(basis) = Basis::of(&state, &rights) else {
            return Ok(Access::Denied);
        };
        if is_members_right(what)
            && own.is_some_and(|own| self.knows(user, own, group.as_owner(), basis))
        {
            return Ok(Access::Read);
        }
        let (member, profile) = member_of(reads, &members, user).await?;
        let Some(member) = member else {
            return Ok(Access::Denied);
        };
        let seen = sees_members(&profile);
        if seen && is_members_right(what) {
            learned.push((group.as_owner().clone(), basis));
        }
        Ok(match what.allowed(Standing::of(member.role)) {
            Allowed::Yes => Access::Read,
            Allowed::AsSet if seen => Access::Read,
            // What the group says about itself is for all members.
            Allowed::AsSet => Access::Header,
            Allowed::No | Allowed::Below => Access::Denied,
        })
    }

    fn knows(&self, user: &UserId, own: Point, group: &OwnerId, basis: Basis) -> bool {
        let mut known = self.known.lock();
        known
            .recall(user.as_owner())
            .is_some_and(|known| known.at == own && known.groups.get(group) == Some(&basis))
    }

    fn learn(&self, user: &UserId, at: Point, learned: Learned) {
        let mut memory = self.known.lock();
        let mut known = match memory.take(user.as_owner()) {
            Some(known) if known.at == at => known,
            _ => Known {
                at,
                groups: HashMap::new(),
            },
        };
        known.groups.extend(learned);
        memory.keep(user.as_owner().clone(), known);
    }
}

/// A user's membership, if they are in, and what the group says about itself. A
/// row that cannot be read says the least.
async fn member_of<R: Reads>(
    reads: &R,
    members: &ListKey,
    user: &UserId,
) -> Result<(Option<Member>, GroupProfile), R::Error> {
    let ids = [ItemId::header(), user.as_item().clone()];
    let (mut member, mut profile) = (None, GroupProfile::default());
    for item in reads.items(members, &ids).await? {
        if item.id.is_header() {
            profile = GroupProfile::decode(&item.payload).unwrap_or_default();
        } else {
            member = Some(Member::decode(&item.payload).unwrap_or_default());
        }
    }
    Ok((member, profile))
}

fn no_such_kind(list: &ListKey, at: usize) -> Refusal {
    let message = format!(
        "no kind of list is called {}; this server knows {}",
        list.kind,
        KINDS.join(", ")
    );
    Refusal::new(Code::UnknownKind, message).at(format!("lists[{at}].kind"))
}
