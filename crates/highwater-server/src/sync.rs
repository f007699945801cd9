//! A sync, from a parsed request to its answers: from heads in memory where all
//! copies are right, else from a snapshot.

use crate::domain::permissions::OnGroup;
use crate::domain::{Actor, Held, Rights, beside, own_list};
use crate::fault;
use crate::metrics::Metrics;
use crate::request_id;
use crate::sketches::SketchCache;
use highwater_core::Head;
use highwater_core::answer::{self, Access, Budget};
use highwater_core::header::HeaderOnly;
use highwater_core::reads::{Item, ListState, PageLimit, Payloads, Reads, ScanRows};
use highwater_protocol::message::{
    Answer, Content, Cursor, ListAnswer, ListRequest, Position, Row, Snapshot, SyncRequest,
    SyncResponse,
};
use highwater_protocol::{Code, ItemId, ListKey, OrderKey, Refusal, limits};
use highwater_store::{Store, StoreError};
use std::slice;
use std::sync::Arc;

/// Answers readers.
#[derive(Debug)]
pub(crate) struct Reader<S> {
    store: S,
    rights: Rights,
    sketches: SketchCache,
    metrics: Arc<Metrics>,
}

/// A list as one piece, or the news that the reader has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// It is where the reader's copy is.
    NotModified,
    /// All of it.
    List(Snapshot),
}

