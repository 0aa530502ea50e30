//! The rules that every store keeps, as tests that any store can run (feature `conformance`).
//!
//! Each rule is a function whose name says the rule. It gets an empty store that no other test uses, and
//! panics where the store breaks the rule. The promises of some stores only (to survive a crash, to be shared by several
//! processes) is not here.
//!
//! For a store of your own, one test a rule:
//!
//! ```
//! # use smart_async::store::MemoryStore as MyStore;
//! # fn main() {}
//! mod my_store {
//!     smart_async::conformance_tests!(|| async { super::MyStore::new() });
//! }
//! ```
//!
//! or all of them in a row:
//!
//! ```
//! # use smart_async::store::MemoryStore as MyStore;
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! smart_async::store::conformance::run_all(|| async { MyStore::new() }).await;
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A store that needs something beside it for as long as it is in use, such as a temporary folder, is made as a pair:
//! `|| async { (MyStore::open(folder.path()), folder) }`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a store is told that it breaks a rule"
)]

mod changes;
mod claims;
#[doc(hidden)]
pub mod helpers;
mod keys;
mod limits;
mod lists;
mod news;
mod owners;
mod records;
mod removal;
mod states;

pub use changes::*;
pub use claims::*;
pub use keys::*;
pub use limits::*;
pub use lists::*;
pub use news::*;
pub use owners::*;
pub use records::*;
pub use removal::*;
pub use states::*;

use super::JobStore;

/// A store to be tested, with what has to stay for as long as it is in use.
pub trait Subject {
    /// The store.
    fn store(&self) -> &dyn JobStore;
}

impl<S: JobStore> Subject for S {
    fn store(&self) -> &dyn JobStore {
        self
    }
}

/// A store, and what is dropped after it.
impl<S: JobStore, G> Subject for (S, G) {
    fn store(&self) -> &dyn JobStore {
        &self.0
    }
}

/// Hands the names of all rules to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_rules {
    ($then:path $(, $argument:expr)?) => {
        $then! {
            $($argument,)?
            a_job_that_was_inserted_is_there
            an_unknown_job_is_not_there
            everything_in_a_record_is_kept
            a_large_result_comes_back_whole
            an_id_is_given_once
            of_two_inserts_at_once_one_is_refused
            a_change_sees_the_one_before
            a_change_answers_with_the_record_as_it_is_then
            a_change_to_an_unknown_job_is_refused
            a_change_that_the_state_forbids_changes_nothing
            a_terminal_job_changes_no_more
            late_progress_is_refused
            of_two_ends_at_once_one_is_refused
            a_second_end_leaves_a_large_result_alone
            of_two_large_results_at_once_one_is_kept
            two_changes_at_once_are_applied_one_after_the_other
            a_change_whose_caller_leaves_is_made_whole_or_not_at_all
            jobs_are_listed_newest_first_and_counted_before_the_limit
            a_later_insert_comes_first_though_its_clock_is_earlier
            jobs_of_the_same_age_keep_their_order
            a_list_is_counted_where_the_query_asks
            a_limit_of_zero_lists_nothing_and_counts
            a_query_finds_by_everything_it_names
            conditions_of_a_query_hold_together
            a_list_for_one_client_counts_no_others_jobs
            pruning_removes_ended_jobs_only
            pruning_keeps_the_newest
            pruning_keeps_as_many_of_the_newest_as_fit
            pruning_counts_a_large_result
            pruning_spares_what_it_is_told_to
            pruning_removes_only_the_jobs_that_it_names
            pruning_keeps_to_its_server_and_counts_there
            pruning_keeps_to_its_client_and_counts_there
            pruning_keeps_to_its_statuses
            a_pruned_job_is_gone
            a_pruned_result_is_gone
            a_withdrawn_job_was_never_there
            ones_own_jobs_are_not_abandoned
            jobs_of_the_dead_are_abandoned_until_they_end
            abandoned_work_is_taken_on_once
            a_waiting_job_is_given_out_once_under_a_claim_of_its_own
            claims_go_by_priority_then_by_age
            a_job_is_not_given_out_before_its_time
            a_claim_gets_the_jobs_that_it_names
            an_owner_claims_its_own_queued_jobs
            a_claim_keeps_to_the_limit_of_a_tool
            a_claim_keeps_to_the_limits_on_all_jobs_and_on_a_session
            a_claim_yields_to_earlier_jobs_of_living_owners_alone
            an_open_call_takes_a_slot_and_is_no_job_yet
            a_key_is_given_to_one_job
            of_two_jobs_at_once_one_gets_the_key
            the_answer_of_a_call_is_kept_for_its_key
            a_key_is_free_when_its_time_is_over
            an_interrupted_job_leaves_its_key_where_its_work_may_run_again
            pruning_spares_the_keys_that_are_kept
            progress_of_many_jobs_is_refused_by_those_of_others_alone
            many_jobs_come_in_the_order_asked
            pages_neither_skip_nor_repeat_while_jobs_come_and_go
            every_state_is_named_with_its_newest_completion
            a_state_that_never_was_put_has_no_value
            everything_in_a_state_is_kept
            a_state_that_has_not_changed_is_the_same_one
            a_completion_is_put_once
            an_end_fills_its_state_with_the_same_write
            an_end_that_is_refused_fills_no_state
            an_end_fills_no_state_that_has_a_later_value
            the_later_completion_stands_in_either_order
            of_completions_of_one_moment_the_greater_id_stands
            a_completion_from_the_future_gives_way
            of_two_completions_at_once_the_later_one_stands
            a_state_stays_when_its_job_is_removed
            every_change_is_news
            work_that_waits_is_news
            a_claim_is_dated_by_the_stores_clock
            the_usual_run_is_the_median_of_the_newest
            a_result_of_the_largest_size_is_kept
            many_writers_lose_nothing
            the_owner_keeps_its_name
            closing_twice_is_no_error
        }
    };
}

