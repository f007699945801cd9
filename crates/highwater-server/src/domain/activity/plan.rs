//! Who gets an activity: looked up before it is written, as a transaction declares
//! its lists.

use super::{Activity, ActivityOf};
use crate::domain::conversation::item_of_group;
use crate::domain::{BATCH, GroupId, UserId};
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads};
use highwater_protocol::kinds::{Conversation, LastMessage, Payload as _, UserProfile};
use highwater_protocol::{Code, ItemId, ListKey, Point, Refusal, Version};
use highwater_store::StoreError;

/// Members of a group that has just become large who may stand before those who
/// were in it when it was small.
const NEWER_ASKED: usize = 1_000;

/// Where one activity is to be written, in one transaction.
#[derive(Clone, Debug)]
pub(in crate::domain) struct Planned {
    /// Which entry of the request it is of.
    pub(in crate::domain) entry: usize,
    /// What goes on.
    pub(in crate::domain) activity: Activity,
    pub(in crate::domain) to: Recipients,
}

/// Whose lists an activity changes.
#[derive(Clone, Debug)]
pub(in crate::domain) enum Recipients {
    /// Both users.
    Pair([UserId; 2]),
    /// The members of a small group, as they were at a point of its list.
    Small(GroupId, Point, Vec<UserId>),
    /// A large group itself; with what its members knew, if it was small until now.
    Large(GroupId, Option<Before>),
    /// A user with whom the system has a conversation of this name.
    System(String, UserId),
}

/// What the members of a group know that has just become large.
#[derive(Clone, Debug)]
pub(in crate::domain) struct Before {
    /// Of the group's members: what is known is known at this point.
    pub(super) at: Point,
    /// The last message that they heard of.
    pub(super) last: Option<LastMessage>,
}

impl Planned {
    /// The lists that it reads or writes.
    pub(super) fn lists(&self) -> Vec<ListKey> {
        match &self.to {
            Recipients::Pair(users) => {
                let lists = |user: &UserId| [user.conversations(), user.profile(), user.holders()];
                users.iter().flat_map(lists).collect()
            }
            Recipients::Small(group, _, members) => {
                let mut lists = vec![group.members(), group.activity()];
                lists.extend(members.iter().map(UserId::conversations));
                lists
            }
            Recipients::Large(group, _) => {
                let mut lists = vec![group.members(), group.activity()];
                lists.extend(self.named().map(|user| user.conversations()));
                lists
            }
            Recipients::System(_, user) => vec![user.conversations(), user.profile()],
        }
    }

    /// The sender, and whoever is mentioned by name.
    pub(super) fn named(&self) -> impl Iterator<Item = UserId> {
        let sender = UserId::new(&self.activity.last.sender).ok();
        let mentions = self.activity.mentions.iter();
        let others = mentions.filter(|user| user.as_str() != self.activity.last.sender);
        sender.into_iter().chain(others.cloned())
    }
}

/// Looks up who gets an activity. A group of more than `shared_above` members is
/// large.
pub(in crate::domain) async fn plan<R: Reads<Error = StoreError>>(
    reads: &R,
    entry: usize,
    activity: &Activity,
    shared_above: u64,
) -> Result<Result<Vec<Planned>, Refusal>, StoreError> {
    let planned = |to| Planned {
        entry,
        activity: activity.clone(),
        to,
    };
    Ok(match &activity.of {
        ActivityOf::Pair(users) => {
            for (at, user) in users.iter().enumerate() {
                if is_going(reads, user).await? {
                    return Ok(Err(no_user(&format!("conversation.user[{at}]"))));
                }
            }
            Ok(vec![planned(Recipients::Pair(users.clone()))])
        }
        ActivityOf::Group(group) => recipients_of(reads, group, shared_above)
            .await?
            .map(|to| vec![planned(to)]),
        ActivityOf::System(name, to) => {
            let mut plans = Vec::with_capacity(to.len());
            for user in to {
                if !is_going(reads, user).await? {
                    plans.push(planned(Recipients::System(name.clone(), user.clone())));
                }
            }
            match plans.is_empty() {
                true => Err(no_user("conversation.to")),
                false => Ok(plans),
            }
        }
    })
}

