//! What goes on in conversations, as a service reports it: the last message, and
//! who is mentioned.
//!
//! A conversation with a user, of the system, or of a small group keeps it in the
//! item of everybody who has it. That of a large group lives once, in the header of
//! the group's `activity`: a message there is one write, whatever the group's size,
//! with the read position of its sender, and the mention of each member whom it
//! mentions. A group is found large by its first activity with more members than
//! the configured number, and stays so.

mod deliver;
mod delivery;
mod plan;
mod report;

pub use report::{
    Activity, ActivityBody, ActivityConversation, ActivityOf, ActivityOutcome, ReportActivity,
    Reported,
};

use delivery::{Batch, Delivered};
use plan::{Planned, batches, plan};

/// Activities that one request may report.
pub const ACTIVITIES_PER_REQUEST: usize = 1_000;

/// Users that all system conversations of one request may go to.
pub const RECIPIENTS_PER_REQUEST: usize = 10_000;

/// Users that one message may mention by name.
pub const MENTIONS_PER_MESSAGE: usize = 200;
