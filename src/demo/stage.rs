//! What is to be seen at one moment: the acts, the routers, the clients. Pure;
//! what happens is told to it, and the drawing is made from it.

use std::time::Duration;

use super::crowd::{Happened, NAMES, SPEAKER};
use super::fleet::name;
use super::tally::Tally;
use super::watch::Answer;
use super::{ACTS, ROUTERS};

/// What is announced of each act, before and while it is played.
const ANNOUNCED: [&str; ACTS] = [
    "Three routers start, find each other and agree on one that leads",
    "Anna speaks; Ben, Cleo and Dora listen, spread over all three routers",
    "The leader is killed while Anna speaks (kill -9: no goodbye)",
    "The killed router starts again, with nothing in its memory",
    "Anna stops: has everybody heard everything, and nothing twice?",
];

/// A router as those see it who watch.
#[derive(Debug, Clone, Default)]
pub(super) struct Router {
    pub(super) name: String,
    pub(super) life: Life,
    /// What it said last; `None`: it does not answer.
    pub(super) answer: Option<Answer>,
}

/// Whether there is a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Life {
    #[default]
    Starting,
    Up,
    Killed,
}

/// A client as it tells of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Client {
    pub(super) name: &'static str,
    /// The router it is at; `None`: it looks for one.
    pub(super) at: Option<usize>,
    pub(super) tally: Tally,
    /// Why it cannot go on.
    pub(super) failed: Option<String>,
}

