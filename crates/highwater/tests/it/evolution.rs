//! What was released stays understood: messages and databases of each release,
//! frozen in `tests/corpus/<release>`, met by today's code.
//!
//! A release's corpus is recorded once, by `cargo xtask record-corpus`, and
//! never changed: `tests/corpus/SUMS` has a hash of every file. The recorder
//! itself runs with every test, into a temporary folder, and what it records is
//! put to the same tests, so that it works on the day of the next release.

mod corpus;
mod databases;
mod messages;
mod record;
mod world;

use corpus::Corpus;

/// The corpora of all releases, and one that was recorded just now.
fn all() -> Vec<Corpus> {
    let mut all = Corpus::released();
    assert!(!all.is_empty(), "no release has a corpus");
    all.push(record::fresh());
    all
}

#[test]
fn yesterdays_messages_are_read_and_written_byte_for_byte() {
    for corpus in all() {
        messages::read_and_write(&corpus);
        messages::others(&corpus);
    }
}

#[test]
fn what_a_newer_peer_adds_is_ignored_and_what_it_answers_anew_is_named() {
    for corpus in all() {
        messages::of_a_newer_peer(&corpus);
    }
}

#[test]
fn every_kind_of_answer_and_of_question_is_in_each_corpus() {
    for corpus in all() {
        messages::cover(&corpus);
    }
}

#[test]
fn yesterdays_server_database_is_sound_and_means_the_same() {
    for corpus in all() {
        databases::server_is_sound(&corpus);
    }
}

#[test]
fn todays_server_answers_yesterdays_requests() {
    for corpus in all() {
        databases::requests_are_answered(&corpus);
    }
}

#[test]
fn todays_server_takes_yesterdays_writes() {
    for corpus in all() {
        databases::writes_are_taken(&corpus);
    }
}

#[test]
fn yesterdays_device_catches_up_by_what_changed() {
    for corpus in all() {
        databases::device_catches_up(&corpus);
    }
}

#[test]
fn the_corpora_of_releases_are_never_changed() {
    corpus::check_sums();
}
