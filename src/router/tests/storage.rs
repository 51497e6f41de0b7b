//! Storage `disk`: confirmed and heard only once committed, nothing of it lost
//! when the power fails, and a disk that fails.

use super::device::Manner::{Desktop, Mute, Radio};
use super::harness::{Net, T, ms, secs};
use crate::router::settings::{ENDED_MAX, SESSION_SAVE_DELAY, UNCOMMITTED_MAX};
use crate::router::{Input, Settings};
use crate::wire::fau3d::Status;

fn on_disk() -> Net {
    Net::new(Settings { disk: true, ..Settings::default() })
}

#[test]
fn a_record_is_confirmed_and_heard_only_once_it_is_committed() {
    let mut net = on_disk();
    net.disk.delay = ms(40);
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.run(secs(6));
    let uuid = net.say(sender, "r", "hello");
    net.run(ms(39));
    assert_eq!((net[sender].statuses(&uuid).len(), net[a].heard.len()), (0, 0));
    net.run(ms(1));
    assert_eq!(net[sender].statuses(&uuid), [Status::STORED]);
    assert_eq!((&net[a].heard[..], net.disk.payloads()), (&["hello".to_owned()][..], vec!["hello".into()]));
}

#[test]
fn ram_writes_nothing() {
    let mut net = Net::new(Settings::default());
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say(sender, "r", "hello");
    net.drop_line(a);
    net.run(secs(5_000));
    net.input(Input::Shutdown);
    assert_eq!(net.disk.asked.len(), 0);
}

#[test]
fn a_failed_commit_is_answered_with_serror_and_the_resend_works() {
    let mut net = on_disk();
    let sender = net.join("sender", Desktop);
    let a = net.listener("a", Desktop, "r");
    net.disk.fails = true;
    let uuid = net.say(sender, "r", "hello");
    assert_eq!(net[sender].statuses(&uuid), [Status::SERROR]);
    assert_eq!((net[a].heard.len(), net.router.stats().store_failed), (0, 1));
    net.disk.fails = false;
    net.resend(sender);
    assert_eq!(net[sender].statuses(&uuid), [Status::SERROR, Status::STORED]);
    assert_eq!(net[a].heard, ["hello"]);
}

#[test]
fn a_message_resent_while_its_commit_is_under_way_is_stored_once() {
    let mut net = on_disk();
    net.disk.delay = secs(2);
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say_as(sender, "r", "hello", "u");
    net.say_as(sender, "r", "hello", "u");
    // Also from a new connection, which is the one that gets the Confirm.
    net.connect(sender);
    net.say_as(sender, "r", "hello", "u");
    assert_eq!(net[sender].statuses("u").len(), 0);
    net.run(secs(2));
    assert_eq!(net[sender].statuses("u"), [Status::STORED]);
    assert_eq!((net[a].playlists().len(), net.router.stats().duplicates), (1, 2));
    net.say_as(sender, "r", "hello", "u");
    assert_eq!(net[sender].statuses("u"), [Status::STORED; 2]);
}

#[test]
fn a_sender_that_is_gone_when_its_record_is_committed_is_still_heard() {
    let mut net = on_disk();
    net.disk.delay = secs(2);
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say_as(sender, "r", "hello", "u");
    net.drop_line(sender);
    net.run(secs(2));
    assert_eq!(net[a].heard, ["hello"]);
    net.connect(sender);
    net.resend(sender);
    assert_eq!(net[sender].statuses("u"), [Status::STORED]);
    net.run(secs(60));
    assert_eq!(net[a].heard.len(), 1);
}

#[test]
fn records_on_their_way_to_a_hanging_disk_are_bounded_by_number_and_answered_with_serror() {
    let mut net = on_disk();
    net.disk.delay = secs(3_600);
    let sender = net.join("sender", Radio);
    for number in 0..UNCOMMITTED_MAX {
        net.say_as(sender, "r", "x", &number.to_string());
    }
    assert_eq!(net[sender].confirms.len(), 0);
    net.say_as(sender, "r", "x", "one more");
    assert_eq!(net[sender].statuses("one more"), [Status::SERROR]);
    net.run(secs(3_600));
    net.say_as(sender, "r", "x", "one more");
    net.run(secs(3_600));
    assert_eq!(net[sender].statuses("one more"), [Status::SERROR, Status::STORED]);
    assert_eq!(net.router.stats().records_stored, UNCOMMITTED_MAX as u64 + 1);
}

#[test]
fn records_on_their_way_to_a_hanging_disk_are_bounded_by_bytes() {
    let mut net = Net::new(Settings { disk: true, storage_bytes_max: 100_000, ..Settings::default() });
    net.disk.delay = secs(3_600);
    let sender = net.join("sender", Radio);
    let statuses: Vec<_> = (0..12)
        .map(|number| {
            let uuid = net.say(sender, "r", &format!("{number} {}", "x".repeat(9_500)));
            net[sender].statuses(&uuid)
        })
        .collect();
    assert_eq!(statuses.iter().filter(|statuses| statuses.is_empty()).count(), 10);
    assert_eq!(statuses[10..], [[Status::SERROR], [Status::SERROR]]);
}

