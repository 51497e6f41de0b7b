//! The rules of PROTOCOLS.md section 1 in virtual time. `harness` carries
//! frames and commits, `device` answers as real clients do, `disk` commits late
//! or not at all; `watch` and `ledger` look on at every step of every test.
//!
//! The table is of all rules, also of those that other places keep: `wire::...`
//! and `gateway::...` beside their code, `tests/...` with the running program.
//! `tests/readme/mod.rs` sees to it that every test named here exists.
//!
//! | rule | test |
//! |---|---|
//! | any path, header or parameter `fau3-client-id`, `Fau3VOMProto` echoed | `tests/python_websockets.rs` `each_door_opens_or_says_why_not`, `gateway::fau3d::handshake` `the_id_may_come_percent_encoded_in_the_target` |
//! | client id: 1 to 64 printable ASCII characters | `wire::names` `client_id_is_1_to_64_printable_ascii_characters` |
//! | ... else HTTP 400 with one line | `tests/bad_input` `a_client_id_that_is_missing_or_bad_is_answered_with_400_and_one_line` |
//! | same id: taken over, 4001 | `takeover::the_new_connection_takes_over_and_the_old_one_is_closed_with_4001` |
//! | ... room, intervals | `takeover::a_takeover_keeps_the_room_and_the_intervals` |
//! | ... unconfirmed messages | `takeover::a_takeover_keeps_the_unconfirmed_playlists_in_order_with_their_message_uuids` |
//! | ids that devices take from each other | `takeover::two_devices_that_take_one_id_from_each_other_are_both_refused_for_a_while` |
//! | ... a rival is who shows life | `takeover::one_device_whose_link_breaks_unnoticed_again_and_again_is_not_two`, `mesh::roaming::one_device_that_roams_without_a_word_is_not_two` |
//! | nothing before a client's first word, or 2 s | all of `first_word` |
//! | a record on which connections end waits behind the others | all of `behind` |
//! | JSON: unknown fields, capitals | `wire::fau3d::parse` `unknown_fields_are_ignored_and_capitals_count`, `wire::fau3d::print` `frames_have_the_seeds_fields_in_the_seeds_order` |
//! | numbers or numeric strings; 0 and below: off | `wire::fau3d::parse` `numbers_may_be_numeric_strings_and_periods_from_0_down_are_off` |
//! | periods, and 0 for none | `liveness::a_period_of_0_is_off_and_switches_off`, `liveness::asking_for_the_same_periods_again_does_not_put_them_off` |
//! | Status codes | `wire::fau3d` `status_codes_are_the_numbers_that_devices_know` |
//! | `AliveTime` | `liveness::a_monitor_lists_who_is_connected_with_room_and_seconds`, `wire::fau3d::print` `alive_time_is_a_number_and_no_room_an_empty_string` |
//! | one room a client | `rooms::a_client_is_in_one_room_and_subscribe_moves_it` |
//! | same room resumes, another starts at the newest | `rooms::subscribing_to_the_same_room_resumes`, `rooms::subscribing_to_another_room_starts_at_what_is_newest_there`, `storage::whoever_comes_while_a_record_is_on_its_way_to_the_disk_starts_behind_it` |
//! | no echo | `rooms::nobody_receives_its_own_record_or_stream` |
//! | Ping: FAU3_PONG | `confirm::a_ping_is_confirmed_with_pong` |
//! | Subscribe: FAU3_OK | `confirm::a_subscribe_is_confirmed_with_ok_before_anything_else_is_sent` |
//! | Propogate: FAU3_STORED, without subscription | `confirm::a_propogate_is_confirmed_with_stored_and_needs_no_subscription` |
//! | ... only once held | `storage::a_record_is_confirmed_and_heard_only_once_it_is_committed` |
//! | Monitor: FAU3_MONED or FAU3_OK | `liveness::a_monitor_is_settled_by_ok_and_by_moned_and_a_negative_status_is_a_failed_try` |
//! | Playlist: any Status from 0 up | `confirm::any_status_from_0_up_settles_a_playlist` |
//! | FAU3_INVALID, echo, connection stays | `confirm::a_frame_that_is_no_message_is_confirmed_with_invalid_and_the_connection_stays`, `wire::fau3d::parse` `a_bad_field_is_named_and_the_message_uuid_echoed` and `without_a_usable_message_uuid_an_empty_one_is_echoed` |
//! | ... a message that is too large for a frame | `limits::a_message_that_would_not_fit_a_frame_is_invalid_and_the_log_is_told_once` |
//! | FAU3_SERROR | `storage::a_failed_commit_is_answered_with_serror_and_the_resend_works`, `storage::records_on_their_way_to_a_hanging_disk_are_bounded_by_number_and_answered_with_serror`, `limits::a_record_larger_than_the_storage_is_answered_with_serror_and_disturbs_nothing` |
//! | a resend is stored once, confirmed every time | `once::a_resent_propogate_is_stored_once_and_confirmed_every_time`, `once::a_resend_on_a_new_connection_is_the_same_message`, `storage::a_message_resent_while_its_commit_is_under_way_is_stored_once`, `storage::a_resend_after_a_restart_is_the_same_message` |
//! | ... with the same payload | `once::another_payload_or_another_client_with_that_message_uuid_is_another_message` |
//! | ... to the same room | `once::the_same_words_under_the_same_message_uuid_to_another_room_are_another_message`, `mesh::records::one_message_uuid_to_two_rooms_on_two_sides_is_two_messages` |
//! | ... remembered | `once::a_message_is_remembered_twice_as_long_as_records_live`, `once::remembered_messages_are_bounded_and_the_oldest_is_forgotten_first` |
//! | resent K times after T, same MessageUuid | `delivery::a_playlist_is_resent_k_times_after_t_with_the_same_message_uuid_then_given_up`, `liveness::a_monitor_is_resent_k_times_with_the_same_message_uuid` |
//! | negative Status: a failed try | `delivery::a_negative_status_counts_as_a_failed_try` |
//! | given up, not lost | `delivery::a_playlist_given_up_on_is_delivered_again_when_the_client_reconnects` |
//! | a Monitor never after a newer one | `liveness::a_monitor_is_never_resent_once_a_newer_one_has_been_sent` |
//! | T counts from the socket buffer | `delivery::t_counts_from_when_the_frame_has_left_the_socket_buffer` |
//! | a WebSocket ping before a resend | `delivery::a_resend_waits_for_a_websocket_ping_that_was_sent_before_it`, `delivery::the_answer_to_an_earlier_websocket_ping_does_not_count`, `delivery::a_slow_link_gets_everything_once`, `delivery::an_answer_to_a_websocket_ping_that_never_comes_is_not_waited_for_for_ever` |
//! | Ping unanswered for two periods | `liveness::a_ping_unanswered_for_two_periods_ends_the_connection_and_the_session_stays`, `liveness::a_ping_that_waits_in_the_socket_buffer_does_not_count_against_the_client` |
//! | the session's grace | `takeover::a_session_stays_for_its_grace_and_the_client_gets_what_it_missed`, `takeover::after_the_grace_a_client_begins_anew` |
//! | WebSocket ping every 30 s | `liveness::a_websocket_ping_every_30_s_finds_a_connection_that_died_silently`, `liveness::a_slow_link_on_which_something_moves_is_not_silent` |
//! | one record a Playlist, derived MessageUuid | `delivery::a_playlists_message_uuid_differs_by_receiver_and_stays_for_a_receiver`, `wire::record` `a_playlists_uuid_differs_by_receiver_and_message_and_is_the_same_on_every_machine` |
//! | 5 unconfirmed Playlists | `delivery::at_most_5_unconfirmed_playlists_are_in_flight` |
//! | a radio's longest message, 38,000 bytes | `tests/voice.rs` `the_longest_message_of_a_radio_arrives_byte_for_byte` |
//! | 1 MiB a frame, 1009 | `gateway::fau3d::frames` `a_message_over_1_mib_ends_with_1009_before_it_is_held`, `tests/bad_input` `a_frame_over_1_mib_is_answered_with_1009_and_the_largest_is_read` |
//! | order of one sender in one room | `once::records_of_one_sender_arrive_in_the_order_in_which_they_were_sent`, `once::a_sender_that_resends_all_it_had_under_way_keeps_its_order` |
//! | Stream: to the others in the room, unconfirmed, as it is | `rooms::a_stream_goes_as_it_is_to_the_others_in_the_senders_room_unconfirmed` |
//! | ... both marks, 4 KiB, any bytes | `wire::fau3d::parse` `a_stream_keeps_its_bytes_and_needs_both_marks_within_4_kib`, `tests/bad_input` `a_stream_that_is_too_long_lacks_its_end_or_stands_within_json_is_heard_by_nobody` |
//! | ... in text that is not UTF-8, too | `gateway::fau3d::frames` `text_frames_that_are_not_utf8_come_through_byte_for_byte`, `tests/radio.rs` `a_stream_in_text_frames_that_are_not_utf_8_arrives_as_binary` |
//! | ... always sent as binary | `gateway::fau3d::outbox` `partial_writes_give_the_same_bytes_and_streams_go_out_binary`, `tests/python_websockets.rs` `a_stream_arrives_as_bytes_however_it_was_sent` |
//! | radios remember for 5 s and answer nothing then | `delivery::a_radio_that_remembers_a_message_is_asked_again_until_it_answers`, `tests/radio.rs` `a_radio_that_remembers_a_message_uuid_answers_it_again_only_after_5_seconds` |
//! | radios answer nothing but Playlist and Ping | `tests/radio.rs` `a_radio_that_answers_only_playlist_and_ping_keeps_its_connection`, `liveness::a_monitor_is_resent_k_times_with_the_same_message_uuid` |
//! | a Confirm is never answered | `confirm::a_confirm_is_never_answered_not_even_a_broken_one`, `tests/python_websockets.rs` `a_desktop_client_that_confirms_confirms_does_no_harm` |
//! | a Confirm for what is not in flight | `confirm::a_confirm_for_what_is_not_in_flight_to_that_client_changes_nothing` |
//! | no record without `Payload` | `wire::fau3d::parse` `a_bad_field_is_named_and_the_message_uuid_echoed` |
//! | desktop clients come back all at once | `tests/python_websockets.rs` `clients_that_are_cut_off_and_return_all_at_once_lose_nothing` |
//! | MessageUuids are never repeated | `liveness::a_message_uuid_is_never_used_twice_not_even_in_the_routers_next_life` |
//! | `GetExtraServersList` | `tests/bad_input` `the_list_of_extra_servers_is_json_and_the_connection_can_be_used_again` |
//! | other HTTP: 404 or 426 with one line | `tests/bad_input` `every_http_request_that_is_not_an_upgrade_gets_a_clear_answer` |
//! | limits | all of `limits` |
//! | storage `disk`, restarts | all of `storage` |
//! | ... through `kill -9` | `tests/disk.rs` `what_was_stored_is_heard_after_kill_9_at_any_moment_once_in_order_with_its_message_uuid`, `a_message_sent_again_after_a_restart_is_confirmed_again_and_neither_stored_nor_heard_again`, `what_was_settled_before_the_kill_is_not_delivered_again` |
//! | ... on a disk that is full, read-only, too slow | `tests/disk_failing.rs` `a_full_disk_is_answered_with_serror_said_once_and_used_again_when_there_is_room`, `a_read_only_disk_is_answered_with_serror_and_used_once_it_can_be_written`, `a_flood_is_answered_with_serror_beyond_what_may_wait_for_the_disk` |
//! | ... on a disk that loses all | `storage::a_disk_that_has_lost_all_gets_all_that_is_in_memory`, all of `tests/disk_replaced.rs` |
//! | all of it, at random | all of `model` |

mod device;
mod disk;
mod harness;
mod ledger;
mod watch;

mod behind;
mod confirm;
mod delivery;
mod first_word;
mod limits;
mod liveness;
mod mesh;
mod model;
mod once;
mod rooms;
mod storage;
mod takeover;
mod upstream;
