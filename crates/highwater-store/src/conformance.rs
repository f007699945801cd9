//! The suite that every store must pass: each promise of [`Store`](crate::Store),
//! its snapshots and its transactions as a test of its own.
//!
//! A store's tests name a function that runs one of them on a new, empty store,
//! and have the rest from a macro:
//!
//! ```
//! use highwater_store::conformance::conformance_tests;
//! use highwater_store::memory::MemoryStore;
//!
//! fn on_memory<F: Future<Output = ()>>(test: impl FnOnce(MemoryStore) -> F) {
//!     futures::executor::block_on(test(MemoryStore::new([7; 16])));
//! }
//!
//! conformance_tests!(on_memory);
//! # on_memory(highwater_store::conformance::elements::a_put_creates_list_and_element);
//! ```
//!
//! What only a disk can break (a crash, a full disk, a second process) is for
//! the store's own tests.

#![expect(
    clippy::unwrap_used,
    reason = "a suite of tests: what fails should panic"
)]

pub mod elements;
pub mod isolation;
pub mod lives;
pub mod model;
pub mod random;
pub mod reading;
pub mod support;
pub mod upkeep;

pub use crate::conformance_tests;

/// Makes a `#[test]` of each function of the suite. `$on` is a function that is
/// given one, makes an empty store, and runs it to its end.
#[macro_export]
macro_rules! conformance_tests {
    ($on:ident) => {
        $crate::conformance_tests! { @modules $on
            elements {
                a_put_creates_list_and_element
                a_changed_element_takes_a_new_version_and_keeps_its_created
                a_put_without_a_difference_takes_no_version
                a_delete_leaves_a_tombstone
                deleting_what_is_not_there_changes_nothing
                a_recreated_element_inherits_its_tombstones_created
                each_change_of_a_write_takes_its_own_version
                the_header_is_an_element
                the_largest_element_is_kept
                odd_ids_ranks_and_payloads_are_kept
            }
            reading {
                changes_come_by_version_with_tombstones_between
                changes_end_at_the_row_limit
                changes_end_at_the_byte_limit
                a_page_has_a_row_however_small_its_limit
                a_scan_follows_rank_then_id
                a_scan_passes_over_what_is_newer
                a_scan_ends_at_its_limits
                payloads_are_cut_off
                items_by_id_are_those_that_exist
                a_list_that_is_not_live_reads_as_empty
                lists_do_not_mix
            }
            isolation {
                a_snapshot_does_not_see_a_later_commit
                lists_of_one_commit_appear_together
                a_write_sees_its_own_changes
                a_refused_write_undoes_everything
                a_refused_write_takes_no_other_with_it
                an_undeclared_list_breaks_its_own_write_only
                a_panicking_write_breaks_itself_only
                a_write_that_waits_is_refused
                the_commit_names_what_changed
                ticks_rise
                cached_states_agree_with_snapshots
                a_dropped_write_happens_all_the_same_or_not_at_all
                concurrent_writes_are_serialised
            }
            lives {
                an_absent_list_has_the_lineage_that_it_will_have
                an_ended_list_reads_as_ended
                a_recreated_list_is_of_another_lineage
                ending_what_is_not_live_does_nothing
                a_list_may_end_and_begin_in_one_write
                a_refused_end_did_not_happen
                remains_are_found_by_lineage_and_discarded
                remains_outlive_a_new_life
                a_refused_discard_did_not_happen
                discarding_forgets_tombstones_too
            }
            upkeep {
                jobs_are_kept_in_order_until_completed
                jobs_of_a_refused_write_are_not_queued
                job_ids_are_never_used_again
                lists_are_paged_by_name
                a_purge_by_number_keeps_the_newest
                a_purge_by_age_drops_what_is_older
                a_purge_with_nothing_to_do_does_nothing
                a_purged_tombstone_hands_on_no_created
                a_purge_needs_no_ended_lists_tombstones
                a_purge_covers_many_lists
                a_right_head_is_recounted_and_left_alone
            }
            random {
                random_worlds_agree_with_the_model
                random_worlds_agree_with_the_twin
            }
        }
    };
    (@modules $on:ident $($module:ident { $($test:ident)+ })+) => {
        $(
            mod $module {
                $(
                    #[test]
                    fn $test() {
                        super::$on($crate::conformance::$module::$test);
                    }
                )+
            }
        )+
    };
}
