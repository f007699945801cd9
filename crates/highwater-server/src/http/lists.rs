//! Lists for those who keep no copy: an item, or a page of items, in JSON.

use super::call::{Call, tagged};
use super::items::Entry;
use super::{App, reply};
use crate::domain::permissions::OnGroup;
use crate::domain::{GroupId, UserId};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use highwater_core::answer::Access;
use highwater_core::reads::Item;
use highwater_protocol::kinds::Payload;
use highwater_protocol::{Code, Digest, ItemId, ListKey, OrderKey, Point, Rank, Refusal, limits};
use highwater_store::Store;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Items of a page that is asked for without a limit.
const PAGE_ITEMS: usize = 100;

/// A page of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{P}Page")]
pub(super) struct Page<P> {
    /// Where the list stands as this page is read.
    head: ShownHead,
    /// In the order of the list, without its header.
    items: Vec<Entry<P>>,
    /// What `after` takes to go on; left out: the list ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Where a list stands.
#[derive(Serialize, JsonSchema)]
pub(super) struct ShownHead {
    /// Which life of the list: 16 hexadecimal digits.
    lineage: String,
    version: u64,
    /// What its elements sum to: 32 hexadecimal digits.
    digest: String,
    /// How many elements it has, the header included.
    count: u64,
}

impl ShownHead {
    pub(super) fn of(point: Point, digest: Digest, count: u64) -> Self {
        Self {
            lineage: point.lineage.to_string(),
            version: point.version.get(),
            digest: digest.to_string(),
            count,
        }
    }
}

/// Which list of a user or group an operation reads.
#[derive(Clone, Copy)]
pub(super) enum Of {
    User(fn(&UserId) -> ListKey),
    /// With the row of the table that says who reads it.
    Group(fn(&GroupId) -> ListKey, OnGroup),
}

impl Of {
    fn list(self, call: &Call) -> Result<ListKey, Refusal> {
        match self {
            Self::User(list) => Ok(list(&UserId::new(call.named("user"))?)),
            Self::Group(list, _) => Ok(list(&call.group()?)),
        }
    }

