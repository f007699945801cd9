//! Conversations: what their owner sets, reads, clears and deletes.

use crate::groups::{conversation, finish, staffed};
use crate::kit::{NOW_MS, key, store};
use crate::people::{describe, named};
use crate::rules::{actor, rows, run, user};
use highwater_protocol::kinds::{ConversationState, ConversationType, Extra, LastMessage, Receive};
use highwater_protocol::{Code, Refusal};
use highwater_server::domain::{
    ChangeConversation, ClearConversation, ConversationChange, DeleteConversation, DeleteUser,
    Partner, ReadConversation,
};
use highwater_store::Store as _;

pub(crate) fn change(who: &str, id: &str, change: ConversationChange) -> ChangeConversation {
    ChangeConversation::new(actor(who), user(who), id, change, NOW_MS + 4).unwrap()
}

pub(crate) fn pinned(pinned: bool) -> ConversationChange {
    ConversationChange {
        pinned: Some(pinned),
        ..ConversationChange::default()
    }
}

pub(crate) fn draft(text: &str) -> ConversationChange {
    ConversationChange {
        draft: Some(text.to_owned()),
        ..ConversationChange::default()
    }
}

pub(crate) fn read(who: &str, id: &str, seq: u64) -> ReadConversation {
    ReadConversation::new(actor(who), user(who), id, seq).unwrap()
}

pub(crate) fn clear(who: &str, id: &str) -> ClearConversation {
    ClearConversation::new(actor(who), user(who), id).unwrap()
}

pub(crate) fn delete(who: &str, id: &str) -> DeleteConversation {
    DeleteConversation::new(actor(who), user(who), id).unwrap()
}

/// The conversations of a user, in the list's order.
async fn order(store: &impl highwater_store::Store, who: &str) -> Vec<String> {
    let rows = rows(store, &key("conversations", who)).await.into_iter();
    rows.map(|(id, _)| id.to_string()).collect()
}

#[tokio::test]
async fn settings_and_a_draft_are_kept_with_the_conversation() {
    let store = staffed().await;
    let all = ConversationChange {
        receive: Some(Receive::Silent),
        pinned: Some(true),
        hidden: Some(true),
        burn_after_s: Some(30),
        destroy_after_s: Some(86_400),
        extra: Some(Extra::parse("[1]").unwrap()),
        draft: Some("I was about".to_owned()),
    };
    run(&store, change("m", "g:g", all)).await.unwrap();
    let kept = conversation(&store, "m", "g:g").await.unwrap();
    assert_eq!(kept.receive, Receive::Silent);
    assert!(kept.pinned && kept.hidden);
    assert_eq!((kept.burn_after_s, kept.destroy_after_s), (30, 86_400));
    assert_eq!(kept.extra.as_str(), "[1]");
    let kept_draft = kept.draft.clone().unwrap();
    assert_eq!(
        (&*kept_draft.text, kept_draft.at_ms),
        ("I was about", NOW_MS + 4)
    );
    // What is not named stays, and an empty draft is none.
    run(&store, change("m", "g:g", draft(""))).await.unwrap();
    let after = conversation(&store, "m", "g:g").await.unwrap();
    assert_eq!(after.draft, None);
    assert_eq!(after.receive, kept.receive);
    // The same again is no change at all.
    let again = store.write(NOW_MS, change("m", "g:g", pinned(true)));
    assert_eq!(again.await.unwrap().states, []);
}

