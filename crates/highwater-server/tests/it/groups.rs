//! What is done to groups beyond who is in them: how one gets in, what a group
//! and its members say of themselves, who may speak.

use crate::kit::{Hands, NOW_MS, key, store};
use crate::people::{describe, named};
use crate::rules::{
    actor, assert_in_step, create, dismiss, group, groups, invite, join, leave, members, remove,
    rows, run, set_role, user,
};
use highwater_protocol::kinds::{
    Circle, Conversation, ConversationState, Extra, GroupProfile, JoinPolicy, JoinRequest, Member,
    Payload, RequestState, Role,
};
use highwater_protocol::{Code, ItemId, Refusal};
use highwater_server::domain::{
    Actor, Announce, Approve, BlockUser, Create, DeleteUser, Describe, Description, FanOut,
    InviteOutcome, Join, JoinOutcome, MuteGroup, MuteMember, Reject, RemoveOutcome, Rules,
    SetMemberExtra, SetNickname, SetRules, Transfer, Withdraw,
};
use highwater_store::Store;
use highwater_store::memory::MemoryStore;

/// What an element says; `None`: it is not there.
pub(crate) async fn element<P: Payload>(
    store: &impl Store,
    kind: &str,
    owner: &str,
    id: &str,
) -> Option<P> {
    let id = ItemId::new_or_header(id).unwrap();
    let mut rows = rows(store, &key(kind, owner)).await.into_iter();
    let found = rows.find(|(found, _)| *found == id);
    found.map(|(_, payload)| P::decode(&payload).unwrap())
}

pub(crate) async fn profile(store: &impl Store, id: &str) -> GroupProfile {
    element(store, "members", id, "").await.unwrap()
}

pub(crate) async fn member(store: &impl Store, id: &str, who: &str) -> Member {
    element(store, "members", id, who).await.unwrap()
}

pub(crate) async fn conversation(store: &impl Store, who: &str, id: &str) -> Option<Conversation> {
    element(store, "conversations", who, id).await
}

pub(crate) async fn finish(store: &MemoryStore) {
    let fan_out = FanOut::new(store.clone());
    fan_out.finish(&Hands::new().clock()).await.unwrap();
    assert_eq!(store.backlog().await.unwrap().jobs, 0);
}

pub(crate) fn rules(asker: &str, id: &str, rules: Rules) -> SetRules {
    SetRules::new(actor(asker), group(id), rules).unwrap()
}

pub(crate) fn policy(asker: &str, id: &str, join_policy: JoinPolicy) -> SetRules {
    let set = Rules {
        join_policy: Some(join_policy),
        ..Rules::default()
    };
    rules(asker, id, set)
}

pub(crate) fn approve(asker: &str, id: &str, who: &str) -> Approve {
    Approve {
        actor: actor(asker),
        group: group(id),
        user: user(who),
        at_ms: NOW_MS + 9,
    }
}

pub(crate) fn reject(asker: &str, id: &str, who: &str) -> Reject {
    let answer = "not now".to_owned();
    Reject::new(actor(asker), group(id), user(who), answer, NOW_MS + 9).unwrap()
}

pub(crate) fn withdraw(asker: &str, id: &str, who: &str) -> Withdraw {
    Withdraw {
        actor: actor(asker),
        group: group(id),
        user: user(who),
    }
}

pub(crate) fn transfer(asker: &str, id: &str, to: &str) -> Transfer {
    Transfer {
        actor: actor(asker),
        group: group(id),
        to: user(to),
    }
}

pub(crate) fn mute(asker: &str, id: &str, who: &str, until_ms: i64) -> MuteMember {
    MuteMember::new(actor(asker), group(id), user(who), until_ms, NOW_MS).unwrap()
}

pub(crate) fn nickname(asker: &str, id: &str, who: &str, nickname: &str) -> SetNickname {
    let nickname = nickname.to_owned();
    SetNickname::new(actor(asker), group(id), user(who), nickname).unwrap()
}

pub(crate) fn member_extra(asker: &str, id: &str, who: &str, extra: &str) -> SetMemberExtra {
    SetMemberExtra {
        actor: actor(asker),
        group: group(id),
        user: user(who),
        extra: Extra::parse(extra).unwrap(),
    }
}

