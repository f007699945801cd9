//! The operations on groups, as JSON.

use super::negotiate::{Terms, request_format};
use super::{App, body, head, reply, terms};
use crate::auth::Identity;
use crate::domain::{
    Actor, BatchOutcome, Changed, Create, Describe, Description, Dismiss, GroupId, InviteOutcome,
    Join, Leave, RemoveOutcome, SetRole, USERS_PER_REQUEST, UserId,
};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use highwater_core::Head;
use highwater_protocol::codec::Format;
use highwater_protocol::kinds::Role;
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::Store;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A list that an operation changed, as it stands after it.
#[derive(Serialize)]
pub(super) struct ChangedList {
    kind: String,
    owner: String,
    /// 16 hexadecimal digits.
    lineage: String,
    version: u64,
    /// 32 hexadecimal digits.
    digest: String,
    count: u64,
}

impl ChangedList {
    pub(super) fn new(list: &ListKey, head: &Head) -> Self {
        Self {
            kind: list.kind.to_string(),
            owner: list.owner.to_string(),
            lineage: head.lineage.to_string(),
            version: head.version.get(),
            digest: head.digest.to_string(),
            count: head.count,
        }
    }
}

/// What became of a user.
#[derive(Serialize)]
struct UserResult {
    user: String,
    result: &'static str,
}

/// The answer to an operation.
#[derive(Serialize)]
struct Done {
    heads: Vec<ChangedList>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<UserResult>,
}

impl Done {
    /// Only what the asker may read after it: a service everything, a user their
    /// own list and that of the group `within` which they are.
    fn new(identity: &Identity, within: Option<&GroupId>, changed: &Changed) -> Self {
        let readable = |list: &ListKey| match &identity.actor {
            Actor::Service => true,
            Actor::User(user) => {
                *list == user.groups() || within.is_some_and(|group| *list == group.members())
            }
        };
        Self {
            heads: changed
                .heads()
                .filter(|(list, _)| readable(list))
                .map(|(list, head)| ChangedList::new(list, head))
                .collect(),
            results: Vec::new(),
        }
    }

    fn with_results<T>(
        mut self,
        users: &[UserId],
        outcomes: &[T],
        name: impl Fn(&T) -> &'static str,
    ) -> Self {
        self.results = users
            .iter()
            .zip(outcomes)
            .map(|(user, outcome)| UserResult {
                user: user.to_string(),
                result: name(outcome),
            })
            .collect();
        self
    }
}

async fn done(terms: Terms, status: StatusCode, outcome: Result<Done, Refusal>) -> Response {
    match outcome {
        Ok(done) => reply::json(terms, status, done).await,
        Err(no) => reply::refusal(terms, no),
    }
}

#[derive(Deserialize)]
struct CreateBody {
    group: String,
    name: String,
    #[serde(default)]
    description: String,
    owner: Option<String>,
}

#[derive(Deserialize)]
struct DescribeBody {
    name: Option<String>,
    description: Option<String>,
}

impl From<DescribeBody> for Description {
    fn from(body: DescribeBody) -> Self {
        Self {
            name: body.name,
            description: body.description,
            ..Self::default()
        }
    }
}

/// A body that may be missing altogether.
#[derive(Default, Deserialize)]
struct UserBody {
    user: Option<String>,
}

#[derive(Deserialize)]
struct UsersBody {
    users: Vec<String>,
}

#[derive(Deserialize)]
struct RoleBody {
    role: String,
}

/// What the path of a request names, if it could be read.
type Named<T> = Result<Path<T>, PathRejection>;

fn named<T>(path: Named<T>) -> Result<T, Refusal> {
    match path {
        Ok(Path(named)) => Ok(named),
        Err(rejection) => Err(Refusal::invalid("path", rejection.body_text())),
    }
}

/// The group that a path names.
fn group_of(path: Named<String>) -> Result<GroupId, Refusal> {
    GroupId::new(&named(path)?)
}