async fn recipients_of<R: Reads<Error = StoreError>>(
    reads: &R,
    group: &GroupId,
    shared_above: u64,
) -> Result<Result<Recipients, Refusal>, StoreError> {
    let list = group.members();
    let ListState::Live(head) = reads.state(&list).await? else {
        return Ok(Err(no_group()));
    };
    let is_shared = matches!(reads.state(&group.activity()).await?, ListState::Live(_));
    // The header counts as an element of the list.
    let members = head.count.saturating_sub(1);
    if is_shared {
        return Ok(Ok(Recipients::Large(group.clone(), None)));
    }
    if members > shared_above {
        let last = heard(reads, group, head.version, shared_above).await?;
        let at = head.point();
        let before = Some(Before { at, last });
        return Ok(Ok(Recipients::Large(group.clone(), before)));
    }
    let all = PageLimit {
        rows: usize::try_from(members)
            .unwrap_or(usize::MAX)
            .saturating_add(1),
        bytes: usize::MAX,
    };
    let read = reads
        .scan(&list, head.version, None, Payloads::First(0), all)
        .await?;
    let members = read
        .rows
        .iter()
        .filter_map(|item| UserId::of_member(&item.id));
    let members = members.collect();
    Ok(Ok(Recipients::Small(group.clone(), head.point(), members)))
}

/// The last message that members of a small group heard of. Whoever heard of any
/// has been in it since, and heard of the last; those who were longest in it, or
/// lead it, stand first, so that few are asked who heard of none.
async fn heard<R: Reads<Error = StoreError>>(
    reads: &R,
    group: &GroupId,
    at: Version,
    shared_above: u64,
) -> Result<Option<LastMessage>, StoreError> {
    let conversation = [item_of_group(group)];
    let mut left = usize::try_from(shared_above)
        .unwrap_or(usize::MAX)
        .saturating_add(NEWER_ASKED);
    let mut after = None;
    loop {
        let limit = PageLimit {
            rows: left.min(BATCH),
            bytes: usize::MAX,
        };
        let list = group.members();
        let page = reads.scan(&list, at, after.as_ref(), Payloads::First(0), limit);
        let page = page.await?;
        for user in page
            .rows
            .iter()
            .filter_map(|item| UserId::of_member(&item.id))
        {
            let found = reads.items(&user.conversations(), &conversation).await?;
            let known = found
                .first()
                .map(|item| Conversation::decode(&item.payload));
            if let Some(Ok(Conversation {
                last: Some(last), ..
            })) = known
            {
                return Ok(Some(last));
            }
        }
        left = left.saturating_sub(limit.rows);
        after = page.next;
        if after.is_none() || left == 0 {
            return Ok(None);
        }
    }
}

/// Whether a user is being deleted.
async fn is_going<R: Reads<Error = StoreError>>(
    reads: &R,
    user: &UserId,
) -> Result<bool, StoreError> {
    let found = reads.items(&user.profile(), &[ItemId::header()]).await?;
    let profile = found.first().map(|item| UserProfile::decode(&item.payload));
    Ok(matches!(
        profile,
        Some(Ok(UserProfile { deleting: true, .. }))
    ))
}

pub(super) fn no_user(field: &str) -> Refusal {
    Refusal::new(Code::UserNotFound, "there is no such user any more").at(field)
}

pub(super) fn no_group() -> Refusal {
    Refusal::new(Code::GroupNotFound, "there is no such group").at("conversation.group")
}

/// Cuts activities into transactions that declare at most 250 lists; one that
/// declares more by itself has a transaction of its own.
pub(in crate::domain) fn batches(planned: Vec<Planned>) -> Vec<Vec<Planned>> {
    let mut batches = Vec::<Vec<Planned>>::new();
    let mut declared = usize::MAX;
    for one in planned {
        let lists = one.lists().len();
        if declared.saturating_add(lists) > BATCH {
            batches.push(Vec::new());
            declared = 0;
        }
        declared += lists;
        if let Some(batch) = batches.last_mut() {
            batch.push(one);
        }
    }
    batches
}
