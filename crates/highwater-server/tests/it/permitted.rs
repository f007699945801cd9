//! The table of permissions, held against what the operations do: each row, by
//! each asker, on a group of theirs, a group of others and one that is not there;
//! and on their own lists and those of another.

use crate::groups::{
    announce, approve, member_extra, mute, mute_group, nickname, policy, rules, transfer, withdraw,
};
use crate::kit::{NOW_MS, store};
use crate::rules::{
    actor, create, dismiss, group, invite, join, leave, remove, run, set_role, user,
};
use highwater_core::answer::Access;
use highwater_protocol::kinds::{Circle, JoinPolicy, Role};
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_server::domain::permissions::{Allowed, OnGroup, OnUser, Standing, Whose};
use highwater_server::domain::{
    AcceptFriend, Actor, BlockUser, ChangeConversation, ChangeFriend, CheckedPair,
    ClearConversation, ConversationChange, Create, DeleteConversation, DeleteFriend, DeleteUser,
    DescribeUser, Description, FriendChange, Join, Leave, ProfileChange, ReadConversation,
    RejectFriend, RemoveOutcome, ReportActivity, RequestFriend, Rights, Rules, Sides,
    WithdrawFriendRequest,
};
use highwater_store::Store as _;
use highwater_store::memory::MemoryStore;
use serde_json::json;

/// Groups `g` and `h`, of an owner, two admins and two members each; `x` is in
/// neither and applies to both.
pub(crate) async fn world(circle: Circle) -> MemoryStore {
    let store = store();
    for (id, [owner, admins @ .., m, n]) in [
        ("g", ["o", "a", "b", "m", "n"]),
        ("h", ["p", "q", "r", "s", "t"]),
    ] {
        run(&store, create(id, Some(owner))).await.unwrap();
        for who in [admins[0], admins[1], m, n] {
            run(&store, invite(owner, id, &[who])).await.unwrap();
        }
        for admin in admins {
            let role = set_role(owner, id, admin, Role::Admin);
            run(&store, role).await.unwrap();
        }
        let set = Rules {
            join_policy: Some(JoinPolicy::Approval),
            invited_by: Some(circle),
            seen_by: Some(circle),
        };
        run(&store, rules(owner, id, set)).await.unwrap();
        run(&store, join(id, "x")).await.unwrap();
    }
    store
}

pub(crate) fn standing(asker: &str, id: &str) -> Standing {
    match (asker, id) {
        ("service", _) => Standing::Service,
        ("o", "g") => Standing::Owner,
        ("a", "g") => Standing::Admin,
        ("m", "g") => Standing::Member,
        _ => Standing::Outsider,
    }
}

pub(crate) fn role_of(whom: &str) -> Option<Role> {
    match whom {
        "o" | "p" => Some(Role::Owner),
        "a" | "b" | "q" | "r" => Some(Role::Admin),
        "m" | "n" | "s" | "t" => Some(Role::Member),
        _ => None,
    }
}

/// Does what a row says; for those that concern a member, to `whom`.
async fn attempt(
    store: &MemoryStore,
    row: OnGroup,
    asker: &str,
    id: &str,
    whom: &str,
) -> Result<(), Code> {
    match row {
        OnGroup::ReadProfile | OnGroup::ReadMembers => {
            match access(store, asker, group(id).members()).await {
                Access::Read => Ok(()),
                Access::Header if row == OnGroup::ReadProfile => Ok(()),
                _ => Err(Code::Forbidden),
            }
        }
        OnGroup::ReadActivity => read(access(store, asker, group(id).activity()).await),
        OnGroup::ReadJoinRequests => read(access(store, asker, group(id).join_requests()).await),
        OnGroup::Describe => {
            let description = Description {
                name: Some("New".to_owned()),
                ..Description::default()
            };
            let describe =
                highwater_server::domain::Describe::new(actor(asker), group(id), description);
            run(store, describe.unwrap()).await
        }
        OnGroup::Announce => run(store, announce(asker, id, "hear")).await,
        OnGroup::Mute => run(store, mute_group(asker, id, true)).await,
        OnGroup::SetRules => run(store, policy(asker, id, JoinPolicy::Open)).await,
        OnGroup::Invite => run(store, invite(asker, id, &["y"])).await.map(drop),
        OnGroup::AnswerRequest => run(store, approve(asker, id, "x")).await,
        OnGroup::Remove => match run(store, remove(asker, id, &[whom])).await?[..] {
            [RemoveOutcome::Removed] => Ok(()),
            [RemoveOutcome::Forbidden] => Err(Code::Forbidden),
            [RemoveOutcome::NotMember] => Err(Code::NotMember),
            [RemoveOutcome::OwnerRequired] => Err(Code::OwnerRequired),
            ref outcomes => panic!("{outcomes:?}"),
        },
        OnGroup::MuteMember => run(store, mute(asker, id, whom, NOW_MS + 1)).await,
        OnGroup::SetNickname => run(store, nickname(asker, id, whom, "N")).await,
        OnGroup::SetMemberExtra => run(store, member_extra(asker, id, whom, "1")).await,
        OnGroup::SetRole => {
            // Both ways to do it.
            let handed_over = run(store, transfer(asker, id, whom)).await;
            let service = set_role(asker, id, whom, Role::Owner);
            if handed_over.is_err() {
                assert_eq!(run(store, service).await, handed_over);
            }
            handed_over
        }
        OnGroup::Dismiss => run(store, dismiss(asker, id)).await,
    }
}