#[tokio::test]
async fn a_conversation_with_a_user_or_of_the_system_begins_with_a_setting() {
    let store = store();
    describe(&store, "b", named("Berta")).await;
    run(&store, change("a", "u:b", draft("hi"))).await.unwrap();
    let begun = conversation(&store, "a", "u:b").await.unwrap();
    assert_eq!(
        (begun.r#type, &*begun.name),
        (ConversationType::User, "Berta")
    );
    assert_eq!(begun.created_at_ms, NOW_MS + 4);
    assert_eq!(begun.unread("a", None), 0);
    // The other user has nothing of it yet, and is held.
    assert_eq!(conversation(&store, "b", "u:a").await, None);
    assert_eq!(rows(&store, &user("b").holders()).await.len(), 1);
    describe(&store, "b", named("Bert")).await;
    finish(&store).await;
    assert_eq!(conversation(&store, "a", "u:b").await.unwrap().name, "Bert");
    run(&store, change("a", "s:news", pinned(true)))
        .await
        .unwrap();
    let begun = conversation(&store, "a", "s:news").await.unwrap();
    assert_eq!(begun.r#type, ConversationType::System);
    assert_eq!(order(&store, "a").await, ["s:news", "u:b"]);
    run(&store, delete("a", "u:b")).await.unwrap();
    assert_eq!(order(&store, "a").await, ["s:news"]);
    assert_eq!(rows(&store, &user("b").holders()).await, []);
}

#[tokio::test]
async fn a_conversation_that_there_is_not_is_not_found() {
    let store = staffed().await;
    let none = Code::ConversationNotFound;
    // That of a group begins with the membership alone.
    assert_eq!(
        run(&store, change("x", "g:g", pinned(true))).await,
        Err(none)
    );
    for id in ["g:g", "u:y", "s:news"] {
        assert_eq!(run(&store, read("x", id, 1)).await, Err(none), "{id}");
        assert_eq!(run(&store, clear("x", id)).await, Err(none), "{id}");
        assert_eq!(run(&store, delete("x", id)).await, Err(none), "{id}");
    }
    assert_eq!(order(&store, "x").await, Vec::<String>::new());
    let going = DeleteUser::new(&actor("y"), user("y"), NOW_MS).unwrap();
    run(&store, going).await.unwrap();
    assert_eq!(
        run(&store, change("x", "u:y", pinned(true))).await,
        Err(Code::UserNotFound)
    );
}

#[tokio::test]
async fn what_is_no_conversation_or_no_change_is_refused_by_its_field() {
    let changed = |id: &str, change| {
        let no: Refusal = ChangeConversation::new(actor("a"), user("a"), id, change, 0)
            .map(drop)
            .unwrap_err();
        (no.code, no.field, no.limit)
    };
    let invalid = |field: &str| (Code::InvalidField, field.to_owned(), 0);
    for id in ["", "x", "x:y", "u:", "g:", "s:", "u:a"] {
        assert_eq!(changed(id, pinned(true)), invalid("conversation"), "{id}");
    }
    let too_large = (Code::TooLarge, "conversation".to_owned(), 120);
    for kind in ["u", "g", "s"] {
        let id = format!("{kind}:{}", "x".repeat(121));
        assert_eq!(changed(&id, pinned(true)), too_large, "{kind}");
        let longest = format!("{kind}:{}", "x".repeat(120));
        Partner::parse(&user("a"), &longest).unwrap();
    }
    assert_eq!(
        changed("u:b", ConversationChange::default()),
        invalid("change")
    );
    let long = draft(&"x".repeat(4_097));
    let too_large = (Code::TooLarge, "draft".to_owned(), 4_096);
    assert_eq!(changed("u:b", long), too_large);
}

#[tokio::test]
async fn what_is_read_is_never_unread_again() {
    let store = staffed().await;
    run(&store, read("m", "g:g", 7)).await.unwrap();
    run(&store, read("m", "g:g", 5)).await.unwrap();
    let conversation = conversation(&store, "m", "g:g").await.unwrap();
    assert_eq!(conversation.read_seq, 7);
    let last = LastMessage {
        seq: 9,
        sender: "o".to_owned(),
        ..LastMessage::default()
    };
    assert_eq!(conversation.unread("m", Some(&last)), 2);
    // Nobody else's read position has moved.
    let of_owner = crate::groups::conversation(&store, "o", "g:g")
        .await
        .unwrap();
    assert_eq!(of_owner.read_seq, 0);
}

/// OpenIM: a setting could be written for another user.
#[tokio::test]
async fn nobody_sets_reads_clears_or_deletes_in_another_users_list() {
    let store = staffed().await;
    let before = rows(&store, &key("conversations", "m")).await;
    for asker in ["o", "a", "x"] {
        let forbidden = Err(Code::Forbidden);
        let mut other = change("m", "g:g", pinned(true));
        other.actor = actor(asker);
        assert_eq!(run(&store, other).await, forbidden);
        let mut other = read("m", "g:g", 3);
        other.actor = actor(asker);
        assert_eq!(run(&store, other).await, forbidden);
        let mut other = clear("m", "g:g");
        other.actor = actor(asker);
        assert_eq!(run(&store, other).await, forbidden);
        let mut other = delete("m", "g:g");
        other.actor = actor(asker);
        assert_eq!(run(&store, other).await, forbidden);
    }
    assert_eq!(rows(&store, &key("conversations", "m")).await, before);
    let mut service = change("m", "g:g", pinned(true));
    service.actor = actor("service");
    run(&store, service).await.unwrap();
}

#[tokio::test]
async fn a_left_conversation_goes_when_it_is_deleted_and_one_of_a_member_hides() {
    let store = staffed().await;
    run(&store, delete("m", "g:g")).await.unwrap();
    let hidden = conversation(&store, "m", "g:g").await.unwrap();
    assert!(hidden.deleted);
    assert_eq!(hidden.state, ConversationState::Active);
    // Who then leaves has nothing left of it.
    run(&store, crate::rules::leave("g", "m")).await.unwrap();
    assert_eq!(conversation(&store, "m", "g:g").await, None);
    run(&store, crate::rules::leave("g", "a")).await.unwrap();
    run(&store, delete("a", "g:g")).await.unwrap();
    assert_eq!(conversation(&store, "a", "g:g").await, None);
}
