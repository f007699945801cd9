//! What happened, in an app's own words: told from what changed in the lists
//! that the device holds, whoever changed them and however the device learned of
//! it.

use crate::client::Client;
use crate::conversations::ConversationView;
use crate::error::Error;
use crate::hub::{News, Tap};
use crate::list::is_sound;
use crate::page::Row;
use crate::shared::Shared;
use futures::Stream;
use highwater_core::local::RowChange;
use highwater_protocol::kinds::{
    self, Block, ConversationId, Friend, FriendRequest, GroupProfile, JoinRequest, Member, Payload,
    RequestState, UserProfile,
};
use highwater_protocol::{ItemId, ListKey, Rank};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Something that happened in a list that the device holds.
///
/// What a list's first sync brings has not happened: it was so. Several changes
/// of one item that an app has not looked at yet are one. Content is as it is
/// when the app looks; `None` if the device lacks it, or it is gone since.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "what the fields are is said by their names")]
pub enum Happening {
    /// The user says something else about themselves.
    ProfileChanged { profile: Option<UserProfile> },
    /// Two users have become friends.
    FriendAdded {
        user: String,
        friend: Option<Friend>,
    },
    /// A friend has another name, avatar, remark or place.
    FriendChanged {
        user: String,
        friend: Option<Friend>,
    },
    /// Two users are friends no more.
    FriendRemoved { user: String },
    /// A user asks to be a friend, or asks again.
    FriendRequestReceived {
        user: String,
        request: Option<FriendRequest>,
    },
    /// A request was answered, or taken back.
    FriendRequestClosed { user: String },
    /// The user asks another to be a friend, here or on another device.
    FriendRequestSent {
        user: String,
        request: Option<FriendRequest>,
    },
    /// The other user said no.
    FriendRequestRejected {
        user: String,
        request: Option<FriendRequest>,
    },
    /// The other user said yes, or the user took the request back.
    SentFriendRequestClosed { user: String },
    /// The user blocks another.
    Blocked { user: String, block: Option<Block> },
    /// The user no longer blocks another.
    Unblocked { user: String },
    /// The user is in another group.
    GroupJoined { group: String },
    /// The user is in a group no more.
    GroupLeft { group: String },
    /// A group says something else about itself.
    GroupChanged {
        group: String,
        profile: Option<GroupProfile>,
    },
    /// A user has come into a group.
    MemberJoined {
        group: String,
        user: String,
        member: Option<Member>,
    },
    /// A user has gone out of a group.
    MemberLeft { group: String, user: String },
    /// A member has another role.
    RoleChanged {
        group: String,
        user: String,
        member: Option<Member>,
    },
    /// A member has another name, nickname or avatar, or is muted or not.
    MemberChanged {
        group: String,
        user: String,
        member: Option<Member>,
    },
    /// A user applies to a group, or applies again.
    JoinRequestReceived {
        group: String,
        user: String,
        request: Option<JoinRequest>,
    },
    /// An application was answered, or taken back.
    JoinRequestClosed { group: String, user: String },
    /// The user applies to a group, here or on another device.
    JoinRequestSent {
        group: String,
        request: Option<JoinRequest>,
    },
    /// The group said no.
    JoinRequestRejected {
        group: String,
        request: Option<JoinRequest>,
    },
    /// The group said yes, or the user took the application back.
    SentJoinRequestClosed { group: String },
    /// A conversation has begun.
    ConversationAdded {
        conversation: String,
        view: Option<ConversationView>,
    },
    /// Something goes on in a conversation, or it has other settings.
    ConversationChanged {
        conversation: String,
        view: Option<ConversationView>,
    },
    /// A conversation is gone.
    ConversationRemoved { conversation: String },
    /// So many messages are unread in all conversations together. The first time,
    /// it says how many there are.
    TotalUnread { messages: u64 },
    /// So much is different in this list that it is not named: read it again.
    Many { list: ListKey },
}

/// A client's happenings, from the moment of the call. Ends when the client
/// closes.
pub struct Happenings {
    shared: Arc<Shared>,
    tap: Arc<Tap>,
    waiting: VecDeque<Happening>,
    unread: Option<u64>,
}

