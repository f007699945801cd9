//! What each operation over HTTP says of who may, held against what it does: each
//! of the rows of the table that it names, by everybody whom the row speaks of.

use crate::contract::operations;
use crate::kit::{Client, NOW_MS, Reply, Running};
use crate::permitted::{role_of, standing, world};
use crate::rules::{create, invite, join, run};
use highwater_protocol::kinds::Circle;
use highwater_server::domain::permissions::{
    Allowed, Asker, OnGroup, OnServer, OnUser, Row, Standing, Whose,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A request that does what an operation is for, of what one of its rows says.
///
/// Who acts on their own lists is `m`; `{group}` and `{user}` in the address and
/// in the body stand for what differs from one request to the next.
struct Case {
    operation: &'static str,
    row: Row,
    /// What else the address names.
    names: &'static [(&'static str, &'static str)],
    body: Value,
}

fn case(
    operation: &'static str,
    row: impl Into<Row>,
    names: &'static [(&'static str, &'static str)],
    body: Value,
) -> Case {
    Case {
        operation,
        row: row.into(),
        names,
        body,
    }
}

fn cases() -> Vec<Case> {
    let none = || Value::Null;
    let mut cases = on_users();
    cases.extend(on_groups());
    cases.extend(on_lists());
    cases.extend([
        case(
            "importHistory",
            OnServer::Import,
            &[],
            json!({"at": NOW_MS / 1_000, "changes": [{"op": "create", "group": "i", "name": "I"}]}),
        ),
        case("status", OnServer::ReadStatus, &[], none()),
        case("readReceipts", OnServer::ReadReceipts, &[], none()),
        case("audit", OnServer::Audit, &[], none()),
        case(
            "postReceipts",
            OnServer::TellRepairs,
            &[],
            json!({"receipts": [{"kind": "friends", "owner": "m", "reason": "REASON_DIGEST", "rung": "RUNG_SKETCH"}]}),
        ),
    ]);
    cases
}

fn on_users() -> Vec<Case> {
    use OnUser::{
        AnswerFriend, Block, ChangeFriend, ClearConversation, CreateEmptyGroup, CreateGroup,
        Delete, DeleteConversation, DeleteFriend, Describe, ImportFriends, Join, Leave, Read,
        ReadConversation, ReportActivity, RequestFriend, SetConversation, SetMemberExtra,
        SetNickname, Withdraw, WithdrawFriendRequest,
    };
    let none = || Value::Null;
    const FRIEND: &[(&str, &str)] = &[("friend", "f")];
    const ASKS: &[(&str, &str)] = &[("friend", "asks")];
    const ASKED: &[(&str, &str)] = &[("friend", "asked")];
    const BLOCKED: &[(&str, &str)] = &[("blocked", "k")];
    const TALK: &[(&str, &str)] = &[("conversation", "g:g")];
    vec![
        case("readProfile", Read, &[], none()),
        case("putProfile", Describe, &[], json!({"name": "M"})),
        case("changeProfile", Describe, &[], json!({"name": "M"})),
        case("deleteUser", Delete, &[], none()),
        case("listJoinedGroups", Read, &[], none()),
        case("listSentJoinRequests", Read, &[], none()),
        case("listFriends", Read, &[], none()),
        case("readFriend", Read, FRIEND, none()),
        case(
            "changeFriend",
            ChangeFriend,
            FRIEND,
            json!({"pinned": true}),
        ),
        case("deleteFriend", DeleteFriend, FRIEND, none()),
        case("listFriendRequests", Read, &[], none()),
        case("readFriendRequest", Read, ASKS, none()),
        case("acceptFriend", AnswerFriend, ASKS, none()),
        case("rejectFriend", AnswerFriend, ASKS, none()),
        case("listSentFriendRequests", Read, &[], none()),
        case("readSentFriendRequest", Read, ASKED, none()),
        case("requestFriend", RequestFriend, &[("friend", "z")], none()),
        case(
            "withdrawFriendRequest",
            WithdrawFriendRequest,
            ASKED,
            none(),
        ),
        case("listBlocks", Read, &[], none()),
        case("readBlock", Read, BLOCKED, none()),
        case("blockUser", Block, &[("blocked", "z")], none()),
        case("unblockUser", Block, BLOCKED, none()),
        case("listConversations", Read, &[], none()),
        case("readConversation", Read, TALK, none()),
        case(
            "changeConversation",
            SetConversation,
            TALK,
            json!({"pinned": true}),
        ),
        case("markRead", ReadConversation, TALK, json!({"seq": 1})),
        case("clearConversation", ClearConversation, TALK, none()),
        case("deleteConversation", DeleteConversation, TALK, none()),
        case(
            "reportActivity",
            ReportActivity,
            &[],
            json!({"activities": [{"conversation": {"group": "g"}, "seq": 2, "at_ms": NOW_MS}]}),
        ),
        case(
            "importFriends",
            ImportFriends,
            &[],
            json!({"pairs": [{"user": "m", "friend": "z"}]}),
        ),
        case(
            "createGroup",
            CreateGroup,
            &[],
            json!({"group": "new", "name": "N", "owner": "m"}),
        ),
        case(
            "createGroup",
            CreateEmptyGroup,
            &[],
            json!({"group": "new", "name": "N"}),
        ),
        case(
            "joinGroup",
            Join,
            &[("group", "open")],
            json!({"user": "m"}),
        ),
        case("leaveGroup", Leave, &[("group", "g")], json!({"user": "m"})),
        case("withdrawJoin", Withdraw, &[("group", "h")], none()),
        case(
            "setNickname",
            SetNickname,
            &[("group", "g")],
            json!({"nickname": "N"}),
        ),
        case(
            "setMemberExtra",
            SetMemberExtra,
            &[("group", "g")],
            json!({"extra": 1}),
        ),
    ]
}

fn on_groups() -> Vec<Case> {
    use OnGroup::{
        Announce, AnswerRequest, Describe, Dismiss, Invite, Mute, MuteMember, ReadActivity,
        ReadJoinRequests, ReadMembers, ReadProfile, Remove, SetMemberExtra, SetNickname, SetRole,
        SetRules,
    };
    let none = || Value::Null;
    const APPLICANT: &[(&str, &str)] = &[("user", "x")];
    vec![
        case("readGroup", ReadProfile, &[], none()),
        case("listMembers", ReadMembers, &[], none()),
        case("readMember", ReadMembers, &[("user", "n")], none()),
        case("readActivity", ReadActivity, &[], none()),
        case("listJoinRequests", ReadJoinRequests, &[], none()),
        case("describeGroup", Describe, &[], json!({"name": "N"})),
        case("announce", Announce, &[], json!({"text": "Tea at four"})),
        case("muteGroup", Mute, &[], json!({"muted": true})),
        case("setRules", SetRules, &[], json!({"join_policy": "open"})),
        case("inviteMembers", Invite, &[], json!({"users": ["y"]})),
        case("approveJoin", AnswerRequest, APPLICANT, none()),
        case("rejectJoin", AnswerRequest, APPLICANT, none()),
        case("removeMembers", Remove, &[], json!({"users": ["{user}"]})),
        case(
            "muteMember",
            MuteMember,
            &[],
            json!({"until_ms": NOW_MS + 60_000}),
        ),
        case("setNickname", SetNickname, &[], json!({"nickname": "N"})),
        case("setMemberExtra", SetMemberExtra, &[], json!({"extra": 1})),
        case("setRole", SetRole, &[], json!({"role": "admin"})),
        case("transferGroup", SetRole, &[], json!({"to": "{user}"})),
        case("dismissGroup", Dismiss, &[], none()),
    ]
}

/// Whole lists, and syncs.
fn on_lists() -> Vec<Case> {
    let mut cases = Vec::new();
    let lists: [(Row, _); 5] = [
        (OnUser::Read.into(), &[("kind", "friends"), ("owner", "m")]),
        (
            OnGroup::ReadProfile.into(),
            &[("kind", "members"), ("owner", "{group}")],
        ),
        (
            OnGroup::ReadMembers.into(),
            &[("kind", "members"), ("owner", "{group}")],
        ),
        (
            OnGroup::ReadActivity.into(),
            &[("kind", "activity"), ("owner", "{group}")],
        ),
        (
            OnGroup::ReadJoinRequests.into(),
            &[("kind", "join_requests"), ("owner", "{group}")],
        ),
    ];
    for (row, names) in lists {
        cases.push(case("readList", row, names, Value::Null));
        let [(_, kind), (_, owner)] = names;
        let list = json!({"kind": kind, "owner": owner, "scan": {}});
        cases.push(case(
            "sync",
            row,
            &[],
            json!({"protocol": 1, "lists": [list]}),
        ));
    }
    cases
}

/// A server in whose groups everybody stands somewhere, and where `m` has
/// something in each list.
async fn server(circle: Circle) -> Running {
    let store = world(circle).await;
    run(&store, join("h", "m")).await.unwrap();
    run(&store, create("open", Some("p"))).await.unwrap();
    run(&store, invite("p", "open", &["t"])).await.unwrap();
    // Five members make a large group here.
    let options = [("receipts_kept", "10"), ("conversations_shared_above", "3")];
    let server = Running::configured(store, &options).await;
    let mut service = server.service().await;
    let activity = json!({"conversation": {"group": "g"}, "seq": 1, "at_ms": NOW_MS});
    for (method, path, body) in [
        ("PUT", "/v1/users/m/profile", json!({"name": "M"})),
        (
            "POST",
            "/v1/admin/friends",
            json!({"pairs": [{"user": "m", "friend": "f"}]}),
        ),
        ("PUT", "/v1/users/asks/sent_friend_requests/m", json!({})),
        ("PUT", "/v1/users/m/sent_friend_requests/asked", json!({})),
        ("PUT", "/v1/users/m/blocks/k", json!({})),
        ("POST", "/v1/activity", json!({"activities": [activity]})),
    ] {
        service.json(method, path, &body).await.ok();
    }
    server
}

/// Who asks for what of whom.
#[derive(Clone, Copy, Debug)]
struct Asked {
    asker: &'static str,
    group: &'static str,
    user: &'static str,
    circle: Circle,
}

async fn send(server: &Running, case: &Case, asked: Asked) -> Reply {
    let (method, template, _) = &operations()[case.operation];
    let own = matches!(case.row, Row::User(_)).then_some(("user", "m"));
    let differs = [("group", asked.group), ("user", asked.user)];
    let names = case.names.iter().copied().chain(own).chain(differs);
    // What the case itself says stands before what differs.
    let path = names.fold(template.clone(), |path, (name, value)| {
        let value = value.replace("{group}", asked.group);
        path.replace(&format!("{{{name}}}"), &value)
    });
    assert!(!path.contains('{'), "{path}");
    let body = case.body.to_string();
    let body = body
        .replace("{group}", asked.group)
        .replace("{user}", asked.user);
    let mut client = match asked.asker {
        "service" => server.service().await,
        user => server.user(user).await,
    };
    match case.body {
        Value::Null => client.send(method, &path, &[], &[]).await,
        _ => {
            let json = [("content-type", "application/json")];
            client.send(method, &path, &json, body.as_bytes()).await
        }
    }
}

/// What has to come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Done,
    Forbidden,
    /// They are not told whether there is such a group.
    NoGroup,
    /// There is nothing, which may be told to whoever asks.
    Nothing,
}