    /// What a reader is told who may not read it.
    async fn refused<S: Store>(self, app: &App<S>, call: &Call, no: Refusal) -> Refusal {
        match (self, no.code) {
            // Members know of the group.
            (Self::Group(..), Code::Forbidden) if no.field == "group" => no,
            (Self::Group(_, what), Code::Forbidden) if is_member(app, call).await => {
                what.forbidden()
            }
            (Self::Group(..), Code::Forbidden | Code::NotFound) => no_group(),
            (Self::User(_), Code::Forbidden) => no.at("user"),
            (Self::User(_), Code::NotFound) => {
                Refusal::new(Code::UserNotFound, "there is no such user").at("user")
            }
            _ => no,
        }
    }
}

/// A page of the list.
pub(super) async fn page<S, P>(app: Arc<App<S>>, call: Call, of: Of) -> Result<Response, Refusal>
where
    S: Store,
    P: Payload + Serialize + Send + 'static,
{
    let list = of.list(&call)?;
    let limit = limit(call.query("limit")?)?;
    let after = call.query("after")?;
    let after = after.map(|text| cursor(&list, &text)).transpose()?;
    let rows = limit + usize::from(after.is_none());
    let page = app
        .reader
        .page(&call.identity.actor, &list, after.as_ref(), rows);
    let (head, page) = match page.await {
        Ok(page) => page,
        Err(no) => return Err(of.refused(&app, &call, no).await),
    };
    // A group that exists says something about itself.
    let is_members = matches!(of, Of::Group(..)) && list == call.group()?.members();
    if head.count == 0 && is_members {
        return Err(no_group());
    }
    let mut items: Vec<Item> = page.rows;
    items.retain(|item| !item.id.is_header());
    // A list without a header has one more on its first page.
    let more = page.next.is_some() || items.len() > limit;
    items.truncate(limit);
    let last = items
        .last()
        .map(|item| OrderKey::new(item.rank.clone(), item.id.clone()));
    let next = last.filter(|_| more).map(|last| written(&list, &last));
    let head = head.announced();
    let answer = Page::<P> {
        head: ShownHead::of(head.point, head.digest, head.count),
        items: items.iter().filter_map(Entry::of).collect(),
        next,
    };
    Ok(reply::json(call.terms, StatusCode::OK, answer).await)
}

/// An item of the list: that which the path names as `id`; without: the header.
pub(super) async fn item<S, P>(
    app: Arc<App<S>>,
    call: Call,
    of: Of,
    id: Option<&'static str>,
) -> Result<Response, Refusal>
where
    S: Store,
    P: Payload + Serialize + Send + 'static,
{
    let list = of.list(&call)?;
    let item = match id {
        Some(id) => ItemId::new(call.named(id)).map_err(|no| no.at(id))?,
        None => ItemId::header(),
    };
    let found = app.reader.item(&call.identity.actor, &list, &item).await;
    let found = match found {
        Ok(found) => found,
        Err(no) => return Err(of.refused(&app, &call, no).await),
    };
    let field = id.unwrap_or(match of {
        Of::User(_) => "user",
        Of::Group(..) => "group",
    });
    let none = || Refusal::new(Code::NotFound, "there is no such item").at(field);
    let found = found.ok_or_else(none)?;
    if call.holds(found.stamp) {
        return Ok(call.not_modified(found.stamp));
    }
    let unreadable = || Refusal::new(Code::Internal, "the item cannot be read");
    let entry = Entry::<P>::of(&found).ok_or_else(unreadable)?;
    let response = reply::json(call.terms, StatusCode::OK, entry).await;
    Ok(tagged(response, found.stamp))
}

/// Whether the asker is in the group that the path names.
async fn is_member<S: Store>(app: &App<S>, call: &Call) -> bool {
    let Ok(group) = call.group() else {
        return false;
    };
    let members = group.members();
    let access = app.reader.access(&call.identity.actor, &[&members]).await;
    access.is_ok_and(|access| matches!(access[..], [Access::Read | Access::Header]))
}

/// Whether a group does not exist or is none of the reader's business is told
/// with the same words.
fn no_group() -> Refusal {
    let message = "there is no such group, or you are not a member of it";
    Refusal::new(Code::GroupNotFound, message).at("group")
}

fn limit(sent: Option<String>) -> Result<usize, Refusal> {
    let Some(sent) = sent else {
        return Ok(PAGE_ITEMS);
    };
    match sent.parse() {
        Ok(limit @ 1..=limits::PAGE_ROWS) => Ok(limit),
        Ok(limit) if limit > limits::PAGE_ROWS => {
            Err(Refusal::too_many("limit", limit, limits::PAGE_ROWS))
        }
        _ => Err(Refusal::invalid(
            "limit",
            "a limit is a number from 1 to 1000",
        )),
    }
}

/// A place in a list, as an address has it: which list, the rank's length, rank
/// and id.
fn written(list: &ListKey, place: &OrderKey) -> String {
    let (rank, id) = (place.rank.as_bytes(), place.id.as_str().as_bytes());
    let length = u16::try_from(rank.len()).unwrap_or_else(|_| unreachable!("ranks are short"));
    URL_SAFE_NO_PAD.encode([&mark(list)[..], &length.to_be_bytes(), rank, id].concat())
}

/// What tells the places of one list from those of others: the beginning of a
/// hash of its name.
fn mark(list: &ListKey) -> [u8; 4] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(list.to_string()));
    [a, b, c, d]
}

fn cursor(list: &ListKey, text: &str) -> Result<OrderKey, Refusal> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (of, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        if *of != mark(list) {
            return None;
        }
        let (rank, id) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let id = ItemId::new_or_header(str::from_utf8(id).ok()?).ok()?;
        Some(OrderKey::new(Rank::new(rank.to_vec()).ok()?, id))
    };
    let message = "after takes what an answer about this list gave as next, unchanged";
    read().ok_or_else(|| Refusal::invalid("after", message))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_anything_else_is_refused() {
        let place = OrderKey::new(
            Rank::new(vec![0, 255]).unwrap(),
            ItemId::new("u/é").unwrap(),
        );
        let [list, other] = ["friends/a", "friends/b"].map(|list| list.parse().unwrap());
        let text = written(&list, &place);
        assert_eq!(cursor(&list, &text).unwrap(), place);
        assert_eq!(cursor(&other, &text).unwrap_err().field, "after");
        for bad in ["", "x", "AAAA=", "__8A", &text[..8], &text[1..]] {
            assert_eq!(cursor(&list, bad).unwrap_err().field, "after", "{bad}");
        }
    }
}