/// What became of an item.
enum Became {
    Added,
    Changed,
    /// It stands elsewhere.
    Moved(Rank, Rank),
    Removed,
}

impl Client {
    /// What happens from now on in the lists that the device holds: friends,
    /// requests, members, conversations, and how many messages are unread.
    #[must_use]
    pub fn happenings(&self) -> Happenings {
        Happenings::new(Arc::clone(self.shared()))
    }
}

impl Happenings {
    fn new(shared: Arc<Shared>) -> Self {
        let tap = shared.hub.tap(&kinds::ALL, false);
        let user = &shared.db.binding().user;
        if let Ok(list) = ListKey::new(kinds::CONVERSATIONS, user)
            && shared.holds(&list)
        {
            shared.begin_board(&list);
        }
        Self {
            shared,
            tap,
            waiting: VecDeque::new(),
            unread: None,
        }
    }

    fn look(&mut self, lists: BTreeMap<ListKey, News>) -> Result<(), Error> {
        for (list, news) in lists {
            let Some(rows) = news.rows else {
                self.waiting.push_back(Happening::Many { list });
                continue;
            };
            for (id, became) in net(rows) {
                let told = tell(&self.shared, &list, &id, &became)?;
                self.waiting.extend(told);
            }
        }
        let unread = self.shared.board()?.map(|board| board.total_unread());
        if let Some(messages) = unread
            && self.unread != unread
        {
            self.unread = unread;
            self.waiting.push_back(Happening::TotalUnread { messages });
        }
        Ok(())
    }
}