fn due(row: Row, asked: Asked) -> Due {
    let Asked {
        asker,
        group,
        user,
        circle,
    } = asked;
    let allowed = match row {
        Row::Server(row) if asker == "service" => row.allowed(Asker::Service),
        Row::Server(row) => row.allowed(Asker::User),
        Row::User(row) => row.allowed(match asker {
            "service" => Whose::Service,
            "m" => Whose::Own,
            _ => Whose::Other,
        }),
        Row::Group(row) => {
            let standing = standing(asker, group);
            if standing == Standing::Outsider {
                return Due::NoGroup;
            }
            if group == "none" {
                return Due::Nothing;
            }
            let role = role_of(user).unwrap();
            match row.allowed(standing) {
                Allowed::AsSet if circle == Circle::Members => Allowed::Yes,
                Allowed::Below if standing.is_above(role) => Allowed::Yes,
                allowed => allowed,
            }
        }
    };
    match allowed {
        Allowed::Yes => Due::Done,
        Allowed::No | Allowed::Below | Allowed::AsSet => Due::Forbidden,
    }
}

/// What came of it.
fn outcome(case: &Case, reply: &Reply) -> Due {
    if reply.status >= 300 {
        return match (reply.code().as_str(), case.operation) {
            // Whose list it is, it does not say.
            ("forbidden", "readList") if matches!(case.row, Row::Group(_)) => Due::NoGroup,
            ("forbidden", _) => Due::Forbidden,
            ("group_not_found", _) => Due::NoGroup,
            ("not_found", _) => Due::Nothing,
            (code, operation) => panic!("{operation}: {code}"),
        };
    }
    let rows = match case.operation {
        "removeMembers" => {
            return match reply.json()["results"][0]["result"].as_str() {
                Some("removed") => Due::Done,
                Some("forbidden") => Due::Forbidden,
                result => panic!("{result:?}"),
            };
        }
        "readList" => reply.json()["rows"].clone(),
        "sync" => {
            let answer = &reply.json()["answers"][0];
            // Whether there is such a list, it does not say.
            if answer["gone"] == json!({}) {
                return Due::NoGroup;
            }
            answer["scan"]["rows"].clone()
        }
        _ => return Due::Done,
    };
    // Whoever sees no member is shown the header alone.
    match rows.as_array().map_or(0, Vec::len) {
        0 => Due::Nothing,
        1 if case.row == OnGroup::ReadMembers.into() => Due::Forbidden,
        _ => Due::Done,
    }
}

