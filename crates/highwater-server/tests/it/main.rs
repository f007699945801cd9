//! The server as others meet it: its rules on a store, and all of it over HTTP.
#![expect(clippy::unwrap_used, reason = "tests")]

mod activity;
mod audit;
mod bad_input;
mod contract;
mod conversation_model;
mod conversations;
mod deleting;
mod document;
mod encodings;
mod failing_store;
mod fanout;
mod faulty;
mod friend_import;
mod friends;
mod groups;
mod groups_http;
mod import;
mod kit;
mod logs;
mod model;
mod operating;
mod people;
mod people_model;
mod permitted;
mod permitted_http;
mod profiles;
mod receipts;
mod rights;
mod rules;
mod shutdown;
mod sqlite;
mod sync;
mod transactions;
