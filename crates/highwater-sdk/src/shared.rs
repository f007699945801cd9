//! What a client, its lists, its streams and its engine have in common.

use crate::conversations::Board;
use crate::driver::Driver;
use crate::engine::{Action, Ask, Command, Done, Goal};
use crate::error::Error;
use crate::hub::Hub;
use crate::local::{Database, LocalError, ReadRow, Standing};
use crate::report::SyncReport;
use crate::server_url::ServerUrl;
use crate::status::Status;
use crate::token::Tokens;
use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use highwater_core::local::Phase;
use highwater_protocol::{ItemId, ListKey, OrderKey};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Whether the server is there, as the last request showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nothing was asked yet.
    Untried,
    /// The first request is under way.
    Trying,
    /// It answered.
    Found,
    /// The last request came to nothing.
    Lost,
}

pub(crate) struct Shared {
    pub(crate) db: Database,
    pub(crate) hub: Hub,
    pub(crate) driver: Driver,
    pub(crate) server: ServerUrl,
    pub(crate) tokens: Tokens,
    link: Mutex<Link>,
    held: Mutex<BTreeSet<ListKey>>,
    commands: mpsc::UnboundedSender<Command>,
    /// The user's conversations, merged; `None`: the app has not asked for them.
    board: OnceLock<Mutex<Board>>,
}

impl Shared {
    pub(crate) fn new(
        db: Database,
        driver: Driver,
        server: ServerUrl,
        tokens: Tokens,
        held: BTreeSet<ListKey>,
        commands: mpsc::UnboundedSender<Command>,
    ) -> Self {
        Self {
            db,
            hub: Hub::default(),
            driver,
            server,
            tokens,
            link: Mutex::new(Link::Untried),
            held: Mutex::new(held),
            commands,
            board: OnceLock::new(),
        }
    }

    /// The user's conversations in their merged order, as they are now; `None`:
    /// the app has not asked for them.
    pub(crate) fn board(&self) -> Result<Option<MutexGuard<'_, Board>>, Error> {
        let Some(board) = self.board.get() else {
            return Ok(None);
        };
        let mut board = board.lock();
        board.refresh(self)?;
        Ok(Some(board))
    }

    /// Begins to merge the user's conversations.
    pub(crate) fn begin_board(&self, list: &ListKey) {
        let begin = || Mutex::new(Board::new(&self.hub, list, &self.db.binding().user));
        self.board.get_or_init(begin);
    }

    pub(crate) fn link(&self) -> Link {
        *self.link.lock()
    }

    /// Every list stands differently once the server is lost or found.
    pub(crate) fn set_link(&self, link: Link) {
        let before = std::mem::replace(&mut *self.link.lock(), link);
        if before != link {
            self.hub.all_statuses_changed();
        }
    }

    pub(crate) fn status(&self, list: &ListKey) -> Result<Status, Error> {
        let standing = self.standing(list)?;
        Ok(Status::of(standing.as_ref(), self.link()))
    }

    /// How a list stands; `None`: nothing is known of it.
    pub(crate) fn standing(&self, list: &ListKey) -> Result<Option<Standing>, Error> {
        self.read(|db| db.standing(list))
    }

    /// The items behind `after`.
    pub(crate) fn page(
        &self,
        list: &ListKey,
        after: Option<&OrderKey>,
        limit: usize,
    ) -> Result<Vec<ReadRow>, Error> {
        self.read(|db| db.page(list, after, limit))
    }

    /// An element.
    pub(crate) fn element(&self, list: &ListKey, id: &ItemId) -> Result<Option<ReadRow>, Error> {
        self.read(|db| db.element(list, id))
    }

    /// Reads. A file that turns out to be damaged is replaced.
    fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, LocalError>) -> Result<T, Error> {
        let era = self.db.era();
        read(&self.db).map_err(|error| {
            if error.is_corrupt() {
                self.tell(Command::Replace(era));
            }
            error.into()
        })
    }

    /// Keeps a list from now on.
    pub(crate) fn hold(&self, list: &ListKey) {
        self.held.lock().insert(list.clone());
        self.tell(Command::Hold(list.clone()));
    }

    pub(crate) fn release(&self, list: &ListKey) {
        self.held.lock().remove(list);
        self.tell(Command::Release(list.clone()));
    }

    pub(crate) fn holds(&self, list: &ListKey) -> bool {
        self.held.lock().contains(list)
    }

    pub(crate) fn held(&self) -> Vec<ListKey> {
        self.held.lock().iter().cloned().collect()
    }

    /// Has the engine do something. Nothing happens once the client is closed.
    pub(crate) fn tell(&self, command: Command) {
        let _ = self.commands.unbounded_send(command);
    }

    /// Has the engine send a write, and waits for its answer, and until the lists
    /// that it changed show it. Dropping the future does not take the write back.
    pub(crate) async fn write(&self, action: Action) -> Result<Bytes, Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Write(action, reply));
        let Done { outcome, caught_up } = answer.await.unwrap_or(Err(Error::Closed))?;
        if let Some(caught_up) = caught_up {
            // The write has happened; that a list lags behind it is no error.
            let _ = caught_up.await;
        }
        Ok(outcome)
    }

    /// Has the engine reach a goal, and waits for it. Dropping the future gives
    /// it up.
    pub(crate) async fn ask(&self, goal: Goal) -> Result<SyncReport, Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Ask(Ask { goal, reply }));
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Recomputes a list from its rows, without the server.
    pub(crate) async fn recompute(&self, list: &ListKey) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Recompute(list.clone(), Some(reply)));
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Whether a list has never brought a row, and may.
    pub(crate) fn is_unread(&self, list: &ListKey) -> Result<bool, Error> {
        Ok(match self.standing(list)? {
            None => true,
            Some(standing) => {
                standing.record.shown.point.is_none()
                    && !matches!(standing.record.phase, Phase::Gone(_))
            }
        })
    }

    /// Ids of rows whose payload is missing.
    pub(crate) fn missing(rows: &[ReadRow]) -> Vec<ItemId> {
        let lacks = rows.iter().filter(|read| read.row.payload.is_none());
        lacks.map(|read| read.row.id.clone()).collect()
    }

    /// Ends the engine and every stream, and lets others use the database.
    pub(crate) fn close(&self) {
        self.tell(Command::Close);
        self.db.close();
        self.hub.close();
    }
}
