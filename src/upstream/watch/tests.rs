//! One test for each rule, in virtual time.

use super::*;

pub(super) const SETTINGS: Settings =
    Settings { check_interval: Duration::from_millis(250), hold: Duration::from_secs(3) };

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What lies between the watch and the server, and the server.
pub(super) trait Net {
    /// What becomes of a dial, and when; `None`: nothing ever.
    fn dial(&mut self, now: Time, conn: WatchConn) -> Option<(Time, Input)>;
    /// When a ping comes back.
    fn ping(&mut self, now: Time, conn: WatchConn) -> Option<Time>;
}

/// A network that loses nothing, and a server that does as it is told.
pub(super) struct Plain {
    /// How it treats those who dial; `None`: not at all.
    pub(super) dials: Option<fn(WatchConn) -> Input>,
    pub(super) pongs: bool,
    /// There and back.
    pub(super) delay: Duration,
}

impl Net for Plain {
    fn dial(&mut self, now: Time, conn: WatchConn) -> Option<(Time, Input)> {
        Some((now + self.delay, self.dials?(conn)))
    }

    fn ping(&mut self, now: Time, _: WatchConn) -> Option<Time> {
        self.pongs.then(|| now + self.delay)
    }
}

/// A watch, its clock, and all that it has said.
pub(super) struct World<N> {
    pub(super) watch: Watch,
    pub(super) net: N,
    pub(super) now: Time,
    events: BTreeMap<(Time, u64), Input>,
    serial: u64,
    /// Connections that the watch has not let go, nor lost.
    pub(super) open: Vec<WatchConn>,
    pub(super) said: Vec<(Time, Output)>,
    /// How soon the list comes; `None`: never.
    pub(super) list: Option<Duration>,
}

impl World<Plain> {
    /// With a server that answers.
    fn new() -> Self {
        Self::with(Plain { dials: Some(Input::Upgraded), pongs: true, delay: ms(20) }, 7)
    }

    /// One second after its start, with the server there.
    fn settled() -> Self {
        let mut world = Self::new();
        world.give(Input::Start);
        world.run(ms(1_000));
        assert_eq!(world.judgements(), [(20, true)]);
        world
    }

    /// The other side closes the standing connection.
    fn close_standing(&mut self) {
        let standing = self.watch.standing.expect("a standing connection").conn;
        self.lose(standing);
    }

    /// The server is silent from now on.
    fn silence(&mut self) {
        self.net = Plain { dials: None, pongs: false, ..self.net };
        self.events.clear();
    }

    /// Is gone since a moment ago: the process was killed.
    fn kill(&mut self) {
        self.net = Plain { dials: Some(Input::Closed), pongs: false, ..self.net };
        self.close_standing();
    }

    /// Is there again.
    fn revive(&mut self) {
        self.net = Plain { dials: Some(Input::Upgraded), pongs: true, ..self.net };
    }
}

impl<N: Net> World<N> {
    pub(super) fn with(net: N, seed: u64) -> Self {
        Self {
            watch: Watch::new(SETTINGS, seed),
            net,
            now: Time::ZERO,
            events: BTreeMap::new(),
            serial: 0,
            open: Vec::new(),
            said: Vec::new(),
            list: Some(ms(20)),
        }
    }

    pub(super) fn give(&mut self, input: Input) {
        self.watch.handle(self.now, input);
        while let Some(output) = self.watch.poll_output() {
            self.said.push((self.now, output));
            match output {
                Output::Dial(conn) => {
                    assert!(!self.open.contains(&conn), "{conn:?} is used twice");
                    self.open.push(conn);
                    assert!(self.open.len() <= 1 + DIALS_MAX, "{:?}", self.open);
                    if let Some((at, input)) = self.net.dial(self.now, conn) {
                        self.at(at, input);
                    }
                }
                Output::Ping(conn) => {
                    assert!(self.open.contains(&conn), "{conn:?} is closed");
                    if let Some(at) = self.net.ping(self.now, conn) {
                        self.at(at, Input::Pong(conn));
                    }
                }
                Output::Drop(conn) => self.open.retain(|open| *open != conn),
                Output::FetchList => {
                    if let Some(span) = self.list {
                        self.at(self.now + span, Input::ListDone);
                    }
                }
                Output::Judged(_) => {}
            }
        }
    }

    fn at(&mut self, at: Time, input: Input) {
        self.serial += 1;
        self.events.insert((at, self.serial), input);
    }

