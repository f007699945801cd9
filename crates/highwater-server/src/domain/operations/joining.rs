//! How users get into a group: they join, apply and are approved, or are brought
//! in.

use super::{already_member, by, is_allowed, refuse, require, require_own};
use crate::domain::element::{found, has, put};
use crate::domain::group::{Group, Stop, lists_to_admit};
use crate::domain::people::{check_text, existing_user, profile_of_user};
use crate::domain::permissions::{OnGroup, OnUser};
use crate::domain::words::{MESSAGE_BYTES, SOURCE_BYTES};
use crate::domain::{Actor, GroupId, UserId, ranks};
use highwater_protocol::kinds::{JoinPolicy, JoinRequest, Member, RequestState};
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::{Write, WriteTxn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user wants to be in a group. Its join policy says whether they are, apply,
/// or are refused; a service takes them in whatever it says.
#[derive(Clone, Debug)]
pub struct Join {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Who enters.
    pub user: UserId,
    /// What they say to those who answer an application; checked.
    pub message: String,
    /// How they came; checked.
    pub source: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// What became of a user who wants to be in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinOutcome {
    /// They are in.
    Joined,
    /// Their application waits for an answer.
    Requested,
}

/// A user takes their application back, or no longer wants to see that it was
/// rejected.
#[derive(Clone, Debug)]
pub struct Withdraw {
    /// Who asks.
    pub actor: Actor,
    /// To which group.
    pub group: GroupId,
    /// Whose.
    pub user: UserId,
}

/// An application is approved: the user is in.
#[derive(Clone, Debug)]
pub struct Approve {
    /// Who asks.
    pub actor: Actor,
    /// To which group.
    pub group: GroupId,
    /// Whose.
    pub user: UserId,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// An application is rejected. The user sees it, and with which words.
#[derive(Clone, Debug)]
pub struct Reject {
    /// Who asks.
    pub actor: Actor,
    /// To which group.
    pub group: GroupId,
    /// Whose.
    pub user: UserId,
    /// With which words; checked.
    pub answer: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// Users are brought in as members.
#[derive(Clone, Debug)]
pub struct Invite {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Up to 250.
    pub users: Vec<UserId>,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// What became of one invited user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InviteOutcome {
    /// They are in.
    Added,
    /// They were in before; nothing changed. Whoever may not see the members is
    /// told [`Self::Added`] here too.
    AlreadyMember,
    /// They block whoever invites them; nothing changed.
    Blocked,
    /// They are being deleted; nothing changed.
    UserNotFound,
}

impl Join {
    /// A user who wants to be in a group, with what they say, from where.
    ///
    /// # Errors
    /// A message or source that is over-long, by its field.
    pub fn new(
        actor: Actor,
        group: GroupId,
        user: UserId,
        message: String,
        source: String,
        at_ms: i64,
    ) -> Result<Self, Refusal> {
        check_text("message", &message, MESSAGE_BYTES)?;
        check_text("source", &source, SOURCE_BYTES)?;
        Ok(Self {
            actor,
            group,
            user,
            message,
            source,
            at_ms,
        })
    }

    fn member(&self) -> Member {
        Member {
            joined_at_ms: self.at_ms,
            by: by(&self.actor),
            source: self.source.clone(),
            ..Member::default()
        }
    }

    /// Writes the application to both lists.
    async fn apply<T: WriteTxn>(&self, group: &mut Group<'_, T>) -> Result<(), Stop> {
        let profile = group.profile().await?;
        let user = existing_user(group.txn, &self.user, "user").await?;
        let request = |name, avatar| JoinRequest {
            name,
            avatar,
            message: self.message.clone(),
            at_ms: self.at_ms,
            source: self.source.clone(),
            ..JoinRequest::default()
        };
        let received = request(user.name, user.avatar);
        let sent = request(profile.name, profile.avatar);
        let rank = ranks::of_join_request(&received);
        let (requests, applicant) = (self.group.join_requests(), self.user.as_item());
        put(group.txn, &requests, applicant, rank.clone(), &received).await?;
        let (requests, asked) = (self.user.sent_join_requests(), self.group.as_item());
        put(group.txn, &requests, asked, rank, &sent).await?;
        Ok(())
    }
}

impl Reject {
    /// A rejection, with its words.
    ///
    /// # Errors
    /// An over-long answer, at field `answer`.
    pub fn new(
        actor: Actor,
        group: GroupId,
        user: UserId,
        answer: String,
        at_ms: i64,
    ) -> Result<Self, Refusal> {
        check_text("answer", &answer, MESSAGE_BYTES)?;
        Ok(Self {
            actor,
            group,
            user,
            answer,
            at_ms,
        })
    }
}

fn no_request() -> Stop {
    refuse(
        Code::RequestNotFound,
        "user",
        "there is no such application, or it was answered before",
    )
}

impl Write for Join {
    type Output = JoinOutcome;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        lists_to_admit(&self.group, [&self.user])
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<JoinOutcome, Stop> {
        require_own(&self.actor, &self.user, OnUser::Join)?;
        let mut group = Group::new(txn, &self.group);
        let policy = group.profile().await?.join_policy;
        if group.member(&self.user).await?.is_some() {
            return Err(already_member());
        }
        match (policy, &self.actor) {
            (JoinPolicy::Open, _) | (_, Actor::Service) => {
                group.admit(&self.user, self.member()).await?;
                Ok(JoinOutcome::Joined)
            }
            (JoinPolicy::Approval, Actor::User(_)) => {
                self.apply(&mut group).await?;
                Ok(JoinOutcome::Requested)
            }
            (JoinPolicy::Invitation, Actor::User(_)) => Err(refuse(
                Code::JoinRefused,
                "group",
                "one enters this group by invitation",
            )),
        }
    }
}

impl Write for Withdraw {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.join_requests(), self.user.sent_join_requests()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        require_own(&self.actor, &self.user, OnUser::Withdraw)?;
        let sent = self.user.sent_join_requests();
        if !has(txn, &sent, self.group.as_item()).await? {
            return Err(no_request());
        }
        Ok(Group::new(txn, &self.group)
            .drop_request(&self.user)
            .await?)
    }
}

/// The application of a user to a group.
///
/// Refused with `request_not_found` if there is none.
async fn request<T: WriteTxn>(
    group: &mut Group<'_, T>,
    id: &GroupId,
    user: &UserId,
) -> Result<JoinRequest, Stop> {
    let requests = id.join_requests();
    let request = found(group.txn, &requests, user.as_item()).await?;
    request.ok_or_else(no_request)
}

impl Write for Approve {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        lists_to_admit(&self.group, [&self.user])
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::AnswerRequest).await?;
        let request = request(&mut group, &self.group, &self.user).await?;
        let member = Member {
            joined_at_ms: self.at_ms,
            by: self.user.as_str().to_owned(),
            source: request.source,
            ..Member::default()
        };
        group.admit(&self.user, member).await
    }
}