pub(crate) fn announce(asker: &str, id: &str, text: &str) -> Announce {
    Announce::new(actor(asker), group(id), text.to_owned(), NOW_MS + 3).unwrap()
}

pub(crate) fn mute_group(asker: &str, id: &str, muted: bool) -> MuteGroup {
    MuteGroup {
        actor: actor(asker),
        group: group(id),
        muted,
    }
}

/// A group `g` of an owner `o`, an admin `a` and a member `m`.
pub(crate) async fn staffed() -> MemoryStore {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, invite("o", "g", &["a", "m"])).await.unwrap();
    run(&store, set_role("o", "g", "a", Role::Admin))
        .await
        .unwrap();
    store
}

/// The same, where one applies.
async fn with_approval() -> MemoryStore {
    let store = staffed().await;
    run(&store, policy("o", "g", JoinPolicy::Approval))
        .await
        .unwrap();
    store
}

fn said(checked: Result<impl Sized, Refusal>) -> (Code, String, u64) {
    let Err(no) = checked else {
        panic!("it is refused");
    };
    (no.code, no.field, no.limit)
}

#[tokio::test]
async fn a_new_group_is_open_its_admins_invite_and_its_members_see_one_another() {
    let store = store();
    let operation = Create::new(
        actor("o"),
        group("g"),
        Some(user("o")),
        "G".to_owned(),
        String::new(),
        NOW_MS,
    );
    run(&store, operation.unwrap()).await.unwrap();
    let profile = profile(&store, "g").await;
    assert_eq!(profile.join_policy, JoinPolicy::Open);
    assert_eq!(profile.invited_by, Some(Circle::Admins));
    assert_eq!(profile.seen_by, Some(Circle::Members));
    assert_eq!(member(&store, "g", "o").await.by, "o");
}

#[tokio::test]
async fn a_policy_lets_in_asks_or_refuses_and_a_service_is_not_asked() {
    for (policy_is, expected) in [
        (JoinPolicy::Open, Ok(JoinOutcome::Joined)),
        (JoinPolicy::Approval, Ok(JoinOutcome::Requested)),
        (JoinPolicy::Invitation, Err(Code::JoinRefused)),
    ] {
        let store = staffed().await;
        run(&store, policy("o", "g", policy_is)).await.unwrap();
        assert_eq!(run(&store, join("g", "x")).await, expected);
        let is_in = groups(&store, "x").await == ["g"];
        assert_eq!(is_in, expected == Ok(JoinOutcome::Joined));
        let by_service = Join {
            actor: Actor::Service,
            ..join("g", "y")
        };
        assert_eq!(run(&store, by_service).await, Ok(JoinOutcome::Joined));
        assert_eq!(member(&store, "g", "y").await.by, "");
        assert_in_step(&store).await;
    }
}

#[tokio::test]
async fn an_application_stands_in_both_lists_until_it_is_answered() {
    let store = with_approval().await;
    describe(&store, "x", named("Xenia")).await;
    let with_words = Join::new(
        actor("x"),
        group("g"),
        user("x"),
        "let me in".to_owned(),
        "qr".to_owned(),
        NOW_MS,
    );
    let with_words = with_words.unwrap();
    run(&store, with_words.clone()).await.unwrap();
    let received: JoinRequest = element(&store, "join_requests", "g", "x").await.unwrap();
    assert_eq!(
        (&*received.name, &*received.message),
        ("Xenia", "let me in")
    );
    assert_eq!(received.state, RequestState::Pending);
    let sent: JoinRequest = element(&store, "sent_join_requests", "x", "g")
        .await
        .unwrap();
    assert_eq!((&*sent.name, sent.at_ms), ("G", NOW_MS));
    // Asking again replaces what was said.
    run(&store, join("g", "x")).await.unwrap();
    let received: JoinRequest = element(&store, "join_requests", "g", "x").await.unwrap();
    assert_eq!(received.message, "");
    run(&store, with_words).await.unwrap();

    run(&store, approve("a", "g", "x")).await.unwrap();
    assert_eq!(rows(&store, &key("join_requests", "g")).await, []);
    assert_eq!(rows(&store, &key("sent_join_requests", "x")).await, []);
    let member = member(&store, "g", "x").await;
    assert_eq!((&*member.name, &*member.by), ("Xenia", "x"));
    assert_eq!(member.source, "qr");
    assert_in_step(&store).await;
    // An answer answers once.
    let again = run(&store, approve("a", "g", "x")).await;
    assert_eq!(again, Err(Code::RequestNotFound));
    assert_eq!(run(&store, join("g", "x")).await, Err(Code::AlreadyMember));
}

