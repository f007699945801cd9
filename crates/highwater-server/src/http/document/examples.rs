//! What the document shows requests by: Ann and Bob, and their group.

use serde_json::{Value, json};

/// What a path names, for example.
pub(super) fn of_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "user" | "owner" => "ann",
        "friend" => "bob",
        "blocked" => "eve",
        "group" => "tea",
        "conversation" => "u:bob",
        "kind" => "friends",
        _ => return None,
    })
}

/// The body of an operation, for example.
pub(super) fn of_body(operation: &str) -> Option<Value> {
    const AT_MS: i64 = 1_795_575_883_632;
    Some(match operation {
        "putProfile" => {
            json!({"name": "Ann", "avatar": "https://example.com/ann.png", "locale": "en"})
        }
        "changeProfile" => json!({"name": "Ann B."}),
        "changeFriend" => json!({"remark": "Bob from work", "pinned": true}),
        "requestFriend" => json!({"message": "We met at the fair", "source": "search"}),
        "rejectFriend" | "rejectJoin" => json!({"answer": "Not now"}),
        "createGroup" => {
            json!({"group": "tea", "name": "Tea", "owner": "ann", "join_policy": "approval"})
        }
        "describeGroup" => json!({"name": "Tea at four", "description": "Every day"}),
        "joinGroup" => json!({"user": "ann", "message": "I bring cake"}),
        "leaveGroup" => json!({"user": "ann"}),
        "inviteMembers" | "removeMembers" => json!({"users": ["bob", "cyd"]}),
        "setRole" => json!({"role": "admin"}),
        "announce" => json!({"text": "No tea on Friday"}),
        "muteGroup" => json!({"muted": true}),
        "setRules" => json!({"join_policy": "invitation", "invited_by": "admins"}),
        "transferGroup" => json!({"to": "bob"}),
        "muteMember" => json!({"until_ms": AT_MS}),
        "setNickname" => json!({"nickname": "Annie"}),
        "setMemberExtra" => json!({"extra": {"seat": 4}}),
        "changeConversation" => json!({"pinned": true, "draft": "Dear Bob"}),
        "markRead" => json!({"seq": 7}),
        "reportActivity" => json!({
            "activities": [
                {"conversation": {"user": ["ann", "bob"]}, "seq": 7, "at_ms": AT_MS, "sender": "bob", "preview": "Tea?"},
                {"conversation": {"group": "tea"}, "seq": 31, "at_ms": AT_MS, "sender": "ann", "mentions": ["bob"]},
            ],
            "partial": true,
        }),
        "importFriends" => json!({"pairs": [{"user": "ann", "friend": "bob"}], "partial": true}),
        "importHistory" => json!({
            "at": AT_MS / 1_000,
            "changes": [
                {"op": "create", "group": "tea", "name": "Tea"},
                {"op": "join", "group": "tea", "user": "ann", "role": "owner"},
            ],
        }),
        "audit" => json!({"rows": 10_000}),
        "sync" => {
            json!({"protocol": 1, "lists": [{"kind": "friends", "owner": "ann", "scan": {}}]})
        }
        "postReceipts" => json!({
            "receipts": [{
                "kind": "friends", "owner": "ann", "reason": "REASON_DIGEST", "rung": "RUNG_SKETCH", "mended": true,
                "added": "1", "ids": ["bob"], "requests": "2", "bytesUp": "61", "bytesDown": "410",
                "beganAtMs": AT_MS.to_string(), "durationMs": "38",
            }],
        }),
        _ => return None,
    })
}
