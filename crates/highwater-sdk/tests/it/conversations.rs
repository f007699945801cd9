//! Conversations in one order, wherever what goes on in them is kept.

use crate::server::{Op, TestServer, list};
use futures::executor::block_on;
use futures::{FutureExt as _, StreamExt as _};
use highwater_protocol::kinds::Payload as _;
use highwater_sdk::conversations::ConversationView;
use highwater_sdk::lists::{
    Conversation, ConversationState, GroupActivity, LastMessage, Mention, Receive,
};
use highwater_sdk::{Change, Client, Conversations, Key, Page, Row, Window};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

struct Device {
    _folder: TempDir,
    server: Arc<TestServer>,
    client: Client,
    conversations: Conversations,
}

fn message(seq: u64, at_ms: i64) -> LastMessage {
    LastMessage {
        seq,
        at_ms,
        sender: "u9".to_owned(),
        preview: format!("message {seq}"),
    }
}

/// A conversation whose last message is here.
fn own(seq: u64, at_ms: i64) -> Conversation {
    Conversation {
        last: Some(message(seq, at_ms)),
        ..Conversation::default()
    }
}

/// One whose messages are the group's.
fn shared(created_at_ms: i64) -> Conversation {
    Conversation {
        created_at_ms,
        shared: true,
        ..Conversation::default()
    }
}

/// As the server ranks it.
fn rank(item: &Conversation) -> Vec<u8> {
    let at_ms = item
        .last
        .as_ref()
        .map_or(item.created_at_ms, |last| last.at_ms);
    let newest_first = u64::MAX - u64::try_from(at_ms).unwrap_or(0);
    [&[u8::from(!item.pinned)][..], &newest_first.to_be_bytes()].concat()
}

fn write(server: &TestServer, id: &str, item: &Conversation) {
    let key = list("conversations/u1");
    server.put(&key, id, rank(item), item.encode());
}

fn speak(server: &TestServer, group: &str, seq: u64, at_ms: i64) {
    let activity = GroupActivity {
        last: Some(message(seq, at_ms)),
        mention_all_seq: 0,
    };
    let key = list(&format!("activity/{group}"));
    server.put(&key, "", Vec::new(), activity.encode());
}

fn device(server: Arc<TestServer>, whole_up_to: u64) -> Device {
    let folder = tempdir().unwrap();
    let builder = server.builder(&folder.path().join("db"));
    let client = block_on(builder.whole_up_to(whole_up_to).build()).unwrap();
    let conversations = client.conversations().unwrap();
    Device {
        _folder: folder,
        server,
        client,
        conversations,
    }
}

/// A group's activity in between two others.
fn three() -> Device {
    let server = TestServer::new();
    write(&server, "u:a", &own(3, 300));
    write(&server, "g:big", &shared(1));
    write(&server, "u:b", &own(5, 100));
    speak(&server, "big", 9, 200);
    device(server, 2_000)
}

impl Device {
    fn sync(&self) {
        block_on(self.client.sync()).unwrap();
    }

    fn page(&self, after: Option<&Key>, limit: usize) -> Page<ConversationView> {
        block_on(self.conversations.page(after, limit)).unwrap()
    }

    /// `id:unread` of those that are shown, in order.
    fn shown(&self) -> Vec<String> {
        short(&self.page(None, 1_000))
    }

    fn held(&self) -> Vec<String> {
        let lists = self.client.lists();
        lists.iter().map(ToString::to_string).collect()
    }
}

fn line(row: &Row<ConversationView>) -> String {
    let unread = row.item.as_ref().map(|view| view.unread.to_string());
    format!("{}:{}", row.id(), unread.as_deref().unwrap_or("?"))
}

fn short(page: &Page<ConversationView>) -> Vec<String> {
    page.rows.iter().map(line).collect()
}

#[test]
fn the_first_page_waits_for_the_activity_of_large_groups_and_is_in_its_order() {
    let device = three();
    assert_eq!(device.shown(), ["u:a:3", "g:big:9", "u:b:5"]);
    assert_eq!(device.conversations.total_unread().unwrap(), 17);
    assert_eq!(device.held(), ["activity/big", "conversations/u1"]);
    let view = device
        .conversations
        .get("g:big")
        .unwrap()
        .unwrap()
        .item
        .unwrap();
    assert_eq!(view.last, Some(message(9, 200)));
}