/// Whether an outcome is the one that is due.
fn fits(case: &Case, due: Due, outcome: Due) -> bool {
    let list = matches!(case.operation, "readList" | "sync");
    let reads = case.body.is_null() || list;
    match due {
        // A list that its reader may not see is as good as not there.
        Due::Forbidden if list => matches!(outcome, Due::Forbidden | Due::NoGroup),
        // What is not there reads as empty.
        Due::Nothing if reads => outcome != Due::Forbidden,
        Due::Nothing => outcome == Due::NoGroup,
        due => outcome == due,
    }
}

/// Everybody whom a row speaks of.
fn askers(case: &Case) -> Vec<Asked> {
    let asked = |asker, group, user, circle| Asked {
        asker,
        group,
        user,
        circle,
    };
    let plain = |asker| asked(asker, "g", "n", Circle::Members);
    let Row::Group(row) = case.row else {
        // A group for nobody is one that a user cannot ask for: a user who names
        // no owner is the owner.
        let all = ["service", "m", "n"];
        let all = if case.row == OnUser::CreateEmptyGroup.into() {
            &all[..1]
        } else {
            &all
        };
        return all.iter().map(|asker| plain(*asker)).collect();
    };
    let cells = Standing::ALL.map(|standing| row.allowed(standing));
    let circles: &[_] = match cells.contains(&Allowed::AsSet) {
        true => &[Circle::Members, Circle::Admins],
        false => &[Circle::Members],
    };
    let users: &[_] = match cells.contains(&Allowed::Below) {
        true => &["n", "b", "o"],
        false => &["n"],
    };
    let mut all = Vec::new();
    for &circle in circles {
        for asker in ["service", "o", "a", "m", "x"] {
            for &user in users {
                // The last owner stays, whoever asks; and one's own nickname is
                // a matter of one's own.
                let owner_too = user == "o" && ["service", "o"].contains(&asker);
                if !owner_too {
                    all.push(asked(asker, "g", user, circle));
                }
            }
            all.push(asked(asker, "none", "n", circle));
        }
        all.push(asked("o", "h", "n", circle));
    }
    all
}

