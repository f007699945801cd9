//! A user's conversations in the order in which an app shows them.
//!
//! In a large group a message is written once, into the header of a list that
//! the group owns, and not into the conversation of each member. So two things
//! have to be merged on the device: the conversations, and the activity of each
//! large group among them. The device holds the latter while the conversation
//! says that it is shared and its owner is in the group, and no longer.
//!
//! The merged order is kept in memory, whole: pinned conversations first, then
//! the one in which something happened last, then by id. It is the order of the
//! list where no activity is newer. Each page, each window and the total are
//! taken from one state of it, with all that has been committed on the device
//! worked in before: activity that arrives moves its conversation to where it
//! belongs, on whichever page that is, and never merely decorates the page that
//! it was on. (While an app pages, a conversation may move past the place where
//! the next page goes on; a [watch](Conversations::watch) follows.)
//!
//! Not shown are conversations that are hidden, and deleted ones without newer
//! activity.

mod board;
mod watch;

pub(crate) use board::Board;
pub use watch::{ConversationBatch, ConversationWatch};

use crate::client::Client;
use crate::engine::Goal;
use crate::error::Error;
use crate::list::{List, PAGE_ROWS_MAX};
use crate::lists::ConversationItems;
use crate::page::{Key, Page, Row};
use crate::watch::Window;
use highwater_protocol::Refusal;
use highwater_protocol::kinds::{Conversation, LastMessage, Mention};

/// A conversation with what goes on in it, wherever that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationView {
    /// The user's own item. What it says of the last message and of mentions may
    /// be older than what is said here.
    pub conversation: Conversation,
    /// The last message; without its preview, if it was cleared.
    pub last: Option<LastMessage>,
    /// Messages that the user has not read.
    pub unread: u64,
    /// Who is mentioned in those.
    pub mention: Option<Mention>,
}

/// A user's conversations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Conversations {
    list: List<ConversationItems>,
}

impl Client {
    /// The user's conversations. They are kept up to date from now on, after a
    /// restart too.
    ///
    /// # Errors
    /// The user's id is none that a list's owner can have.
    pub fn conversations(&self) -> Result<Conversations, Refusal> {
        let list: List<ConversationItems> = self.open(self.user())?;
        self.shared().begin_board(list.key());
        Ok(Conversations { list })
    }
}

impl Conversations {
    /// The list of the user's own items, without what goes on in large groups:
    /// for its status, and to release it. What goes on in large groups is released
    /// with it, as soon as anybody looks at the conversations.
    #[must_use]
    pub const fn items(&self) -> &List<ConversationItems> {
        &self.list
    }

    /// The conversations behind `after`, at most `limit` (1 to 1,000) of them;
    /// from the start, if `after` is `None`. Activity and details that the device
    /// lacks are fetched.
    ///
    /// # Errors
    /// As [`List::page`].
    pub async fn page(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<ConversationView>, Error> {
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        // What was never on the device is waited for; it says why it is not there.
        let mut fault = self.list.page(None, 1).await?.fault;
        let unread = self.board(|board| board.unread_feeds())?;
        if fault.is_none() && !unread.is_empty() {
            fault = self.ask(Goal::CatchUp(unread)).await?;
        }
        let lacking = self.board(|board| board.lacking(after, limit))?;
        if fault.is_none() && !lacking.is_empty() {
            let key = self.list.key().clone();
            fault = self.ask(Goal::Details(key, lacking)).await?;
        }
        let rows = self.board(|board| board.page(after, limit))?;
        let full = rows.len() == limit;
        let next = rows.last().filter(|_| full).map(|row| row.key.clone());
        Ok(Page { rows, next, fault })
    }

    /// One conversation, shown or not, as the device has it.
    ///
    /// # Errors
    /// The client is closed, or its database failed.
    pub fn get(&self, conversation: &str) -> Result<Option<Row<ConversationView>>, Error> {
        self.board(|board| board.row(conversation))
    }

    /// Conversations that are shown.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn count(&self) -> Result<u64, Error> {
        self.board(|board| board.count())
    }

    /// Messages that the user has not read, in all conversations that are shown
    /// and whose messages come ([`Receive::Nothing`] keeps them away). Of a list
    /// whose first sync is under way, what is there so far; what goes on in large
    /// groups is asked for behind it, by a client that was started, the next
    /// [`Client::sync`], or a page.
    ///
    /// [`Receive::Nothing`]: crate::lists::Receive::Nothing
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn total_unread(&self) -> Result<u64, Error> {
        self.board(|board| board.total_unread())
    }

    /// The conversations of a window and the total of unread messages, now and as
    /// they change.
    #[must_use]
    pub fn watch(&self, window: Window) -> ConversationWatch {
        ConversationWatch::new(self.client().shared().clone(), window)
    }

    pub(crate) const fn client(&self) -> &Client {
        self.list.client()
    }

    pub(crate) fn user(&self) -> &str {
        self.list.key().owner.as_str()
    }

    fn board<T>(&self, look: impl FnOnce(&Board) -> T) -> Result<T, Error> {
        let board = self.client().shared().board()?;
        board.as_deref().map(look).ok_or(Error::Closed)
    }

    async fn ask(&self, goal: Goal) -> Result<Option<Error>, Error> {
        match self.client().shared().ask(goal).await {
            Ok(_) => Ok(None),
            Err(error @ (Error::Closed | Error::Database(_))) => Err(error),
            Err(fault) => Ok(Some(fault)),
        }
    }
}
