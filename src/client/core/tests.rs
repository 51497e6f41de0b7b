//! Stories in virtual time: a client and what its router does.

use super::backoff::{WAIT_MAX, WAIT_MIN};
use super::*;
use crate::wire::{ClientId, RoomId};

fn room() -> RoomId {
    RoomId::new("r").unwrap()
}

/// A client with the clock in the test's hand.
struct Story {
    client: Client,
    now: Time,
}

impl Story {
    fn listener() -> Self {
        Self::of(Settings { room: Some(room()), listens: true, seed: 1 })
    }

    fn talker() -> Self {
        Self::of(Settings { room: None, listens: false, seed: 1 })
    }

    fn of(settings: Settings) -> Self {
        Self { client: Client::new(settings), now: Time::ZERO }
    }

    fn give(&mut self, input: Input<'_>) {
        self.client.handle(self.now, input);
    }

    /// Lets time pass, waking the client exactly when it asked for it.
    fn pass(&mut self, span: Duration) -> Vec<Output> {
        let end = self.now + span;
        let mut outputs = Vec::new();
        while let Some(at) = self.client.poll_timeout().filter(|&at| at <= end) {
            assert!(at >= self.now || !self.client.has_frames(), "asked for the past");
            self.now = self.now.max(at);
            self.give(Input::Timeout);
            let new = self.outputs();
            assert!(!new.is_empty(), "woken for nothing at {}", self.now);
            outputs.extend(new);
        }
        self.now = end;
        outputs
    }

