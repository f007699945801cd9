//! Where each operation is: the one place that knows the addresses.

use highwater_protocol::Refusal;

/// Bytes of a user's or group's id.
const ID_BYTES: usize = 120;
/// Bytes of a conversation's id: `u:`, `g:` or `s:` and another.
const CONVERSATION_BYTES: usize = ID_BYTES + 2;

/// The path of an operation, its ids percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(String);

impl Path {
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn of(user: &str) -> Result<Self, Refusal> {
        Self("/v1/users".to_owned()).id("user", user)
    }

    /// A fixed part.
    fn at(self, part: &str) -> Self {
        Self(format!("{}/{part}", self.0))
    }

    /// A part that names someone or something.
    fn id(self, field: &str, id: &str) -> Result<Self, Refusal> {
        self.named(field, id, ID_BYTES)
    }

    fn named(self, field: &str, id: &str, limit: usize) -> Result<Self, Refusal> {
        if id.is_empty() {
            return Err(Refusal::invalid(field, format!("{field} is empty")));
        }
        if id.len() > limit {
            return Err(Refusal::too_large(field, id.len(), limit));
        }
        Ok(Self(format!("{}/{}", self.0, encoded(id))))
    }

    /// What is done with all of these together.
    fn verb(self, verb: &str) -> Self {
        Self(format!("{}:{verb}", self.0))
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986. A part of dots
/// alone would lead elsewhere, so its dots are encoded too.
fn encoded(id: &str) -> String {
    let only_dots = id.bytes().all(|byte| byte == b'.');
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        let plain = match byte {
            b'.' => !only_dots,
            byte => byte.is_ascii_alphanumeric() || b"-_~".contains(&byte),
        };
        if plain {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

pub(super) fn user(user: &str) -> Result<Path, Refusal> {
    Path::of(user)
}

pub(super) fn profile(user: &str) -> Result<Path, Refusal> {
    Ok(Path::of(user)?.at("profile"))
}

pub(super) fn friend_request(user: &str, from: &str, verb: &str) -> Result<Path, Refusal> {
    let requests = Path::of(user)?.at("friend_requests");
    Ok(requests.id("friend", from)?.at(verb))
}

pub(super) fn sent_friend_request(user: &str, to: &str) -> Result<Path, Refusal> {
    Path::of(user)?.at("sent_friend_requests").id("friend", to)
}

pub(super) fn friend(user: &str, friend: &str) -> Result<Path, Refusal> {
    Path::of(user)?.at("friends").id("friend", friend)
}

pub(super) fn block(user: &str, blocked: &str) -> Result<Path, Refusal> {
    Path::of(user)?.at("blocks").id("blocked", blocked)
}

pub(super) fn groups() -> Result<Path, Refusal> {
    Ok(Path("/v1/groups".to_owned()))
}

pub(super) fn group(group: &str) -> Result<Path, Refusal> {
    groups()?.id("group", group)
}

pub(super) fn members(of: &str, verb: &str) -> Result<Path, Refusal> {
    Ok(group(of)?.at("members").verb(verb))
}

/// Something of a group.
pub(super) fn of_group(of: &str, what: &str) -> Result<Path, Refusal> {
    Ok(group(of)?.at(what))
}

/// Something of a member.
pub(super) fn of_member(of: &str, user: &str, what: &str) -> Result<Path, Refusal> {
    Ok(group(of)?.at("members").id("user", user)?.at(what))
}

pub(super) fn join_request(of: &str, user: &str, verb: &str) -> Result<Path, Refusal> {
    let requests = group(of)?.at("join_requests");
    Ok(requests.id("user", user)?.at(verb))
}

pub(super) fn sent_join_request(user: &str, group: &str) -> Result<Path, Refusal> {
    Path::of(user)?.at("sent_join_requests").id("group", group)
}

pub(super) fn conversation(user: &str, conversation: &str) -> Result<Path, Refusal> {
    let conversations = Path::of(user)?.at("conversations");
    conversations.named("conversation", conversation, CONVERSATION_BYTES)
}

pub(super) fn conversation_verb(user: &str, of: &str, verb: &str) -> Result<Path, Refusal> {
    Ok(conversation(user, of)?.at(verb))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_address() {
        let paths = [
            user("u1"),
            profile("u1"),
            friend_request("u1", "u2", "accept"),
            sent_friend_request("u1", "u2"),
            friend("u1", "u2"),
            block("u1", "u2"),
            groups(),
            group("g1"),
            members("g1", "join"),
            of_group("g1", "rules"),
            of_member("g1", "u2", "role"),
            join_request("g1", "u2", "approve"),
            sent_join_request("u1", "g1"),
            conversation("u1", "g:g1"),
            conversation_verb("u1", "u:u2", "read"),
        ];
        let paths: Vec<String> = paths.map(|path| path.unwrap().into_text()).into();
        let expected = [
            "/v1/users/u1",
            "/v1/users/u1/profile",
            "/v1/users/u1/friend_requests/u2/accept",
            "/v1/users/u1/sent_friend_requests/u2",
            "/v1/users/u1/friends/u2",
            "/v1/users/u1/blocks/u2",
            "/v1/groups",
            "/v1/groups/g1",
            "/v1/groups/g1/members:join",
            "/v1/groups/g1/rules",
            "/v1/groups/g1/members/u2/role",
            "/v1/groups/g1/join_requests/u2/approve",
            "/v1/users/u1/sent_join_requests/g1",
            "/v1/users/u1/conversations/g%3Ag1",
            "/v1/users/u1/conversations/u%3Au2/read",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn no_id_leads_elsewhere() {
        let path = |id: &str| friend("u1", id).unwrap().into_text();
        for (id, written) in [
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("a.b", "a.b"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("a:accept", "a%3Aaccept"),
            ("100%", "100%25"),
            ("Ä", "%C3%84"),
        ] {
            assert_eq!(path(id), format!("/v1/users/u1/friends/{written}"));
        }
        assert_eq!(friend("u1", "").unwrap_err().field, "friend");
        let no = group(&"x".repeat(121)).unwrap_err();
        assert_eq!((&*no.field, no.limit), ("group", 120));
        assert!(conversation("u1", &format!("u:{}", "x".repeat(120))).is_ok());
    }
}
