//! A changed profile reaches its copies: in steps, whatever comes in between.

use crate::faulty::Faulty;
use crate::kit::{Hands, NOW_MS, Running, key, store};
use crate::people::{
    Put, PutAll, accept, assert_people_in_step, block, change, converse, delete, describe, fan_out,
    ids, in_locale, item, make_friends, named, put, refused, remark, request, unfriend, version,
};
use crate::rules::{actor, create, join, run, user};
use highwater_protocol::Code;
use highwater_protocol::kinds::{
    Block, Conversation, Extra, Friend, FriendRequest, JoinRequest, JoinedGroup, Member,
    Payload as _, UserProfile,
};
use highwater_server::domain::{DescribeUser, FanOut, ProfileChange, Sides};
use highwater_store::Store;
use highwater_store_sqlite::{Options, SqliteStore};
use std::path::Path;

fn avatar(avatar: &str) -> ProfileChange {
    ProfileChange {
        avatar: Some(avatar.to_owned()),
        ..ProfileChange::default()
    }
}

/// User `u` is held in every way that there is.
async fn held_everywhere(store: &impl Store) {
    make_friends(store, "u", "friend").await;
    run(store, request("u", "asked")).await.unwrap();
    run(store, request("asks", "u")).await.unwrap();
    run(store, block("blocks", "u")).await.unwrap();
    converse(store, "talks", "u").await;
    for id in ["g", "h"] {
        run(store, create(id, Some("o"))).await.unwrap();
        run(store, join(id, "u")).await.unwrap();
    }
    let nicknamed = Member {
        nickname: "Nick".to_owned(),
        ..item(store, "members", "h", "u").await
    };
    put(store, "members", "h", "u", nicknamed.encode()).await;
    // As if u had applied to a third.
    let request = JoinRequest::default().encode();
    put(store, "join_requests", "i", "u", request.clone()).await;
    put(store, "sent_join_requests", "u", "i", request).await;
}

#[tokio::test]
async fn a_new_name_and_avatar_reach_whoever_holds_a_copy() {
    let store = store();
    held_everywhere(&store).await;
    describe(&store, "u", named("Una")).await;
    describe(&store, "u", avatar("una.png")).await;
    fan_out(&store).await;
    assert_people_in_step(&store).await;
    let friend: Friend = item(&store, "friends", "friend", "u").await;
    let asked: FriendRequest = item(&store, "friend_requests", "asked", "u").await;
    let asks: FriendRequest = item(&store, "sent_friend_requests", "asks", "u").await;
    let block: Block = item(&store, "blocks", "blocks", "u").await;
    let talk: Conversation = item(&store, "conversations", "talks", "u:u").await;
    let member: Member = item(&store, "members", "g", "u").await;
    let applied: JoinRequest = item(&store, "join_requests", "i", "u").await;
    for (name, avatar) in [
        (friend.name, friend.avatar),
        (asked.name, asked.avatar),
        (asks.name, asks.avatar),
        (block.name, block.avatar),
        (talk.name, talk.avatar),
        (member.name, member.avatar),
        (applied.name, applied.avatar),
    ] {
        assert_eq!((name.as_str(), avatar.as_str()), ("Una", "una.png"));
    }
    // Whoever has a nickname in a group is called by it there.
    let nicknamed: Member = item(&store, "members", "h", "u").await;
    assert_eq!(nicknamed.nickname, "Nick");
    assert_eq!(
        (nicknamed.name.as_str(), nicknamed.avatar.as_str()),
        ("", "una.png")
    );
    // A copy that is made later is of the new profile.
    run(&store, request("u", "late")).await.unwrap();
    assert_people_in_step(&store).await;
}

#[tokio::test]
async fn only_what_others_see_is_fanned_out_and_only_what_changed_is_written() {
    let store = store();
    make_friends(&store, "u", "f").await;
    let jobs = async || store.backlog().await.unwrap().jobs;
    let extra = ProfileChange {
        extra: Some(Extra::parse("1").unwrap()),
        ..ProfileChange::default()
    };
    describe(&store, "u", extra).await;
    assert_eq!(jobs().await, 0);
    describe(&store, "u", named("Una")).await;
    assert_eq!(jobs().await, 1);
    fan_out(&store).await;
    let before = (
        version(&store, "profile", "u").await,
        version(&store, "friends", "f").await,
    );
    // The same again, and a change that is taken back before it was fanned out.
    describe(&store, "u", named("Una")).await;
    assert_eq!(jobs().await, 0);
    assert_eq!(version(&store, "profile", "u").await, before.0);
    describe(&store, "u", named("X")).await;
    describe(&store, "u", named("Una")).await;
    fan_out(&store).await;
    assert_eq!(version(&store, "friends", "f").await, before.1);
}

