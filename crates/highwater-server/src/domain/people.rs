//! Users within a transaction: what they say about themselves, and whether they
//! may be named.

use super::element::found;
use super::group::Stop;
use super::{Actor, UserId};
use highwater_protocol::kinds::UserProfile;
use highwater_protocol::{Code, ItemId, Refusal};
use highwater_store::{Abort, StoreError, WriteTxn};

/// What a user says about themselves; one who was never described says nothing.
///
/// Declare the user's `profile`.
pub(super) async fn profile_of_user<T: WriteTxn>(
    txn: &mut T,
    user: &UserId,
) -> Result<UserProfile, StoreError> {
    let profile = found(txn, &user.profile(), &ItemId::header()).await?;
    Ok(profile.unwrap_or_default())
}

/// What a user says about themselves, if they may be named in something new.
///
/// Refused with `user_not_found` at `field` while they are being deleted.
pub(super) async fn existing_user<T: WriteTxn>(
    txn: &mut T,
    user: &UserId,
    field: &str,
) -> Result<UserProfile, Stop> {
    let profile = profile_of_user(txn, user).await?;
    if profile.deleting {
        return Err(refuse(
            Code::UserNotFound,
            field,
            "there is no such user: they are being deleted",
        ));
    }
    Ok(profile)
}

/// How an item names who did something: a user by their id, a service by nothing.
pub(super) fn by(actor: &Actor) -> String {
    match actor {
        Actor::User(user) => user.as_str().to_owned(),
        Actor::Service => String::new(),
    }
}

pub(super) fn refuse(code: Code, field: &str, message: &str) -> Stop {
    Abort::Refused(Refusal::new(code, message).at(field))
}

/// Checks the length of a text.
///
/// # Errors
/// One of more than `limit` bytes.
pub(super) fn check_text(field: &str, text: &str, limit: usize) -> Result<(), Refusal> {
    if text.len() > limit {
        return Err(Refusal::too_large(field, text.len(), limit));
    }
    Ok(())
}