#[tokio::test]
async fn each_operation_is_for_those_of_whom_the_rows_that_it_names_say_so() {
    let cases = cases();
    let mut told: BTreeMap<String, Due> = BTreeMap::new();
    for case in &cases {
        // What was refused changed nothing.
        let mut unchanged: Option<(Circle, Running)> = None;
        for asked in askers(case) {
            let server = match unchanged.take() {
                Some((circle, server)) if circle == asked.circle => server,
                _ => server(asked.circle).await,
            };
            let reply = send(&server, case, asked).await;
            let what = format!("{} ({:?}), {asked:?}", case.operation, case.row);
            let (due, outcome) = (due(case.row, asked), outcome(case, &reply));
            assert!(fits(case, due, outcome), "{what}: {outcome:?}, not {due:?}");
            if reply.status == 403 && case.operation != "readList" {
                says_why(case, &reply, &what);
            }
            told.insert(what, outcome);
            if outcome != Due::Done {
                unchanged = Some((asked.circle, server));
            }
        }
    }
    // Both answers were given by each that can give both.
    for (id, (_, _, operation)) in operations() {
        let of = |due| {
            told.iter()
                .any(|(what, told)| what.starts_with(&format!("{id} (")) && *told == due)
        };
        let open = operation["x-permissions"].is_null();
        assert!(open || of(Due::Done), "{id} was never done");
        assert!(
            open || of(Due::Forbidden) || of(Due::NoGroup),
            "{id} was never refused"
        );
    }
}