    fn lose(&mut self, conn: WatchConn) {
        self.open.retain(|open| *open != conn);
        self.give(Input::Closed(conn));
    }

    /// What would arrive later than after `span` does not.
    pub(super) fn cut(&mut self, span: Duration) {
        let end = self.now + span;
        self.events.retain(|(at, _), _| *at <= end);
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let event = self.events.keys().next().map(|(at, _)| *at);
            let timeout = self.watch.poll_timeout();
            let next = event.into_iter().chain(timeout).min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            assert!(timeout.is_none_or(|due| due >= self.now), "a timeout is not dealt with");
            self.now = at;
            if event != Some(at) {
                self.give(Input::Timeout);
                continue;
            }
            let Some((_, input)) = self.events.pop_first() else { break };
            match input {
                Input::Upgraded(conn) | Input::Pong(conn) if !self.open.contains(&conn) => {}
                Input::Closed(conn) | Input::Answered(conn) => {
                    self.open.retain(|open| *open != conn);
                    self.give(input);
                }
                _ => self.give(input),
            }
        }
        self.now = end;
    }

    /// With milliseconds since the start.
    pub(super) fn judgements(&self) -> Vec<(u64, bool)> {
        let judged = self.said.iter().filter_map(|(at, output)| match output {
            Output::Judged(there) => Some((at.as_millis(), *there)),
            _ => None,
        });
        judged.collect()
    }

    /// Milliseconds at which it said something like this.
    fn moments(&self, is_it: impl Fn(&Output) -> bool) -> Vec<u64> {
        self.said.iter().filter(|(_, output)| is_it(output)).map(|(at, _)| at.as_millis()).collect()
    }

    fn dials(&self) -> Vec<u64> {
        self.moments(|output| matches!(output, Output::Dial(_)))
    }

    fn forget(&mut self) {
        self.said.clear();
    }
}

#[test]
fn at_the_start_the_first_answer_counts_at_once() {
    let mut world = World::new();
    world.list = None;
    world.give(Input::Start);
    world.run(ms(60));
    assert_eq!(world.judgements(), [(20, true)], "without a hold time, and before the list has come");
}

#[test]
fn at_the_start_a_server_that_refuses_is_gone_at_once_and_a_silent_one_after_nearly_two_seconds() {
    for (dials, gone_at) in
        [(Some(Input::Closed as fn(_) -> _), 20), (Some(Input::Answered), 20), (None, 1_900)]
    {
        let mut world = World::new();
        world.net.dials = dials;
        world.give(Input::Start);
        world.run(ms(2_500));
        assert_eq!(world.judgements(), [(gone_at, false)]);
    }
}

#[test]
fn a_ping_goes_each_check_interval_over_one_connection() {
    let mut world = World::settled();
    let pings = world.moments(|output| matches!(output, Output::Ping(_)));
    assert_eq!(pings, [20, 270, 520, 770]);
    world.run(Duration::from_secs(600));
    assert_eq!((world.dials().len(), world.open.len()), (1, 1));
}

#[test]
fn a_closed_connection_is_dialled_afresh_at_once_and_moves_nobody() {
    let mut world = World::settled();
    world.close_standing();
    assert_eq!(world.dials(), [0, 1_000]);
    world.run(ms(10_000));
    assert_eq!((world.judgements(), world.dials().len()), (vec![(20, true)], 2));
}

#[test]
fn closed_and_then_refused_is_gone_at_once() {
    for refusal in [Input::Closed as fn(_) -> _, Input::Answered] {
        let mut world = World::settled();
        world.kill();
        world.net.dials = Some(refusal);
        world.run(ms(100));
        assert_eq!(world.judgements(), [(20, true), (1_020, false)]);
        assert_eq!(world.watch.outages(), 1);
    }
}

#[test]
fn closed_and_then_closed_again_is_gone_at_once() {
    // A server without a place for one more lets in and closes.
    let mut world = World::settled();
    world.close_standing();
    world.run(ms(20));
    world.net.dials = Some(Input::Closed);
    world.close_standing();
    world.run(ms(20));
    assert_eq!(world.judgements().last(), Some(&(1_040, false)));
}

#[test]
fn one_lost_probe_moves_nobody() {
    let mut world = World::settled();
    world.silence();
    world.run(ms(200));
    world.revive();
    world.run(ms(10_000));
    let pings = world.moments(|output| matches!(output, Output::Ping(_)));
    assert!(pings.contains(&1_020), "the one that is lost");
    assert_eq!((world.judgements(), world.dials().len()), (vec![(20, true)], 1));
}