/// Who asks, and what their request says.
async fn read<S: Store, T: DeserializeOwned>(
    app: &App<S>,
    request: Request,
    without_body: Option<T>,
) -> Result<(Arc<Identity>, T), Refusal> {
    let (parts, body) = request.into_parts();
    let identity = app.identify(&parts.headers)?;
    let format = request_format(&parts.headers);
    let body = match (&format, &without_body) {
        // Without a content type, there may be no body to have one.
        (Err(_), Some(_)) | (Ok(Format::Json), _) => body::read(app, &parts.headers, body).await?,
        (Ok(Format::Protobuf), _) => {
            let message = "operations are written in application/json";
            let no = Refusal::new(Code::UnsupportedMediaType, message);
            return Err(no.at("content-type"));
        }
        (Err(no), None) => return Err(no.clone()),
    };
    if body.is_empty()
        && let Some(nothing) = without_body
    {
        return Ok((identity, nothing));
    }
    format?;
    let read = parse(&body)?;
    Ok((identity, read))
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(
            Code::MalformedMessage,
            format!("the body is not the expected JSON: {error}"),
        )
        .at("body")
    })
}

/// Reads a body as that of each operation, for the module `fuzzing`. Whether any
/// of them takes it.
#[cfg(feature = "fuzzing")]
pub(super) fn is_a_body(body: &[u8]) -> bool {
    let actor = || Actor::Service;
    let create = parse(body).and_then(|body: CreateBody| {
        let owner = body.owner.as_deref().map(UserId::new).transpose()?;
        Create::new(
            actor(),
            GroupId::new(&body.group)?,
            owner,
            body.name,
            body.description,
            0,
        )
    });
    let describe = parse(body).and_then(|body: DescribeBody| {
        let group = GroupId::new("g")?;
        Describe::new(actor(), group, body.into())
    });
    let user = parse(body).and_then(|body: UserBody| {
        let service = Identity {
            actor: actor(),
            subject: UserId::new("s")?,
        };
        for_whom(&service, "user", body.user.as_deref())
    });
    let users = parse(body).and_then(|body: UsersBody| users_of(&body));
    let role = parse(body).and_then(|body: RoleBody| Role::parse(&body.role));
    create.is_ok() || describe.is_ok() || user.is_ok() || users.is_ok() || role.is_ok()
}

/// The user for whom something is done: users act for themselves, a service
/// says for whom.
fn for_whom(identity: &Identity, field: &str, named: Option<&str>) -> Result<UserId, Refusal> {
    match (&identity.actor, named) {
        (Actor::User(user), None) => Ok(user.clone()),
        (Actor::User(user), Some(named)) if named == user.as_str() => Ok(user.clone()),
        (Actor::User(_), Some(_)) => {
            Err(Refusal::new(Code::Forbidden, "you may do this for yourself only").at(field))
        }
        (Actor::Service, Some(named)) => UserId::new(named).map_err(|no| no.at(field)),
        (Actor::Service, None) => Err(Refusal::invalid(
            field,
            "a service has to say for which user it acts",
        )),
    }
}

fn users_of(body: &UsersBody) -> Result<Vec<UserId>, Refusal> {
    if body.users.is_empty() {
        return Err(Refusal::invalid("users", "name at least one user"));
    }
    if body.users.len() > USERS_PER_REQUEST {
        return Err(Refusal::too_many(
            "users",
            body.users.len(),
            USERS_PER_REQUEST,
        ));
    }
    let users = body.users.iter().enumerate();
    users
        .map(|(at, user)| UserId::new(user).map_err(|no| no.at(format!("users[{at}]"))))
        .collect()
}

pub(super) async fn create<S: Store>(State(app): State<Arc<App<S>>>, request: Request) -> Response {
    let terms = terms(&request);
    let run = async {
        let (identity, body) = read::<_, CreateBody>(&app, request, None).await?;
        let group = GroupId::new(&body.group)?;
        let owner = match (&identity.actor, &body.owner) {
            (Actor::Service, None) => None,
            (_, owner) => Some(for_whom(&identity, "owner", owner.as_deref())?),
        };
        let at_ms = app.directory.now_ms();
        let (actor, id) = (identity.actor.clone(), group.clone());
        let operation = Create::new(actor, id, owner, body.name, body.description, at_ms)?;
        let changed = app.directory.create(operation).await?;
        Ok(Done::new(&identity, Some(&group), &changed))
    };
    done(terms, StatusCode::CREATED, run.await).await
}

pub(super) async fn describe<S: Store>(
    State(app): State<Arc<App<S>>>,
    path: Named<String>,
    request: Request,
) -> Response {
    let terms = terms(&request);
    let run = async {
        let (identity, body) = read::<_, DescribeBody>(&app, request, None).await?;
        let group = group_of(path)?;
        let actor = identity.actor.clone();
        let operation = Describe::new(actor, group.clone(), body.into())?;
        let changed = app.directory.describe(operation).await?;
        Ok(Done::new(&identity, Some(&group), &changed))
    };
    done(terms, StatusCode::OK, run.await).await
}

