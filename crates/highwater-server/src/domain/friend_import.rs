//! Importing friendships that were made elsewhere: by a service, in batches, as
//! they are, without anybody being asked.

use super::friends::{SOURCE_BYTES, Terms, are_friends, befriend, check_two, lists_of_two};
use super::group::Stop;
use super::people::{check_text, existing_user, refuse};
use super::permissions::OnUser;
use super::{Actor, CHANGES_PER_REQUEST, UserId};
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::{Abort, Write, WriteTxn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The last millisecond that a time may be: the end of the year 9999.
const AT_MS_MAX: i64 = 253_402_300_799_999;

/// Two users who are friends, as a request names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FriendPair {
    /// The one.
    pub user: String,
    /// The other.
    pub friend: String,
    /// Since when, in milliseconds since 1970; nothing: now.
    pub since_ms: Option<i64>,
    /// Where the two met; up to 64 bytes.
    #[serde(default)]
    pub source: String,
}

/// What became of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum ImportFriendOutcome {
    /// The two are friends.
    Added,
    /// Nothing was done about this pair.
    Refused {
        /// The stable code.
        code: String,
        /// For people.
        message: String,
        /// What is at fault, as `pairs[17].friend`.
        field: String,
        /// The limit that was exceeded; 0: none.
        limit: u64,
    },
}

/// A pair of a request that was looked at, and its place there.
#[derive(Clone, Debug)]
pub struct CheckedPair {
    at: usize,
    pair: Result<(UserId, UserId, i64, String), Refusal>,
}

/// Some pairs of a request, in one transaction.
#[derive(Clone, Debug)]
pub struct ImportFriends {
    pairs: Vec<CheckedPair>,
    partial: bool,
}

impl CheckedPair {
    /// Looks at the pairs of a request. If it is `partial`, those that are wrong
    /// are kept as refused; else the first of them refuses all.
    ///
    /// # Errors
    /// `forbidden` for a user; more than 1,000 pairs; unless `partial`, a pair
    /// that can be known to be wrong, by its index.
    pub fn all(
        actor: &Actor,
        pairs: Vec<FriendPair>,
        partial: bool,
        at_ms: i64,
    ) -> Result<Vec<Self>, Refusal> {
        OnUser::ImportFriends.require_service(actor)?;
        if pairs.len() > CHANGES_PER_REQUEST {
            return Err(Refusal::too_many("pairs", pairs.len(), CHANGES_PER_REQUEST));
        }
        let pairs = pairs.into_iter().enumerate().map(|(at, pair)| {
            let pair = checked(pair, at_ms).map_err(|no| no.within(&place(at)));
            match pair {
                Err(no) if !partial => Err(no),
                pair => Ok(Self { at, pair }),
            }
        });
        pairs.collect()
    }
}

fn place(at: usize) -> String {
    format!("pairs[{at}]")
}

fn checked(pair: FriendPair, at_ms: i64) -> Result<(UserId, UserId, i64, String), Refusal> {
    let user = UserId::new(&pair.user)?;
    let friend = UserId::new(&pair.friend).map_err(|no| Refusal {
        message: no.message.replacen("user", "friend", 1),
        ..no.at("friend")
    })?;
    check_two(&user, &friend)?;
    check_text("source", &pair.source, SOURCE_BYTES)?;
    let since_ms = pair.since_ms.unwrap_or(at_ms);
    if !(0..=AT_MS_MAX).contains(&since_ms) {
        let message = format!("since_ms is in milliseconds since 1970, from 0 to {AT_MS_MAX}");
        return Err(Refusal::invalid("since_ms", message));
    }
    Ok((user, friend, since_ms, pair.source))
}

impl ImportFriends {
    /// Up to 250 of a request's pairs. If the request is `partial`, those that
    /// contradict what they meet are left out; else the first of them undoes all
    /// of this transaction.
    #[must_use]
    pub const fn new(pairs: Vec<CheckedPair>, partial: bool) -> Self {
        Self { pairs, partial }
    }
}

async fn import<T: WriteTxn>(txn: &mut T, pair: &CheckedPair) -> Result<(), Stop> {
    let (user, friend, since_ms, source) = pair.pair.as_ref().map_err(|no| {
        // Named by its place already.
        Abort::Refused(no.clone())
    })?;
    let named = |stop: Stop| match stop {
        Abort::Refused(no) => Abort::Refused(no.within(&place(pair.at))),
        Abort::Store(error) => Abort::Store(error),
    };
    let own = existing_user(txn, user, "user").await.map_err(named)?;
    let other = existing_user(txn, friend, "friend").await.map_err(named)?;
    if are_friends(txn, user, friend).await? {
        let message = "the two are friends already";
        return Err(named(refuse(Code::AlreadyFriends, "friend", message)));
    }
    let terms = Terms {
        since_ms: *since_ms,
        source,
        by: String::new(),
    };
    Ok(befriend(txn, (user, &own), (friend, &other), &terms).await?)
}

impl Write for ImportFriends {
    /// One for each of the pairs, in their order.
    type Output = Vec<ImportFriendOutcome>;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let pairs = self.pairs.iter().filter_map(|pair| pair.pair.as_ref().ok());
        let mut lists: Vec<_> = pairs
            .flat_map(|(user, friend, ..)| lists_of_two(user, friend))
            .collect();
        lists.sort_unstable();
        lists.dedup();
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Self::Output, Stop> {
        let mut outcomes = Vec::with_capacity(self.pairs.len());
        for pair in &self.pairs {
            // A pair that is refused has written nothing by then.
            outcomes.push(match import(txn, pair).await {
                Ok(()) => ImportFriendOutcome::Added,
                Err(Abort::Refused(no)) if self.partial => ImportFriendOutcome::Refused {
                    code: no.code.as_str().to_owned(),
                    message: no.message,
                    field: no.field,
                    limit: no.limit,
                },
                Err(stop) => return Err(stop),
            });
        }
        Ok(outcomes)
    }
}
