//! Whether the other side of a connection between routers still takes what it is
//! sent. Pure: the mesh's connections ask it, and so does the simulator.
//!
//! What was read is acknowledged: every few kilobytes, and when asked. So a
//! peer that reads slowly is told from one that does not read at all, whatever
//! it sends itself and whatever the buffers on the way hold.

use std::time::Duration;

use fau3_election::Time;

/// A peer that acknowledges nothing for this long ends as timed out.
pub const STALL: Duration = Duration::from_secs(10);
/// The reader acknowledges each so many bytes: links of 3.2 KiB/s count as
/// slow, not as stalled.
pub const SEEN_EVERY_BYTES: usize = 32 * 1_024;

/// What was sent is asked after when nothing was acknowledged for so long.
const ASK_AFTER: Duration = Duration::from_secs(4);
/// A connection without traffic is asked after this often.
const IDLE: Duration = Duration::from_secs(15);
/// How long the peer may take when there is a reason for doubt.
const DOUBT: Duration = Duration::from_secs(1);
/// Coming so late, this process stood still itself, and knows nothing.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// A main server that sends nothing for so many checks is gone: two seconds
/// at the usual 250 ms. Nothing that is lost on the way once or twice is.
const SILENT_CHECKS: u32 = 8;
/// But never sooner: TCP sends again after 200 ms, then after 400.
const SILENT_MIN: Duration = Duration::from_secs(1);
/// One that has sent nothing for so long may be stuck behind a lost packet: it
/// is asked by datagrams too, which wait for none.
const IN_DOUBT: Duration = Duration::from_millis(500);
/// And more often.
const ASK_IN_DOUBT: Duration = Duration::from_millis(100);
/// A main server acknowledges each so many bytes: a segment that has much to
/// say over 3 KiB/s hears from it in time.
const SEEN_EVERY_BYTES_BY_LEAF: usize = 4 * 1_024;

/// How closely a connection is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Between two routers, whose beacons say more, and sooner.
    Usual,
    /// To a main server, which sends no beacons: asked this often.
    Watching(Duration),
    /// From a router that watches like that.
    Watched,
}

/// What is known of the other side.
#[derive(Debug)]
pub struct Pulse {
    /// Set on the way to a main server.
    watch: Option<Watch>,
    /// The other side watches: it sends something all the time, and judges by itself
    /// whether anything comes back.
    is_watched: bool,
    seen_every_bytes: usize,
    /// Since when something sent is not acknowledged.
    owed_since: Option<Time>,
    /// A question is under way.
    asked: bool,
    /// Something was sent behind the question.
    sent_since_asked: bool,
    /// When something last moved.
    moved: Time,
    /// How long the peer may take.
    patience: Duration,
    /// Bytes read and not acknowledged.
    read_bytes: usize,
}

/// What is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing until then.
    Wait(Time),
    /// Send a ping.
    Ask,
    /// End the connection.
    GiveUp,
}

impl Pulse {
    /// Of a connection that has come to stand just now.
    #[must_use]
    pub fn new(now: Time, pace: Pace) -> Self {
        let watch = match pace {
            Pace::Watching(check) => {
                let silence = (check * SILENT_CHECKS).max(SILENT_MIN);
                Some(Watch { check, silence, heard: now, asked: now })
            }
            Pace::Usual | Pace::Watched => None,
        };
        Self {
            watch,
            is_watched: pace == Pace::Watched,
            seen_every_bytes: if pace == Pace::Watched { SEEN_EVERY_BYTES_BY_LEAF } else { SEEN_EVERY_BYTES },
            owed_since: None,
            asked: false,
            sent_since_asked: false,
            moved: now,
            patience: STALL,
            read_bytes: 0,
        }
    }

    /// A wrong variant: a main server is gone after so much silence.
    #[cfg(feature = "mutants")]
    pub fn patient_for(&mut self, silence: Duration) {
        if let Some(watch) = &mut self.watch {
            watch.silence = silence;
        }
    }