#[test]
fn activity_moves_its_conversation_to_the_page_where_it_belongs() {
    let server = TestServer::new();
    for at in 0..10 {
        write(&server, &format!("u:{at}"), &own(1, 1_000 - at));
    }
    write(&server, "g:big", &shared(1));
    speak(&server, "big", 1, 2);
    let device = device(server, 2_000);
    let last = device.page(None, 10).next.unwrap();
    assert_eq!(short(&device.page(Some(&last), 10)), ["g:big:1"]);
    speak(&device.server, "big", 2, 5_000);
    device.sync();
    assert_eq!(device.shown()[0], "g:big:2");
    assert_eq!(device.page(None, 10).rows.len(), 10);
    // Pages that follow each other name each conversation once.
    let first = device.page(None, 4);
    let second = device.page(first.next.as_ref(), 4);
    let third = device.page(second.next.as_ref(), 4);
    let mut all = [short(&first), short(&second), short(&third)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 11);
}

#[test]
fn where_no_activity_is_newer_the_order_is_the_lists() {
    let server = TestServer::new();
    for (at, pinned) in [(1, false), (2, true), (3, false), (4, true), (0, false)] {
        let item = Conversation {
            pinned,
            created_at_ms: at,
            ..Conversation::default()
        };
        write(&server, &format!("s:{at}"), &item);
        let shared = Conversation {
            shared: true,
            ..item
        };
        write(&server, &format!("g:{at}"), &shared);
    }
    let device = device(server, 2_000);
    let merged: Vec<_> = device.page(None, 100).rows;
    let own = block_on(device.conversations.items().page(None, 100)).unwrap();
    let merged: Vec<Key> = merged.into_iter().map(|row| row.key).collect();
    let own: Vec<Key> = own.rows.into_iter().map(|row| row.key).collect();
    assert_eq!(merged, own);
}

#[test]
fn only_what_is_shown_and_wanted_is_unread() {
    let server = TestServer::new();
    write(&server, "u:a", &own(3, 10));
    let base = own(7, 20);
    let hidden = Conversation {
        hidden: true,
        ..base.clone()
    };
    let nothing = Conversation {
        receive: Receive::Nothing,
        ..base.clone()
    };
    let deleted = Conversation {
        deleted: true,
        cleared_seq: 7,
        ..base.clone()
    };
    let back = Conversation {
        cleared_seq: 5,
        ..deleted.clone()
    };
    let read = Conversation {
        read_seq: 6,
        ..base
    };
    let items = [
        ("u:hidden", &hidden),
        ("u:nothing", &nothing),
        ("u:deleted", &deleted),
        ("u:back", &back),
        ("u:read", &read),
    ];
    for (id, item) in items {
        write(&server, id, item);
    }
    let device = device(server, 2_000);
    assert_eq!(
        device.shown(),
        ["u:back:2", "u:nothing:7", "u:read:1", "u:a:3"]
    );
    assert_eq!(device.conversations.total_unread().unwrap(), 6);
    assert_eq!(device.conversations.count().unwrap(), 4);
    // It is there for those who ask for it by name.
    let row = device.conversations.get("u:hidden").unwrap().unwrap();
    assert!(row.item.unwrap().conversation.hidden);
    assert!(device.conversations.get("u:never").unwrap().is_none());
}

#[test]
fn a_deleted_conversation_of_a_large_group_comes_back_with_newer_activity() {
    let device = three();
    device.shown();
    let deleted = Conversation {
        deleted: true,
        cleared_seq: 9,
        ..shared(1)
    };
    write(&device.server, "g:big", &deleted);
    device.sync();
    assert_eq!(device.shown(), ["u:a:3", "u:b:5"]);
    speak(&device.server, "big", 10, 900);
    device.sync();
    assert_eq!(device.shown(), ["g:big:1", "u:a:3", "u:b:5"]);
}

#[test]
fn mentions_end_when_they_are_read_and_what_was_cleared_has_no_preview() {
    let server = TestServer::new();
    let mentioned = Conversation {
        mention: Some(Mention::Me),
        mention_seq: 4,
        read_seq: 3,
        ..shared(1)
    };
    write(&server, "g:big", &mentioned);
    let activity = GroupActivity {
        last: Some(message(9, 9)),
        mention_all_seq: 6,
    };
    server.put(&list("activity/big"), "", Vec::new(), activity.encode());
    let device = device(server, 2_000);
    let view = |device: &Device| {
        device.shown();
        device
            .conversations
            .get("g:big")
            .unwrap()
            .unwrap()
            .item
            .unwrap()
    };
    assert_eq!(view(&device).mention, Some(Mention::Me));
    let read = |read_seq, cleared_seq| Conversation {
        read_seq,
        cleared_seq,
        ..mentioned.clone()
    };
    write(&device.server, "g:big", &read(4, 0));
    device.sync();
    assert_eq!(view(&device).mention, Some(Mention::All));
    write(&device.server, "g:big", &read(4, 9));
    device.sync();
    let cleared = view(&device);
    assert_eq!((cleared.mention, cleared.unread), (None, 0));
    assert_eq!(cleared.last.unwrap().preview, "");
}

