//! What the stores keep of reconciliation: one suite, stamped with one line a backend.

#![allow(clippy::unwrap_used)]

mod bench;
mod costs;
mod evidence;
mod findings;
mod ledgers;
mod runs;
mod scale;

mod statements;
mod support;

/// Stamps the named tests of a module on one backend.
macro_rules! stamp {
    ($backend:ident: $($module:ident { $($name:ident),+ $(,)? })+) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(mut bench) = crate::bench::Bench::$backend().await else { return };
                crate::$module::$name(&mut bench).await;
            })+
        })+
    };
}

/// Stamps the whole suite on one backend.
macro_rules! reconcile_suite {
    ($backend:ident) => {
        mod $backend {
            stamp! { $backend:
                runs {
                    a_run_is_read_back_as_it_was_begun,
                    a_repeated_call_finds_its_run_and_another_content_is_refused,
                    a_request_id_that_another_method_used_is_refused,
                    what_a_run_tells_of_itself_is_kept_and_the_rest_stays,
                    a_run_that_is_over_no_longer_changes,
                    runs_are_listed_newest_first_and_the_unfinished_oldest_first,
                    the_runs_of_one_actor_are_listed_newest_first_and_tell_what_partial_ones_lack,
                    a_lease_by_name_has_one_holder_until_it_expires_or_is_given_back,
                    a_fetch_goes_on_where_the_last_page_left_it,
                    a_page_that_could_not_be_read_is_kept_cut,
                    a_page_of_thousands_is_kept_whole,
                    of_two_that_took_a_run_up_the_later_alone_writes,
                    whoever_takes_up_another_run_ends_every_turn_before,
                    a_run_waits_as_long_as_it_was_told_and_counts_its_tries,
                }
                evidence {
                    an_event_is_kept_once_whoever_fetched_it,
                    a_run_judges_what_its_own_fetch_saw,
                    what_another_account_brought_is_not_judged,
                    events_that_say_the_same_in_the_same_microsecond_are_each_kept,
                    equal_events_beyond_one_commit_are_told_apart,
                    events_are_those_of_the_time_and_workspaces_asked_for,
                    an_event_is_answered_as_it_was_kept,
                    events_without_a_cost_are_counted_apart,
                    tasks_and_events_come_in_the_order_of_their_bytes,
                    a_task_comes_with_all_its_attempts,
                    tasks_are_those_of_the_period_and_those_that_events_name,
                    tasks_from_before_the_period_come_along_while_they_are_open_or_were_when_it_began,
                    a_lease_is_live_until_it_expires_or_is_released,
                    accounts_come_with_every_key_that_was_ever_leased,
                    a_snapshot_does_not_see_what_is_written_later,
                }
                ledgers {
                    the_entries_of_the_periods_tasks_are_summed_by_user_and_purse,
                    entries_are_summed_by_quarters_of_an_hour,
                    quarters_of_another_range_begin_anew,
                }
                findings {
                    findings_are_listed_gravest_first_and_page_to_their_end,
                    findings_are_filtered_by_rule_and_severity,
                    a_finding_is_read_back_as_it_was_found,
                    rows_of_the_report_page_by_layer_and_number,
                    a_run_that_judges_anew_has_found_nothing,
                }
                costs {
                    a_cost_is_written_once_and_only_from_the_known_value,
                    costs_are_written_chunk_by_chunk_with_a_line_of_the_log_each,
                    writing_costs_changes_nothing_else,
                }
            }
        }
    };
}

reconcile_suite!(sqlite);
reconcile_suite!(postgres);
