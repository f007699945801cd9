//! The device.
mod client;
pub mod driver;
mod engine;
mod error;
mod event;
mod hub;
mod list;
mod lists;
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

pub use client::{Client, ClientBuilder};
pub use driver::Traffic;
pub use error::Error;
pub use event::{Event, Events};
pub use highwater_core::local::Rung;
pub use highwater_core::replica::ReplicaConfig;
pub use highwater_protocol::message::GoneReason;
pub use highwater_protocol::{Code, ItemId, ListKey, Rank, Refusal, Version};
pub use list::{List, PAGE_ROWS_MAX};
pub use lists::{
    GroupProfile, Groups, JoinedGroup, ListKind, Member, Members, Opaque, Raw, Role, View,
};
#[cfg(feature = "native")]
pub use native::{Compression, NativeConfig};
pub use page::{Key, Page, Row};
pub use report::SyncReport;
pub use status::{Status, StatusWatch};
pub use token::{TokenFault, TokenProvider};
pub use watch::{Batch, Change, Watch, Window};