/// A refusal names what the row that it comes from says.
fn says_why(case: &Case, reply: &Reply, what: &str) {
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    let (_, _, operation) = &operations()[case.operation];
    let mut rows = operation["x-permissions"].as_array().unwrap().iter();
    let reads = case.row == OnUser::Read.into() && detail.starts_with("you may not read");
    assert!(
        reads || rows.any(|row| detail.contains(row["to"].as_str().unwrap())),
        "{what}: {detail}"
    );
}

#[tokio::test]
async fn each_operation_names_its_rows_and_is_tried_for_each() {
    let mut tried: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for case in cases() {
        let row = (case.row.on().to_owned(), case.row.about().to_owned());
        let new = tried
            .entry(case.operation.to_owned())
            .or_default()
            .insert(row);
        assert!(new, "{} is there twice", case.operation);
    }
    let server = server(Circle::Members).await;
    let mut stranger: Client = server.stranger().await;
    let mut named = BTreeSet::new();
    for (id, (method, path, operation)) in operations() {
        let address = path.replace(['{', '}'], "");
        let without_token = stranger.send(method, &address, &[], &[]).await;
        if operation["security"] == json!([]) {
            assert!(operation["x-permissions"].is_null(), "{id}");
            assert_eq!(without_token.status, 200, "{id}");
            assert!(!tried.contains_key(id), "{id}");
            continue;
        }
        assert_eq!(without_token.code(), "missing_token", "{id}");
        let rows = operation["x-permissions"].as_array();
        let rows = rows.unwrap_or_else(|| panic!("{id} does not say who may"));
        let text = |row: &Value, of: &str| row[of].as_str().unwrap().to_owned();
        let rows: BTreeSet<_> = rows
            .iter()
            .map(|row| (text(row, "on"), text(row, "to")))
            .collect();
        assert!(!rows.is_empty(), "{id} does not say who may");
        assert_eq!(
            tried.remove(id),
            Some(rows.clone()),
            "{id} needs a case for each row"
        );
        named.extend(rows);
    }
    assert!(tried.is_empty(), "there is no such operation: {tried:?}");
    // And no row of the table is one that nobody asks.
    let all = OnGroup::ALL.iter().map(|row| Row::from(*row));
    let all = all.chain(OnUser::ALL.iter().map(|row| Row::from(*row)));
    let all = all.chain(OnServer::ALL.iter().map(|row| Row::from(*row)));
    let all: BTreeSet<_> = all
        .map(|row| (row.on().to_owned(), row.about().to_owned()))
        .collect();
    assert_eq!(named, all);
    server.end().await;
}