impl<S: Store> Reader<S> {
    pub(crate) const fn new(
        store: S,
        rights: Rights,
        sketches: SketchCache,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            rights,
            sketches,
            metrics,
        }
    }

    /// Answers a sync.
    ///
    /// # Errors
    /// What the store could not read, as the caller is told it.
    pub(crate) async fn sync(
        &self,
        actor: &Actor,
        request: &SyncRequest,
    ) -> Result<SyncResponse, Refusal> {
        let in_memory = self.answer_in_memory(actor, request);
        self.metrics.synced(in_memory.is_some());
        let response = match in_memory {
            Some(response) => response,
            None => self
                .answer_in_store(actor, request)
                .await
                .map_err(|error| self.failed(&error))?,
        };
        self.count(&response);
        Ok(response)
    }

    /// The answer if every copy is right and its reader's rights are known: no
    /// disk is touched.
    fn answer_in_memory(&self, actor: &Actor, request: &SyncRequest) -> Option<SyncResponse> {
        let cursors = request
            .lists
            .iter()
            .map(cursor_alone)
            .collect::<Option<Vec<_>>>()?;
        let lists: Vec<_> = request.lists.iter().map(|list| &list.list).collect();
        let states = self.recalled_states(actor, &lists)?;
        let mut response = SyncResponse {
            aligned: 0,
            answers: Vec::new(),
        };
        for (list, (cursor, state)) in cursors.into_iter().zip(&states).enumerate() {
            match answer::aligned(&head_of(state)?, cursor)? {
                Answer::Aligned => response.aligned += 1,
                answer => response.answers.push(ListAnswer {
                    list,
                    answer,
                    details: Vec::new(),
                }),
            }
        }
        Some(response)
    }

    /// The states of lists, from memory, if it is remembered that their reader may
    /// read them all.
    fn recalled_states(&self, actor: &Actor, lists: &[&ListKey]) -> Option<Vec<ListState>> {
        let keys = read_with(actor, lists);
        let mut states = self.store.cached_states(&keys)?;
        let beside = states.split_off(lists.len());
        let own = own_list(actor).is_some();
        let (own, beside) = match beside.split_first() {
            Some((own_state, beside)) if own => (Some(own_state), beside),
            _ => (None, &beside[..]),
        };
        let held = Held { own, lists, beside };
        self.rights.recalls(actor, held).then_some(states)
    }

    async fn answer_in_store(
        &self,
        actor: &Actor,
        request: &SyncRequest,
    ) -> Result<SyncResponse, StoreError> {
        let lists: Vec<_> = request.lists.iter().map(|list| &list.list).collect();
        let snapshot = self.snapshot(actor, &lists).await?;
        let access = self.rights.decide(actor, &snapshot, &lists).await?;
        let budget = Budget::with_page_rows(request.page_rows);
        let sketches = self.sketches.for_reader(actor);
        answer::answer(&snapshot, &sketches, request, &access, budget).await
    }

    async fn snapshot(&self, actor: &Actor, lists: &[&ListKey]) -> Result<S::Snapshot, StoreError> {
        self.store.snapshot(&read_with(actor, lists)).await
    }

    /// Reads a whole list, unless the reader has it: `has` says whether a head
    /// is that of the reader's copy.
    ///
    /// # Errors
    /// `unknown_kind`; `forbidden`, whether or not the list exists; `not_found`
    /// for a list that ended; what the store could not read.
    pub(crate) async fn whole(
        &self,
        actor: &Actor,
        list: &ListKey,
        has: impl Fn(&Head) -> bool + Sync,
    ) -> Result<Whole, Refusal> {
        if self.has_in_memory(actor, list, &has) {
            return Ok(Whole::NotModified);
        }
        let failed = |error: StoreError| self.failed(&error);
        let snapshot = self.snapshot(actor, &[list]).await.map_err(failed)?;
        let read = match self.check(actor, &snapshot, list).await? {
            View::All => read(&snapshot, list, &has).await,
            View::Header => read(&HeaderOnly::new(&snapshot), list, &has).await,
        };
        read.map_err(failed)?.ok_or_else(ended)
    }

    fn has_in_memory(&self, actor: &Actor, list: &ListKey, has: impl Fn(&Head) -> bool) -> bool {
        let states = self.recalled_states(actor, &[list]);
        let head = states.and_then(|states| head_of(states.first()?));
        head.is_some_and(|head| has(&head))
    }

    /// The header of a list, with the list's head; `None` if the reader may not see
    /// more of it.
    ///
    /// # Errors
    /// As of [`Self::whole`]; `not_found` for a list without a header.
    pub(crate) async fn header(
        &self,
        actor: &Actor,
        list: &ListKey,
    ) -> Result<(Option<Head>, Item), Refusal> {
        let failed = |error: StoreError| self.failed(&error);
        let snapshot = self.snapshot(actor, &[list]).await.map_err(failed)?;
        let view = self.check(actor, &snapshot, list).await?;
        let state = snapshot.state(list).await.map_err(failed)?;
        let head = head_of(&state).ok_or_else(ended)?;
        let found = snapshot.items(list, &[ItemId::header()]).await;
        let header = found.map_err(failed)?.into_iter().next();
        Ok((
            (view == View::All).then_some(head),
            header.ok_or_else(ended)?,
        ))
    }

    /// An item of a list, if it is there and the reader may see it.
    ///
    /// # Errors
    /// As of [`Self::whole`].
    pub(crate) async fn item(
        &self,
        actor: &Actor,
        list: &ListKey,
        id: &ItemId,
    ) -> Result<Option<Item>, Refusal> {
        let failed = |error: StoreError| self.failed(&error);
        let snapshot = self.snapshot(actor, &[list]).await.map_err(failed)?;
        let view = self.check(actor, &snapshot, list).await?;
        let state = snapshot.state(list).await.map_err(failed)?;
        head_of(&state).ok_or_else(ended)?;
        if view == View::Header && !id.is_header() {
            return Err(items_hidden());
        }
        let found = snapshot.items(list, slice::from_ref(id)).await;
        Ok(found.map_err(failed)?.into_iter().next())
    }

    /// A page of a list's elements after `after`, in its order, with the list's
    /// head.
    ///
    /// # Errors
    /// As of [`Self::whole`].
    pub(crate) async fn page(
        &self,
        actor: &Actor,
        list: &ListKey,
        after: Option<&OrderKey>,
        rows: usize,
    ) -> Result<(Head, ScanRows), Refusal> {
        let failed = |error: StoreError| self.failed(&error);
        let snapshot = self.snapshot(actor, &[list]).await.map_err(failed)?;
        if self.check(actor, &snapshot, list).await? == View::Header {
            return Err(items_hidden());
        }
        let state = snapshot.state(list).await.map_err(failed)?;
        let head = head_of(&state).ok_or_else(ended)?;
        let bytes = limits::PAGE_BYTES;
        let limit = PageLimit { rows, bytes };
        let page = snapshot.scan(list, head.version, after, Payloads::All, limit);
        Ok((head, page.await.map_err(failed)?))
    }

    /// What `actor` may read of each of these lists now.
    ///
    /// # Errors
    /// What the store could not read.
    pub(crate) async fn access(
        &self,
        actor: &Actor,
        lists: &[&ListKey],
    ) -> Result<Vec<Access>, Refusal> {
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |error: StoreError| self.failed(&error);
        let snapshot = self.snapshot(actor, lists).await.map_err(failed)?;
        let access = self.rights.decide(actor, &snapshot, lists).await;
        access.map_err(failed)
    }

    async fn check(
        &self,
        actor: &Actor,
        snapshot: &S::Snapshot,
        list: &ListKey,
    ) -> Result<View, Refusal> {
        let access = self.rights.decide(actor, snapshot, &[list]).await;
        match access.map_err(|error| self.failed(&error))?.first() {
            Some(Access::Read) => Ok(View::All),
            Some(Access::Header) => Ok(View::Header),
            Some(Access::Refused(no)) => Err(no.clone().at("kind")),
            Some(Access::Denied) | None => Err(Refusal::new(
                Code::Forbidden,
                "you may not read this list, or it does not exist",
            )
            .at("owner")),
        }
    }

    fn failed(&self, error: &StoreError) -> Refusal {
        self.metrics.store_failed(fault::name(error), false);
        tracing::error!(request = request_id::current(), %error, "a read failed");
        fault::of_store(error)
    }

    fn count(&self, response: &SyncResponse) {
        self.metrics.answered("aligned", response.aligned);
        for answer in &response.answers {
            self.metrics.answered(name(&answer.answer), 1);
        }
    }
}