    /// Frames begin to be written; whether there is something to act on
    /// earlier than said.
    pub fn sent(&mut self, now: Time) -> bool {
        let first = self.owed_since.is_none();
        self.owed_since.get_or_insert(now);
        self.sent_since_asked = true;
        self.moved = now;
        first
    }

    /// The ping of [`Action::Ask`] begins to be written.
    pub fn asked(&mut self, now: Time) {
        self.owed_since.get_or_insert(now);
        self.asked = true;
        self.sent_since_asked = false;
        if let Some(watch) = &mut self.watch {
            watch.asked = now;
        }
    }

    /// Acknowledged.
    pub fn seen(&mut self, now: Time) {
        let all = self.asked && !self.sent_since_asked;
        self.owed_since = if all { None } else { Some(now) };
        self.asked = false;
        self.patience = STALL;
        self.moved = now;
    }

    /// The other side behaves as if this connection were gone: it has to show
    /// soon that it is not. More doubts give it no more time.
    pub fn doubt(&mut self, now: Time) {
        if self.patience == DOUBT {
            return;
        }
        self.patience = DOUBT;
        self.owed_since = Some(now);
        self.asked = false;
    }

    /// A sign of life came by another way.
    pub fn heard(&mut self, now: Time) {
        if let Some(watch) = &mut self.watch {
            watch.heard = now;
        }
    }

    /// Whether to ask by datagrams, too.
    #[must_use]
    pub fn is_in_doubt(&self, now: Time) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.is_in_doubt(now))
    }

    /// Bytes were read; whether to acknowledge them.
    pub fn read(&mut self, now: Time, bytes: usize) -> bool {
        self.heard(now);
        if self.is_watched && self.patience != DOUBT {
            self.owed_since.iter_mut().for_each(|owed| *owed = now);
        }
        self.read_bytes += bytes;
        let due = self.read_bytes >= self.seen_every_bytes;
        if due {
            self.read_bytes = 0;
        }
        due
    }

    /// What is to do now.
    pub fn poll(&mut self, now: Time) -> Action {
        let watched = self.watch.as_mut().map(|watch| watch.poll(now));
        match (self.poll_usual(now), watched) {
            (Action::Wait(until), Some(Action::Wait(sooner))) => Action::Wait(until.min(sooner)),
            (Action::Wait(_) | Action::Ask, Some(watched)) => watched,
            (usual, _) => usual,
        }
    }

    fn poll_usual(&mut self, now: Time) -> Action {
        let due = self.timeout();
        if now < due {
            return Action::Wait(due);
        }
        let Some(owed) = self.owed_since else { return Action::Ask };
        let end = owed + self.patience;
        if now < end {
            return Action::Ask;
        }
        if now.since(due) > STOOD_STILL {
            self.owed_since = Some(now);
            self.asked = false;
            return Action::Ask;
        }
        Action::GiveUp
    }

    fn timeout(&self) -> Time {
        match self.owed_since {
            None => self.moved + IDLE,
            Some(owed) if self.asked => owed + self.patience,
            Some(owed) if self.patience == DOUBT => owed,
            Some(owed) => owed + ASK_AFTER,
        }
    }
}

/// A close watch: whatever comes from the other side is a sign of life.
#[derive(Debug)]
struct Watch {
    /// Asked after this often while nothing comes.
    check: Duration,
    /// Gone after so much silence.
    silence: Duration,
    heard: Time,
    asked: Time,
}

impl Watch {
    fn is_in_doubt(&self, now: Time) -> bool {
        now >= self.heard + IN_DOUBT.max(self.check * 2)
    }