#[tokio::test]
async fn a_rejected_applicant_sees_by_whom_and_with_which_words() {
    let store = with_approval().await;
    run(&store, join("g", "x")).await.unwrap();
    run(&store, reject("a", "g", "x")).await.unwrap();
    assert_eq!(rows(&store, &key("join_requests", "g")).await, []);
    let sent: JoinRequest = element(&store, "sent_join_requests", "x", "g")
        .await
        .unwrap();
    assert_eq!(sent.state, RequestState::Rejected);
    assert_eq!((&*sent.handled_by, &*sent.answer), ("a", "not now"));
    assert_eq!(sent.handled_at_ms, NOW_MS + 9);
    for late in [
        run(&store, reject("a", "g", "x")).await,
        run(&store, approve("a", "g", "x")).await,
    ] {
        assert_eq!(late, Err(Code::RequestNotFound));
    }
    // They may ask again, or put the answer away.
    run(&store, join("g", "x")).await.unwrap();
    run(&store, reject("service", "g", "x")).await.unwrap();
    let sent: JoinRequest = element(&store, "sent_join_requests", "x", "g")
        .await
        .unwrap();
    assert_eq!(sent.handled_by, "");
    run(&store, withdraw("x", "g", "x")).await.unwrap();
    assert_eq!(rows(&store, &key("sent_join_requests", "x")).await, []);
}

#[tokio::test]
async fn an_application_is_withdrawn_by_the_applicant_alone() {
    let store = with_approval().await;
    assert_eq!(
        run(&store, withdraw("x", "g", "x")).await,
        Err(Code::RequestNotFound)
    );
    run(&store, join("g", "x")).await.unwrap();
    assert_eq!(
        run(&store, withdraw("o", "g", "x")).await,
        Err(Code::Forbidden)
    );
    run(&store, withdraw("x", "g", "x")).await.unwrap();
    assert_eq!(rows(&store, &key("join_requests", "g")).await, []);
    assert_eq!(
        run(&store, approve("o", "g", "x")).await,
        Err(Code::RequestNotFound)
    );
}

#[tokio::test]
async fn whoever_is_brought_in_has_no_application_left() {
    let store = with_approval().await;
    run(&store, join("g", "x")).await.unwrap();
    run(&store, invite("a", "g", &["x"])).await.unwrap();
    assert_eq!(rows(&store, &key("join_requests", "g")).await, []);
    assert_eq!(rows(&store, &key("sent_join_requests", "x")).await, []);
    assert_eq!(member(&store, "g", "x").await.by, "a");
}

/// An OpenIM server trusted the request: a join could name another user.
#[tokio::test]
async fn nobody_joins_applies_or_leaves_as_another_user() {
    for policy_is in JoinPolicy::ALL {
        let store = staffed().await;
        run(&store, policy("o", "g", *policy_is)).await.unwrap();
        for asker in ["o", "a", "m", "y"] {
            let other = Join {
                actor: actor(asker),
                ..join("g", "x")
            };
            assert_eq!(run(&store, other).await, Err(Code::Forbidden), "{asker}");
            let mut other = leave("g", "m");
            other.actor = actor(asker);
            if asker != "m" {
                assert_eq!(run(&store, other).await, Err(Code::Forbidden), "{asker}");
            }
        }
        assert_eq!(groups(&store, "x").await, Vec::<String>::new());
        assert_eq!(members(&store, "g").await.len(), 3);
    }
}

