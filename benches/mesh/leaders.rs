//! Who leads, and how long nobody or more than one does: each round on a fresh mesh of three, in its own namespaces.
//!
//! A fault comes at a moment of its own in each round: the same one again and again would always meet the same moment
//! between two heartbeats or adverts. Times begin before the fault is made: those of a cut cable or of a rule of the switch hold the milliseconds that
//! `ip` and `nft` take.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    bench::{Bench, Pair, progress},
    cluster::Cluster,
    common::{
        dialect::Result,
        table::{Reach, Row},
        tally::median,
    },
    program::Program,
};

const ROUTERS: usize = 3;
/// Nobody needs as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Both sides have settled when a partition heals.
const APART: Duration = Duration::from_secs(4);
/// After the heal, or under a lasting fault, the leaders are watched for so long.
const WATCH: Duration = Duration::from_secs(6);
/// The longer one of the programs' periods, from one advert to the next; heartbeats come four times in it.
const PERIOD: Duration = Duration::from_secs(1);
/// What happens under loss is stated for ten minutes.
const STATED_MINUTES: f64 = 10.0;
/// Percent of packets lost, and take-overs in ten minutes that may come of it.
const LOSSES: [(u8, f64); 3] = [(10, 0.0), (20, 0.0), (30, 1.0)];

/// How a coordinator goes.
#[derive(Clone, Copy)]
enum End {
    Killed,
    Terminated,
    Unplugged,
}

impl Bench {
    pub(crate) fn killed(&self) -> Result<Vec<Row>> {
        let rounds = self.ended(End::Killed)?;
        Ok(in_ms(&rounds).rows("coordinator killed (-9) until the next serves", "ms", 200.0, 400.0))
    }

    pub(crate) fn terminated(&self) -> Result<Vec<Row>> {
        let rounds = self.ended(End::Terminated)?;
        let medians = in_ms(&rounds).map(|rounds| median(rounds.iter().copied()));
        Ok(vec![medians.row("coordinator ended (SIGTERM) until the next serves", "ms", Reach::AtMost(100.0))])
    }

    pub(crate) fn unplugged(&self) -> Result<Vec<Row>> {
        let rounds = self.ended(End::Unplugged)?;
        Ok(rounds.rows("coordinator's port down until the next serves", "s", 1.8, 2.2))
    }

    /// From the coordinator's end until another one leads, in seconds.
    fn ended(&self, end: End) -> Result<Pair<Vec<f64>>> {
        self.beside(self.amounts.rounds, |program, round| {
            let mut cluster = Cluster::settled(program, ROUTERS)?;
            let leader = cluster.settle()?;
            wait_a_part(round);
            let at = match end {
                End::Killed => cluster.member(leader)?.kill(),
                End::Terminated => cluster.member(leader)?.terminate(),
                End::Unplugged => {
                    let at = Instant::now();
                    cluster.net.unplug(leader);
                    at
                }
            };
            let next = cluster.next_leader(&cluster.others(leader), at, PATIENCE)?;
            Ok(told(program, "nobody led for", next - at))
        })
    }

    /// The coordinator's frames are dropped, later they are not.
    pub(crate) fn isolated(&self) -> Result<Vec<Row>> {
        let rounds = self.beside(self.amounts.rounds, |program, round| {
            let cluster = Cluster::settled(program, ROUTERS)?;
            let leader = cluster.settle()?;
            wait_a_part(round);
            let others = cluster.others(leader);
            let cut = Instant::now();
            cluster.net.partition(&[leader], &others);
            let next = cluster.next_leader(&others, cut, PATIENCE)?;
            thread::sleep(APART);
            wait_a_part(round);
            if cluster.leaders().len() != 2 {
                return Err(cluster.explain("a partition has not two leaders"));
            }
            let healed = Instant::now();
            cluster.net.heal();
            thread::sleep(WATCH);
            let two = two_leaders(&cluster, healed)?;
            Ok([
                told(program, "isolated, nobody led for", next - cut),
                told(program, "healed, two led for", two),
            ])
        })?;
        let of =
            |which: usize| rounds.map(|rounds| rounds.iter().map(|round| round[which]).collect::<Vec<_>>());
        let mut rows = of(0).rows("coordinator isolated until the next serves", "s", 1.8, 2.2);
        rows.extend(of(1).rows("two leaders after the heal", "s", 0.5, 1.0));
        Ok(rows)
    }

