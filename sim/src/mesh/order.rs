//! One speaker's messages are heard in the speaker's order; and what excuses
//! one that is not, decided when it is passed over, by what was true then.

use std::collections::BTreeMap;
use std::time::Duration;

use fau3::wire::RecordId;
use fau3_election::Time;

use super::World;
use super::judge::ORDER;
use super::ledger::Said;
use crate::engine::nodes_of;

/// Delivery waits so long for the speaker's previous message; a little less by the
/// fastest clock.
const WAIT_MIN: Duration = Duration::from_millis(1_850);
/// How long delivery waits for it by the slowest clock.
const WAIT_MAX: Duration = Duration::from_millis(2_150);

/// What a listener has heard of a speaker in a room.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// The newest in the speaker's order.
    newest: Option<usize>,
    /// Messages that it has not heard although it has heard newer ones, with each
    /// router that so passed them over.
    passed: BTreeMap<usize, Vec<Passed>>,
}

/// A router delivered a newer message to someone who had not heard this one.
#[derive(Debug)]
struct Passed {
    newer: usize,
    node: usize,
    at: Time,
    stood: Stood,
}

/// How the router stood to the message that it passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stood {
    /// It could have delivered it before.
    Ready,
    /// It did not hold it yet, but had the first newer one since then: it has to
    /// have waited.
    Lacking(Time),
    /// It had waited for it.
    Waited,
    /// The bounds of age or bytes had let it go there; or elsewhere, before it came
    /// there or one between the two did, by which alone it would have been known.
    Expired,
    /// Since it was said, this router was cut off from who took it in, or one
    /// of the two died.
    Apart,
    /// It did not know that the client had come to its room before this was said.
    NotOwed,
    /// Who took in the newer one, or one between the two, was not there yet when it
    /// was said: a message waits for the one before it as far as its router knew.
    Unknown,
}

impl World {
    /// A client hears a message for the first time.
    pub(super) fn heard_in_order(&mut self, client: usize, node: usize, number: usize) {
        let said = &self.judge.ledger.said[number];
        let key = (client, said.speaker, said.room);
        let mut hearing = self.judge.ledger.hearings.remove(&key).unwrap_or_default();
        match hearing.newest {
            Some(newest) if number < newest => {
                let passed = hearing.passed.remove(&number).unwrap_or_default();
                self.heard_late(client, node, number, &passed);
            }
            newest => {
                self.pass_over(&mut hearing, key, newest, number, node);
                hearing.newest = Some(number);
            }
        }
        self.judge.ledger.hearings.insert(key, hearing);
    }

    /// Notes what this router passes over that was said since `newest`, and, if it is
    /// another router than before, what was passed over then.
    fn pass_over(
        &self,
        hearing: &mut Hearing,
        (client, speaker, room): (usize, usize, usize),
        newest: Option<usize>,
        number: usize,
        node: usize,
    ) {
        let ledger = &self.judge.ledger;
        let since = ledger.presences[client].map(|presence| presence.anew_at);
        let passed = |late: usize| {
            let was_there = since.zip(ledger.said[late].fed_at).is_none_or(|(since, fed_at)| since < fed_at);
            let stood = if was_there { self.stood(late, number, node) } else { Stood::NotOwed };
            Passed { newer: number, node, at: self.now, stood }
        };
        for (late, by) in &mut hearing.passed {
            if by.last().is_none_or(|last| last.node != node) {
                by.push(passed(*late));
            }
        }
        let after = newest.map_or(0, |newest| newest + 1);
        for &late in ledger.of_speaker(speaker, after, number) {
            let said = &ledger.said[late];
            let is_owed = said.room == room && said.fed_at.is_some() && !said.heard.contains_key(&client);
            if is_owed {
                hearing.passed.insert(late, vec![passed(late)]);
            }
        }
    }

    fn stood(&self, late: usize, newer: usize, node: usize) -> Stood {
        let ledger = &self.judge.ledger;
        let said = &ledger.said[late];
        let came_at = said.came_at.get(&node).copied();
        let since = said.fed_at.unwrap_or(self.now);
        let newer_came_at = ledger.newer_came_at(late, node).unwrap_or(self.now);
        let mut between =
            ledger.of_speaker(said.speaker, late, newer).iter().map(|between| &ledger.said[*between]);
        let mut is_missing =
            || between.any(|between| !between.came_at.contains_key(&node) && self.has_left_a_router(between));
        let is_apart = || nodes_of(said.brought_to()).any(|origin| self.was_apart(origin, node, since));
        // A main server that speaks FAU3VOM-D only passes on each by itself.
        let has_one_order = self.server.is_none() && made_alike(said, &ledger.said[newer]);
        if !has_one_order && is_apart() {
            Stood::Apart
        } else if came_at.is_some() && self.has_left(said, node) || is_missing() {
            Stood::Expired
        } else if self.was_unknown(late, newer, node) {
            Stood::Unknown
        } else {
            match came_at {
                Some(came_at) if came_at.since(newer_came_at) >= WAIT_MIN => Stood::Waited,
                Some(_) => Stood::Ready,
                None => Stood::Lacking(newer_came_at),
            }
        }
    }