#[tokio::test]
async fn a_profile_is_replaced_or_changed_in_part() {
    let store = store();
    let put = |profile| DescribeUser::put(&actor("u"), user("u"), profile, NOW_MS).unwrap();
    let whole = ProfileChange {
        name: Some("Una".to_owned()),
        avatar: Some("una.png".to_owned()),
        locale: Some("zh-cn".to_owned()),
        extra: Some(Extra::parse("[1]").unwrap()),
    };
    run(&store, put(whole)).await.unwrap();
    describe(&store, "u", named("Una B.")).await;
    let profile: UserProfile = item(&store, "profile", "u", "").await;
    let expected = UserProfile {
        name: "Una B.".to_owned(),
        avatar: "una.png".to_owned(),
        locale: "zh-CN".to_owned(),
        extra: Extra::parse("[1]").unwrap(),
        changed_at_ms: NOW_MS,
        deleting: false,
    };
    assert_eq!(profile, expected);
    run(&store, put(named("U"))).await.unwrap();
    let profile: UserProfile = item(&store, "profile", "u", "").await;
    assert_eq!((profile.name.as_str(), profile.avatar.as_str()), ("U", ""));
    assert_eq!(profile.locale, "");
}

#[test]
fn what_a_profile_may_not_say_is_refused_by_field_and_limit() {
    let patch = |change| refused(DescribeUser::patch(&actor("u"), user("u"), change, NOW_MS));
    let large = |field: &str, limit| (Code::TooLarge, field.to_owned(), limit);
    assert_eq!(patch(named(&"n".repeat(257))), large("name", 256));
    assert_eq!(patch(avatar(&"a".repeat(1_025))), large("avatar", 1_024));
    assert_eq!(patch(in_locale(&"l".repeat(65))), large("locale", 64));
    let invalid = |field: &str| (Code::InvalidField, field.to_owned(), 0);
    assert_eq!(patch(in_locale("not a tag")), invalid("locale"));
    assert_eq!(patch(ProfileChange::default()), invalid("name"));
    let extra = format!("{{\"extra\":\"{}\"}}", "x".repeat(4_096));
    assert!(serde_json::from_str::<ProfileChange>(&extra).is_err());
}

#[tokio::test]
async fn a_worker_that_dies_anywhere_is_followed_by_one_that_finishes() {
    for budget in 0..8 {
        let store = store();
        held_everywhere(&store).await;
        for at in 0..300 {
            make_friends(&store, "u", &format!("f{at}")).await;
        }
        describe(&store, "u", named("Una")).await;
        let dying = Faulty::new(&store).with_writes(budget);
        let died = FanOut::new(dying).finish(&Hands::new().clock()).await;
        let jobs = store.backlog().await.unwrap().jobs;
        assert_eq!(died.is_err(), jobs == 1, "after {budget} writes");
        // 304 holders in 3 steps, groups, applications, and the job itself.
        assert_eq!(jobs == 0, budget >= 6, "after {budget} writes");
        fan_out(&store).await;
        assert_people_in_step(&store).await;
    }
}

#[tokio::test]
async fn many_changes_in_a_row_are_one_walk() {
    let store = store();
    for friend in ["a", "b", "c"] {
        make_friends(&store, "u", friend).await;
    }
    for at in 0..20 {
        describe(&store, "u", named(&format!("Una {at}"))).await;
    }
    assert_eq!(store.backlog().await.unwrap().jobs, 20);
    let counted = Faulty::new(&store).with_writes(2);
    FanOut::new(counted)
        .finish(&Hands::new().clock())
        .await
        .unwrap();
    assert_people_in_step(&store).await;
}

/// OpenIM keeps this work in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_out_that_was_cut_short_is_finished_after_the_process_began_again() {
    let folder = tempfile::tempdir().unwrap();
    let open = |at: &Path| SqliteStore::open(at, Options::default()).unwrap();
    let store = open(folder.path());
    for at in 0..200 {
        make_friends(&store, "u", &format!("f{at:03}")).await;
    }
    describe(&store, "u", named("Una")).await;
    let dying = Faulty::new(&store).with_writes(1);
    let died = FanOut::new(dying).finish(&Hands::new().clock()).await;
    assert!(died.is_err());
    store.close().await;

    let store = open(folder.path());
    let told = async |at: usize| {
        let friend: Friend = item(&store, "friends", &format!("f{at:03}"), "u").await;
        friend.name == "Una"
    };
    assert!(told(0).await);
    assert!(!told(199).await);
    let server = Running::start(store.clone()).await;
    server.service().await.settled().await;
    server.end().await;
    assert_people_in_step(&store).await;
    store.close().await;
}