#[test]
fn activity_is_held_while_the_conversation_is_shared_and_its_owner_is_in_the_group() {
    let device = three();
    device.shown();
    let left = Conversation {
        state: ConversationState::Left,
        ..shared(1)
    };
    write(&device.server, "g:big", &left);
    device.sync();
    assert_eq!(device.shown(), ["u:a:3", "u:b:5", "g:big:0"]);
    assert_eq!(device.held(), ["conversations/u1"]);
    write(&device.server, "g:big", &shared(1));
    device.sync();
    assert_eq!(device.shown(), ["u:a:3", "g:big:9", "u:b:5"]);
    device.server.delete(&list("conversations/u1"), "g:big");
    device.sync();
    assert_eq!(device.shown(), ["u:a:3", "u:b:5"]);
    assert_eq!(device.held(), ["conversations/u1"]);
}

#[test]
fn who_releases_the_conversations_releases_what_goes_on_in_them() {
    let device = three();
    device.shown();
    device.conversations.items().release();
    assert_eq!(
        device.conversations.count().unwrap(),
        3,
        "they stay readable"
    );
    assert_eq!(device.held(), [""; 0]);
    let again = device.client.conversations().unwrap();
    block_on(again.page(None, 9)).unwrap();
    assert_eq!(device.held(), ["activity/big", "conversations/u1"]);
}

#[test]
fn offline_the_order_is_that_of_what_is_there_also_after_a_restart() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    write(&server, "u:a", &own(3, 300));
    write(&server, "g:big", &shared(1));
    speak(&server, "big", 9, 900);
    let path = folder.path().join("db");
    let client = server.client(&path);
    let conversations = client.conversations().unwrap();
    let online = block_on(conversations.page(None, 9)).unwrap();
    client.close();
    server.set_down(true);
    let client = server.client(&path);
    let conversations = client.conversations().unwrap();
    let page = block_on(conversations.page(None, 9)).unwrap();
    assert_eq!(page.rows, online.rows);
    assert_eq!(conversations.total_unread().unwrap(), 12);
}

/// What an app that shows a window does with a batch.
fn apply(window: &mut Vec<String>, changes: Vec<Change<ConversationView>>) {
    for change in changes {
        match change {
            Change::Insert { at, row } => window.insert(at, line(&row)),
            Change::Update { at, row } => window[at] = line(&row),
            Change::Move { from, to, row } => {
                window.remove(from);
                window.insert(to, line(&row));
            }
            Change::Remove { at, .. } => drop(window.remove(at)),
        }
    }
}

#[test]
fn a_watch_follows_both_and_tells_the_total() {
    let device = three();
    device.shown();
    let mut watch = device.conversations.watch(Window::first(2));
    let first = watch.next().now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(
        (first.changes.len(), first.count, first.total_unread),
        (2, 3, 17)
    );
    let mut window = Vec::new();
    apply(&mut window, first.changes);
    assert_eq!(window, ["u:a:3", "g:big:9"]);
    assert!(watch.next().now_or_never().is_none());
    speak(&device.server, "big", 10, 999);
    device.sync();
    let moved = watch.next().now_or_never().unwrap().unwrap().unwrap();
    apply(&mut window, moved.changes);
    assert_eq!(window, ["g:big:10", "u:a:3"]);
    assert_eq!(moved.total_unread, 18);
    // Outside the window only the total is news.
    let read = Conversation {
        read_seq: 5,
        ..own(5, 100)
    };
    write(&device.server, "u:b", &read);
    device.sync();
    let outside = watch.next().now_or_never().unwrap().unwrap().unwrap();
    assert!(outside.changes.is_empty());
    assert_eq!(outside.total_unread, 13);
    device.client.close();
    assert!(block_on(watch.next()).is_none());
}

#[test]
fn a_long_list_is_ordered_before_its_details_are_there_and_counts_them_as_they_come() {
    let server = TestServer::new();
    let ops = (0..300).map(|at| {
        let item = own(2, i64::from(at));
        Op::Put {
            id: format!("u:{at:03}"),
            rank: rank(&item),
            payload: item.encode(),
        }
    });
    server.write(&list("conversations/u1"), ops.collect());
    let device = device(server, 50);
    let page = device.page(None, 1_000);
    assert_eq!(page.rows[0].id(), "u:299");
    device.sync();
    device.sync();
    let page = device.page(None, 1_000);
    let ids: Vec<_> = page.rows.iter().map(|row| row.id().to_owned()).collect();
    let expected: Vec<_> = (0..300).rev().map(|at| format!("u:{at:03}")).collect();
    assert_eq!(ids, expected);
    assert_eq!(page.lacking(), 0);
    assert_eq!(device.conversations.total_unread().unwrap(), 600);
}