    /// What it wants sent; all of it leaves at once.
    fn outputs(&mut self) -> Vec<Output> {
        let outputs: Vec<_> = std::iter::from_fn(|| self.client.poll_output()).collect();
        if outputs.iter().any(|output| !matches!(output, Output::Dial | Output::HangUp)) {
            self.give(Input::Flushed);
        }
        outputs
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    /// Dials and connects; returns what goes out first.
    fn connect(&mut self) -> Vec<Output> {
        self.now = self.client.poll_timeout().unwrap();
        self.give(Input::Timeout);
        assert_eq!(self.outputs(), [Output::Dial]);
        self.give(Input::Connected);
        self.outputs()
    }

    fn confirm(&mut self, of: &Output, status: Status) {
        let mut frame = Vec::new();
        fau3d::confirm(&mut frame, &uuid_of(of), status);
        self.give(Input::Frame(&frame));
    }

    /// A listener that has subscribed.
    fn subscribed() -> Self {
        let mut story = Self::listener();
        let subscribe = story.connect();
        story.confirm(&subscribe[0], Status::OK);
        assert_eq!(story.events(), [Event::Ready]);
        story
    }
}

fn json(output: &Output) -> serde_json::Value {
    let Output::Text(frame) = output else { panic!("no text frame: {output:?}") };
    serde_json::from_slice(frame).unwrap()
}

fn uuid_of(output: &Output) -> String {
    json(output)["MessageUuid"].as_str().unwrap().to_owned()
}

fn status_of(output: &Output) -> (String, i64) {
    let json = json(output);
    assert_eq!(json["MessageType"], "Confirm");
    (uuid_of(output), json["Status"].as_i64().unwrap())
}

fn playlist(uuid: u128, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    fau3d::playlist_head(&mut frame, Uuid::from_hash(uuid));
    fau3d::playlist_tail(&mut frame, &ClientId::new("c").unwrap(), payload);
    frame
}

#[test]
fn what_is_unconfirmed_for_5_seconds_is_sent_again_with_the_same_message_uuid() {
    // Given a record that has left
    let mut story = Story::talker();
    story.connect();
    story.give(Input::Say(&room(), b"voice"));
    let first = story.outputs();
    assert_eq!(json(&first[0])["MessageType"], "Propogate");

    // When nothing comes for 5 s, the link is probed, and only with the probe's
    // return does the record go out again
    assert_eq!(story.pass(Duration::from_millis(4_999)), []);
    assert_eq!(story.pass(Duration::from_millis(1)), [Output::Probe]);
    story.give(Input::Pong);
    assert_eq!(story.outputs(), first, "same frame, same MessageUuid");
    assert_eq!(story.pass(Duration::from_secs(5)), [Output::Probe]);
    story.give(Input::Pong);
    assert_eq!(story.outputs(), first);

    // Then a Confirm ends it, also if it comes twice
    story.confirm(&first[0], Status::STORED);
    story.confirm(&first[0], Status::STORED);
    assert_eq!(story.events(), [Event::Ready, Event::Stored]);
    let later = story.pass(Duration::from_secs(14));
    assert!(!later.contains(&first[0]), "{later:?}");
}

#[test]
fn a_resend_never_overtakes_a_slow_link() {
    // Given a record that takes 20 s to leave
    let mut story = Story::talker();
    story.connect();
    story.give(Input::Say(&room(), b"voice"));
    assert!(matches!(story.client.poll_output(), Some(Output::Text(_))));
    assert_eq!(story.pass(Duration::from_secs(20)), [], "its time has not begun");

    // When it has left, its 5 s begin; the long silence is asked about at once,
    // and that answer does not count as one that came 5 s later
    story.give(Input::Flushed);
    assert_eq!(story.outputs(), [Output::Probe]);
    story.give(Input::Pong);
    assert_eq!(story.outputs(), []);
    assert_eq!(story.pass(Duration::from_millis(4_999)), []);
    assert_eq!(story.pass(Duration::from_millis(1)), [Output::Probe]);

    // And while the probe is on its way, nothing is sent again
    assert_eq!(story.pass(PROBE_MAX - Duration::from_millis(1)), []);
}

#[test]
fn an_unconfirmed_record_goes_out_anew_on_a_new_connection_and_a_confirmed_one_does_not() {
    let mut story = Story::talker();
    story.connect();
    story.give(Input::Say(&room(), b"voice"));
    let first = story.outputs();
    story.give(Input::Down("lost".into()));
    assert_eq!(story.connect(), first, "same MessageUuid");
    story.confirm(&first[0], Status::STORED);
    story.give(Input::Down("lost".into()));
    assert_eq!(story.connect(), []);
}

#[test]
fn what_waits_for_a_lost_connection_does_not_go_out_on_the_next_one() {
    let mut story = Story::subscribed();
    story.give(Input::Frame(br#"{"MessageType":"Ping","MessageUuid":"old"}"#));
    story.give(Input::Down("lost".into()));
    let first = story.connect();
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(json(&first[0])["MessageType"], "Subscribe");
}

#[test]
fn a_lost_connection_is_dialled_again_with_growing_waits_until_the_router_speaks() {
    let mut story = Story::listener();
    let mut waits = Vec::new();
    for _ in 0..8 {
        story.give(Input::Down("refused".into()));
        let lost = story.now;
        waits.push(story.client.poll_timeout().unwrap().since(lost));
        story.now = story.client.poll_timeout().unwrap();
        story.give(Input::Timeout);
        assert_eq!(story.outputs(), [Output::Dial]);
        // Taken and closed at once, without a word, is no better than refused.
        story.give(Input::Connected);
        story.outputs();
    }
    assert!(waits.iter().all(|wait| (WAIT_MIN..=WAIT_MAX).contains(wait)), "{waits:?}");
    assert!(waits[0] < waits[7] && waits[7] >= WAIT_MAX / 2, "{waits:?}");

    story.give(Input::Frame(b"{}"));
    story.give(Input::Down("lost".into()));
    assert!(story.client.poll_timeout().unwrap().since(story.now) <= WAIT_MIN * 2);
}

#[test]
fn a_listener_subscribes_anew_on_each_connection() {
    let mut story = Story::subscribed();
    story.give(Input::Down("lost".into()));
    assert!(!story.client.is_ready());
    let subscribe = story.connect();
    assert_eq!(json(&subscribe[0])["MessageType"], "Subscribe");
    assert_eq!(json(&subscribe[0])["RoomId"], "r");
    assert!(!story.client.is_ready(), "not before it is confirmed");
    story.confirm(&subscribe[0], Status::OK);
    assert!(story.client.is_ready());
    assert_eq!(story.events(), [Event::Down("lost".into()), Event::Ready]);
}

#[test]
fn a_playlist_is_confirmed_once_kept_and_not_shown_twice() {
    // Given a Playlist that has come
    let mut story = Story::subscribed();
    story.give(Input::Frame(&playlist(7, b"voice")));
    let mut events = story.events();
    let Some(Event::Playlist(token, records)) = events.pop() else { panic!("{events:?}") };
    assert_eq!(records[0].payload, b"voice");
    assert_eq!(story.outputs(), [], "no Confirm before it is kept");

    // When it has been kept, it is confirmed
    story.give(Input::Kept(token));
    let uuid = Uuid::from_hash(7).to_string();
    assert_eq!(status_of(&story.outputs()[0]), (uuid.clone(), 3));

    // Then the same one is confirmed again and not shown, on a new connection too
    story.give(Input::Frame(&playlist(7, b"voice")));
    assert_eq!(status_of(&story.outputs()[0]), (uuid.clone(), 3));
    story.give(Input::Down("lost".into()));
    story.connect();
    story.give(Input::Frame(&playlist(7, b"voice")));
    assert_eq!(status_of(&story.outputs()[0]), (uuid, 3));
    assert_eq!(story.events(), [Event::Down("lost".into())]);
}

#[test]
fn a_playlist_that_could_not_be_kept_is_asked_for_again_and_shown_when_it_comes() {
    let mut story = Story::subscribed();
    for _ in 0..2 {
        story.give(Input::Frame(&playlist(7, b"voice")));
        let Some(Event::Playlist(token, _)) = story.events().pop() else { panic!("not shown") };
        story.give(Input::NotKept(token));
        assert_eq!(status_of(&story.outputs()[0]).1, -2);
    }
}

#[test]
fn a_talker_leaves_playlists_to_a_listener_of_its_id() {
    let mut story = Story::talker();
    story.connect();
    story.give(Input::Frame(&playlist(7, b"voice")));
    assert_eq!(story.outputs(), []);
    assert_eq!(story.events(), [Event::Ready]);
}

#[test]
fn ping_and_monitor_are_answered_and_a_confirm_never() {
    let mut story = Story::subscribed();
    for (frame, status) in [
        (r#"{"MessageType":"Ping","MessageUuid":"p"}"#, Some(1)),
        (r#"{"MessageType":"Monitor","MessageUuid":"p","ConnectedClients":[]}"#, Some(2)),
        (r#"{"MessageType":"Nonsense","MessageUuid":"p"}"#, Some(-1)),
        (r#"{"MessageType":"Playlist","MessageUuid":"p"}"#, Some(-1)),
        (r#"{"MessageType":"Confirm","MessageUuid":"p","Status":-2}"#, None),
        (r#"{"MessageType":"Confirm","MessageUuid":"p"}"#, None),
    ] {
        story.give(Input::Frame(frame.as_bytes()));
        let answer = story.outputs().first().map(|output| status_of(output).1);
        assert_eq!(answer, status, "{frame}");
    }
}

#[test]
fn a_router_that_cannot_is_asked_again_and_one_that_calls_it_invalid_is_not() {
    let mut story = Story::talker();
    story.connect();
    story.give(Input::Say(&room(), b"voice"));
    let first = story.outputs();
    story.confirm(&first[0], Status::SERROR);
    assert_eq!(story.outputs(), []);
    assert_eq!(story.pass(REFUSED_PAUSE), first);
    story.confirm(&first[0], Status::INVALID);
    assert_eq!(
        story.events(),
        [Event::Ready, Event::Refused(Status::SERROR), Event::Invalid(Invalid::Propogate)]
    );
    assert!(!story.pass(Duration::from_secs(14)).contains(&first[0]));
}

#[test]
fn a_router_that_died_silently_is_noticed_and_dialled_again() {
    let mut story = Story::subscribed();
    // As long as something comes, nothing is asked.
    for _ in 0..10 {
        assert_eq!(story.pass(QUIET_MAX - Duration::from_millis(1)), []);
        story.give(Input::Frame(br#"{"MessageType":"Ping","MessageUuid":"p"}"#));
        story.outputs();
    }
    assert_eq!(story.pass(QUIET_MAX), [Output::Probe]);
    let silent = story.pass(PROBE_MAX + WAIT_MIN * 2);
    assert_eq!(silent, [Output::HangUp, Output::Dial]);
    assert!(matches!(&story.events()[..], [Event::Down(_)]));
}

#[test]
fn a_connection_that_does_not_come_up_in_5_seconds_is_given_up() {
    let mut story = Story::talker();
    assert_eq!(story.pass(Duration::ZERO), [Output::Dial]);
    assert_eq!(story.pass(DIAL_MAX), [Output::HangUp]);
    assert_eq!(story.events(), [Event::Down("no answer for 5 s".into())]);
}

#[test]
fn a_stream_goes_out_marked_and_binary_and_only_when_ready() {
    let mut story = Story::subscribed();
    story.give(Input::Down("lost".into()));
    story.give(Input::Stream(b"\xff"));
    let subscribe = story.connect();
    story.give(Input::Stream(b"\xff"));
    assert_eq!(story.outputs(), [], "not before the room is confirmed");
    story.confirm(&subscribe[0], Status::OK);
    story.give(Input::Stream(b"\xff\xfe"));
    assert_eq!(story.outputs(), [Output::Binary(b"F3SB\xff\xfeF3FN".to_vec())]);
    story.give(Input::Frame(b"F3SB\xfdF3FN"));
    assert_eq!(story.events(), [Event::Down("lost".into()), Event::Ready, Event::Stream(b"\xfd".to_vec())]);
}

#[test]
fn message_uuids_differ_within_a_run_and_between_runs() {
    let mut uuids = std::collections::BTreeSet::new();
    for seed in 0..10 {
        let mut story = Story::of(Settings { room: None, listens: false, seed });
        story.connect();
        for _ in 0..10 {
            story.give(Input::Say(&room(), b"voice"));
            let said = story.outputs();
            uuids.insert(uuid_of(&said[0]));
            story.confirm(&said[0], Status::STORED);
        }
    }
    assert_eq!(uuids.len(), 100);
}