#[test]
fn after_half_a_second_of_silence_fresh_connections_are_dialled_one_each_100_ms_at_most_8() {
    let mut world = World::settled();
    world.forget();
    world.silence();
    world.run(ms(1_650));
    // The last sign of life was at 790 ms.
    assert_eq!(world.dials(), [1_290, 1_390, 1_490, 1_590, 1_690, 1_790, 1_890, 1_990]);
    assert_eq!(world.open.len(), 9);
}

#[test]
fn nearly_two_seconds_of_silence_are_the_end_although_writes_succeed() {
    // Given a connection of which the other end has vanished: it takes all pings.
    let mut world = World::settled();
    world.silence();
    world.run(ms(5_000));
    assert_eq!(world.judgements(), [(20, true), (2_690, false)]);
}

#[test]
fn a_fresh_connection_takes_the_place_of_the_silent_one() {
    // Given a standing connection that a router on the way has forgotten,
    let mut world = World::settled();
    let old = world.watch.standing.unwrap().conn;
    world.net.pongs = false;
    world.run(ms(500));
    world.net.pongs = true;
    world.run(ms(10_000));
    // then it is let go, and so are all fresh ones but one.
    assert_eq!(world.judgements(), [(20, true)]);
    assert!(world.open.len() == 1 && !world.open.contains(&old));
    assert_eq!(world.dials(), [0, 1_290]);
}

#[test]
fn any_http_answer_is_a_sign_of_life_but_no_place_for_a_session() {
    // Given a server that answers pings no more, and fresh connections with HTTP 503,
    let mut world = World::settled();
    world.net = Plain { dials: Some(Input::Answered), pongs: false, ..world.net };
    // then it lives as long as the standing connection has its patience,
    world.run(ms(1_600));
    assert_eq!(world.judgements(), [(20, true)]);
    // and no longer.
    world.run(ms(200));
    assert_eq!(world.judgements(), [(20, true), (2_710, false)]);
}

#[test]
fn answers_that_come_a_second_late_move_nobody() {
    let mut world = World::settled();
    world.net.delay = ms(1_100);
    world.run(Duration::from_secs(60));
    assert_eq!(world.judgements(), [(20, true)]);
}

#[test]
fn what_is_gone_is_dialled_each_second_more_or_less() {
    let mut world = World::settled();
    world.kill();
    world.run(ms(100));
    world.forget();
    world.run(Duration::from_secs(100));
    let dials = world.dials();
    assert!((90..=110).contains(&dials.len()), "{}", dials.len());
    let gaps: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (800..=1_200).contains(gap)) && gaps.iter().max() > gaps.iter().min());
    assert!(world.open.is_empty());
}

#[test]
fn what_returns_has_to_answer_for_the_hold_time_without_a_break() {
    let mut world = World::settled();
    world.kill();
    world.run(ms(1_000));
    world.revive();
    world.run(ms(2_000));
    assert_eq!(world.judgements().len(), 2, "on trial");
    // When it closes the connection in between, then the time begins anew,
    world.close_standing();
    let broken_at = world.now.as_millis();
    world.run(ms(10_000));
    let (back_at, there) = world.judgements()[2];
    let took = back_at - broken_at;
    assert!(there && (3_800..=4_500).contains(&took), "{took}");
    // and the trial that failed is no flap.
    assert_eq!(world.watch.outages(), 1);
}

#[test]
fn a_server_that_answers_nothing_more_at_the_end_of_the_hold_time_is_not_back() {
    let mut world = World::settled();
    world.kill();
    world.run(ms(1_000));
    world.revive();
    world.run(ms(3_000));
    world.silence();
    world.run(ms(10_000));
    assert_eq!(world.judgements().len(), 2);
}

#[test]
fn without_a_hold_time_it_is_back_when_the_list_has_come_or_is_given_up_after_a_second() {
    for (list, took) in [(Some(ms(300)), 300), (None, 1_000)] {
        let mut world = World::settled();
        world.watch.configure(Settings { hold: Duration::ZERO, ..SETTINGS });
        world.kill();
        world.run(ms(100));
        world.revive();
        world.list = list;
        world.forget();
        world.run(ms(5_000));
        let asked_at = world.moments(|output| *output == Output::FetchList)[0];
        assert_eq!(world.judgements(), [(asked_at + took, true)]);
    }
}

