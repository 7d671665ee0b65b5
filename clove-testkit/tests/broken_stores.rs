//! The suite itself, proven: each deliberately broken store is caught, by the case that names its fault.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests"
)]

mod broken;

use broken::{Broken, Fault};
use clove_core::MemoryStore;
use clove_testkit::conformance;

async fn failures_of(fault: Fault) -> Vec<&'static str> {
    conformance::failures(|| async move { Broken::new(fault) }).await
}

#[tokio::test]
async fn a_sound_store_passes() {
    assert_eq!(conformance::failures(|| async { MemoryStore::new() }).await, [""; 0]);
    assert_eq!(failures_of(Fault::None).await, [""; 0], "the wrapper alone breaks nothing");
}

#[test]
fn each_case_has_a_name_of_its_own() {
    let mut names = conformance::names();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), conformance::names().len());
}

#[tokio::test]
async fn one_case_runs_by_its_name() {
    conformance::run_case("insert_refuses_an_existing_key_id", || async { MemoryStore::new() }).await;
}

#[tokio::test]
#[should_panic(expected = "conformance: there is no case insert_upserts")]
async fn a_name_without_a_case_is_refused() {
    conformance::run_case("insert_upserts", || async { MemoryStore::new() }).await;
}

#[tokio::test]
#[should_panic(expected = "conformance: insert_refuses_an_existing_key_id: Ok(Commit(")]
async fn a_failure_says_which_case_found_what() {
    conformance::run_case("insert_refuses_an_existing_key_id", || async { Broken::new(Fault::Upserts) }).await;
}

#[tokio::test]
#[should_panic(expected = "conformance: racing_creations_stop_at_the_limit: assertion")]
async fn a_whole_run_names_what_failed() {
    conformance::run(|| async { Broken::new(Fault::RacesAtTheLimit) }).await;
}

macro_rules! caught {
    ($($name:ident: $fault:ident by $($case:literal),+;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let failures = failures_of(Fault::$fault).await;
            for case in [$($case),+] {
                assert!(conformance::names().contains(&case), "there is no case {case}");
                assert!(failures.contains(&case), "{case} is not among {failures:?}");
            }
        }
    )*};
}