#[tokio::test]
async fn members_invite_where_the_rules_say_so() {
    let store = staffed().await;
    assert_eq!(
        run(&store, invite("m", "g", &["x"])).await,
        Err(Code::Forbidden)
    );
    let all = Rules {
        invited_by: Some(Circle::Members),
        ..Rules::default()
    };
    run(&store, rules("o", "g", all)).await.unwrap();
    let outcomes = run(&store, invite("m", "g", &["x"])).await;
    assert_eq!(outcomes, Ok(vec![InviteOutcome::Added]));
    assert_eq!(member(&store, "g", "x").await.by, "m");
    assert_eq!(
        run(&store, invite("y", "g", &["z"])).await,
        Err(Code::GroupNotFound)
    );
}

#[tokio::test]
async fn whoever_may_not_see_the_members_does_not_learn_by_inviting_who_is_one() {
    let store = staffed().await;
    let hidden = Rules {
        invited_by: Some(Circle::Members),
        seen_by: Some(Circle::Admins),
        ..Rules::default()
    };
    run(&store, rules("o", "g", hidden)).await.unwrap();
    let before = member(&store, "g", "a").await;
    let outcomes = run(&store, invite("m", "g", &["a", "x"])).await;
    assert_eq!(outcomes, Ok(vec![InviteOutcome::Added; 2]));
    assert_eq!(member(&store, "g", "a").await, before);
    // Nor by inviting those who block them, or who are going.
    for blocking in ["a", "y"] {
        let block = BlockUser::new(&actor(blocking), user(blocking), user("m"), NOW_MS);
        run(&store, block.unwrap()).await.unwrap();
    }
    for going in ["x", "z"] {
        let going = DeleteUser::new(&actor(going), user(going), NOW_MS).unwrap();
        run(&store, going).await.unwrap();
    }
    let outcomes = run(&store, invite("m", "g", &["a", "y", "x", "z"])).await;
    use InviteOutcome::{Blocked, UserNotFound};
    assert_eq!(
        outcomes,
        Ok(vec![Blocked, Blocked, UserNotFound, UserNotFound])
    );
    let outcomes = run(&store, invite("a", "g", &["m"])).await;
    assert_eq!(outcomes, Ok(vec![InviteOutcome::AlreadyMember]));
}

#[tokio::test]
async fn whoever_blocks_the_inviter_or_is_going_is_not_brought_in() {
    use InviteOutcome::{Added, AlreadyMember, Blocked, UserNotFound};
    let store = staffed().await;
    let block = BlockUser::new(&actor("x"), user("x"), user("a"), NOW_MS).unwrap();
    run(&store, block).await.unwrap();
    run(
        &store,
        DeleteUser::new(&actor("z"), user("z"), NOW_MS).unwrap(),
    )
    .await
    .unwrap();
    let outcomes = run(&store, invite("a", "g", &["x", "y", "z", "m"])).await;
    assert_eq!(
        outcomes,
        Ok(vec![Blocked, Added, UserNotFound, AlreadyMember])
    );
    // The block is of that inviter only, and a service is none.
    let outcomes = run(&store, invite("o", "g", &["x"])).await;
    assert_eq!(outcomes, Ok(vec![Added]));
    assert_eq!(run(&store, join("g", "z")).await, Err(Code::UserNotFound));
}

