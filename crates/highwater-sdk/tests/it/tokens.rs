//! Whose token it is, and what happens when it is over.

use crate::server::{Fault, TestServer, URL, jwt, list};
use futures::executor::block_on;
use highwater_protocol::{Code, Refusal};
use highwater_sdk::{Client, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::tempdir;

/// A provider that gives the user's tokens, numbered from 0.
fn counted(
    builder: highwater_sdk::ClientBuilder,
    user: &'static str,
) -> (highwater_sdk::ClientBuilder, Arc<AtomicU32>) {
    let given = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&given);
    let builder = builder.token_provider(move || {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        async move { Ok(jwt(user, number)) }
    });
    (builder, given)
}

#[test]
fn an_expired_token_is_renewed_once_and_the_request_sent_again() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("groups/u1"), 3);
    let (builder, given) = counted(server.builder(&folder.path().join("db")), "u1");
    let client = block_on(builder.user("u1").build()).unwrap();
    assert_eq!(
        given.load(Ordering::Relaxed),
        0,
        "opening asks for no token"
    );
    client.groups().unwrap();
    block_on(client.sync()).unwrap();
    server.take_only(&jwt("u1", 1));
    let report = block_on(client.sync()).unwrap();
    assert_eq!(report.in_sync, 1);
    assert_eq!(given.load(Ordering::Relaxed), 2);
    let tokens: Vec<_> = server
        .take_log()
        .into_iter()
        .map(|asked| asked.token)
        .collect();
    assert_eq!(tokens, [jwt("u1", 0), jwt("u1", 0), jwt("u1", 1)]);
    // The new one is used from then on.
    block_on(client.sync()).unwrap();
    assert_eq!(given.load(Ordering::Relaxed), 2);
}

#[test]
fn a_token_that_is_refused_twice_is_reported_and_not_tried_for_ever() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let (builder, given) = counted(server.builder(&folder.path().join("db")), "u1");
    let client = block_on(builder.build()).unwrap();
    client.groups().unwrap();
    server.take_only("another");
    let error = block_on(client.sync()).unwrap_err();
    assert!(matches!(error, Error::Refused(no) if no.code == Code::ExpiredToken));
    assert_eq!(server.take_log().len(), 2);
    // One for the builder, which had to learn whose it is.
    assert_eq!(given.load(Ordering::Relaxed), 3);

    let folder = tempdir().unwrap();
    let client = server.client(&folder.path().join("db"));
    client.groups().unwrap();
    let error = block_on(client.sync()).unwrap_err();
    assert!(matches!(error, Error::Refused(no) if no.code == Code::ExpiredToken));
    assert_eq!(
        server.take_log().len(),
        1,
        "a fixed token is not tried twice"
    );
}

#[test]
fn a_code_that_is_not_known_is_judged_by_its_status() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let (builder, given) = counted(server.builder(&folder.path().join("db")), "u1");
    let client = block_on(builder.user("u1").build()).unwrap();
    client.groups().unwrap();
    server.fail([Fault::Refuse(401, Refusal::new(Code::Unknown, "revoked"))]);
    block_on(client.sync()).unwrap();
    assert_eq!(given.load(Ordering::Relaxed), 2);
}

#[test]
fn a_provider_that_fails_is_reported_and_asked_again() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let failing = Arc::new(AtomicU32::new(1));
    let builder = server.builder(&folder.path().join("db")).user("u1");
    let builder = builder.token_provider(move || {
        let left = failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        async move {
            match left {
                Ok(_) => Err("signed out".into()),
                Err(_) => Ok(jwt("u1", 0)),
            }
        }
    });
    let client = block_on(builder.build()).unwrap();
    client.groups().unwrap();
    let error = block_on(client.sync()).unwrap_err();
    assert!(matches!(error, Error::Token(_)) && error.is_transient());
    assert_eq!(error.to_string(), "no token: signed out");
    assert_eq!(server.requests(), 0);
    block_on(client.sync()).unwrap();
}

#[test]
fn another_users_token_is_never_sent() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    server.client(&path).close();
    // The database says who the user is; the provider's token is another's.
    let (builder, _) = counted(server.builder(&path), "u2");
    let client = block_on(builder.build()).unwrap();
    assert_eq!(client.user(), "u1");
    client.groups().unwrap();
    let error = block_on(client.sync()).unwrap_err();
    assert!(matches!(error, Error::OtherUser { .. }), "{error}");
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_token_that_names_nobody_needs_a_user() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let builder = |name: &str| {
        let path = folder.path().join(name);
        let builder = Client::builder().server(URL).token("opaque").database(path);
        builder.driver(server.driver())
    };
    let error = block_on(builder("a").build()).err().unwrap();
    assert!(matches!(error, Error::NamelessToken(_)), "{error}");
    let client = block_on(builder("b").user("u7").build()).unwrap();
    client.groups().unwrap();
    block_on(client.sync()).unwrap();
    let log = server.take_log();
    assert_eq!(log[0].token, "opaque");
    assert_eq!(log[0].request.lists[0].list, list("groups/u7"));
}