async fn access(store: &MemoryStore, asker: &str, list: ListKey) -> Access {
    let snapshot = store.snapshot(std::slice::from_ref(&list)).await.unwrap();
    let rights = Rights::new(10);
    let decided = rights.decide(&actor(asker), &snapshot, &[&list]).await;
    decided.unwrap().remove(0)
}

fn read(access: Access) -> Result<(), Code> {
    match access {
        Access::Read => Ok(()),
        _ => Err(Code::Forbidden),
    }
}

const fn concerns_a_member(row: OnGroup) -> bool {
    matches!(
        row,
        OnGroup::Remove
            | OnGroup::MuteMember
            | OnGroup::SetNickname
            | OnGroup::SetMemberExtra
            | OnGroup::SetRole
    )
}

const fn reads(row: OnGroup) -> bool {
    matches!(
        row,
        OnGroup::ReadProfile
            | OnGroup::ReadMembers
            | OnGroup::ReadActivity
            | OnGroup::ReadJoinRequests
    )
}

/// What has to come of it.
fn expected(row: OnGroup, asker: &str, id: &str, whom: &str, circle: Circle) -> Option<Code> {
    let standing = standing(asker, id);
    if reads(row) {
        let may = match row.allowed(standing) {
            Allowed::Yes => true,
            Allowed::AsSet => circle == Circle::Members,
            Allowed::No | Allowed::Below => false,
        };
        // A service may read what is not there: it is empty.
        return (!may).then_some(Code::Forbidden);
    }
    if id == "none" || standing == Standing::Outsider {
        return Some(Code::GroupNotFound);
    }
    // One's own nickname and data are a matter of one's own.
    let own = matches!(row, OnGroup::SetNickname | OnGroup::SetMemberExtra);
    if own && asker == whom {
        return None;
    }
    let allowed = row.allowed(standing);
    match allowed {
        Allowed::No => return Some(Code::Forbidden),
        Allowed::AsSet if circle == Circle::Admins => return Some(Code::Forbidden),
        _ => {}
    }
    if !concerns_a_member(row) {
        return None;
    }
    let Some(role) = role_of(whom) else {
        return Some(Code::NotMember);
    };
    if allowed == Allowed::Below && !standing.is_above(role) {
        return Some(Code::Forbidden);
    }
    let last_owner = row == OnGroup::Remove && role == Role::Owner;
    last_owner.then_some(Code::OwnerRequired)
}

