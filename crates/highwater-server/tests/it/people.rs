//! What the tests of people's lists have in common: operations in short, lists as
//! they stand, and what must be in step whatever happened.

use crate::kit::{NOW_MS, key};
use crate::rules::{actor, rows, run, user};
use highwater_core::reads::ListState;
use highwater_protocol::kinds::{
    Block, Conversation, ConversationId, ConversationState, ConversationType, Friend,
    FriendRequest, Payload, RequestState, UserProfile,
};
use highwater_protocol::{Code, ItemId, ListKey, Rank, Refusal};
use highwater_server::domain::{
    AcceptFriend, BlockUser, ChangeFriend, DeleteFriend, DeleteUser, DescribeUser, FanOut,
    FriendChange, ProfileChange, RejectFriend, RequestFriend, Sides, UnblockUser,
    WithdrawFriendRequest,
};
use highwater_store::{Abort, Store, Write, WriteTxn};
use std::collections::BTreeMap;

pub(crate) fn named(name: &str) -> ProfileChange {
    ProfileChange {
        name: Some(name.to_owned()),
        ..ProfileChange::default()
    }
}

pub(crate) fn in_locale(locale: &str) -> ProfileChange {
    ProfileChange {
        locale: Some(locale.to_owned()),
        ..ProfileChange::default()
    }
}

pub(crate) async fn describe(store: &impl Store, id: &str, change: ProfileChange) {
    let operation = DescribeUser::patch(&actor(id), user(id), change, NOW_MS).unwrap();
    run(store, operation).await.unwrap();
}

pub(crate) fn request(from: &str, to: &str) -> RequestFriend {
    let words = ("hello".to_owned(), "search".to_owned());
    RequestFriend::new(&actor(from), user(from), user(to), words.0, words.1, NOW_MS).unwrap()
}

pub(crate) fn accept(who: &str, from: &str) -> AcceptFriend {
    AcceptFriend::new(&actor(who), user(who), user(from), NOW_MS + 5).unwrap()
}

pub(crate) fn reject(who: &str, from: &str, answer: &str) -> RejectFriend {
    let (who_actor, answer) = (actor(who), answer.to_owned());
    RejectFriend::new(&who_actor, user(who), user(from), answer, NOW_MS + 7).unwrap()
}

pub(crate) fn withdraw(who: &str, to: &str) -> WithdrawFriendRequest {
    WithdrawFriendRequest::new(&actor(who), user(who), user(to)).unwrap()
}

pub(crate) fn unfriend(who: &str, friend: &str, sides: Sides) -> DeleteFriend {
    DeleteFriend::new(&actor(who), user(who), user(friend), sides).unwrap()
}

pub(crate) fn change(who: &str, friend: &str, change: FriendChange) -> ChangeFriend {
    ChangeFriend::new(&actor(who), user(who), user(friend), change).unwrap()
}

pub(crate) fn remark(remark: &str) -> FriendChange {
    FriendChange {
        remark: Some(remark.to_owned()),
        ..FriendChange::default()
    }
}

pub(crate) fn pin(pinned: bool) -> FriendChange {
    FriendChange {
        pinned: Some(pinned),
        ..FriendChange::default()
    }
}

pub(crate) fn block(who: &str, whom: &str) -> BlockUser {
    BlockUser::new(&actor(who), user(who), user(whom), NOW_MS).unwrap()
}

pub(crate) fn unblock(who: &str, whom: &str) -> UnblockUser {
    UnblockUser::new(&actor(who), user(who), user(whom)).unwrap()
}

pub(crate) fn delete(who: &str) -> DeleteUser {
    DeleteUser::new(&actor("service"), user(who), NOW_MS).unwrap()
}

/// Makes two users friends, by a request and its acceptance.
pub(crate) async fn make_friends(store: &impl Store, one: &str, other: &str) {
    run(store, request(one, other)).await.unwrap();
    run(store, accept(other, one)).await.unwrap();
}

/// Does all that is queued.
pub(crate) async fn fan_out(store: &impl Store) {
    let clock = crate::kit::Hands::new().clock();
    FanOut::new(store.clone()).finish(&clock).await.unwrap();
    assert_eq!(store.backlog().await.unwrap().jobs, 0);
}

pub(crate) async fn items<P: Payload>(store: &impl Store, list: &ListKey) -> Vec<(String, P)> {
    let rows = rows(store, list).await.into_iter();
    rows.map(|(id, payload)| (id.to_string(), P::decode(&payload).unwrap()))
        .collect()
}

/// The ids of a list's items, in its order.
pub(crate) async fn ids(store: &impl Store, kind: &str, owner: &str) -> Vec<String> {
    let rows = rows(store, &key(kind, owner)).await.into_iter();
    rows.map(|(id, _)| id.to_string()).collect()
}

pub(crate) async fn item<P: Payload>(store: &impl Store, kind: &str, owner: &str, id: &str) -> P {
    let rows = rows(store, &key(kind, owner)).await.into_iter();
    let mut found = rows.filter(|(at, _)| at.as_str() == id);
    let (_, payload) = found
        .next()
        .unwrap_or_else(|| panic!("{kind}/{owner} has no {id}"));
    P::decode(&payload).unwrap()
}

