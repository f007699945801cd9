//! How long the words may be that users write.

/// Bytes in an avatar.
pub(super) const AVATAR_BYTES: usize = 1_024;
/// Bytes in a nickname.
pub(super) const NICKNAME_BYTES: usize = 256;
/// Bytes in what somebody says with an application, and in the answer to it.
pub(super) const MESSAGE_BYTES: usize = 1_024;
/// Bytes in where somebody comes from.
pub(super) const SOURCE_BYTES: usize = 64;
/// Bytes in an announcement.
pub(super) const ANNOUNCEMENT_BYTES: usize = 4_096;
/// Bytes in a draft.
pub(super) const DRAFT_BYTES: usize = 4_096;
/// Bytes in the preview of a message.
pub(super) const PREVIEW_BYTES: usize = 1_024;
/// Bytes in the name of a conversation of the system.
pub(super) const SYSTEM_NAME_BYTES: usize = 120;