#[test]
fn each_flap_within_ten_minutes_doubles_the_hold_time_up_to_four_times() {
    let mut world = World::settled();
    let mut holds = Vec::new();
    for _ in 0..7 {
        world.kill();
        world.run(ms(100));
        world.revive();
        world.forget();
        world.run(Duration::from_secs(14));
        let fetched = world.moments(|output| *output == Output::FetchList)[0];
        let (back_at, _) = world.judgements()[0];
        holds.push((back_at - fetched).div_ceil(100) / 10);
    }
    assert_eq!(holds, [3, 6, 12, 12, 12, 12, 12]);
    // Forgotten after ten quiet minutes.
    world.run(Duration::from_secs(601));
    world.kill();
    world.run(ms(100));
    world.revive();
    world.forget();
    world.run(Duration::from_secs(5));
    assert_eq!(world.judgements().len(), 1);
}

#[test]
fn another_server_has_no_outages_yet() {
    let mut world = World::settled();
    world.kill();
    world.run(ms(100));
    world.give(Input::Stop);
    world.watch.forget();
    world.revive();
    world.forget();
    world.give(Input::Start);
    world.run(ms(100));
    assert_eq!((world.judgements().len(), world.watch.outages()), (1, 0), "at once");
    // And its first one is held against it for no longer than any first one.
    world.kill();
    world.run(ms(100));
    world.revive();
    world.forget();
    world.run(ms(5_000));
    assert_eq!(world.judgements().len(), 1);
}

#[test]
fn a_server_that_is_gone_for_5_to_30_s_of_each_minute_is_followed_in_between() {
    let mut world = World::settled();
    for minute in 0..30 {
        // Given: it is killed, or falls silent, for so long,
        let gone = Duration::from_secs(5 + minute * 7 % 26);
        match minute % 2 {
            0 => world.kill(),
            _ => world.silence(),
        }
        world.run(gone);
        assert_eq!(world.judgements().pop().map(|(_, there)| there), Some(false), "outage {minute}");
        // when it answers again, then it counts after four hold times and a retry.
        world.revive();
        let revived_at = world.now.as_millis();
        world.run(Duration::from_secs(60) - gone);
        let (back_at, there) = world.judgements().pop().unwrap();
        let took = back_at - revived_at;
        assert!(there && took <= 4 * 3_000 + 1_500, "outage {minute}: {there} after {took} ms");
    }
}

#[test]
fn the_list_is_fetched_at_the_start_at_each_return_and_each_minute() {
    let mut world = World::settled();
    world.run(Duration::from_secs(119));
    assert_eq!(world.moments(|output| *output == Output::FetchList), [20, 60_020]);
    world.kill();
    world.run(Duration::from_secs(120));
    world.forget();
    world.revive();
    world.run(Duration::from_secs(70));
    let fetches = world.moments(|output| *output == Output::FetchList);
    let (back_at, _) = world.judgements()[0];
    assert_eq!((fetches.len(), fetches[1] - back_at), (2, 60_000));
}

#[test]
fn a_check_interval_of_a_minute_is_not_taken_for_silence() {
    let mut world = World::new();
    world.watch.configure(Settings { check_interval: Duration::from_secs(60), ..SETTINGS });
    world.give(Input::Start);
    world.run(Duration::from_secs(600));
    assert_eq!((world.judgements().len(), world.dials().len()), (1, 1));
    // What returns is asked more often, so that it is back in time.
    world.kill();
    world.run(ms(100));
    world.revive();
    world.run(Duration::from_secs(7));
    assert_eq!(world.judgements().len(), 3);
}

#[test]
fn while_this_router_stood_still_nobody_was_silent() {
    let mut world = World::settled();
    // Given a ping on its way, and a standstill of ten seconds, after which the timer
    // comes before the answer,
    world.run(ms(30));
    world.now += ms(10_000);
    world.give(Input::Timeout);
    world.run(ms(10_000));
    assert_eq!(world.judgements(), [(20, true)]);
    // then real silence still counts.
    world.silence();
    world.run(ms(3_000));
    assert_eq!(world.judgements().len(), 2);
}

#[test]
fn who_has_stopped_looking_asks_and_says_nothing_and_begins_anew() {
    let mut world = World::settled();
    world.give(Input::Stop);
    assert!(world.open.is_empty() && world.watch.poll_timeout().is_none());
    world.forget();
    world.run(Duration::from_secs(600));
    assert!(world.said.is_empty());
    world.give(Input::Start);
    world.run(ms(100));
    assert_eq!(world.judgements().len(), 1);
}
