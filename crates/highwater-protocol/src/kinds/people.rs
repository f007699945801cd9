//! What users are to each other.

use super::extra::Extra;
use super::payload::{choice, message};

message! {
    /// The header of a user's [`PROFILE`](super::PROFILE).
    UserProfile {
        /// Up to 256 bytes.
        name: String,
        /// Usually an address; up to 1,024 bytes.
        avatar: String,
        /// A BCP 47 tag: by whose rules names are sorted in the user's lists.
        /// Empty: by those of the CLDR root.
        locale: String,
        /// Data of the app's own.
        extra: Extra,
        /// When it was changed last.
        changed_at_ms: i64,
        /// The user is being deleted: nothing new may name them.
        deleting: bool,
    }
}

message! {
    /// An item of [`FRIENDS`](super::FRIENDS); its id is the friend's.
    Friend {
        /// The friend's own name.
        name: String,
        /// The friend's avatar.
        avatar: String,
        /// What the owner of the list calls them; up to 256 bytes.
        remark: String,
        /// Stands before those that are not.
        pinned: bool,
        /// Since when they are friends.
        since_ms: i64,
        /// Where the two met; up to 64 bytes.
        source: String,
        /// Who made them friends: a user id; empty: a service.
        by: String,
        /// Data of the app's own.
        extra: Extra,
    }
}

choice! {
    /// What became of a request.
    RequestState("state") {
        /// Nothing yet.
        Pending = "pending",
        /// It was rejected. (One that was accepted is gone.)
        Rejected = "rejected",
    }
    default Pending
}

message! {
    /// An item of [`FRIEND_REQUESTS`](super::FRIEND_REQUESTS), whose id is that of
    /// the user who asks, or of
    /// [`SENT_FRIEND_REQUESTS`](super::SENT_FRIEND_REQUESTS), whose id is that of
    /// the user who is asked.
    FriendRequest {
        /// The name of the user whose id the item has.
        name: String,
        /// Their avatar.
        avatar: String,
        /// What the one who asks says; up to 1,024 bytes.
        message: String,
        /// Where the two met; up to 64 bytes.
        source: String,
        /// When it was made.
        at_ms: i64,
        /// What became of it.
        state: RequestState,
        /// When it was rejected; 0: it was not.
        handled_at_ms: i64,
        /// What the one who rejected it said; up to 1,024 bytes.
        answer: String,
    }
}

message! {
    /// An item of [`BLOCKS`](super::BLOCKS); its id is that of the user who is
    /// blocked.
    Block {
        /// Their name.
        name: String,
        /// Their avatar.
        avatar: String,
        /// Since when.
        at_ms: i64,
        /// Who blocked them: a user id; empty: a service.
        by: String,
    }
}