#[test]
fn a_confirmed_record_is_delivered_after_a_restart_to_those_subscribed_who_had_not_confirmed_it() {
    // Given one listener that confirms, one that does not, one that is away
    let mut net = on_disk();
    let sender = net.join("sender", Radio);
    let confirms = net.listener("confirms", Desktop, "r");
    let mute = net.listener("mute", Mute, "r");
    let away = net.listener("away", Desktop, "r");
    net.drop_line(away);
    net.say(sender, "r", "first");
    net.say(sender, "r", "second");
    let uuids = net[mute].playlists();
    net.run(SESSION_SAVE_DELAY);
    // when the power fails
    net.restart();
    net.run(secs(59));
    for id in [confirms, mute, away] {
        net.connect(id);
    }
    // then, without a new Subscribe, each gets what it lacks, with the same
    // MessageUuids.
    assert_eq!(net[confirms].playlists().len(), 0);
    assert_eq!(net[mute].playlists(), uuids);
    assert_eq!(net[away].heard, ["first", "second"]);
}

#[test]
fn after_a_restart_the_grace_begins_anew_and_then_ends() {
    let mut net = on_disk();
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.say(sender, "r", "hello");
    net.restart();
    net.run(secs(60));
    net.connect(a);
    assert_eq!(net[a].playlists().len(), 0);
    net.run(SESSION_SAVE_DELAY);
    assert!(net.disk.sessions.is_empty(), "what has ended is gone from the disk");
}

#[test]
fn periods_survive_a_restart() {
    let mut net = on_disk();
    let a = net.join("a", Desktop);
    net.subscribe_with(a, "r", 3, 4);
    net.run(SESSION_SAVE_DELAY);
    net.restart();
    net.connect(a);
    net.run(secs(12));
    assert_eq!((net[a].monitors().len(), net[a].pings().len()), (4, 3));
}

#[test]
fn a_subscription_is_on_disk_before_the_records_it_is_owed() {
    let mut net = on_disk();
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Mute, "r");
    net.say(sender, "r", "at once");
    let commit = &net.disk.asked[0];
    assert_eq!((commit.records.len(), &commit.sessions[0].client_id), (1, &net[a].client_id));
    net.restart();
    net.connect(a);
    assert_eq!(net[a].heard, ["at once"]);
}

#[test]
fn a_subscription_whose_commit_failed_is_on_disk_before_the_next_record() {
    let mut net = on_disk();
    let sender = net.join("sender", Desktop);
    let a = net.listener("a", Mute, "r");
    net.disk.fails = true;
    net.say(sender, "r", "hello");
    net.disk.fails = false;
    net.resend(sender);
    net.restart();
    net.connect(a);
    assert_eq!(net[a].heard, ["hello"]);
}

#[test]
fn a_resend_after_a_restart_is_the_same_message() {
    let mut net = on_disk();
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say_as(sender, "r", "hello", "u");
    net.run(secs(100));
    for _ in 0..3 {
        net.restart();
        net.connect(a);
        net.connect(sender);
        net.say_as(sender, "r", "hello", "u");
        net.run(secs(100));
    }
    assert_eq!((net[sender].statuses("u").len(), net[a].heard.len()), (4, 1));
    assert_eq!(net.disk.payloads().len(), 1);
}

#[test]
fn ages_run_on_through_a_restart() {
    let settings = Settings { disk: true, storage_age_max: secs(100), ..Settings::default() };
    let mut net = Net::new(settings);
    let sender = net.join("sender", Radio);
    net.say(sender, "r", "old");
    net.run(secs(60));
    net.say(sender, "r", "newer");
    net.restart();
    net.run(secs(40) - ms(1));
    assert_eq!(net.router.snapshot(net.now).records, 2);
    net.run(ms(1));
    assert_eq!(net.router.snapshot(net.now).records, 1);
    net.run(secs(60) + SESSION_SAVE_DELAY);
    assert_eq!(net.disk.payloads().len(), 0, "and the disk is told");
}

#[test]
fn what_is_dropped_for_the_bounds_is_gone_from_the_disk_within_the_delay() {
    let mut net = Net::new(Settings { disk: true, storage_bytes_max: 10_000, ..Settings::default() });
    let sender = net.join("sender", Radio);
    for number in 0..100 {
        net.say(sender, "r", &format!("{number:02} {}", "x".repeat(997 - 384)));
    }
    net.run(SESSION_SAVE_DELAY);
    assert_eq!((net.disk.payloads().len(), net.router.stats().records_expired), (10, 90));
    // Records and positions go on where they were.
    net.restart();
    net.say(sender, "r", "nobody is connected");
    net.connect(sender);
    net.say(sender, "r", "new");
    net.run(SESSION_SAVE_DELAY);
    assert_eq!(net.disk.payloads().last().map(String::as_str), Some("new"));
}