    fn poll(&mut self, now: Time) -> Action {
        let silent_at = self.heard + self.silence;
        let every = if self.is_in_doubt(now) { self.check.min(ASK_IN_DOUBT) } else { self.check };
        let ask_at = self.heard.max(self.asked) + every;
        if now >= silent_at && now.since(silent_at) <= STOOD_STILL {
            return Action::GiveUp;
        }
        if now >= silent_at {
            self.heard = now;
            return Action::Ask;
        }
        if now >= ask_at { Action::Ask } else { Action::Wait(ask_at.min(silent_at)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Time = Time::from_secs;

    /// Runs until something is done; answers pings as `answers` says.
    fn run(
        pulse: &mut Pulse,
        mut now: Time,
        end: Time,
        mut answers: impl FnMut(Time) -> bool,
    ) -> Option<Time> {
        while now < end {
            match pulse.poll(now) {
                Action::Wait(until) => now = until,
                Action::Ask => {
                    pulse.asked(now);
                    if answers(now) {
                        pulse.seen(now + Duration::from_millis(5));
                    }
                }
                Action::GiveUp => return Some(now),
            }
        }
        None
    }

    #[test]
    fn a_default_server_bears_with_a_router_that_asks_on_though_its_own_word_is_stuck() {
        // Given: something was sent that a lossy way holds back, with the answer behind it.
        let mut pulse = Pulse::new(S(0), Pace::Watched);
        pulse.sent(S(0));
        let reads = (0..120).map(|quarter| Time::from_millis(quarter * 250));
        for now in reads {
            pulse.read(now, 5);
            assert_eq!(run(&mut pulse, now, now + Duration::from_millis(250), |_| false), None, "{now}");
        }
        // When the questions end, then so does the connection; sooner in doubt.
        let last = Time::from_millis(119 * 250);
        assert_eq!(run(&mut pulse, S(30), S(100), |_| false), Some(last + STALL));
        let mut pulse = Pulse::new(S(0), Pace::Watched);
        pulse.doubt(S(5));
        pulse.read(Time::from_millis(5_500), 5);
        assert_eq!(run(&mut pulse, Time::from_millis(5_500), S(100), |_| false), Some(S(6)));
    }

    #[test]
    fn a_peer_that_never_reads_ends_after_the_stall_time() {
        let mut pulse = Pulse::new(S(0), Pace::Usual);
        pulse.sent(S(100));
        assert_eq!(run(&mut pulse, S(100), S(200), |_| false), Some(S(100) + STALL));
    }

    #[test]
    fn a_peer_that_answers_stays_and_an_idle_one_is_asked_every_15_s() {
        let mut pulse = Pulse::new(S(0), Pace::Usual);
        let mut asked = Vec::new();
        assert_eq!(
            run(&mut pulse, S(0), S(100), |now| {
                asked.push(now.as_secs());
                true
            }),
            None
        );
        assert_eq!(asked.len(), 6, "{asked:?}");
    }

    #[test]
    fn a_peer_that_died_in_silence_is_found_without_traffic() {
        let mut pulse = Pulse::new(S(0), Pace::Usual);
        assert_eq!(run(&mut pulse, S(0), S(100), |_| false), Some(S(0) + IDLE + STALL));
    }

    #[test]
    fn a_slow_link_is_not_a_stalled_one() {
        let mut pulse = Pulse::new(S(0), Pace::Usual);
        for second in (0..100).step_by(9) {
            pulse.sent(S(second));
            if let Action::Ask = pulse.poll(S(second + 4)) {
                pulse.asked(S(second + 4));
            }
            assert_ne!(pulse.poll(S(second + 9)), Action::GiveUp, "{second}");
            // 32 KiB have arrived in the meantime; the ping is still behind them.
            pulse.seen(S(second + 9));
        }
    }

    #[test]
    fn in_doubt_a_peer_has_one_second() {
        let mut pulse = Pulse::new(S(0), Pace::Usual);
        pulse.doubt(S(5));
        assert_eq!(run(&mut pulse, S(5), S(100), |_| false), Some(S(6)));
        let mut pulse = Pulse::new(S(0), Pace::Usual);
        pulse.doubt(S(5));
        assert_eq!(run(&mut pulse, S(5), S(100), |_| true), None);
        // Dialled every 250 ms, it has no more than that.
        let mut pulse = Pulse::new(S(0), Pace::Usual);
        let ended = (20..100).map(|quarter| Time::from_millis(quarter * 250)).find(|now| {
            pulse.doubt(*now);
            run(&mut pulse, *now, *now + Duration::from_millis(250), |_| false).is_some()
        });
        assert!(ended <= Some(S(6)), "{ended:?}");
    }

    #[test]
    fn a_process_that_stood_still_asks_again_before_it_judges() {
        let mut pulse = Pulse::new(S(0), Pace::Usual);
        pulse.sent(S(1));
        assert_eq!(pulse.poll(S(5)), Action::Ask);
        pulse.asked(S(5));
        assert_eq!(pulse.poll(S(60)), Action::Ask, "SIGSTOP, suspend");
        pulse.asked(S(60));
        assert_eq!(pulse.poll(S(70)), Action::GiveUp);
    }

    #[test]
    fn every_32_kib_are_acknowledged() {
        let mut pulse = Pulse::new(S(0), Pace::Usual);
        let acknowledged = (0..100).filter(|_| pulse.read(S(0), 9_500)).count();
        assert!((24..=29).contains(&acknowledged), "{acknowledged}");
    }

    /// Watches every 250 ms; the other side answers while `answers` says so.
    fn watch(pulse: &mut Pulse, end: Time, answers: impl Fn(Time) -> bool) -> (Option<Time>, usize) {
        let (mut now, mut asked) = (S(0), 0);
        while now < end {
            match pulse.poll(now) {
                Action::Wait(until) => now = until,
                Action::Ask => {
                    asked += 1;
                    pulse.asked(now);
                    if answers(now) {
                        pulse.read(now + Duration::from_millis(5), 20);
                        pulse.seen(now + Duration::from_millis(5));
                    }
                }
                Action::GiveUp => return (Some(now), asked),
            }
        }
        (None, asked)
    }

    fn watching() -> Pulse {
        Pulse::new(S(0), Pace::Watching(Duration::from_millis(250)))
    }

    #[test]
    fn a_default_server_is_asked_four_times_a_second_and_gone_after_two_seconds_of_silence() {
        assert_eq!(watch(&mut watching(), S(100), |_| true), (None, 392), "5 ms for each answer");
        let (gone, _) = watch(&mut watching(), S(100), |now| now < S(50));
        let after = gone.unwrap().since(S(50));
        assert!(after > Duration::from_millis(1_700) && after <= S(2).since(S(0)), "{after:?}");
    }

    #[test]
    fn six_answers_that_are_lost_in_a_row_move_nobody() {
        let lost = |now: Time| (S(10)..S(10) + Duration::from_millis(1_500)).contains(&now);
        assert_eq!(watch(&mut watching(), S(60), |now| !lost(now)).0, None);
    }

    #[test]
    fn behind_a_lost_packet_it_is_asked_ten_times_a_second_and_any_answer_counts() {
        let mut pulse = watching();
        let asked = |pulse: &mut Pulse, from: u64, to: u64| {
            let mut asked = Vec::new();
            for now in (from..to).map(Time::from_millis) {
                match pulse.poll(now) {
                    Action::Ask => {
                        pulse.asked(now);
                        asked.push((now.as_millis(), pulse.is_in_doubt(now)));
                    }
                    Action::GiveUp => panic!("given up at {now}"),
                    Action::Wait(_) => {}
                }
            }
            asked
        };
        assert_eq!(asked(&mut pulse, 0, 650), [(250, false), (500, true), (600, true)]);
        pulse.heard(Time::from_millis(650));
        assert_eq!(asked(&mut pulse, 650, 1_000), [(900, false)]);
    }

    #[test]
    fn what_comes_is_a_sign_of_life_though_the_answer_stands_behind_it() {
        // Given a slow way here, full of a backlog: the answer comes after 5 s.
        let mut pulse = watching();
        for tenth in 0..50 {
            let now = Time::from_millis(tenth * 100);
            match pulse.poll(now) {
                Action::Ask => pulse.asked(now),
                Action::GiveUp => panic!("given up at {now}"),
                Action::Wait(_) => {}
            }
            pulse.read(now, 1_000);
        }
        // And on the way there each 4 KiB are acknowledged.
        let mut leaf = Pulse::new(S(0), Pace::Watched);
        assert_eq!((0..100).filter(|_| leaf.read(S(0), 1_024)).count(), 25);
    }
}