pub(super) async fn dismiss<S: Store>(
    State(app): State<Arc<App<S>>>,
    path: Named<String>,
    request: Request,
) -> Response {
    let (terms, headers) = head(request);
    let run = async {
        let identity = app.identify(&headers)?;
        let operation = Dismiss {
            actor: identity.actor.clone(),
            group: group_of(path)?,
        };
        let changed = app.directory.dismiss(operation).await?;
        Ok(Done::new(&identity, None, &changed))
    };
    done(terms, StatusCode::OK, run.await).await
}

pub(super) async fn join<S: Store>(
    State(app): State<Arc<App<S>>>,
    path: Named<String>,
    request: Request,
) -> Response {
    let terms = terms(&request);
    let run = async {
        let (identity, body) = read(&app, request, Some(UserBody::default())).await?;
        let group = group_of(path)?;
        let user = for_whom(&identity, "user", body.user.as_deref())?;
        if !app.config.open_join && identity.actor != Actor::Service {
            return Err(Refusal::new(
                Code::Forbidden,
                "one enters a group here by invitation",
            ));
        }
        let (actor, id, at_ms) = (
            identity.actor.clone(),
            group.clone(),
            app.directory.now_ms(),
        );
        let operation = Join::new(actor, id, user, String::new(), String::new(), at_ms)?;
        let changed = app.directory.join(operation).await?;
        Ok(Done::new(&identity, Some(&group), &changed))
    };
    done(terms, StatusCode::OK, run.await).await
}

pub(super) async fn leave<S: Store>(
    State(app): State<Arc<App<S>>>,
    path: Named<String>,
    request: Request,
) -> Response {
    let terms = terms(&request);
    let run = async {
        let (identity, body) = read(&app, request, Some(UserBody::default())).await?;
        let operation = Leave {
            actor: identity.actor.clone(),
            group: group_of(path)?,
            user: for_whom(&identity, "user", body.user.as_deref())?,
        };
        let changed = app.directory.leave(operation).await?;
        Ok(Done::new(&identity, None, &changed))
    };
    done(terms, StatusCode::OK, run.await).await
}

pub(super) async fn invite<S: Store>(
    State(app): State<Arc<App<S>>>,
    path: Named<String>,
    request: Request,
) -> Response {
    let terms = terms(&request);
    let run = async {
        let (identity, body) = read::<_, UsersBody>(&app, request, None).await?;
        let (group, users) = (group_of(path)?, users_of(&body)?);
        let invited = app.directory.invite(&identity.actor, &group, &users);
        let BatchOutcome { outcomes, changed } = invited.await?;
        let done = Done::new(&identity, Some(&group), &changed);
        Ok(
            done.with_results(&users, &outcomes, |outcome: &InviteOutcome| {
                outcome.as_str()
            }),
        )
    };
    done(terms, StatusCode::OK, run.await).await
}

pub(super) async fn remove<S: Store>(
    State(app): State<Arc<App<S>>>,
    path: Named<String>,
    request: Request,
) -> Response {
    let terms = terms(&request);
    let run = async {
        let (identity, body) = read::<_, UsersBody>(&app, request, None).await?;
        let (group, users) = (group_of(path)?, users_of(&body)?);
        let removed = app.directory.remove(&identity.actor, &group, &users);
        let BatchOutcome { outcomes, changed } = removed.await?;
        let done = Done::new(&identity, Some(&group), &changed);
        Ok(
            done.with_results(&users, &outcomes, |outcome: &RemoveOutcome| {
                outcome.as_str()
            }),
        )
    };
    done(terms, StatusCode::OK, run.await).await
}

pub(super) async fn set_role<S: Store>(
    State(app): State<Arc<App<S>>>,
    path: Named<(String, String)>,
    request: Request,
) -> Response {
    let terms = terms(&request);
    let run = async {
        let (identity, body) = read::<_, RoleBody>(&app, request, None).await?;
        let (group, user) = named(path)?;
        let group = GroupId::new(&group)?;
        let operation = SetRole {
            actor: identity.actor.clone(),
            group: group.clone(),
            user: UserId::new(&user)?,
            role: Role::parse(&body.role)?,
        };
        let changed = app.directory.set_role(operation).await?;
        Ok(Done::new(&identity, Some(&group), &changed))
    };
    done(terms, StatusCode::OK, run.await).await
}