#[test]
fn what_a_client_has_settled_is_saved_a_little_later_and_once_for_many() {
    let mut net = on_disk();
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    for number in 0..100 {
        net.say(sender, "r", &number.to_string());
    }
    let with_records = net.disk.asked.len();
    net.run(SESSION_SAVE_DELAY);
    assert_eq!(net.disk.asked.len(), with_records + 1);
    net.restart();
    net.connect(a);
    assert_eq!(net[a].playlists().len(), 0);
}

#[test]
fn nothing_is_written_where_nothing_has_changed() {
    let mut net = on_disk();
    let sender = net.join("sender", Radio);
    net.listener("a", Mute, "r");
    net.run(ms(1));
    net.say(sender, "r", "takes the subscription with it");
    net.run(secs(60));
    assert_eq!(net.disk.asked.len(), 1);
    // Nor for those who come, say nothing and go.
    for number in 0..50 {
        let passer_by = net.join(&format!("passer-by {number}"), Mute);
        net.drop_line(passer_by);
    }
    net.run(secs(100));
    assert_eq!(net.disk.asked.len(), 1);
}

#[test]
fn sessions_that_end_in_a_flood_go_to_the_disk_before_they_are_too_many() {
    // Given no grace, so that each session ends with its connection
    let mut net = Net::new(Settings { disk: true, session_grace: secs(0), ..Settings::default() });
    for number in 0..=ENDED_MAX {
        let id = net.listener(&format!("c-{number}"), Mute, "r");
        net.drop_line(id);
    }
    let asked: Vec<_> = net.disk.asked.iter().map(|commit| commit.ended.len()).collect();
    assert_eq!(asked, [ENDED_MAX], "at once");
    net.run(SESSION_SAVE_DELAY);
    assert_eq!(net.disk.asked.iter().map(|commit| commit.ended.len()).sum::<usize>(), ENDED_MAX + 1);
}

#[test]
fn a_client_that_returns_just_after_its_session_ended_is_kept() {
    let mut net = on_disk();
    let a = net.listener("a", Mute, "r");
    net.run(SESSION_SAVE_DELAY);
    net.drop_line(a);
    net.run(secs(60));
    net.connect(a);
    net.subscribe(a, "other");
    net.run(SESSION_SAVE_DELAY);
    assert_eq!(net.disk.sessions[&net[a].client_id].room, Some(super::harness::room("other")));
}

#[test]
fn a_goodbye_saves_what_is_settled() {
    let mut net = on_disk();
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say(sender, "r", "hello");
    net.input(Input::Shutdown);
    net.restart();
    net.connect(a);
    net.run(T);
    assert_eq!(net[a].playlists().len(), 0);
}

#[test]
fn whoever_comes_while_a_record_is_on_its_way_to_the_disk_starts_behind_it() {
    // Its commit does not know of the newcomer, so a promise could not be kept.
    let mut net = on_disk();
    net.disk.delay = secs(1);
    let sender = net.join("sender", Radio);
    net.say(sender, "r", "before");
    let a = net.listener("a", Desktop, "r");
    net.say(sender, "r", "after");
    net.run(secs(2));
    assert_eq!(net[a].heard, ["after"]);
    net.restart();
    net.connect(a);
    assert_eq!(net[a].heard, ["after"]);
}

#[test]
fn a_disk_that_has_lost_all_gets_all_that_is_in_memory() {
    // Given messages that are owed, one that is heard, one remembered whose record is gone
    let settings = Settings { disk: true, storage_age_max: secs(100), ..Settings::default() };
    let mut net = Net::new(settings);
    let sender = net.join("sender", Radio);
    let a = net.listener("a", Desktop, "r");
    net.say_as(sender, "r", "of long ago", "long-ago");
    net.run(secs(90));
    net.say_as(sender, "r", "heard", "heard");
    net.run(secs(10));
    net.drop_line(a);
    net.say(sender, "r", "one");
    // when the disk is another one, with a message on its way to it,
    net.disk.lose();
    net.disk.delay = ms(10);
    net.say(sender, "r", "two");
    net.input(Input::StoreLost);
    net.run(ms(20));
    net.resend(sender);
    net.run(ms(20));
    // then after a failure of the power it is as if it had been there all the time.
    assert_eq!(net.disk.payloads(), ["heard", "one", "two"]);
    net.restart();
    net.connect(a);
    net.run(T);
    let again: Vec<_> = net[a].playlists().into_iter().map(|(_, text)| text).collect();
    assert_eq!(again, ["one", "two"]);
    let before = net.router.stats().duplicates;
    net.connect(sender);
    for (text, uuid) in [("of long ago", "long-ago"), ("heard", "heard")] {
        net.say_as(sender, "r", text, uuid);
    }
    net.run(secs(1));
    assert_eq!(net.router.stats().duplicates, before + 2);
}