    /// A router that runs has let go of a message that it held.
    fn has_left(&self, said: &Said, node: usize) -> bool {
        let router = self.machines[node].router.as_ref();
        router.is_some_and(|router| !said.ids.iter().any(|id| router.holds(id)))
    }

    fn has_left_a_router(&self, said: &Said) -> bool {
        said.came_at.keys().any(|node| self.has_left(said, *node))
    }

    /// Whether a router that took in what was said behind the late one, up to
    /// the newer one, did not hold the late one then; and the late one did not come
    /// to the router that delivers so early that this does not matter.
    fn was_unknown(&self, late: usize, newer: usize, node: usize) -> bool {
        let ledger = &self.judge.ledger;
        let said = &ledger.said[late];
        let came_at = said.came_at.get(&node).copied().unwrap_or(self.now);
        let mut behind = ledger.of_speaker(said.speaker, late + 1, newer + 1).iter();
        behind.any(|behind| {
            let behind = &ledger.said[*behind];
            let came_first = behind.came_at.get(&node).is_none_or(|at| *at <= came_at + WAIT_MAX);
            came_first
                && self.takers(behind).chain(behind.took_itself(node).then_some(node)).any(|taker| {
                    let taken_at = behind.brought_at.get(&taker);
                    let knew =
                        said.came_at.get(&taker).zip(taken_at).is_some_and(|(came, taken)| came <= taken);
                    !knew
                })
        })
    }

    /// The routers that made a record of it; as long as nobody has seen one, those that may have.
    fn takers(&self, said: &Said) -> impl Iterator<Item = usize> {
        let place = |id: &RecordId| self.machines.iter().position(|machine| machine.id == id.origin.router);
        let made = said.ids.iter().filter_map(place).fold(0, |set, node| set | 1 << node);
        nodes_of(if made == 0 { said.brought_to() } else { made })
    }

    /// A message is heard after newer ones: every router that passed it over must be excused.
    fn heard_late(&mut self, client: usize, node: usize, number: usize, passed: &[Passed]) {
        let ledger = &self.judge.ledger;
        let late = &ledger.said[number];
        let Some(fed_at) = late.fed_at else { return };
        // What was said before the client came may come as it comes.
        let presence = ledger.presences[client];
        if !presence.is_some_and(|presence| presence.room == late.room && presence.since < fed_at) {
            return;
        }
        let is_single = late.is_single;
        if ledger.put_behind.contains(&(client, number)) {
            self.tally.late += 1;
            return;
        }
        for Passed { newer, node: by, at, stood } in passed {
            // The speaker itself brought it later, or again later when it had been refused.
            let newer_said = &ledger.said[*newer];
            let was_refused = late.is_refused && newer_said.taken_at <= late.taken_at;
            if newer_said.fed_at.is_some_and(|newer| newer <= fed_at) || was_refused {
                continue;
            }
            let has_waited = |since: Time| {
                let came_at = late.came_at.get(by).copied().unwrap_or(self.now);
                came_at.since(since) >= WAIT_MIN
            };
            match *stood {
                // Nobody else had it while it tried to get away.
                _ if is_single => self.tally.late += 1,
                Stood::Apart | Stood::NotOwed | Stood::Unknown => self.tally.late += 1,
                Stood::Expired => self.tally.late_expired += 1,
                Stood::Waited => {}
                Stood::Lacking(since) if has_waited(since) => {}
                Stood::Lacking(_) | Stood::Ready => {
                    let text =
                        format!("c{client} hears {number} from r{node} after {newer} from r{by} at {at}");
                    return self.broken(ORDER, text);
                }
            }
        }
    }
}