impl Write for Reject {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![
            self.group.members(),
            self.group.join_requests(),
            self.user.sent_join_requests(),
        ]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::AnswerRequest).await?;
        request(&mut group, &self.group, &self.user).await?;
        let requests = self.group.join_requests();
        group.txn.delete(&requests, self.user.as_item()).await?;
        let (sent, asked) = (self.user.sent_join_requests(), self.group.as_item());
        if let Some(request) = found::<JoinRequest, _>(group.txn, &sent, asked).await? {
            let rejected = JoinRequest {
                state: RequestState::Rejected,
                handled_at_ms: self.at_ms,
                handled_by: by(&self.actor),
                answer: self.answer.clone(),
                ..request
            };
            let rank = ranks::of_join_request(&rejected);
            put(group.txn, &sent, asked, rank, &rejected).await?;
        }
        Ok(())
    }
}

impl Invite {
    async fn invite<T: WriteTxn>(
        &self,
        group: &mut Group<'_, T>,
        user: &UserId,
        sees: bool,
    ) -> Result<InviteOutcome, Stop> {
        let is_member = group.member(user).await?.is_some();
        if is_member && sees {
            return Ok(InviteOutcome::AlreadyMember);
        }
        // Whoever may not see the members is told of each user as if they were none.
        if profile_of_user(group.txn, user).await?.deleting {
            return Ok(InviteOutcome::UserNotFound);
        }
        if let Actor::User(asker) = &self.actor
            && has(group.txn, &user.blocks(), asker.as_item()).await?
        {
            return Ok(InviteOutcome::Blocked);
        }
        if is_member {
            return Ok(InviteOutcome::Added);
        }
        let member = Member {
            joined_at_ms: self.at_ms,
            by: by(&self.actor),
            ..Member::default()
        };
        group.admit(user, member).await?;
        Ok(InviteOutcome::Added)
    }
}

impl Write for Invite {
    /// One for each of the users, in their order.
    type Output = Vec<InviteOutcome>;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = lists_to_admit(&self.group, &self.users);
        lists.extend(self.users.iter().map(UserId::blocks));
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Vec<InviteOutcome>, Stop> {
        let mut group = Group::new(txn, &self.group);
        let asker = require(&self.actor, &mut group, OnGroup::Invite).await?;
        let sees = is_allowed(&mut group, OnGroup::ReadMembers, asker).await?;
        let mut outcomes = Vec::with_capacity(self.users.len());
        for user in &self.users {
            outcomes.push(self.invite(&mut group, user, sees).await?);
        }
        Ok(outcomes)
    }
}