/// Everything that is shown.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) elapsed: Duration,
    /// The act that is played; [`ACTS`] when all have been.
    pub(super) act: usize,
    /// What came of those that have been played.
    pub(super) outcomes: Vec<String>,
    pub(super) routers: [Router; ROUTERS],
    pub(super) clients: [Client; NAMES.len()],
    /// Messages that Anna has said.
    pub(super) said: u64,
    /// Those of them that were confirmed to her.
    pub(super) stored: u64,
    /// What happens now, in plain words.
    pub(super) caption: String,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            elapsed: Duration::ZERO,
            act: 0,
            outcomes: Vec::new(),
            routers: std::array::from_fn(|router| Router { name: name(router), ..Router::default() }),
            clients: NAMES.map(|name| Client { name, ..Client::default() }),
            said: 0,
            stored: 0,
            caption: String::new(),
        }
    }

    /// What stands beside an act's number.
    pub(super) fn act_text(&self, act: usize) -> &str {
        self.outcomes.get(act).map_or(ANNOUNCED[act], String::as_str)
    }

    /// The act is over, with this outcome.
    pub(super) fn act_done(&mut self, outcome: String) {
        self.outcomes.push(outcome);
        self.act += 1;
        self.caption.clear();
    }

    /// Takes in what a client has told.
    pub(super) fn client(&mut self, client: usize, happened: Happened) {
        let seen = &mut self.clients[client];
        match happened {
            Happened::Arrived(router) => seen.at = Some(router),
            Happened::Lost => seen.at = None,
            Happened::Said => self.said += 1,
            Happened::Stored => self.stored += 1,
            Happened::Heard(number) => seen.tally.take(number),
            Happened::Failed(reason) => (seen.at, seen.failed) = (None, Some(reason)),
        }
    }

    /// Takes in what a router has answered.
    pub(super) fn router(&mut self, router: usize, answer: Option<Answer>) {
        let seen = &mut self.routers[router];
        if seen.life == Life::Starting && answer.is_some() {
            seen.life = Life::Up;
        }
        seen.answer = answer.filter(|_| seen.life != Life::Killed);
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().enumerate().filter(|(client, _)| *client != SPEAKER).map(|(_, seen)| seen)
    }

    /// Whoever leads, if all that answer agree on it, and `count` of them do.
    pub(super) fn agreed_leader(&self, count: usize) -> Option<usize> {
        let leader = self.leader()?;
        let answers: Vec<_> = self.routers.iter().filter_map(|router| router.answer.as_ref()).collect();
        let agree = answers
            .iter()
            .all(|answer| answer.leader() == self.routers[leader].name && answer.reach() == answers.len());
        (agree && answers.len() == count).then_some(leader)
    }

    /// The router that says that it leads, where only one does.
    pub(super) fn leader(&self) -> Option<usize> {
        let leads = |router: &Router| router.answer.as_ref().is_some_and(Answer::leads);
        let mut leaders = (0..ROUTERS).filter(|&router| leads(&self.routers[router]));
        let first = leaders.next()?;
        leaders.next().is_none().then_some(first)
    }

    /// Messages that a router holds; 0 if it does not say.
    pub(super) fn records(&self, router: usize) -> u64 {
        self.routers[router].answer.as_ref().map_or(0, Answer::records)
    }

    /// The names of the clients that are at this router.
    pub(super) fn clients_at(&self, router: usize) -> String {
        let there = self.clients.iter().filter(|client| client.at == Some(router));
        there.map(|client| client.name).collect::<Vec<_>>().join(", ")
    }

    /// Whether every client is at a router, and none at `except`.
    pub(super) fn all_arrived(&self, except: Option<usize>) -> bool {
        self.clients.iter().all(|client| client.at.is_some() && client.at != except)
    }

    /// Whether every listener has heard the first `count` messages.
    pub(super) fn all_heard(&self, count: u64) -> bool {
        self.listeners().all(|listener| listener.tally.missing(count) == 0)
    }

    /// What went wrong with the messages, a line each; empty if nothing did.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |count: u64, text: String| {
            if count > 0 {
                faults.push(text);
            }
        };
        let unconfirmed = self.said - self.stored;
        fault(unconfirmed, format!("{unconfirmed} of Anna's messages were never confirmed"));
        for listener in self.listeners() {
            let (name, tally) = (listener.name, &listener.tally);
            let lost = tally.missing(self.stored);
            fault(lost, format!("{name} has not heard {lost} of {} messages", self.stored));
            fault(tally.doubled, format!("{name} has heard {} messages twice", tally.doubled));
            fault(tally.late, format!("{name} has heard {} messages out of order", tally.late));
        }
        fault(u64::from(self.stored == 0), "nothing was said".to_owned());
        faults
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::watch::tests::answer;
    use super::*;

    /// Router b leads, everybody is somewhere, and five messages were heard.
    pub(in crate::demo) fn in_the_second_act() -> Stage {
        let mut stage = Stage::new();
        stage.elapsed = Duration::from_millis(4_230);
        stage.act_done("All three agreed after 2.1 s: router-b leads".to_owned());
        stage.caption = "What one router takes in, all of them hold a moment later.".to_owned();
        for (router, clients) in [&["Cleo"][..], &["Anna", "Ben"], &["Dora"]].into_iter().enumerate() {
            let name = stage.routers[router].name.clone();
            stage.router(router, Some(answer(&name, "router-b", 3, clients, 5)));
        }
        for (client, router) in [1, 1, 0, 2].into_iter().enumerate() {
            stage.client(client, Happened::Arrived(router));
        }
        for number in 0..5 {
            stage.client(SPEAKER, Happened::Said);
            stage.client(SPEAKER, Happened::Stored);
            (1..NAMES.len()).for_each(|client| stage.client(client, Happened::Heard(Some(number))));
        }
        stage
    }

    #[test]
    fn a_leader_is_one_on_which_all_that_answer_agree() {
        let mut stage = in_the_second_act();
        assert_eq!((stage.agreed_leader(3), stage.agreed_leader(2)), (Some(1), None));
        // Given one that still follows another one,
        stage.router(2, Some(answer("router-c", "router-a", 2, &[], 0)));
        assert_eq!((stage.agreed_leader(3), stage.leader()), (None, Some(1)));
        // or two that both say that they lead,
        stage.router(2, Some(answer("router-c", "router-c", 2, &[], 0)));
        assert_eq!((stage.agreed_leader(3), stage.leader()), (None, None));
        // or one that is gone but still counted: then nobody is agreed on.
        stage.routers[2].life = Life::Killed;
        stage.router(2, Some(answer("router-c", "router-b", 3, &[], 0)));
        assert_eq!((stage.agreed_leader(2), stage.leader()), (None, Some(1)));
    }

    #[test]
    fn what_was_heard_once_by_all_is_no_fault() {
        let mut stage = in_the_second_act();
        assert!(stage.faults().is_empty() && stage.all_heard(5) && !stage.all_heard(6));
        // When one more is said, confirmed and heard by two of three, once twice,
        stage.client(SPEAKER, Happened::Said);
        assert_eq!(stage.faults(), ["1 of Anna's messages were never confirmed"]);
        stage.client(SPEAKER, Happened::Stored);
        stage.client(1, Happened::Heard(Some(5)));
        stage.client(2, Happened::Heard(Some(5)));
        stage.client(2, Happened::Heard(Some(5)));
        // then both faults are named.
        assert_eq!(stage.faults(), ["Cleo has heard 1 messages twice", "Dora has not heard 1 of 6 messages"]);
    }

    #[test]
    fn silence_is_no_success() {
        assert_eq!(Stage::new().faults(), ["nothing was said"]);
    }

    #[test]
    fn a_client_is_somewhere_only_between_arrival_and_loss() {
        let mut stage = in_the_second_act();
        assert!(stage.all_arrived(None) && !stage.all_arrived(Some(1)));
        assert_eq!(stage.clients_at(1), "Anna, Ben");
        stage.client(2, Happened::Lost);
        assert!(!stage.all_arrived(None));
        stage.client(2, Happened::Failed("refused".into()));
        assert_eq!(stage.clients[2].failed.as_deref(), Some("refused"));
    }
}
