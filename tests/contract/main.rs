//! The store contract: one suite, stamped with one line a backend. Each test takes a fresh store, drives it as the
//! engine does (`Writer::transact` with `ledger::decide`), and reads back through the reader.
//!
//! Every plan that a store commits is applied to a shadow of it in memory as well: that is what reads are held to, and
//! at the end of a test everything stored must be what the shadow holds.

mod bench;
mod concurrency;
mod constraints;
mod faults;
mod history;
mod key_history;
mod keyed;
mod keys;
mod leases;
mod lists;
mod replays;
mod resolving;
mod rows;

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "../support/commands.rs"]
mod commands;
#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "../pure/tests/histories/generate.rs"]
mod generate;
#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "../support/invariants.rs"]
mod invariants;
#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "../support/pgbouncer.rs"]
mod pgbouncer;

use scrip::ledger;
use support::model::world;

/// Stamps the named tests of a module on one backend.
macro_rules! stamp {
    ($backend:ident: $($module:ident { $($name:ident),+ $(,)? })+) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                let Some(mut bench) = crate::bench::Bench::$backend().await else { return };
                crate::$module::$name(&mut bench).await;
                bench.finish().await;
            })+
        })+
    };
}

/// Stamps the whole suite on one backend.
macro_rules! contract_suite {
    ($backend:ident) => {
        mod $backend {
            stamp! { $backend:
                rows {
                    every_operation_is_read_back_as_it_was_decided,
                    a_user_and_all_that_is_its_can_come_in_one_batch,
                    text_of_every_kind_is_kept_as_it_came,
                    the_edges_of_numbers_and_times_are_kept,
                    the_output_of_a_task_is_kept_until_another_comes,
                    attempts_are_appended_in_their_order,
                    a_batch_of_thousands_is_written_whole,
                    a_batch_reads_thousands_of_keys,
                    an_aborted_batch_writes_nothing,
                    a_time_that_goes_back_does_not_reorder_a_chain,
                }
                replays {
                    every_command_repeated_later_is_a_replay_that_writes_nothing,
                    frozen_refusals_stay_refused_in_later_transactions,
                    what_is_not_frozen_may_come_right_later,
                    a_task_of_one_user_is_taken_for_all_others,
                    request_ids_of_different_users_do_not_meet,
                    a_request_id_of_other_content_names_the_field,
                }
                resolving {
                    an_id_that_was_committed_is_known_and_not_decided_again,
                    an_id_that_was_not_committed_commits_now,
                    a_batch_with_nothing_to_write_keeps_no_id,
                    an_id_is_never_committed_twice,
                    ids_are_forgotten_oldest_first_and_no_more_than_asked,
                }
                concurrency {
                    two_writers_on_one_user_leave_no_gap_and_lose_nothing,
                    two_writers_never_spend_the_same_points,
                    a_charge_that_races_itself_is_done_once,
                    a_task_that_two_users_race_for_is_one_users,
                    a_request_id_that_races_itself_is_one_request,
                    two_writers_that_create_one_user_credit_it_twice,
                    a_hold_that_two_writers_resolve_is_resolved_once,
                    writers_that_cross_their_users_all_finish,
                    a_reader_does_not_wait_for_a_batch_nor_see_it_before_its_end,
                }
                constraints {
                    the_tables_refuse_what_no_plan_may_write,
                    an_update_of_a_row_that_is_not_there_is_refused,
                    an_insert_of_a_row_that_is_there_is_refused,
                }
                lists {
                    entries_are_listed_newest_first_by_every_filter,
                    points_rows_are_listed_as_the_seed_names_them,
                    financial_rows_are_listed_as_the_seed_names_them,
                    tasks_are_listed_newest_first_by_every_filter,
                    users_are_listed_newest_first,
                    a_past_balance_is_that_of_the_last_entry_by_then,
                    entries_are_found_by_their_ranges,
                    owners_and_tasks_are_found_by_task_id,
                    due_holds_are_those_whose_time_has_passed,
                    stuck_tasks_are_charged_open_and_old,
                    an_audit_snapshot_is_of_one_moment_and_pages_to_its_end,
                }
                keys {
                    accounts_are_added_changed_and_deleted_with_their_keys,
                    a_request_of_an_operator_is_done_once,
                    several_accounts_come_in_one_batch_each_under_an_id_of_its_own,
                    a_batch_reads_exactly_what_its_footprint_names,
                    the_tables_refuse_what_no_plan_of_keys_may_write,
                    credit_at_fal_is_written_to_every_account_of_a_workspace,
                    health_is_kept_of_keys_and_workspaces,
                    a_secret_is_sealed_anew_only_where_it_is_still_what_was_found,
                    a_key_that_was_replaced_is_kept_for_the_leases_it_was_given_with,
                    the_audit_log_is_listed_newest_first_of_one_account_or_of_all,
                    accounts_are_listed_newest_first_without_deleted_ones,
                    secrets_are_read_in_the_order_of_account_purpose_and_key,
                    the_pool_is_read_whole_and_deleted_accounts_only_for_verify,
                }
                leases {
                    leases_are_given_renewed_superseded_and_closed,
                    figures_count_what_is_open_and_what_is_overdue,
                    no_more_leases_are_given_than_a_workspace_has_slots,
                    writers_that_race_for_the_last_slots_give_each_once,
                    due_leases_are_the_open_ones_whose_time_has_passed,
                    a_hold_is_not_due_while_its_task_has_a_live_lease,
                    a_request_keeps_the_lease_it_gave,
                }
                history {
                    random_histories_are_stored_as_they_were_decided,
                }
            }
        }
    };
}

/// Stamps the comparison of seeded random histories with those in memory.
macro_rules! same_as_in_memory {
    ($($backend:ident),+) => {
        mod same_as_in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $backend() {
                let Some(mut bench) = crate::bench::Bench::$backend().await else { return };
                crate::history::random_histories_come_out_as_in_memory(&mut bench).await;
                bench.finish().await;
            })+

            mod keys {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $backend() {
                    let Some(mut bench) = crate::bench::Bench::$backend().await else { return };
                    crate::key_history::random_histories_of_keys_come_out_as_in_memory(&mut bench).await;
                    bench.finish().await;
                })+
            }
        }
    };
}

contract_suite!(model);
contract_suite!(sqlite);
contract_suite!(postgres);
contract_suite!(pooled);

same_as_in_memory!(sqlite, postgres);