pub(crate) async fn version(store: &impl Store, kind: &str, owner: &str) -> u64 {
    let list = key(kind, owner);
    let snapshot = store.snapshot(std::slice::from_ref(&list)).await.unwrap();
    use highwater_core::reads::Reads as _;
    match snapshot.state(&list).await.unwrap() {
        ListState::Live(head) => head.version.get(),
        ListState::Ended(_) | ListState::Absent(_) => 0,
    }
}

/// Puts an item where a rule of another part of the server would.
pub(crate) struct Put {
    pub(crate) list: ListKey,
    pub(crate) id: String,
    pub(crate) payload: Vec<u8>,
}

/// Puts such items in one transaction.
pub(crate) struct PutAll(pub(crate) Vec<Put>);

impl Write for PutAll {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        self.0.iter().map(|put| put.list.clone()).collect()
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<Refusal>> {
        for put in &self.0 {
            let id = ItemId::new(&put.id).unwrap();
            let payload = put.payload.clone().into();
            txn.put(&put.list, &id, Rank::default(), payload).await?;
        }
        Ok(())
    }
}

pub(crate) async fn put(store: &impl Store, kind: &str, owner: &str, id: &str, payload: Vec<u8>) {
    let put = Put {
        list: key(kind, owner),
        id: id.to_owned(),
        payload,
    };
    run(store, PutAll(vec![put])).await.unwrap();
}

/// Gives `owner` a conversation with `other`.
pub(crate) async fn converse(store: &impl Store, owner: &str, other: &str) {
    let conversation = Conversation {
        r#type: ConversationType::User,
        ..Conversation::default()
    };
    let id = format!("u:{other}");
    put(store, "conversations", owner, &id, conversation.encode()).await;
    let before = rows(store, &key("holders", other)).await.into_iter();
    let before = before.filter(|(id, _)| id.as_str() == owner);
    let bits = before.map(|(_, payload)| payload[0]).next().unwrap_or(0);
    put(store, "holders", other, owner, vec![bits | 16]).await;
}

/// Who holds whose name, and which name that is.
#[derive(Default)]
struct Copies {
    holders: BTreeMap<(String, String), u8>,
    names: Vec<(String, ListKey, (String, String))>,
}

impl Copies {
    fn add(&mut self, list: &ListKey, of: &str, place: u8, name: String, avatar: String) {
        let holder = list.owner.to_string();
        *self.holders.entry((of.to_owned(), holder)).or_default() |= place;
        self.names
            .push((of.to_owned(), list.clone(), (name, avatar)));
    }
}

/// Whoever holds a copy is noted, nobody else is, each copy is what its user says,
/// and each request that waits is in two lists (once nothing is queued).
pub(crate) async fn assert_people_in_step(store: &impl Store) {
    let mut copies = Copies::default();
    let mut noted = BTreeMap::new();
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for line in store.lists(None, 100_000).await.unwrap() {
        let list = line.list;
        let owner = list.owner.to_string();
        match list.kind.as_str() {
            "friends" => {
                for (id, item) in items::<Friend>(store, &list).await {
                    copies.add(&list, &id, 1, item.name, item.avatar);
                }
            }
            "friend_requests" => {
                for (id, item) in items::<FriendRequest>(store, &list).await {
                    received.push((id.clone(), owner.clone()));
                    copies.add(&list, &id, 2, item.name, item.avatar);
                }
            }
            "sent_friend_requests" => {
                for (id, item) in items::<FriendRequest>(store, &list).await {
                    if item.state == RequestState::Pending {
                        sent.push((owner.clone(), id.clone()));
                    }
                    copies.add(&list, &id, 4, item.name, item.avatar);
                }
            }
            "blocks" => {
                for (id, item) in items::<Block>(store, &list).await {
                    copies.add(&list, &id, 8, item.name, item.avatar);
                }
            }
            "conversations" => {
                for (id, item) in items::<Conversation>(store, &list).await {
                    let ConversationId::User(other) = ConversationId::parse(&id).unwrap() else {
                        continue;
                    };
                    if item.state != ConversationState::Ended {
                        copies.add(&list, &other, 16, item.name, item.avatar);
                    }
                }
            }
            "holders" => {
                for (holder, payload) in rows(store, &list).await {
                    noted.insert((owner.clone(), holder.to_string()), payload[0]);
                }
            }
            _ => {}
        }
    }
    assert_eq!(copies.holders, noted);
    for (of, list, copy) in copies.names {
        let profile = items::<UserProfile>(store, &key("profile", &of)).await;
        let profile = profile.into_iter().next().unwrap_or_default().1;
        assert_eq!(copy, (profile.name, profile.avatar), "of {of} in {list}");
    }
    sent.sort();
    received.sort();
    assert_eq!(sent, received);
}

/// The code, field and limit of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> (Code, String, u64) {
    let no = result.unwrap_err();
    (no.code, no.field, no.limit)
}