/// One life of one router alone made a record of each: wherever they come, across whatever
/// partition, they come in that router's order.
fn made_alike(late: &Said, newer: &Said) -> bool {
    match (&late.ids[..], &newer.ids[..]) {
        ([late], [newer]) => late.origin == newer.origin,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Setup;
    use super::*;

    /// A world in which everyone has heard everything, and two messages of one
    /// speaker that one listener is to hear again.
    struct Told {
        world: World,
        listener: usize,
        late: usize,
        newer: usize,
        /// Who took both in, who is to pass the late one over, and who brings it.
        taker: usize,
        passing: usize,
        bringing: usize,
    }

    impl Told {
        fn new() -> Self {
            let mut world = World::new(Setup::healthy(1, 3, 4));
            assert_eq!(world.run().violation, None);
            let ledger = &mut world.judge.ledger;
            let heard = |number: &usize, listener: usize| ledger.said[*number].heard.contains_key(&listener);
            let (listener, speaker) = (0, 1);
            let mut both = ledger.of_speaker(speaker, 0, usize::MAX).iter().copied();
            let mut both = both.by_ref().filter(|number| heard(number, listener)).skip(3);
            let (late, newer) = both.next().zip(both.next()).unwrap();
            ledger.hearings.clear();
            for number in [late, newer] {
                ledger.said[number].heard.clear();
            }
            let taker = |number: usize| world.takers(&world.judge.ledger.said[number]).next().unwrap();
            let taker = Some(taker(late)).filter(|first| *first == taker(newer)).unwrap();
            let (passing, bringing) = ((taker + 1) % 3, (taker + 2) % 3);
            Self { world, listener, late, newer, taker, passing, bringing }
        }

        fn newer(&mut self) {
            self.world.heard_in_order(self.listener, self.passing, self.newer);
        }

        /// Whether a rule is broken when it hears the late one.
        fn late(&mut self) -> bool {
            self.world.heard_in_order(self.listener, self.bringing, self.late);
            self.world.judge.violation.as_ref().is_some_and(|violation| violation.invariant == ORDER)
        }

        fn said(&mut self, number: usize) -> &mut Said {
            &mut self.world.judge.ledger.said[number]
        }
    }

    #[test]
    fn a_message_behind_a_newer_one_breaks_the_rule_where_nothing_excuses_it() {
        let mut told = Told::new();
        told.newer();
        assert!(told.late());
    }

    #[test]
    fn a_partition_excuses_what_was_passed_over_in_it_and_nothing_after() {
        let mut told = Told::new();
        let late = told.late;
        told.world.apart_until[told.taker][told.passing] = Time::MAX;
        // Both as records of one life come in its order through any partition.
        let mut alike = Told::new();
        alike.world.apart_until[alike.taker][alike.passing] = Time::MAX;
        alike.newer();
        assert!(alike.late());
        // Brought to another router as well, the late one may come from there.
        let mut twin = told.said(late).ids[0];
        twin.origin.incarnation.random ^= 1;
        told.said(late).ids.push(twin);
        told.newer();
        assert!(!told.late());
        assert_eq!(told.world.tally.late, 1);
        // Another router's does not count, nor one that comes later.
        let mut told = Told::new();
        told.world.apart_until[told.taker][told.bringing] = Time::MAX;
        told.newer();
        told.world.apart_until[told.taker][told.passing] = Time::MAX;
        assert!(told.late());
    }

    #[test]
    fn bounds_excuse_the_router_that_has_let_a_message_go() {
        let mut told = Told::new();
        let late = told.late;
        told.said(late).ids.iter_mut().for_each(|id| id.sequence += 1_000_000);
        told.newer();
        assert!(!told.late());
        assert_eq!(told.world.tally.late_expired, 1);
        // So do they where what they let go elsewhere never came.
        for has_left in [true, false] {
            let mut told = Told::new();
            let (late, newer, passing, now) = (told.late, told.newer, told.passing, told.world.now);
            if has_left {
                told.said(late).ids.iter_mut().for_each(|id| id.sequence += 1_000_000);
            }
            told.said(late).came_at.remove(&passing);
            for said in &mut told.world.judge.ledger.said[newer..] {
                said.came_at.insert(passing, now);
            }
            told.newer();
            assert_eq!(!told.late(), has_left);
        }
    }

    #[test]
    fn a_router_that_lacks_a_message_waits_for_it() {
        for (waited_ms, is_excused) in [(1_000, false), (2_000, true)] {
            let mut told = Told::new();
            let (late, newer, passing, now) = (told.late, told.newer, told.passing, told.world.now);
            told.said(late).came_at.remove(&passing);
            for said in &mut told.world.judge.ledger.said[newer..] {
                said.came_at.insert(passing, now);
            }
            told.newer();
            told.world.now = now + Duration::from_millis(waited_ms);
            assert_eq!(!told.late(), is_excused, "after {waited_ms} ms");
        }
    }

    #[test]
    fn nobody_waits_for_what_the_taker_of_the_newer_one_could_not_name() {
        for (before_ms, is_excused) in [(0, true), (3_000, false)] {
            let mut told = Told::new();
            let (late, newer, passing, now) = (told.late, told.newer, told.passing, told.world.now);
            let taker = told.taker;
            // It came to the taker after that, and to where the newer one came from
            // so long before that one.
            told.said(late).came_at.insert(taker, now);
            let at = told.said(late).came_at[&passing];
            told.said(newer).came_at.insert(passing, at + Duration::from_millis(before_ms));
            told.newer();
            assert_eq!(!told.late(), is_excused, "{before_ms} ms before");
        }
    }

    #[test]
    fn every_router_that_passes_a_message_over_needs_an_excuse() {
        let mut told = Told::new();
        let newest = *told.world.judge.ledger.of_speaker(1, told.newer + 1, usize::MAX).first().unwrap();
        told.world.apart_until[told.taker][told.passing] = Time::MAX;
        told.newer();
        told.world.heard_in_order(told.listener, told.taker, newest);
        assert!(told.late());
    }
}