#[tokio::test]
async fn work_that_waits_is_seen_in_the_metrics() {
    let store = store();
    make_friends(&store, "u", "f").await;
    describe(&store, "u", named("Una")).await;
    let server = Running::start(Faulty::new(&store).with_writes(0)).await;
    server.hands.move_on(7_000);
    let reply = server.stranger().await.get("/metrics").await.ok();
    let text = String::from_utf8(reply.body).unwrap();
    for line in ["highwater_jobs 1", "highwater_oldest_job_age_seconds 7"] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    server.end().await;
}

#[tokio::test]
async fn whoever_is_held_no_longer_is_told_nothing_more() {
    let store = store();
    make_friends(&store, "u", "f").await;
    run(&store, unfriend("f", "u", Sides::One)).await.unwrap();
    let before = version(&store, "friends", "f").await;
    describe(&store, "u", named("Una")).await;
    fan_out(&store).await;
    assert_eq!(version(&store, "friends", "f").await, before);
    assert_eq!(ids(&store, "holders", "u").await, [""; 0]);
    assert_people_in_step(&store).await;
}

#[tokio::test]
async fn another_locale_ranks_all_friends_anew() {
    let store = store();
    describe(&store, "o", in_locale("de")).await;
    let mut german = Vec::new();
    for at in 0..600 {
        let (id, first) = (format!("f{at:03}"), if at % 2 == 0 { 'Ä' } else { 'Z' });
        make_friends(&store, "o", &id).await;
        let called = format!("{first}{at:03}");
        run(&store, change("o", &id, remark(&called)))
            .await
            .unwrap();
        german.push((first == 'Z', id));
    }
    german.sort();
    let names = |order: &[(bool, String)]| -> Vec<String> {
        order.iter().map(|(_, id)| id.clone()).collect()
    };
    assert_eq!(ids(&store, "friends", "o").await, names(&german));
    describe(&store, "o", in_locale("sv")).await;
    fan_out(&store).await;
    german.sort_by_key(|(is_z, id)| (!is_z, id.clone()));
    assert_eq!(ids(&store, "friends", "o").await, names(&german));
    // Half of them moved at most, and a second walk moves none.
    let before = version(&store, "friends", "o").await;
    describe(&store, "o", in_locale("sv-SE")).await;
    fan_out(&store).await;
    assert_eq!(version(&store, "friends", "o").await, before);
    assert_people_in_step(&store).await;
}

#[tokio::test]
async fn whoever_is_being_deleted_describes_themselves_no_more() {
    let store = store();
    run(&store, delete("u")).await.unwrap();
    let again = DescribeUser::patch(&actor("u"), user("u"), named("n"), NOW_MS).unwrap();
    assert_eq!(run(&store, again).await, Err(Code::UserNotFound));
    assert_eq!(run(&store, delete("u")).await, Err(Code::UserNotFound));
    let accepted = run(&store, accept("u", "a")).await;
    assert_eq!(accepted, Err(Code::UserNotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn someone_with_5_000_friends_and_500_groups_has_another_name_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::default()).unwrap();
    let friends: Vec<String> = (0..5_000).map(|at| format!("f{at}")).collect();
    let groups: Vec<String> = (0..500).map(|at| format!("g{at}")).collect();
    // Only what the fan-out goes by.
    let put = |kind: &str, owner: &str, id: &str, payload| Put {
        list: key(kind, owner),
        id: id.to_owned(),
        payload,
    };
    let friend = |id: &String| {
        let friend = Friend::default().encode();
        [
            put("friends", id, "u", friend),
            put("holders", "u", id, vec![1]),
        ]
    };
    let group = |id: &String| {
        let (member, joined) = (Member::default().encode(), JoinedGroup::default().encode());
        [
            put("members", id, "u", member),
            put("groups", "u", id, joined),
        ]
    };
    let held = friends.iter().flat_map(friend);
    let all = PutAll(held.chain(groups.iter().flat_map(group)).collect());
    run(&store, all).await.unwrap();

    let began = std::time::Instant::now();
    describe(&store, "u", named("Una")).await;
    fan_out(&store).await;
    // Seen with --no-capture; how long it may take is for the benchmarks.
    eprintln!("fanned out in {:?}", began.elapsed());
    for id in &friends {
        let friend: Friend = item(&store, "friends", id, "u").await;
        assert_eq!(friend.name, "Una");
    }
    for id in &groups {
        let member: Member = item(&store, "members", id, "u").await;
        assert_eq!(member.name, "Una");
    }
    store.close().await;
}
