//! A user goes: out of the lists of all who hold them, out of their groups, and
//! their own lists end; last of all the profile, which kept them from being named
//! anew in the meantime.

use super::super::UserId;
use super::super::element::{delete, is_empty, revise};
use super::super::group::{Group, Stop as Aborted};
use super::super::holders::{Place, drop_item, note};
use super::job::{EndedList, Job};
use super::targets::{Target, Trail, Walk};
use super::{Clock, FanOut, Stop, point};
use highwater_protocol::kinds::{Conversation, ConversationState, Role};
use highwater_protocol::{ListKey, Point, Refusal};
use highwater_store::{JobId, Store, StoreError, Write, WriteTxn};

/// How often a user's lists are gone through, if something that names the user
/// turns up in them at the end.
const ROUNDS: u32 = 3;

impl<S: Store> FanOut<S> {
    pub(super) async fn deleted(
        &self,
        user: &UserId,
        jobs: &[JobId],
        clock: &Clock,
        stop: &Stop,
    ) -> Result<(), StoreError> {
        // Out of where the trails lead.
        let leave = Walk {
            user,
            beside: beside(user).len(),
            lists: |target| touched(target).len(),
            step: |user, targets| Leave { user, targets },
        };
        for round in 1.. {
            for trail in Trail::ALL {
                if !self.walk(trail, &leave, clock, stop).await? {
                    return Ok(());
                }
            }
            let mut seen = Vec::with_capacity(Place::ALL.len());
            for place in Place::ALL {
                let list = place.list(user);
                seen.push((list.clone(), self.point(&list).await?));
                self.let_go(user, place, clock, stop).await?;
            }
            if stop.is_said() {
                return Ok(());
            }
            let end = End {
                user: user.clone(),
                jobs: jobs.to_vec(),
                seen,
                anyway: round == ROUNDS,
            };
            if self.step(clock, end).await? {
                break;
            }
        }
        tracing::debug!(%user, "a user is deleted");
        Ok(())
    }

    /// Makes those whom the user holds forget that they are held.
    async fn let_go(
        &self,
        user: &UserId,
        place: Place,
        clock: &Clock,
        stop: &Stop,
    ) -> Result<(), StoreError> {
        let list = place.list(user);
        let mut after = None;
        loop {
            if stop.is_said() {
                return Ok(());
            }
            let (items, next) = self.page(&list, after.as_ref()).await?;
            let held = items.iter().filter_map(|item| place.user(&item.id));
            let step = LetGo {
                user: user.clone(),
                held: held.collect(),
            };
            if !step.held.is_empty() {
                self.step(clock, step).await?;
            }
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

/// Lists of the user's own that leaving may change.
fn beside(user: &UserId) -> Vec<ListKey> {
    vec![
        user.holders(),
        user.profile(),
        user.groups(),
        user.conversations(),
        user.sent_join_requests(),
    ]
}

/// Lists of others that leaving may change.
fn touched(target: &Target) -> Vec<ListKey> {
    match target {
        Target::Group(group) => vec![
            group.members(),
            group.join_requests(),
            group.activity(),
            group.rights(),
        ],
        Target::Holder(..) | Target::Application(_) => target.lists(),
    }
}

/// Takes a user out of lists of others.
struct Leave {
    user: UserId,
    targets: Vec<Target>,
}

impl Write for Leave {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = beside(&self.user);
        lists.extend(self.targets.iter().flat_map(touched));
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Aborted> {
        let user = &self.user;
        for target in &self.targets {
            match target {
                Target::Holder(holder, places) => {
                    for place in places.iter() {
                        self.leave_holder(txn, holder, place).await?;
                    }
                }
                Target::Group(group) => {
                    self.leave_group(&mut Group::new(txn, group)).await?;
                }
                Target::Application(group) => {
                    delete(txn, &group.join_requests(), user.as_item()).await?;
                    delete(txn, &user.sent_join_requests(), group.as_item()).await?;
                }
            }
        }
        Ok(())
    }
}

impl Leave {
    /// A conversation stays, with the last name it had, and is over.
    async fn leave_holder<T: WriteTxn>(
        &self,
        txn: &mut T,
        holder: &UserId,
        place: Place,
    ) -> Result<(), StoreError> {
        if place == Place::Conversations {
            let (list, id) = (place.list(holder), place.item(&self.user));
            let change = |conversation: &mut Conversation| {
                conversation.state = ConversationState::Ended;
            };
            revise(txn, &list, &id, change).await?;
        } else {
            drop_item(txn, place, holder, &self.user).await?;
        }
        note(txn, &self.user, holder, place, false).await
    }

    /// A group goes on if others are in it, and has an owner if it had one.
    async fn leave_group<T: WriteTxn>(&self, group: &mut Group<'_, T>) -> Result<(), Aborted> {
        let user = &self.user;
        let Some(member) = group.member(user).await? else {
            return Ok(group.forget(user).await?);
        };
        let Some((heir, theirs)) = group.first_but(user).await? else {
            group.forget(user).await?;
            return group.dismiss().await;
        };
        if member.role == Role::Owner && theirs.role != Role::Owner {
            let mut owner = theirs;
            owner.role = Role::Owner;
            owner.muted_until_ms = 0;
            group.put_member(&heir, &owner).await?;
        }
        Ok(group.expel(user).await?)
    }
}

/// Takes a user from among the holders of others.
struct LetGo {
    user: UserId,
    held: Vec<UserId>,
}

impl Write for LetGo {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        self.held.iter().map(UserId::holders).collect()
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Aborted> {
        for held in &self.held {
            delete(txn, &held.holders(), self.user.as_item()).await?;
        }
        Ok(())
    }
}

/// Ends the user's own lists, if nobody holds them any more, and they hold nobody
/// who was not let go.
struct End {
    user: UserId,
    jobs: Vec<JobId>,
    /// Where lists of theirs stood before those in them were let go.
    seen: Vec<(ListKey, Option<Point>)>,
    /// Even so: what could not be understood is not waited for.
    anyway: bool,
}

impl End {
    fn own(&self) -> [ListKey; 9] {
        let user = &self.user;
        [
            user.friends(),
            user.friend_requests(),
            user.sent_friend_requests(),
            user.blocks(),
            user.groups(),
            user.sent_join_requests(),
            user.conversations(),
            user.holders(),
            user.profile(),
        ]
    }

    async fn is_due<T: WriteTxn>(&self, txn: &mut T) -> Result<bool, StoreError> {
        for trail in Trail::ALL {
            if !is_empty(txn, &trail.list(&self.user)).await? {
                return Ok(false);
            }
        }
        for (list, seen) in &self.seen {
            if point(txn.state(list).await?) != *seen {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Write for End {
    /// Whether it is done.
    type Output = bool;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        self.own().to_vec()
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<bool, Aborted> {
        if !self.anyway && !self.is_due(txn).await? {
            return Ok(false);
        }
        for list in self.own() {
            let Some(ended) = point(txn.state(&list).await?) else {
                continue;
            };
            txn.end(&list).await?;
            let job = Job::Forgotten(EndedList {
                list,
                ended: ended.lineage,
                version: ended.version,
            });
            txn.enqueue(job.encode()).await?;
        }
        for job in &self.jobs {
            txn.complete(*job).await?;
        }
        Ok(true)
    }
}
