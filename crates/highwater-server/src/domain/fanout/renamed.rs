//! A profile's change reaches the copies: found by who holds one, by the user's
//! groups, and by their applications, each computed from the profile as it is
//! when the step runs.

use super::super::UserId;
use super::super::collation::Collation;
use super::super::element::{found, put, revise};
use super::super::holders::Place;
use super::super::people::profile_of_user;
use super::super::ranks;
use super::targets::{Target, Trail, Walk};
use super::{Clock, FanOut, Stop};
use highwater_protocol::ListKey;
use highwater_protocol::kinds::{
    Block, Conversation, Friend, FriendRequest, JoinRequest, Member, UserProfile,
};
use highwater_store::{Abort, JobId, Store, StoreError, Write, WriteTxn};
use std::collections::HashMap;
use std::convert::Infallible;

impl<S: Store> FanOut<S> {
    pub(super) async fn renamed(
        &self,
        user: &UserId,
        jobs: &[JobId],
        clock: &Clock,
        stop: &Stop,
    ) -> Result<(), StoreError> {
        let walk = Walk {
            user,
            beside: 1,
            lists: declared,
            step: |user, targets| Refresh { user, targets },
        };
        for trail in Trail::ALL {
            if !self.walk(trail, &walk, clock, stop).await? {
                return Ok(());
            }
        }
        self.complete(clock, jobs).await?;
        tracing::debug!(%user, "a profile has reached its copies");
        Ok(())
    }
}

/// How many lists a target takes.
fn declared(target: &Target) -> usize {
    target.lists().len() + usize::from(target.ranked_by().is_some())
}

/// Computes copies of a user's profile anew.
struct Refresh {
    user: UserId,
    targets: Vec<Target>,
}

impl Write for Refresh {
    type Output = ();
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = vec![self.user.profile()];
        for target in &self.targets {
            lists.extend(target.lists());
            lists.extend(target.ranked_by().map(UserId::profile));
        }
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<Infallible>> {
        let profile = profile_of_user(txn, &self.user).await?;
        let mut orders = HashMap::<String, Collation>::new();
        for target in &self.targets {
            match target {
                Target::Holder(holder, places) => {
                    for place in places.iter() {
                        self.refresh(txn, &profile, holder, place, &mut orders)
                            .await?;
                    }
                }
                Target::Group(group) => {
                    let change = |member: &mut Member| {
                        member.name = match member.nickname.as_str() {
                            "" => profile.name.clone(),
                            _ => String::new(),
                        };
                        member.avatar.clone_from(&profile.avatar);
                    };
                    revise(txn, &group.members(), self.user.as_item(), change).await?;
                }
                Target::Application(group) => {
                    let change = |request: &mut JoinRequest| {
                        request.name.clone_from(&profile.name);
                        request.avatar.clone_from(&profile.avatar);
                    };
                    revise(txn, &group.join_requests(), self.user.as_item(), change).await?;
                }
            }
        }
        Ok(())
    }
}

impl Refresh {
    async fn refresh<T: WriteTxn>(
        &self,
        txn: &mut T,
        profile: &UserProfile,
        holder: &UserId,
        place: Place,
        orders: &mut HashMap<String, Collation>,
    ) -> Result<(), StoreError> {
        let (list, id) = (place.list(holder), place.item(&self.user));
        let copy = |name: &mut String, avatar: &mut String| {
            name.clone_from(&profile.name);
            avatar.clone_from(&profile.avatar);
        };
        match place {
            // Its place follows from the name, if it has no remark.
            Place::Friends => {
                let Some(mut friend) = found::<Friend, T>(txn, &list, &id).await? else {
                    return Ok(());
                };
                copy(&mut friend.name, &mut friend.avatar);
                let locale = profile_of_user(txn, holder).await?.locale;
                let order = orders
                    .entry(locale)
                    .or_insert_with_key(|locale| Collation::of(locale));
                let rank = ranks::of_friend(&friend, &self.user, order);
                put(txn, &list, &id, rank, &friend).await
            }
            Place::FriendRequests | Place::SentFriendRequests => {
                let change =
                    |request: &mut FriendRequest| copy(&mut request.name, &mut request.avatar);
                revise(txn, &list, &id, change).await
            }
            Place::Blocks => {
                let change = |block: &mut Block| copy(&mut block.name, &mut block.avatar);
                revise(txn, &list, &id, change).await
            }
            Place::Conversations => {
                let change = |conversation: &mut Conversation| {
                    copy(&mut conversation.name, &mut conversation.avatar);
                };
                revise(txn, &list, &id, change).await
            }
        }
    }
}