    /// Take-overs though everyone lives; all shares of loss at the same time, on networks of their own.
    pub(crate) fn lossy(&self) -> Result<Vec<Row>> {
        let minutes = self.amounts.loss_minutes;
        let counted = thread::scope(|scope| {
            let count = |(percent, most)| {
                let count = self.beside(1, |program, _| takeovers(program, percent, minutes));
                count.map(|count| (percent, most, count)).map_err(|error| error.to_string())
            };
            let counts: Vec<_> = LOSSES.into_iter().map(|loss| scope.spawn(move || count(loss))).collect();
            let joined =
                counts.into_iter().map(|count| count.join().map_err(|_| "it panicked".to_owned())?);
            joined.collect::<std::result::Result<Vec<_>, String>>()
        })?;
        let row = |(percent, most, count): (u8, f64, Pair<Vec<f64>>)| {
            let work = format!("false take-overs at {percent} % loss, in ten minutes ({minutes} measured)");
            count.map(|count| count.iter().sum::<f64>() * STATED_MINUTES / minutes).row(
                &work,
                "",
                Reach::AtMost(most),
            )
        };
        Ok(counted.into_iter().map(row).collect())
    }

    /// One router does not hear the coordinator, the third one hears both.
    pub(crate) fn half_deaf(&self) -> Result<Vec<Row>> {
        let rounds = self.beside(self.amounts.rounds, |program, round| {
            let cluster = Cluster::settled(program, ROUTERS)?;
            let leader = cluster.settle()?;
            let deaf = cluster.others(leader)[0];
            wait_a_part(round);
            let cut = Instant::now();
            if round % 2 == 0 {
                cluster.net.one_way(leader, deaf);
            } else {
                cluster.net.partition(&[leader], &[deaf]);
            }
            thread::sleep(WATCH);
            let history = cluster.leaders_since(cut);
            let most = history.iter().map(|(_, count)| *count).max().unwrap_or(0);
            let least = history.iter().map(|(_, count)| *count).min().unwrap_or(0);
            progress(program, &format!("one hears the other not: {least} to {most} led"));
            Ok(if (least, most) == (1, 1) { 0.0 } else { 1.0 })
        })?;
        let work =
            format!("one cannot hear the coordinator: not one leader, rounds of {}", self.amounts.rounds);
        Ok(vec![rounds.map(|rounds| rounds.iter().sum()).row(&work, "", Reach::AtMost(0.0))])
    }

    /// From the start of the one that shall lead until it does.
    pub(crate) fn hand_back(&self) -> Result<Vec<Row>> {
        let rounds = self.beside(self.amounts.rounds, |program, round| {
            let mut cluster = Cluster::new(program, ROUTERS, 0)?.ranked();
            let best = ROUTERS - 1;
            for host in 0..best {
                cluster.start(host)?;
            }
            cluster.settle()?;
            wait_a_part(round);
            let at = cluster.start(best)?;
            let leads = cluster.next_leader(&[best], at, PATIENCE)?;
            Ok(told(program, "the best one led after", leads - at))
        })?;
        let medians = rounds.map(|rounds| median(rounds.iter().copied()));
        Ok(vec![medians.row("hand-back: start of the better one until it leads", "s", Reach::AtMost(3.0))])
    }
}

/// A part of [`PERIOD`] that differs in each round; together the rounds are spread evenly over it.
fn wait_a_part(round: u32) {
    const GOLDEN_RATIO: f64 = 0.618_034;
    thread::sleep(PERIOD.mul_f64((f64::from(round) + 0.5) * GOLDEN_RATIO % 1.0));
}

/// How often someone began to lead in so many minutes of loss.
fn takeovers(program: &Program, percent: u8, minutes: f64) -> Result<f64> {
    let cluster = Cluster::settled(program, ROUTERS)?;
    let since = Instant::now();
    cluster.net.loss_everywhere(percent);
    thread::sleep(Duration::from_secs_f64(minutes * 60.0));
    let begun = cluster.running().flat_map(|(_, member)| member.beginnings());
    let count = begun.filter(|at| *at >= since).count();
    progress(program, &format!("{percent} % loss: {count} take-overs in {minutes} minutes"));
    if count > 0 && program.counts_members() {
        eprintln!("{}", cluster.explain("the last that they said"));
    }
    Ok(count as f64)
}

/// From the heal until the last moment at which other than one led.
fn two_leaders(cluster: &Cluster, healed: Instant) -> Result<Duration> {
    let history = cluster.leaders_since(healed);
    let (at, count) = history.last().copied().unwrap_or((healed, 0));
    if count != 1 {
        return Err(cluster.explain(&format!("{count} lead after the heal")));
    }
    Ok(at - healed)
}

/// Seconds as milliseconds.
fn in_ms(rounds: &Pair<Vec<f64>>) -> Pair<Vec<f64>> {
    rounds.map(|rounds| rounds.iter().map(|seconds| seconds * 1_000.0).collect())
}

fn told(program: &Program, what: &str, time: Duration) -> f64 {
    progress(program, &format!("{what} {:.4} s", time.as_secs_f64()));
    time.as_secs_f64()
}
