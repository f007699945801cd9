//! The device's side of Highwater: lists that are on the device, and stay equal
//! to the server's.
//!
//! A [`Client`] keeps one user's lists in one local database. Reading never
//! waits for the network but for what was never on the device; syncing moves
//! only what changed, and ends with the proof that the copy is right.
//!
//! ```
//! use futures::executor::block_on;
//! use highwater_sdk::{Client, Status, Window};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("u1.db");
//! # let (server, token) = ("http://127.0.0.1:9", "e30.eyJzdWIiOiJ1MSJ9.x");
//! # block_on(async {
//! let client = Client::builder()
//!     .server(server)
//!     .token(token)
//!     .database(&path)
//!     .build()
//!     .await?;
//!
//! // What is on the device is there at once, whether or not the server is.
//! let groups = client.groups()?;
//! let page = groups.page(None, 50).await?;
//! for row in &page.rows {
//!     println!("{} joined at {:?}", row.id(), row.item.as_ref().map(|group| group.joined_at_ms));
//! }
//!
//! // Nothing listens at this address, and nothing was synced before.
//! assert!(page.rows.is_empty() && page.fault.is_some());
//! assert_eq!(groups.status()?, Status::Offline { in_sync_at: None });
//! assert!(client.sync().await.is_err());
//!
//! // From here on it keeps itself up to date, and says what changes.
//! client.start();
//! let members = client.members("kubernetes")?;
//! let mut changes = members.watch(Window::first(50));
//! use futures::StreamExt;
//! let first = changes.next().await.ok_or("closed")??;
//! assert_eq!(first.count, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a user does is a method on the list that it is about, or on a [`Group`].
//! It is sent at once or fails at once, and what it changed is there when it
//! returns:
//!
//! ```no_run
//! use futures::StreamExt;
//! use highwater_sdk::actions::conversations::ConversationSettings;
//! use highwater_sdk::actions::groups::NewGroup;
//! use highwater_sdk::{Client, Code, Error, Happening};
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let friends = client.friends()?;
//! match friends.request("bob", "we met at RustConf", "search").await {
//!     Ok(became) => println!("{became:?}"),
//!     // Nothing was sent, and nothing is kept to be sent later.
//!     Err(Error::Offline(_)) => println!("you are offline; try again"),
//!     Err(Error::Refused(no)) if no.code == Code::Blocked => println!("bob does not want it"),
//!     Err(error) => return Err(error.into()),
//! }
//! friends.accept("carol").await?;
//! assert!(friends.get("carol").await?.is_some());
//!
//! let new = NewGroup { group: "rust".into(), name: "Rust".into(), ..NewGroup::default() };
//! let group = client.groups()?.create(&new).await?;
//! for invited in group.invite(&["carol", "dave"]).await? {
//!     println!("{}: {:?}", invited.user, invited.result);
//! }
//!
//! // All conversations in one order, large groups among them.
//! let conversations = client.conversations()?;
//! let first = conversations.page(None, 20).await?;
//! println!("{} unread in all", conversations.total_unread()?);
//! if let Some(view) = first.rows.first().and_then(|row| row.item.as_ref()) {
//!     let seq = view.last.as_ref().map_or(0, |last| last.seq);
//!     conversations.read(first.rows[0].id(), seq).await?;
//! }
//! let pinned = ConversationSettings { pinned: Some(true), ..Default::default() };
//! conversations.set("g:rust", &pinned).await?;
//!
//! // What happens, whoever does it and on whichever device.
//! let mut happenings = client.happenings();
//! while let Some(happening) = happenings.next().await {
//!     match happening? {
//!         Happening::FriendRequestReceived { user, .. } => println!("{user} asks"),
//!         Happening::TotalUnread { messages } => println!("{messages} unread"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`List`]: [`page`](List::page), [`get`](List::get),
//!   [`count`](List::count), [`watch`](List::watch), [`status`](List::status),
//!   [`verify`](List::verify). A list that was opened is kept up to date, after
//!   a restart too, until it is [released](List::release).
//! - [`Client::sync`] is one attempt with an outcome; [`Client::start`] is the
//!   background: at once, after failures with growing delays, after long
//!   silence, and on [`Client::wake`].
//! - [`actions`]: what a user can do. [`Conversations`]: the merged order, its
//!   windows and the total of unread messages. [`Happening`]: what is told.
//! - Another kind of list is a type that implements [`ListKind`], and no line of
//!   sync code.
//! - [`driver`]: what the SDK needs of the machine. No type of a runtime or of
//!   an HTTP library is in the interface: futures and streams run on whatever
//!   executor the app has.

pub mod actions;
mod client;
pub mod conversations;
pub mod driver;
mod engine;
mod error;
mod event;
mod happening;
mod hub;
mod list;
pub mod lists;
pub mod local;
#[cfg(feature = "native")]
mod native;
mod page;
mod report;
mod server_url;
mod shared;
mod status;
mod token;
mod watch;

pub use actions::groups::Group;
pub use client::{Client, ClientBuilder};
pub use conversations::Conversations;
pub use driver::Traffic;
pub use error::Error;
pub use event::{Event, Events};
pub use happening::{Happening, Happenings};
pub use highwater_core::local::Rung;
pub use highwater_core::replica::{Cost, Difference, Reason, Receipt, ReplicaConfig, Standing};
pub use highwater_protocol::message::GoneReason;
pub use highwater_protocol::{Code, ItemId, ListKey, Rank, Refusal, Version};
pub use list::{List, PAGE_ROWS_MAX};
pub use lists::{
    Activity, Blocks, ConversationItems, FriendRequests, Friends, Groups, JoinRequests, ListKind,
    Members, Opaque, Profile, Raw, SentFriendRequests, SentJoinRequests, View,
};
#[cfg(feature = "native")]
pub use native::{Compression, NativeConfig};
pub use page::{Key, Page, Row};
pub use report::SyncReport;
pub use status::{Status, StatusWatch};
pub use token::{TokenFault, TokenProvider};
pub use watch::{Batch, Change, Watch, Window};