#[tokio::test]
async fn every_row_of_a_group_holds_for_every_role_and_group() {
    let mut tried = 0;
    for row in OnGroup::ALL {
        for circle in [Circle::Members, Circle::Admins] {
            for asker in ["service", "o", "a", "m", "x"] {
                for id in ["g", "h", "none"] {
                    let whom: &[&str] = match (concerns_a_member(*row), id) {
                        (true, "g") => &["o", "a", "b", "m", "n", "x"],
                        (true, "h") => &["p", "q", "s", "m", "x"],
                        _ => &[""],
                    };
                    for whom in whom {
                        let store = world(circle).await;
                        let whom = if whom.is_empty() { "y" } else { whom };
                        let in_other = id == "h" && whom == "m";
                        let mut expected = expected(*row, asker, id, whom, circle);
                        if in_other && asker == "service" {
                            expected = Some(Code::NotMember);
                        }
                        let result = attempt(&store, *row, asker, id, whom).await;
                        assert_eq!(
                            result.err(),
                            expected,
                            "{asker} wants to {} ({id}, {whom}, {circle:?})",
                            row.about()
                        );
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried > 800, "{tried}");
}

/// A right that is missing is missing before anything is looked at.
async fn attempt_own(
    store: &MemoryStore,
    row: OnUser,
    asker: &Actor,
    of: &str,
) -> Result<(), Code> {
    let code = |checked: Result<(), Refusal>| checked.map_err(|no| no.code);
    let text = String::new;
    let (of_id, other) = (|| user(of), || user("other"));
    match row {
        OnUser::Read => {
            let asker = match asker {
                Actor::Service => "service",
                Actor::User(user) => user.as_str(),
            };
            for list in [
                of_id().profile(),
                of_id().friends(),
                of_id().friend_requests(),
                of_id().sent_friend_requests(),
                of_id().blocks(),
                of_id().groups(),
                of_id().sent_join_requests(),
                of_id().conversations(),
            ] {
                read(access(store, asker, list).await)?;
            }
            Ok(())
        }
        OnUser::Describe => {
            let change = crate::people::named("N");
            code(DescribeUser::patch(asker, of_id(), change, 0).map(drop))?;
            code(DescribeUser::put(asker, of_id(), ProfileChange::default(), 0).map(drop))
        }
        OnUser::Delete => code(DeleteUser::new(asker, of_id(), 0).map(drop)),
        OnUser::RequestFriend => {
            let asked = RequestFriend::new(asker, of_id(), other(), text(), text(), 0);
            code(asked.map(drop))
        }
        OnUser::WithdrawFriendRequest => {
            code(WithdrawFriendRequest::new(asker, of_id(), other()).map(drop))
        }
        OnUser::AnswerFriend => {
            let rejected = RejectFriend::new(asker, of_id(), other(), text(), 0);
            let accepted = AcceptFriend::new(asker, of_id(), other(), 0);
            assert_eq!(rejected.is_ok(), accepted.is_ok());
            code(accepted.map(drop))
        }
        OnUser::ChangeFriend => {
            let change = FriendChange {
                pinned: Some(true),
                ..FriendChange::default()
            };
            code(ChangeFriend::new(asker, of_id(), other(), change).map(drop))
        }
        OnUser::DeleteFriend => {
            code(DeleteFriend::new(asker, of_id(), other(), Sides::Both).map(drop))
        }
        OnUser::Block => code(BlockUser::new(asker, of_id(), other(), 0).map(drop)),
        OnUser::ImportFriends => code(CheckedPair::all(asker, Vec::new(), false, 0).map(drop)),
        OnUser::CreateGroup => {
            let operation = Create {
                actor: asker.clone(),
                ..create("new", Some(of))
            };
            run(store, operation).await
        }
        OnUser::CreateEmptyGroup => {
            let operation = Create {
                actor: asker.clone(),
                ..create("new", None)
            };
            run(store, operation).await
        }
        OnUser::Join => {
            run(store, create("open", None)).await.unwrap();
            let operation = Join {
                actor: asker.clone(),
                ..join("open", of)
            };
            run(store, operation).await.map(drop)
        }
        OnUser::Withdraw => {
            run(store, join("h", of)).await.unwrap();
            let mut operation = withdraw(of, "h", of);
            operation.actor = asker.clone();
            run(store, operation).await
        }
        OnUser::Leave => {
            let operation = Leave {
                actor: asker.clone(),
                ..leave("g", of)
            };
            run(store, operation).await.map(drop)
        }
        OnUser::SetNickname => {
            let mut operation = nickname(of, "g", of, "N");
            operation.actor = asker.clone();
            run(store, operation).await
        }
        OnUser::SetMemberExtra => {
            let mut operation = member_extra(of, "g", of, "1");
            operation.actor = asker.clone();
            run(store, operation).await
        }
        OnUser::SetConversation => {
            let change = ConversationChange {
                pinned: Some(true),
                ..ConversationChange::default()
            };
            let operation = ChangeConversation::new(asker.clone(), of_id(), "g:g", change, 0);
            run(store, operation.unwrap()).await
        }
        OnUser::ReadConversation => {
            let operation = ReadConversation::new(asker.clone(), of_id(), "g:g", 1);
            run(store, operation.unwrap()).await
        }
        OnUser::ClearConversation => {
            let operation = ClearConversation::new(asker.clone(), of_id(), "g:g");
            run(store, operation.unwrap()).await
        }
        OnUser::DeleteConversation => {
            let operation = DeleteConversation::new(asker.clone(), of_id(), "g:g");
            run(store, operation.unwrap()).await
        }
        OnUser::ReportActivity => {
            let entry = json!({"conversation": {"group": "g"}, "seq": 1, "at_ms": 0});
            code(ReportActivity::new(asker, vec![entry], false).map(drop))
        }
    }
}

#[tokio::test]
async fn every_row_of_a_users_lists_holds_for_their_own_and_anothers() {
    for row in OnUser::ALL {
        // "m" and "n" are both ordinary members, so that nothing but whose lists
        // they are makes a difference.
        for (asker, whose) in [
            (Actor::Service, Whose::Service),
            (actor("m"), Whose::Own),
            (actor("n"), Whose::Other),
        ] {
            let store = world(Circle::Members).await;
            let result = attempt_own(&store, *row, &asker, "m").await;
            let expected = match row.allowed(whose) {
                Allowed::Yes => None,
                _ => Some(Code::Forbidden),
            };
            assert_eq!(result.err(), expected, "{whose:?} wants to {}", row.about());
        }
    }
}
