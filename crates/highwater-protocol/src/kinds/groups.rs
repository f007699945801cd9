//! Groups and who is in them.

use super::extra::Extra;
use super::payload::{choice, message};
use super::people::RequestState;

choice! {
    /// What a member may do in a group. Higher roles come first.
    Role("role") {
        /// Owns the group.
        Owner = "owner",
        /// Manages members.
        Admin = "admin",
        /// Takes part.
        Member = "member",
    }
    default Member
}

message! {
    /// An item of [`GROUPS`](super::GROUPS); its id is the group's.
    JoinedGroup {
        /// When the user joined.
        joined_at_ms: i64,
    }
}

message! {
    /// An item of [`MEMBERS`](super::MEMBERS); its id is the user's.
    Member {
        /// What the member may do. One that is not known here reads as
        /// [`Role::Member`]: the least that any role may do.
        role: Role,
        /// When they joined.
        joined_at_ms: i64,
        /// The user's own name; empty while they have a nickname in this group.
        name: String,
        /// The user's avatar.
        avatar: String,
        /// What they are called in this group; up to 256 bytes.
        nickname: String,
        /// Until when they are muted; 0: they are not.
        muted_until_ms: i64,
        /// Data of the app's own.
        extra: Extra,
        /// Who brought them in: a user id (their own, if they joined); empty: a
        /// service.
        by: String,
        /// How they came; up to 64 bytes.
        source: String,
    }
}

choice! {
    /// Who may join a group.
    JoinPolicy("join_policy") {
        /// Whoever wants to.
        Open = "open",
        /// Whoever applies and is approved by the owner or an admin.
        Approval = "approval",
        /// Whoever is invited.
        Invitation = "invitation",
    }
    default Open
}

choice! {
    /// Some of a group.
    Circle("circle") {
        /// All members.
        Members = "members",
        /// The owner and the admins.
        Admins = "admins",
    }
    default Members
}

message! {
    /// What a group's members are told.
    Announcement {
        /// Up to 4,096 bytes; empty: nothing.
        text: String,
        /// When it was written.
        at_ms: i64,
        /// Who wrote it: a user id; empty: a service.
        by: String,
    }
}

message! {
    /// The header of a list of [`MEMBERS`](super::MEMBERS).
    GroupProfile {
        /// What people call the group; 1 to 256 bytes.
        name: String,
        /// What it is for; up to 4,096 bytes.
        description: String,
        /// When it was created.
        created_at_ms: i64,
        /// Usually an address; up to 1,024 bytes.
        avatar: String,
        /// Who may join.
        join_policy: JoinPolicy,
        /// Who may invite; `None`: the owner and the admins.
        invited_by: Option<Circle>,
        /// Who may see the members; `None`: the members.
        seen_by: Option<Circle>,
        /// Only the owner and the admins may speak.
        muted: bool,
        /// What its members are told.
        announcement: Option<Announcement>,
        /// Data of the app's own.
        extra: Extra,
    }
}

message! {
    /// An item of [`JOIN_REQUESTS`](super::JOIN_REQUESTS), whose id is that of the
    /// user who applies, or of
    /// [`SENT_JOIN_REQUESTS`](super::SENT_JOIN_REQUESTS), whose id is that of the
    /// group.
    JoinRequest {
        /// The name of the user who applies; in the user's own list, of the group.
        name: String,
        /// The avatar of the same.
        avatar: String,
        /// What the user says; up to 1,024 bytes.
        message: String,
        /// When it was made.
        at_ms: i64,
        /// What became of it.
        state: RequestState,
        /// When it was rejected; 0: it was not.
        handled_at_ms: i64,
        /// Who rejected it: a user id; empty: a service.
        handled_by: String,
        /// With which words; up to 1,024 bytes.
        answer: String,
        /// How the user came to the group.
        source: String,
    }
}