/// One `#[tokio::test]` for each rule, named as the rule, in the module where it stands.
///
/// The argument is a closure that makes an empty store, as for [`run_all`](crate::core::store::conformance::run_all). The
/// crate needs `tokio` with its features `macros` and `rt`.
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr $(,)?) => {
        $crate::__conformance_rules! { $crate::__conformance_tests, $make }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($make:expr, $($rule:ident)*) => {
        /// The subject of each test.
        async fn conformance_subject() -> impl $crate::store::conformance::Subject {
            ($make)().await
        }

        $(
            #[tokio::test]
            async fn $rule() {
                let subject = conformance_subject().await;
                let store = $crate::store::conformance::Subject::store(&subject);
                $crate::store::conformance::$rule(store).await;
            }
        )*
    };
}

macro_rules! names {
    ($($rule:ident)*) => {
        /// The name of each rule.
        pub const RULES: &[&str] = &[$(stringify!($rule)),*];
    };
}
__conformance_rules!(names);

/// Runs every rule, each on a store of its own that `make` makes.
///
/// # Panics
/// Where the store breaks a rule; the panic's place is in the function that is named as the rule.
pub async fn run_all<S: Subject, F: Future<Output = S>>(make: impl Fn() -> F) {
    macro_rules! run {
        ($($rule:ident)*) => {$(
            // Boxed, so that the future of the whole is not as large as all of them.
            Box::pin($rule(make().await.store())).await;
        )*};
    }
    __conformance_rules!(run);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::store::MemoryStore;

    #[test]
    fn every_rule_is_run() {
        let rooms = [
            include_str!("conformance/changes.rs"),
            include_str!("conformance/claims.rs"),
            include_str!("conformance/keys.rs"),
            include_str!("conformance/limits.rs"),
            include_str!("conformance/lists.rs"),
            include_str!("conformance/news.rs"),
            include_str!("conformance/owners.rs"),
            include_str!("conformance/records.rs"),
            include_str!("conformance/removal.rs"),
            include_str!("conformance/states.rs"),
        ];
        let rules = rooms
            .iter()
            .flat_map(|room| room.lines())
            .filter_map(|line| line.strip_prefix("pub async fn ")?.split_once("(store: "))
            .map(|(name, _)| name);
        let (mut rules, mut run): (Vec<_>, _) = (rules.collect(), RULES.to_vec());
        rules.sort_unstable();
        run.sort_unstable();
        assert_eq!(rules, run);
    }

    #[tokio::test]
    async fn all_rules_run_in_a_row() {
        Box::pin(run_all(|| async { MemoryStore::new() })).await;
    }
}