#[tokio::test]
async fn a_user_who_is_going_is_not_approved() {
    let store = with_approval().await;
    run(&store, join("g", "x")).await.unwrap();
    run(
        &store,
        DeleteUser::new(&actor("x"), user("x"), NOW_MS).unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(
        run(&store, approve("o", "g", "x")).await,
        Err(Code::UserNotFound)
    );
}

#[tokio::test]
async fn a_group_that_is_handed_over_has_a_new_owner_who_may_speak() {
    let store = staffed().await;
    run(&store, mute("a", "g", "m", NOW_MS + 1)).await.unwrap();
    assert_eq!(
        run(&store, transfer("a", "g", "m")).await,
        Err(Code::Forbidden)
    );
    assert_eq!(
        run(&store, transfer("o", "g", "x")).await,
        Err(Code::NotMember)
    );
    run(&store, transfer("o", "g", "m")).await.unwrap();
    let expected = [("m", Role::Owner), ("o", Role::Admin), ("a", Role::Admin)];
    let expected = expected.map(|(id, role)| (id.to_owned(), role));
    let mut found = members(&store, "g").await;
    found.sort_by_key(|(id, role)| (*role, std::cmp::Reverse(id.clone())));
    assert_eq!(found, expected);
    assert_eq!(member(&store, "g", "m").await.muted_until_ms, 0);
    // To whoever owns it is no change.
    let again = store.write(NOW_MS, transfer("m", "g", "m")).await.unwrap();
    assert_eq!(again.states, []);
    assert_eq!(run(&store, leave("g", "m")).await, Err(Code::OwnerRequired));
    assert_eq!(run(&store, leave("g", "o")).await, Ok(false));
}

#[tokio::test]
async fn a_mute_ends_at_a_time_to_come_and_0_ends_it() {
    let store = staffed().await;
    let muted = |until_ms| MuteMember::new(actor("o"), group("g"), user("m"), until_ms, NOW_MS);
    for past in [NOW_MS, NOW_MS - 1, 1, -1, i64::MIN] {
        let expected = (Code::InvalidField, "until_ms".to_owned(), 0);
        assert_eq!(said(muted(past)), expected, "{past}");
    }
    run(&store, muted(NOW_MS + 1).unwrap()).await.unwrap();
    assert_eq!(member(&store, "g", "m").await.muted_until_ms, NOW_MS + 1);
    run(&store, muted(0).unwrap()).await.unwrap();
    assert_eq!(member(&store, "g", "m").await.muted_until_ms, 0);
}

#[tokio::test]
async fn a_nickname_stands_for_the_name_until_it_is_empty() {
    let store = staffed().await;
    describe(&store, "m", named("Mara")).await;
    finish(&store).await;
    assert_eq!(member(&store, "g", "m").await.name, "Mara");
    run(&store, nickname("m", "g", "m", "Mo")).await.unwrap();
    let called = member(&store, "g", "m").await;
    assert_eq!((&*called.name, &*called.nickname), ("", "Mo"));
    // A new name of theirs is nothing to a group in which they have a nickname.
    describe(&store, "m", named("Marina")).await;
    finish(&store).await;
    assert_eq!(member(&store, "g", "m").await, called);
    run(&store, nickname("o", "g", "m", "")).await.unwrap();
    let called = member(&store, "g", "m").await;
    assert_eq!((&*called.name, &*called.nickname), ("Marina", ""));
}

#[tokio::test]
async fn what_is_said_of_a_group_changes_its_header_alone() {
    let store = staffed().await;
    let description = Description {
        avatar: Some("https://x/y.png".to_owned()),
        extra: Some(Extra::parse(r#"{"topic":7}"#).unwrap()),
        ..Description::default()
    };
    let describe = Describe::new(actor("a"), group("g"), description).unwrap();
    let before = rows(&store, &key("members", "g")).await;
    for committed in [
        store.write(NOW_MS, describe).await.unwrap(),
        store
            .write(NOW_MS, announce("a", "g", "hear"))
            .await
            .unwrap(),
        store
            .write(NOW_MS, mute_group("o", "g", true))
            .await
            .unwrap(),
        store
            .write(NOW_MS, policy("o", "g", JoinPolicy::Invitation))
            .await
            .unwrap(),
    ] {
        let changed: Vec<_> = committed.states.iter().map(|(list, _)| list).collect();
        assert_eq!(changed, [&key("members", "g")]);
    }
    assert_eq!(rows(&store, &key("members", "g")).await[1..], before[1..]);
    let said = profile(&store, "g").await;
    assert_eq!((&*said.name, &*said.avatar), ("G", "https://x/y.png"));
    assert_eq!(said.extra.as_str(), r#"{"topic":7}"#);
    assert!(said.muted);
    assert_eq!(said.join_policy, JoinPolicy::Invitation);
    let announcement = said.announcement.unwrap();
    assert_eq!((&*announcement.text, &*announcement.by), ("hear", "a"));
    assert_eq!(announcement.at_ms, NOW_MS + 3);
    run(&store, announce("o", "g", "")).await.unwrap();
    assert_eq!(profile(&store, "g").await.announcement, None);
}

#[tokio::test]
async fn words_that_are_too_long_or_no_json_are_refused_by_field_and_limit() {
    let (a, g, u) = (|| actor("o"), || group("g"), || user("m"));
    let long = |bytes: usize| "x".repeat(bytes + 1);
    let too_large = |field: &str, limit| (Code::TooLarge, field.to_owned(), limit);
    let described = |description| said(Describe::new(a(), g(), description));
    let text = |bytes| Some(long(bytes));
    let name = Description {
        name: text(256),
        ..Description::default()
    };
    assert_eq!(described(name), too_large("name", 256));
    let avatar = Description {
        avatar: text(1_024),
        ..Description::default()
    };
    assert_eq!(described(avatar), too_large("avatar", 1_024));
    let none = (Code::InvalidField, "name".to_owned(), 0);
    assert_eq!(described(Description::default()), none);
    let none = (Code::InvalidField, "join_policy".to_owned(), 0);
    assert_eq!(said(SetRules::new(a(), g(), Rules::default())), none);
    let announced = Announce::new(a(), g(), long(4_096), 0);
    assert_eq!(said(announced), too_large("text", 4_096));
    let named = SetNickname::new(a(), g(), u(), long(256));
    assert_eq!(said(named), too_large("nickname", 256));
    let rejected = Reject::new(a(), g(), u(), long(1_024), 0);
    assert_eq!(said(rejected), too_large("answer", 1_024));
    let joined = |message, source| said(Join::new(a(), g(), u(), message, source, 0));
    assert_eq!(
        joined(long(1_024), String::new()),
        too_large("message", 1_024)
    );
    assert_eq!(joined(String::new(), long(64)), too_large("source", 64));
    let no_json = (Code::InvalidField, "extra".to_owned(), 0);
    assert_eq!(said(Extra::parse("{topic: 7}")), no_json);
    let much = format!("\"{}\"", "x".repeat(4_095));
    assert_eq!(said(Extra::parse(&much)), too_large("extra", 4_096));
}

/// OpenIM: any change of role makes every device download all ids again.
#[tokio::test]
async fn a_role_change_moves_one_item() {
    let store = staffed().await;
    let others: Vec<String> = (0..200).map(|at| format!("u{at}")).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    run(&store, invite("o", "g", &others)).await.unwrap();
    let version = async || {
        let list = group("g").members();
        let snapshot = store.snapshot(std::slice::from_ref(&list)).await.unwrap();
        use highwater_core::reads::{ListState, Reads as _};
        let ListState::Live(head) = snapshot.state(&list).await.unwrap() else {
            panic!("the group is there");
        };
        head.version
    };
    let before = version().await;
    let changed = set_role("o", "g", "u100", Role::Admin);
    let committed = store.write(NOW_MS, changed).await.unwrap();
    assert_eq!(committed.states.len(), 1);
    assert_eq!(version().await, before.next());
    let order = members(&store, "g").await;
    assert_eq!(order[2], ("u100".to_owned(), Role::Admin));
}

#[tokio::test]
async fn a_group_has_a_conversation_of_each_member_which_outlives_their_membership() {
    let store = staffed().await;
    let state = async |who: &str| conversation(&store, who, "g:g").await.map(|one| one.state);
    assert_eq!(state("m").await, Some(ConversationState::Active));
    run(&store, leave("g", "m")).await.unwrap();
    assert_eq!(state("m").await, Some(ConversationState::Left));
    run(&store, join("g", "m")).await.unwrap();
    assert_eq!(state("m").await, Some(ConversationState::Active));
    run(&store, remove("o", "g", &["m"])).await.unwrap();
    assert_eq!(state("m").await, Some(ConversationState::Left));
    run(&store, dismiss("o", "g")).await.unwrap();
    assert_eq!(state("o").await, Some(ConversationState::Ended));
    assert_eq!(state("a").await, Some(ConversationState::Active));
    finish(&store).await;
    assert_eq!(state("a").await, Some(ConversationState::Ended));
    // Who left before stays one who left.
    assert_eq!(state("m").await, Some(ConversationState::Left));
    assert_in_step(&store).await;
}

#[tokio::test]
async fn a_dismissal_reaches_those_who_applied_and_a_new_life_keeps_its_own() {
    let store = with_approval().await;
    for at in 0..600 {
        run(&store, join("g", &format!("u{at}"))).await.unwrap();
    }
    run(&store, dismiss("o", "g")).await.unwrap();
    assert_eq!(rows(&store, &key("join_requests", "g")).await, []);
    // Before the fan-out: the group begins again, and one of them applies again.
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, policy("o", "g", JoinPolicy::Approval))
        .await
        .unwrap();
    run(&store, join("g", "u7")).await.unwrap();
    finish(&store).await;
    for at in [0, 6, 7, 8, 599] {
        let sent = rows(&store, &key("sent_join_requests", &format!("u{at}"))).await;
        assert_eq!(sent.len(), usize::from(at == 7), "u{at}");
    }
    run(&store, approve("o", "g", "u7")).await.unwrap();
    assert_in_step(&store).await;
}

#[tokio::test]
async fn the_dismissal_of_an_earlier_life_takes_no_answer_of_the_new_one() {
    let store = with_approval().await;
    run(&store, join("g", "x")).await.unwrap();
    run(&store, dismiss("o", "g")).await.unwrap();
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, policy("o", "g", JoinPolicy::Approval))
        .await
        .unwrap();
    run(&store, join("g", "x")).await.unwrap();
    run(&store, reject("o", "g", "x")).await.unwrap();
    finish(&store).await;
    let sent: Option<JoinRequest> = element(&store, "sent_join_requests", "x", "g").await;
    assert_eq!(sent.map(|sent| sent.state), Some(RequestState::Rejected));
}

#[tokio::test]
async fn a_group_whose_last_member_is_sent_away_ends() {
    let store = staffed().await;
    let outcomes = run(&store, remove("service", "g", &["o", "m", "a", "m"])).await;
    assert_eq!(
        outcomes.unwrap(),
        [
            RemoveOutcome::Removed,
            RemoveOutcome::Removed,
            RemoveOutcome::Removed,
            RemoveOutcome::NotMember,
        ]
    );
    assert_eq!(run(&store, join("g", "x")).await, Err(Code::GroupNotFound));
    finish(&store).await;
    assert_eq!(groups(&store, "o").await, [""; 0]);
    run(&store, create("g", Some("x"))).await.unwrap();
    assert_in_step(&store).await;
}

#[tokio::test]
async fn a_user_who_is_going_gets_no_role() {
    let store = staffed().await;
    let going = DeleteUser::new(&actor("m"), user("m"), NOW_MS).unwrap();
    run(&store, going).await.unwrap();
    let no = Err(Code::UserNotFound);
    assert_eq!(run(&store, set_role("o", "g", "m", Role::Admin)).await, no);
    assert_eq!(run(&store, transfer("o", "g", "m")).await, no);
}

#[tokio::test]
async fn a_dismissed_group_takes_no_application_answer_or_setting() {
    let store = with_approval().await;
    run(&store, join("g", "x")).await.unwrap();
    run(&store, dismiss("o", "g")).await.unwrap();
    let not_found = Code::GroupNotFound;
    assert_eq!(run(&store, join("g", "y")).await, Err(not_found));
    assert_eq!(run(&store, approve("o", "g", "x")).await, Err(not_found));
    assert_eq!(
        run(&store, reject("service", "g", "x")).await,
        Err(not_found)
    );
    assert_eq!(run(&store, transfer("o", "g", "a")).await, Err(not_found));
    assert_eq!(run(&store, mute("o", "g", "m", 0)).await, Err(not_found));
    assert_eq!(
        run(&store, mute_group("o", "g", true)).await,
        Err(not_found)
    );
    assert_eq!(run(&store, announce("o", "g", "x")).await, Err(not_found));
    let set = policy("o", "g", JoinPolicy::Open);
    assert_eq!(run(&store, set).await, Err(not_found));
    assert_eq!(
        run(&store, nickname("m", "g", "m", "x")).await,
        Err(not_found)
    );
    // The applicant may put theirs away before the fan-out does.
    run(&store, withdraw("x", "g", "x")).await.unwrap();
    finish(&store).await;
}
