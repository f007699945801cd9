//! Random operations by random users, through HTTP, against a naive model that
//! knows only the rules: each is allowed or refused as the model says, and at the
//! end every list of every user is what the model says.
//!
//! `HIGHWATER_OPERATIONS=200000 cargo test --release -p highwater-server --test it
//! model::` for a long run; `HIGHWATER_SEED` for another world.

mod conversations;
mod judge;
mod operation;
mod world;

use crate::kit::{self, Client, Running, store};
use operation::{Asked, Expected, Random};
use std::collections::BTreeMap;
use world::World;

const OPERATIONS: u64 = 5_000;
/// Time between two operations, in milliseconds: all fit into a token's life.
const STEP_MS: i64 = 10;
/// Operations after which everything is compared.
const ROUND: u64 = 1_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap())
}

#[tokio::test]
async fn every_list_is_what_the_rules_say() {
    let (operations, seed) = (
        number("HIGHWATER_OPERATIONS", OPERATIONS),
        number("HIGHWATER_SEED", 1),
    );
    let shared_above = world::SHARED_ABOVE.to_string();
    let options = [("conversations_shared_above", shared_above.as_str())];
    let server = Running::configured(store(), &options).await;
    let users: Vec<String> = (0..12).map(|at| format!("u{at:02}")).collect();
    let mut clients = BTreeMap::new();
    for user in &users {
        clients.insert(user.clone(), server.user(user).await);
    }
    let mut service = server.service().await;
    let mut world = World::default();
    let mut random = Random::new(seed);
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for at in 1..=operations {
        server.hands.move_on(STEP_MS);
        let now = kit::NOW_MS + i64::try_from(at).unwrap() * STEP_MS;
        let (asked, expected) = operation::random(&mut random, &mut world, now);
        let client = match &asked.by {
            Some(user) => clients.get_mut(user).unwrap(),
            None => &mut service,
        };
        let done = send(client, &asked, &expected, at).await;
        let count = counts.entry(name(&asked)).or_default();
        match done {
            true => count.0 += 1,
            false => count.1 += 1,
        }
        if done && expected.settles {
            service.settled().await;
        }
        if at % ROUND == 0 || at == operations {
            service.settled().await;
            judge::judge(&world, &mut service, &users).await;
        }
    }
    // Each operation is to be done now and then.
    let never_done = counts.iter().filter(|(_, (done, _))| *done == 0);
    assert_eq!(never_done.count(), 0, "{counts:?}");
    server.end().await;
}

/// Sends a request, and holds the answer against the model's. Whether it was done.
async fn send(client: &mut Client, asked: &Asked, expected: &Expected, at: u64) -> bool {
    let reply = match asked.body.is_null() {
        true => client.send(asked.method, &asked.path, &[], &[]).await,
        false => client.json(asked.method, &asked.path, &asked.body).await,
    };
    let context = || format!("operation {at}: {asked:?}");
    if reply.status >= 400 {
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        let code = reply.json()["code"].as_str().unwrap().to_owned();
        assert!(
            expected.no.contains(&code.as_str()),
            "{} is answered {body}; the rules say {:?}",
            context(),
            expected.no
        );
        return false;
    }
    assert!(
        expected.no.is_empty(),
        "{} is done; the rules say {:?}",
        context(),
        expected.no
    );
    if let Some(results) = &expected.results {
        let json = reply.json();
        let named = json["results"]
            .as_array()
            .or_else(|| json["outcomes"].as_array());
        let there: Vec<_> = named.unwrap().iter().map(what_became).collect();
        assert_eq!(&there, results, "{}", context());
    }
    true
}

/// The operation without what it is done to.
fn name(asked: &Asked) -> String {
    let parts: Vec<_> = asked
        .path
        .split('/')
        .skip(2)
        .map(|part| match part.rsplit_once(':') {
            Some((_, verb)) if part.starts_with(|it: char| it.is_ascii_lowercase()) => verb,
            _ if part.contains('%') || part.starts_with("u0") || part.starts_with("u1") => "_",
            _ => part,
        })
        .collect();
    format!("{} {}", asked.method, parts.join("/"))
}

/// What became of an entry; of one that was refused, the code.
fn what_became(entry: &serde_json::Value) -> &str {
    let became = entry["result"]
        .as_str()
        .or_else(|| entry["outcome"].as_str());
    match became.unwrap() {
        "refused" => entry["code"].as_str().unwrap(),
        became => became,
    }
}