/// How much of a list its reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    All,
    Header,
}

/// These lists, and whatever says who may read them.
fn read_with(actor: &Actor, lists: &[&ListKey]) -> Vec<ListKey> {
    let mut keys: Vec<ListKey> = lists.iter().map(|list| (*list).clone()).collect();
    keys.extend(own_list(actor));
    keys.extend(beside(actor, lists.iter().copied()));
    keys
}

/// Why whoever may read a list's header sees nothing else of it.
fn items_hidden() -> Refusal {
    OnGroup::ReadMembers.forbidden()
}

fn ended() -> Refusal {
    Refusal::new(Code::NotFound, "the list was deleted").at("owner")
}

/// The cursor of a list that nothing else is asked about.
fn cursor_alone(list: &ListRequest) -> Option<&Cursor> {
    match &list.position {
        Position::Cursor(cursor) if list.details.is_empty() => Some(cursor),
        _ => None,
    }
}

/// A list that never was reads as an empty one.
const fn head_of(state: &ListState) -> Option<Head> {
    match state {
        ListState::Live(head) => Some(*head),
        ListState::Absent(lineage) => Some(Head::empty(*lineage)),
        ListState::Ended(_) => None,
    }
}

/// A list, unless its reader has it; `None`: it was deleted.
async fn read<R: Reads>(
    reads: &R,
    list: &ListKey,
    has: impl Fn(&Head) -> bool,
) -> Result<Option<Whole>, R::Error> {
    let Some(head) = head_of(&reads.state(list).await?) else {
        return Ok(None);
    };
    if has(&head) {
        return Ok(Some(Whole::NotModified));
    }
    Ok(Some(Whole::List(Snapshot {
        head: head.announced(),
        rows: whole(reads, list, &head).await?,
    })))
}

async fn whole<R: Reads>(reads: &R, list: &ListKey, head: &Head) -> Result<Vec<Row>, R::Error> {
    let limit = PageLimit {
        rows: limits::PAGE_ROWS,
        bytes: limits::PAGE_BYTES,
    };
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = reads
            .scan(list, head.version, after.as_ref(), Payloads::All, limit)
            .await?;
        rows.extend(page.rows.into_iter().map(|item| Row {
            id: item.id,
            rank: item.rank,
            content: Content::Payload(item.payload),
        }));
        after = page.next;
        if after.is_none() {
            return Ok(rows);
        }
        // A long list holds up nobody who shares the thread.
        tokio::task::yield_now().await;
    }
}

/// An answer as the metrics name it.
const fn name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Aligned => "aligned",
        Answer::Adopt(_) => "adopt",
        Answer::Delta(_) => "delta",
        Answer::Diverged(_) => "diverged",
        Answer::Gone(_) => "gone",
        Answer::Scan(_) => "scan",
        Answer::Sketch(_) => "sketch",
        Answer::SketchRows(_) => "sketch_rows",
        Answer::Deferred => "deferred",
        Answer::Refused(_) => "refused",
    }
}