impl Stream for Happenings {
    type Item = Result<Happening, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(happening) = self.waiting.pop_front() {
                return Poll::Ready(Some(Ok(happening)));
            }
            let Some(lists) = ready!(self.tap.poll_news(context)) else {
                return Poll::Ready(None);
            };
            match self.look(lists) {
                Ok(()) => {}
                Err(Error::Closed) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

/// What all changes of an item come to.
fn net(rows: Vec<RowChange>) -> Vec<(ItemId, Became)> {
    let mut all: BTreeMap<ItemId, (Option<Rank>, Option<Rank>)> = BTreeMap::new();
    for RowChange { id, before, after } in rows {
        all.entry(id).or_insert((before, None)).1 = after;
    }
    let became = all.into_iter().filter_map(|(id, (before, after))| {
        let became = match (before, after) {
            (None, None) => return None,
            (None, Some(_)) => Became::Added,
            (Some(_), None) => Became::Removed,
            (Some(before), Some(after)) if before == after => Became::Changed,
            (Some(before), Some(after)) => Became::Moved(before, after),
        };
        Some((id, became))
    });
    became.collect()
}

/// An element's content, as it is now.
fn content<P: Payload>(shared: &Shared, list: &ListKey, id: &ItemId) -> Result<Option<P>, Error> {
    let read = shared.element(list, id)?.filter(is_sound);
    let payload = read.and_then(|read| read.row.payload);
    Ok(payload.and_then(|payload| P::decode(&payload).ok()))
}

fn conversation(shared: &Shared, id: &str) -> Result<Option<ConversationView>, Error> {
    let board = shared.board()?;
    let row = board.as_deref().and_then(|board| board.row(id));
    Ok(row.and_then(|row: Row<_>| row.item))
}

/// What an item's change means. Requests are ranked by when they were made: one
/// that changes where it is has another name or avatar, or was answered.
fn tell(
    shared: &Shared,
    list: &ListKey,
    item: &ItemId,
    became: &Became,
) -> Result<Vec<Happening>, Error> {
    use Became::{Added, Changed, Moved, Removed};
    use Happening as H;
    let id = item.as_str().to_owned();
    let owner = list.owner.as_str().to_owned();
    let told = match (list.kind.as_str(), item.is_header(), became) {
        (kinds::PROFILE, true, _) => H::ProfileChanged {
            profile: content(shared, list, item)?,
        },
        (kinds::FRIENDS, false, Added) => H::FriendAdded {
            user: id,
            friend: content(shared, list, item)?,
        },
        (kinds::FRIENDS, false, Removed) => H::FriendRemoved { user: id },
        (kinds::FRIENDS, false, _) => H::FriendChanged {
            user: id,
            friend: content(shared, list, item)?,
        },
        (kinds::FRIEND_REQUESTS, false, Removed) => H::FriendRequestClosed { user: id },
        (kinds::FRIEND_REQUESTS, false, Added | Moved(..)) => H::FriendRequestReceived {
            user: id,
            request: content(shared, list, item)?,
        },
        (kinds::SENT_FRIEND_REQUESTS, false, Removed) => H::SentFriendRequestClosed { user: id },
        (kinds::SENT_FRIEND_REQUESTS, false, _) => {
            let request: Option<FriendRequest> = content(shared, list, item)?;
            match &request {
                Some(sent) if sent.state == RequestState::Rejected => {
                    H::FriendRequestRejected { user: id, request }
                }
                _ if matches!(became, Changed) => return Ok(Vec::new()),
                _ => H::FriendRequestSent { user: id, request },
            }
        }
        (kinds::BLOCKS, false, Removed) => H::Unblocked { user: id },
        (kinds::BLOCKS, false, Added) => H::Blocked {
            user: id,
            block: content(shared, list, item)?,
        },
        (kinds::GROUPS, false, Added) => H::GroupJoined { group: id },
        (kinds::GROUPS, false, Removed) => H::GroupLeft { group: id },
        (kinds::MEMBERS, true, _) => H::GroupChanged {
            group: owner,
            profile: content(shared, list, item)?,
        },
        (kinds::MEMBERS, false, _) => return member(shared, list, item, became),
        (kinds::JOIN_REQUESTS, false, Removed) => H::JoinRequestClosed {
            group: owner,
            user: id,
        },
        (kinds::JOIN_REQUESTS, false, Added | Moved(..)) => H::JoinRequestReceived {
            group: owner,
            user: id,
            request: content(shared, list, item)?,
        },
        (kinds::SENT_JOIN_REQUESTS, false, Removed) => H::SentJoinRequestClosed { group: id },
        (kinds::SENT_JOIN_REQUESTS, false, _) => {
            let request: Option<JoinRequest> = content(shared, list, item)?;
            match &request {
                Some(sent) if sent.state == RequestState::Rejected => {
                    H::JoinRequestRejected { group: id, request }
                }
                _ if matches!(became, Changed) => return Ok(Vec::new()),
                _ => H::JoinRequestSent { group: id, request },
            }
        }
        (kinds::CONVERSATIONS, false, Removed) => H::ConversationRemoved { conversation: id },
        (kinds::CONVERSATIONS, false, Added) => H::ConversationAdded {
            view: conversation(shared, &id)?,
            conversation: id,
        },
        (kinds::CONVERSATIONS, false, Changed | Moved(..)) => H::ConversationChanged {
            view: conversation(shared, &id)?,
            conversation: id,
        },
        (kinds::ACTIVITY, true, Added | Changed | Moved(..)) => {
            let id = ConversationId::Group(owner).as_text();
            H::ConversationChanged {
                view: conversation(shared, &id)?,
                conversation: id,
            }
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![told])
}

/// Members are ranked by their role, one byte, then by when they joined.
fn member(
    shared: &Shared,
    list: &ListKey,
    item: &ItemId,
    became: &Became,
) -> Result<Vec<Happening>, Error> {
    use Happening as H;
    let (group, user) = (list.owner.as_str().to_owned(), item.as_str().to_owned());
    if let Became::Removed = became {
        return Ok(vec![H::MemberLeft { group, user }]);
    }
    let member: Option<Member> = content(shared, list, item)?;
    let role = |rank: &Rank| rank.as_bytes().first().copied();
    Ok(match became {
        Became::Moved(before, after) if role(before) != role(after) => {
            vec![H::RoleChanged {
                group,
                user,
                member,
            }]
        }
        Became::Moved(..) => {
            // Another time of joining: they left, and came back.
            let left = H::MemberLeft {
                group: group.clone(),
                user: user.clone(),
            };
            let joined = H::MemberJoined {
                group,
                user,
                member,
            };
            vec![left, joined]
        }
        Became::Added => vec![H::MemberJoined {
            group,
            user,
            member,
        }],
        _ => vec![H::MemberChanged {
            group,
            user,
            member,
        }],
    })
}
