//! The verdict: every list of every user and group, as the server has it, against
//! what the model says.

use super::world::World;
use crate::kit::{Client, ids};
use highwater_protocol::ItemId;
use highwater_protocol::kinds::{
    self, Block, Conversation, Friend, FriendRequest, GroupActivity, GroupProfile, JoinRequest,
    JoinedGroup, Member, Payload,
};
use highwater_protocol::message::{Content, Row};
use std::collections::BTreeMap;
use std::fmt::Debug;

fn read<P: Payload>(row: &Row) -> P {
    match &row.content {
        Content::Payload(payload) => P::decode(payload).unwrap(),
        Content::Stamp(_) => panic!("{:?} came without its payload", row.id),
    }
}

fn percent(id: &str) -> String {
    id.replace('/', "%2F")
}

async fn rows(service: &mut Client, kind: &str, owner: &str) -> Vec<Row> {
    let path = format!("/v1/lists/{kind}/{}", percent(owner));
    let accept = [("accept", "application/x-protobuf")];
    let reply = service.send("GET", &path, &accept, &[]).await;
    if reply.status == 404 {
        return vec![];
    }
    service.list(kind, &percent(owner)).await.rows
}

/// Same items, same content; in the order of `key`, then id.
fn same<P, K>(name: &str, rows: &[Row], right: &BTreeMap<String, P>, key: impl Fn(&str, &P) -> K)
where
    P: Payload + PartialEq + Debug,
    K: Ord,
{
    let mut order: Vec<_> = right.keys().collect();
    order.sort_by_key(|id| (key(id, &right[*id]), (*id).clone()));
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.id != ItemId::header())
        .collect();
    for row in &rows {
        let there: P = read(row);
        assert_eq!(
            Some(&there),
            right.get(row.id.as_str()),
            "{name}: {:?}",
            row.id
        );
    }
    let there: Vec<_> = rows.iter().map(|row| row.id.as_str().to_owned()).collect();
    let right: Vec<_> = order.into_iter().cloned().collect();
    assert_eq!(there, right, "the order of {name}");
}

/// Compares everything.
pub(crate) async fn judge(world: &World, service: &mut Client, users: &[String]) {
    let nobody = super::world::Person::default();
    for user in users {
        let person = world.people.get(user).unwrap_or(&nobody);
        let at = |kind: &str| format!("{kind}/{user}");
        let list = rows(service, kinds::FRIENDS, user).await;
        // By remark, else name, else id; all are plain letters and digits here.
        let called = |id: &str, friend: &Friend| {
            let names = [friend.remark.as_str(), friend.name.as_str(), id];
            let name = names.into_iter().find(|name| !name.is_empty());
            (!friend.pinned, name.unwrap().to_owned())
        };
        same(&at("friends"), &list, &person.friends, called);
        let newest_first = |at_ms: i64| std::cmp::Reverse(at_ms);
        for (kind, right) in [
            (kinds::FRIEND_REQUESTS, &person.incoming),
            (kinds::SENT_FRIEND_REQUESTS, &person.sent),
        ] {
            let list = rows(service, kind, user).await;
            same(&at(kind), &list, right, |_, request: &FriendRequest| {
                newest_first(request.at_ms)
            });
        }
        let list = rows(service, kinds::BLOCKS, user).await;
        same(&at("blocks"), &list, &person.blocks, |_, block: &Block| {
            newest_first(block.at_ms)
        });
        let list = rows(service, kinds::SENT_JOIN_REQUESTS, user).await;
        same(
            &at("sent_join_requests"),
            &list,
            &person.applications,
            |_, it: &JoinRequest| newest_first(it.at_ms),
        );
        let list = rows(service, kinds::GROUPS, user).await;
        let groups = person
            .groups
            .iter()
            .map(|(group, &joined_at_ms)| (group.clone(), JoinedGroup { joined_at_ms }));
        same(
            &at("groups"),
            &list,
            &groups.collect(),
            |_, group: &JoinedGroup| newest_first(group.joined_at_ms),
        );
        let list = rows(service, kinds::CONVERSATIONS, user).await;
        same(
            &at("conversations"),
            &list,
            &person.conversations,
            |_, it: &Conversation| {
                let active = it.last.as_ref().map_or(it.created_at_ms, |last| last.at_ms);
                (!it.pinned, newest_first(active))
            },
        );
        let profile = rows(service, kinds::PROFILE, user).await;
        assert_eq!(
            profile.first().map(read),
            person.profile,
            "profile of {user}"
        );
    }
    for (group, right) in &world.groups {
        let at = |kind: &str| format!("{kind}/{group}");
        let list = rows(service, kinds::MEMBERS, group).await;
        let header: GroupProfile = read(&list[0]);
        assert_eq!(header, right.profile, "profile of {group}");
        same(
            &at("members"),
            &list,
            &right.members,
            |_, member: &Member| (member.role, member.joined_at_ms),
        );
        let list = rows(service, kinds::JOIN_REQUESTS, group).await;
        same(
            &at("join_requests"),
            &list,
            &right.applicants,
            |_, it: &JoinRequest| std::cmp::Reverse(it.at_ms),
        );
        let list = rows(service, kinds::ACTIVITY, group).await;
        let activity: Option<GroupActivity> = list.first().map(read);
        assert_eq!(activity, right.activity, "activity of {group}");
        assert!(ids(&list).len() <= 1);
    }
}