caught! {
    an_upserting_insert_is_caught: Upserts by "insert_refuses_an_existing_key_id", "insert_refuses_an_existing_digest";
    a_racy_limit_is_caught: RacesAtTheLimit by
        "racing_creations_stop_at_the_limit", "racing_creations_and_enablings_share_the_last_place";
    a_stale_compare_and_set_is_caught: RacesRevisions by "one_edit_of_a_revision_wins", "racing_changes_are_never_lost";
    a_kill_lost_to_an_edit_is_caught: LosesKillsToEdits by "a_kill_is_not_lost_to_an_edit";
    creation_behind_a_close_is_caught: CreatesBehindAClose by
        "nothing_is_created_behind_a_close", "nothing_is_created_behind_a_closed_organization";
    a_lost_event_is_caught: LosesEvents by "a_change_and_its_event_are_written_together", "events_outlive_their_key";
    an_event_written_apart_is_caught: WritesInHalves by
        "a_conflict_in_the_trail_takes_its_changes_with_it", "a_batch_is_written_as_one";
    a_doubled_operation_is_caught: ForgetsOperations by
        "an_operation_id_is_replayed", "an_operation_id_is_unique", "one_operation_id_acts_once",
        "a_dropped_transaction_has_happened_whole_or_not_at_all", "a_replay_comes_with_the_other_facts";
    an_event_without_its_arguments_is_caught: ForgetsArguments by
        "events_keep_every_field", "a_change_and_its_event_are_written_together";
    an_owner_that_stays_open_is_caught: OpensOwners by "an_owner_is_flagged_and_the_rest_of_its_row_stays";
    case_folding_is_caught: FoldsCase by
        "identifiers_compare_by_bytes", "organizations_compare_by_bytes", "a_foreign_key_is_not_read_by_a_command";
    leaking_foreign_keys_is_caught: LeaksForeignKeys by
        "a_foreign_key_is_not_read_by_a_command", "a_foreign_key_reads_like_none", "lists_stay_within_their_scope", "remains_are_scoped",
        "expiring_keys_come_soonest_first";
    leaking_the_trail_is_caught: LeaksTheTrail by "the_trail_is_scoped_filtered_and_paged";
    paging_by_offset_is_caught: PagesByOffset by "pages_hold_each_key_once_while_others_come_and_go";
    a_forgotten_place_is_caught: ForgetsPlaces by "expiring_keys_come_soonest_first";
    a_page_that_promises_too_much_is_caught: SaysMoreOnFullPages by "a_page_counts_only_what_matches";
    an_expired_place_that_stays_is_caught: LosesExpiredPlaces by
        "an_expired_place_is_read_and_freed", "expired_places_are_read_exactly", "expired_places_are_read_beside_a_key",
        "racing_creations_take_an_expired_place_once";
    hidden_expired_rows_are_caught: HidesExpiredRows by "a_key_is_found_by_id_and_digest_whatever_its_state";
    a_closed_organization_that_is_ignored_is_caught: IgnoresClosedOrganizations by
        "a_closed_organization_is_seen_with_the_key", "both_must_be_open";
    answers_from_a_cache_are_caught: AnswersFromCache by
        "a_change_is_seen_by_the_next_look_up", "a_closed_owner_is_seen_with_the_key";
    a_lost_previous_secret_is_caught: KeepsOneSecret by "secrets_are_replaced_together", "rehash_leaves_the_other_secret";
    times_cut_short_are_caught: CutsToMilliseconds by "times_keep_their_microseconds", "edges_are_a_microsecond_sharp";
    tidied_metadata_is_caught: TidiesMetadata by "texts_are_kept_as_given";
    a_slow_digest_outside_the_index_is_caught: SaltsSlowDigests by "a_slow_digest_is_unique_too";
    a_slow_digest_taken_for_a_fast_one_is_caught: TakesSlowForFast by "a_slow_digest_is_not_found_by_digest";
    a_lookup_of_one_digest_is_caught: LooksUpOneDigest by
        "up_to_four_digests_are_looked_up", "a_slow_digest_beside_a_fast_one_hides_nothing";
    a_blind_rehash_is_caught: RehashesBlindly by
        "rehash_needs_the_old_digest", "rehash_never_doubles_a_digest", "rehash_leaves_the_other_secret";
    a_refusal_that_leaves_a_row_is_caught: LeavesRowsOfRefusals by "a_refused_transaction_writes_nothing";
    a_forgotten_revision_is_caught: ForgetsRevisions by "a_key_is_stopped_and_the_rest_of_it_stays", "a_stale_revision_is_seen", "one_edit_of_a_revision_wins";
    counting_in_floats_is_caught: CountsInFloats by "large_revisions_count_on";
    an_ignored_delete_is_caught: IgnoresDeletes by
        "delete_frees_the_digest", "a_deleted_key_is_under_no_pepper", "changes_of_keys_are_written_in_order";
    a_last_use_that_moves_back_is_caught: MovesLastUseBack by "last_use_moves_forward_only";
    peppers_in_a_byte_are_caught: KeepsPeppersInAByte by "peppers_are_listed";
    a_missed_edge_is_caught: MissesTheEdge by "states_and_expiry_filter_at_their_edges", "edges_are_a_microsecond_sharp";
    one_place_too_many_is_caught: LeasesOneTooMany by "a_lease_stops_at_the_limit", "racing_leases_stop_at_the_limit";
    windows_that_slide_in_steps_are_caught: SlidesInSteps by "a_sliding_window_counts_what_has_not_slid_out_of_it";
    sliding_windows_charged_one_by_one_are_caught: ChargesSlidingOneByOne by "sliding_windows_are_charged_all_or_none";
    a_race_for_sliding_windows_is_caught: RacesForSliding by "racing_charges_of_a_sliding_window_stop_at_the_limit";
    a_race_for_places_is_caught: RacesForPlaces by "racing_leases_stop_at_the_limit";
    windows_without_a_start_are_caught: NamesWindowsByLength by "places_are_charged_to_the_name_of_their_window";
    processes_taken_for_one_are_caught: CountsOneProcess by "processes_that_lease_share_what_is_left";
    places_that_are_kept_are_caught: KeepsPlaces by "places_that_are_given_back_are_free_again";
    counts_forgotten_too_early_are_caught: ForgetsCountsWithTheirWindow by "counts_are_forgotten_a_day_after_their_window";
    epochs_from_a_cache_are_caught: TellsOldEpochs by "a_change_moves_the_epochs_that_it_outdates_and_no_others", "an_epoch_never_takes_a_value_again";
    changes_that_move_no_epoch_are_caught: MovesNoEpoch by
        "a_change_moves_the_epochs_that_it_outdates_and_no_others", "an_epoch_never_takes_a_value_again";
    epochs_that_move_for_nothing_are_caught: MovesEpochsForNothing by "a_change_moves_the_epochs_that_it_outdates_and_no_others";
    a_bound_of_ones_own_is_caught: TellsItsOwnBound by "the_shortest_bound_is_told_to_all";
    a_first_bound_that_is_forgotten_is_caught: ForgetsTheFirstBound by "the_first_bound_is_told_as_the_longest";
    no_bound_taken_for_one_is_caught: NotesWhatIsNoBound by "who_asks_for_no_bound_notes_none";
    a_number_given_twice_is_caught: RepeatsCalls by "calls_of_the_roll_count_up", "racing_calls_of_the_roll_have_numbers_of_their_own";
    a_call_that_nobody_hears_is_caught: KeepsCallsToItself by "calls_of_the_roll_count_up";
    a_call_told_before_its_changes_is_caught: TellsCallsTooEarly by "who_finds_a_call_finds_what_was_changed_before_it";
    a_lost_answer_is_caught: LosesAnswers by "an_answer_is_told_by_the_next_poll_and_never_lowered";
    a_lowered_answer_is_caught: LowersAnswers by "an_answer_is_told_by_the_next_poll_and_never_lowered";
    a_dismissal_of_who_has_answered_is_caught: DismissesWhoHasAnswered by "dismissing_spares_who_has_answered";
    a_dismissal_of_others_is_caught: DismissesOthers by "dismissing_spares_who_has_answered";
    nodes_that_stay_are_caught: DismissesNobody by
        "dismissing_spares_who_has_answered", "who_answers_after_it_was_dismissed_is_registered_again";
    a_batch_counted_again_is_caught: CountsBatchesAgain by
        "a_batch_of_usage_is_written_once", "racing_batches_of_usage_are_each_written_once", "batches_are_forgotten_by_day";
    processes_whose_batches_are_one_are_caught: KnowsOneProcess by "a_batch_of_usage_is_written_once";
    a_race_of_batches_is_caught: RacesBatches by "racing_batches_of_usage_are_each_written_once";
    totals_that_are_added_up_are_caught: AddsTotalsUp by
        "of_several_totals_the_largest_counts", "racing_batches_of_usage_are_each_written_once";
    a_ledger_of_one_process_is_caught: KeepsALedgerAProcess by "of_several_totals_the_largest_counts";
    a_ledger_without_units_is_caught: KeepsALedgerOfGrantsAlone by "of_several_totals_the_largest_counts";
    sums_that_wrap_are_caught: WrapsSums by "sums_stay_at_the_largest_amount";
    usage_in_floats_is_caught: CountsUsageInFloats by "sums_stay_at_the_largest_amount";
    sums_that_go_with_their_key_are_caught: ForgetsSumsWithTheirKey by "sums_outlive_their_key";
    leaking_usage_is_caught: LeaksUsage by "usage_stays_within_its_scope";
    an_owner_told_of_its_organization_is_caught: TellsTheOrganizationToOwners by "usage_stays_within_its_scope";
    a_lost_last_day_is_caught: LosesTheLastDay by "usage_is_filtered_at_its_edges";
    an_ignored_unit_is_caught: IgnoresUnits by "usage_is_filtered_at_its_edges", "pages_of_usage_hold_each_sum_once";
    an_ignored_key_is_caught: IgnoresKeysOfUsage by "usage_stays_within_its_scope", "usage_is_filtered_at_its_edges";
    pages_of_usage_that_begin_anew_are_caught: PagesUsageAnew by "pages_of_usage_hold_each_sum_once";
    a_page_that_promises_more_usage_is_caught: PromisesMoreUsage by "pages_of_usage_hold_each_sum_once";
    reports_forgotten_too_early_are_caught: ForgetsReportsADayEarly by "reports_are_forgotten_by_day_and_sums_stay";
    reports_forgotten_beyond_the_limit_are_caught: ForgetsReportsBeyondTheLimit by "reports_are_forgotten_by_day_and_sums_stay";
    reports_that_are_kept_are_caught: KeepsReports by
        "reports_are_forgotten_by_day_and_sums_stay", "batches_are_forgotten_by_day";
    batches_forgotten_too_early_are_caught: ForgetsAllBatches by "batches_are_forgotten_by_day";
    an_entry_logged_twice_is_caught: DoublesEntries by "an_entry_is_logged_once", "racing_logs_of_one_batch_log_it_once";
    a_batch_logged_in_halves_is_caught: LogsInHalves by "a_batch_is_logged_whole";
    leaking_the_log_is_caught: LeaksTheLog by "the_log_is_scoped_filtered_and_paged";
    a_missed_edge_of_the_log_is_caught: MissesTheLogsEdge by "the_log_is_read_by_times_a_microsecond_sharp";
    entries_cut_short_are_caught: CutsEntries by "entries_keep_every_field";
    entries_that_fix_their_windows_are_caught: FixesWindows by "entries_tell_windows_that_slide_from_others";
    entries_whose_windows_slide_for_themselves_are_caught: SharesNoWindows by "entries_tell_windows_that_slide_from_others";
    forgetting_the_newest_is_caught: ForgetsTheNewest by "old_entries_are_forgotten_the_oldest_first";
    forgetting_one_slice_alone_is_caught: ForgetsOneSlice by "as_many_rows_as_asked_are_forgotten_in_one_call";
    forgetting_one_slice_of_the_trail_alone_is_caught: ForgetsOneSliceOfTheTrail by
        "as_many_rows_as_asked_are_forgotten_in_one_call";
    an_audit_trail_that_stays_is_caught: ForgetsNoAudit by "old_events_are_forgotten_and_their_operations_are_free";
    forgetting_without_end_is_caught: ForgetsWithoutEnd by
        "old_entries_are_forgotten_the_oldest_first", "old_events_are_forgotten_and_their_operations_are_free";
    refusals_that_are_added_are_caught: AddsRefusals by "refusals_are_counted_by_process_and_hour";
    refusals_of_one_process_are_caught: CountsOneProcessesRefusals by "refusals_are_counted_by_process_and_hour";
    notices_to_one_organization_are_caught: NoticesOneOrganization by "keys_of_all_owners_that_expire_soon_come_soonest_first";
    notices_that_begin_anew_are_caught: NoticesAnew by "keys_of_all_owners_that_expire_soon_come_soonest_first";
    a_reservation_made_twice_is_caught: ReservesTwice by "a_reservation_is_made_once";
    a_race_for_budgets_is_caught: RacesForBudgets by "racing_reservations_stop_at_the_budget";
    a_reservation_in_halves_is_caught: ReservesInHalves by "a_refused_reservation_reserves_of_no_budget";
    a_reservation_by_asking_is_caught: ReservesForAsking by "what_only_asks_reserves_nothing";
    what_stays_reserved_is_caught: KeepsWhatIsSettled by "a_report_takes_from_what_is_reserved_and_settling_frees_the_rest";
    a_forgotten_settlement_is_caught: ForgetsSettlements by "settling_before_the_reservation_frees_it_too";
    weeks_that_begin_on_sunday_are_caught: MistakesWeeks by "budgets_are_told_apart_by_holder_unit_and_period";
    ignored_budgets_are_caught: IgnoresOwnBudgets by "a_budget_of_ones_own_stands_in_the_policys_place";
    expired_places_read_unasked_are_caught: ReadsExpiredUnasked by "expired_places_are_not_read_unasked";
    a_batch_of_any_state_is_caught: IgnoresStatesOfBatches by "batches_read_keys_and_owners";
    a_batch_that_begins_anew_is_caught: BeginsBatchesAnew by "batches_go_on_after_a_key";
    a_key_counted_among_the_others_is_caught: CountsTheKeyItself by
        "remains_tell_whose_a_key_is_and_count_the_others", "a_key_is_deleted_by_its_remains";
    a_batch_without_its_flag_is_caught: MissesFlagsOfBatches by "a_batch_tells_whether_its_owner_is_open";
    an_export_that_begins_anew_is_caught: ExportsAnew by "pages_of_a_part_hold_each_row_once";
    an_export_without_secrets_in_grace_is_caught: ExportsCurrentSecretsAlone by "what_is_imported_is_exported_as_it_was";
    an_export_of_what_is_settled_alone_is_caught: ExportsSettledSums by
        "what_is_imported_is_exported_as_it_was", "what_a_service_has_written_is_exported";
    an_import_over_other_rows_is_caught: ImportsOverRows by "a_row_that_differs_is_refused";
    an_import_that_refuses_what_is_there_is_caught: ImportsOnce by "rows_that_are_there_are_passed_over";
    an_import_in_halves_is_caught: ImportsInHalves by "a_slice_that_is_refused_is_not_written";
    an_import_that_moves_no_epoch_is_caught: ImportsUnnoticed by "an_import_outdates_what_may_be_remembered";
    a_race_of_imports_is_caught: ImportsAfterALook by "racing_imports_write_each_row_once";
    an_import_without_recorders_is_caught: ImportsNoRecorders by
        "what_is_imported_is_exported_as_it_was", "what_was_imported_is_counted_on";
    an_import_with_new_operations_is_caught: ImportsNewOperations by "an_imported_operation_is_replayed";
    a_crowd_of_which_one_is_answered_is_caught: AnswersOneWaiter by "look_ups_at_the_same_time_are_each_answered";
    a_crowd_that_is_lost_with_one_is_caught: LosesWhoWaitsAlong by "a_look_up_that_is_given_up_takes_no_other_with_it";
}
