//! What happens, act by act, and how long it may take. All that it waits for is
//! seen on the [`Stage`].

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::crowd::{Crowd, Happened, NAMES, Order, ROOM, SPEAKER};
use super::fleet::Fleet;
use super::screen::Screen;
use super::stage::{Life, Stage};
use super::{Pace, ROUTERS, watch};
use crate::client::Url;

/// How often the routers are asked and the picture is drawn.
const LOOK: Duration = Duration::from_millis(100);
/// How often they are asked while the lead is open, which is how exactly the
/// time without a leader is known.
const LOOK_CLOSELY: Duration = Duration::from_millis(10);
/// For anything that should take a second or two, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// The router that is back may keep out of the lead this long.
const HAND_BACK_MAX: Duration = Duration::from_secs(6);
/// After the last message was heard: one that comes twice comes within this.
const AFTERMATH: Duration = Duration::from_millis(700);

/// Why it did not end well.
pub(super) enum Flop {
    /// By whoever watches.
    Interrupted,
    /// What went wrong.
    Failed(String),
}

impl From<io::Error> for Flop {
    fn from(error: io::Error) -> Self {
        Self::Failed(format!("the system refuses: {error}"))
    }
}

/// The story and everybody in it.
pub(super) struct Story {
    fleet: Fleet,
    crowd: Option<Crowd>,
    stage: Stage,
    screen: Screen,
    pace: Pace,
    began: Instant,
    look: Interval,
    drawn: Option<Instant>,
    signals: [Signal; 3],
}

impl Story {
    /// # Errors
    /// The system lets nobody wait for signals.
    pub(super) fn new(fleet: Fleet, stage: Stage, screen: Screen, pace: Pace) -> io::Result<Self> {
        let signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        let (began, look) = (Instant::now(), every(LOOK));
        Ok(Self { fleet, crowd: None, stage, screen, pace, began, look, drawn: None, signals })
    }

    /// All five acts.
    pub(super) async fn play(&mut self) -> Result<(), Flop> {
        let leader = self.meet().await?;
        self.converse(leader).await?;
        let (killed, took_over) = self.lose().await?;
        self.recover(killed).await?;
        self.conclude(killed, &took_over).await
    }

    /// The first act: three routers agree. Returns who leads.
    async fn meet(&mut self) -> Result<usize, Flop> {
        self.announce("Each one listens before it may lead, so that it disturbs none that does.");
        (0..ROUTERS).try_for_each(|router| self.fleet.start(router))?;
        self.until("the three routers agree on a leader", |stage| stage.agreed_leader(ROUTERS).is_some())
            .await?;
        let leader = self.stage.agreed_leader(ROUTERS).unwrap_or_default();
        let name = self.name(leader);
        let seconds = self.began.elapsed().as_secs_f64();
        self.outcome(format!("All three agreed after {seconds:.1} s: {name} leads"));
        Ok(leader)
    }

    /// The second act: the clients come, and Anna speaks.
    async fn converse(&mut self, leader: usize) -> Result<(), Flop> {
        self.announce("What one router takes in, all of them hold a moment later.");
        let urls = (0..ROUTERS).map(|router| self.fleet.url(router).parse::<Url>());
        let urls = urls.collect::<Result<Vec<_>, _>>().map_err(Flop::Failed)?;
        let (second, third) = ((leader + 1) % ROUTERS, (leader + 2) % ROUTERS);
        let crowd = Crowd::new(&urls, [leader, leader, second, third]);
        self.crowd = Some(crowd.map_err(|error| Flop::Failed(error.to_string()))?);
        self.until("all clients are connected", |stage| stage.all_arrived(None)).await?;
        self.order(SPEAKER, Order::Speak).await;
        self.during(self.pace.before).await?;
        self.until("all listeners hear Anna", |stage| stage.stored >= 3 && stage.all_heard(3)).await?;
        let name = self.name(leader);
        self.outcome(format!("Anna speaks at {name}; Ben, Cleo and Dora hear her at all three"));
        Ok(())
    }

    /// The third act: the leader is killed. Returns which one that was, and who
    /// has replaced it.
    async fn lose(&mut self) -> Result<(usize, String), Flop> {
        self.announce("Its clients look for another router; two routers agree on a new leader.");
        // Whoever leads now: a better one may have become ready since the start.
        self.look = every(LOOK_CLOSELY);
        self.during(2 * LOOK_CLOSELY).await?;
        let agreed = |stage: &Stage| stage.agreed_leader(ROUTERS);
        self.until("the three routers agree on a leader", |stage| agreed(stage).is_some()).await?;
        let leader = agreed(&self.stage).unwrap_or_default();
        let there = self.stage.clients_at(leader);
        let killed = Instant::now();
        self.fleet.kill(leader)?;
        self.stage.routers[leader].life = Life::Killed;
        self.stage.router(leader, None);
        self.look.reset_immediately();
        let dead = self.name(leader);
        self.tell(&format!("{dead} is killed; these have lost their router: {there}"));
        self.until("another router leads", |stage| stage.leader().is_some()).await?;
        let took_over = killed.elapsed().as_millis();
        let name = self.name(self.stage.leader().unwrap_or_default());
        self.tell(&format!("{name} leads, {took_over} ms after the kill"));
        self.look = every(LOOK);
        self.until("all clients have found another router", |stage| stage.all_arrived(Some(leader))).await?;
        let moved = killed.elapsed().as_millis();
        self.tell(&format!("all clients are at the other two, {moved} ms after the kill"));
        self.during(self.pace.without).await?;
        self.until("both agree", |stage| stage.agreed_leader(ROUTERS - 1).is_some()).await?;
        self.outcome(format!(
            "{dead} killed: {name} led after {took_over} ms, its clients moved in {moved} ms"
        ));
        Ok((leader, format!("{name} took over after {took_over} ms")))
    }

    /// The fourth act: the killed router starts again and catches up.
    async fn recover(&mut self, killed: usize) -> Result<(), Flop> {
        self.announce("The others give it what it has missed, and Ben goes back to it.");
        let due = (0..ROUTERS).map(|router| self.stage.records(router)).max().unwrap_or(0);
        self.fleet.start(killed)?;
        let started = Instant::now();
        self.stage.routers[killed].life = Life::Starting;
        let all = |stage: &Stage| due > 0 && stage.records(killed) >= due;
        self.until("the killed router holds all messages again", all).await?;
        let (name, caught_up) = (self.name(killed), started.elapsed().as_secs_f64());
        self.tell(&format!("{name} holds all {due} messages again, {caught_up:.1} s after its start"));
        self.order(1, Order::MoveTo(killed)).await;
        self.until("Ben is back", |stage| stage.clients[1].at == Some(killed)).await?;
        self.tell(&format!("Ben is back at {name}"));
        self.during(self.pace.after).await?;
        let seen = self.within(HAND_BACK_MAX, |stage| stage.agreed_leader(ROUTERS) == Some(killed)).await?;
        self.until("all three agree again", |stage| stage.agreed_leader(ROUTERS).is_some()).await?;
        let leads = if seen { "leads again" } else { "follows" };
        self.outcome(format!("{name} is back, with all {due} messages after {caught_up:.1} s, and {leads}"));
        Ok(())
    }

    /// The last act: everything is counted.
    async fn conclude(&mut self, killed: usize, took_over: &str) -> Result<(), Flop> {
        self.announce("The last words arrive; then everything is counted.");
        self.order(SPEAKER, Order::FallSilent).await;
        let complete = |stage: &Stage| stage.stored == stage.said && stage.all_heard(stage.stored);
        // What is not there by then is lost: the count below says so.
        self.within(PATIENCE, complete).await?;
        self.during(AFTERMATH).await?;
        let faults = self.stage.faults();
        let (said, name) = (self.stage.said, self.name(killed));
        if faults.is_empty() {
            self.outcome(format!(
                "Nothing lost, nothing doubled: {said} messages, each heard once by all three"
            ));
            self.draw();
            self.screen.say(&format!(
                "\nNothing lost, nothing doubled: Anna said {said} messages; Ben, Cleo and Dora\n\
                 heard each of them once and in order, though {name}, which led, was killed.\n\
                 {took_over}."
            ));
            return Ok(());
        }
        self.outcome(format!("Not all went well: {}", faults[0]));
        self.draw();
        Err(Flop::Failed(faults.join("\n")))
    }

    /// Leaves everything running until a signal comes.
    pub(super) async fn keep_running(&mut self) -> Result<(), Flop> {
        let urls = (0..ROUTERS).map(|router| format!("  {}  {}", self.name(router), self.fleet.url(router)));
        let urls: Vec<_> = urls.collect();
        let socket = |router| format!("  fau3 status --control {}", self.fleet.control(router).display());
        let asking: Vec<_> = (0..ROUTERS).map(socket).collect();
        let (first, last) = (self.fleet.url(0), self.fleet.url(ROUTERS - 1));
        self.screen.say(&format!(
            "\nThe routers keep running until Ctrl-C:\n{}\nTry, in two other terminals:\n  \
             fau3 listen --room {ROOM} --url {first}\n  \
             fau3 talk --room {ROOM} --url {last} message.speex\nHow they are, each by its socket:\n{}",
            urls.join("\n"),
            asking.join("\n")
        ));
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(Flop::Interrupted) => return Ok(()),
                Err(failed) => return Err(failed),
            }
        }
    }

    /// The folder with the logs stays; where it is.
    pub(super) fn keep_logs(&mut self) -> String {
        self.fleet.keep_folder().display().to_string()
    }

    /// Everybody says goodbye; the routers go when this is dropped.
    pub(super) async fn end(mut self) {
        if let Some(crowd) = self.crowd.take() {
            crowd.leave().await;
        }
    }

    /// Goes on until `met`.
    async fn until(&mut self, what: &str, met: impl Fn(&Stage) -> bool) -> Result<(), Flop> {
        if self.within(PATIENCE, met).await? {
            return Ok(());
        }
        let mut text = format!("waited {} s in vain for this: {what}", PATIENCE.as_secs());
        if self.stage.said > 0 {
            self.stage.faults().iter().for_each(|fault| text += &format!("\n{fault}"));
        }
        Err(Flop::Failed(text))
    }

    /// Goes on until `met`, at most for `span`; whether it was met.
    async fn within(&mut self, span: Duration, met: impl Fn(&Stage) -> bool) -> Result<bool, Flop> {
        let deadline = Instant::now() + span;
        while !met(&self.stage) {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.turn().await?;
        }
        Ok(true)
    }

    /// Goes on for this long.
    async fn during(&mut self, span: Duration) -> Result<(), Flop> {
        self.within(span, |_| false).await.map(drop)
    }

    /// Takes in the next thing that happens.
    async fn turn(&mut self) -> Result<(), Flop> {
        let [interrupt, terminate, hang_up] = &mut self.signals;
        tokio::select! {
            (client, happened) = next_of(&mut self.crowd) => return self.take(client, happened),
            _ = self.look.tick() => {}
            _ = interrupt.recv() => return Err(Flop::Interrupted),
            _ = terminate.recv() => return Err(Flop::Interrupted),
            _ = hang_up.recv() => return Err(Flop::Interrupted),
        }
        self.look_around().await
    }

    fn take(&mut self, client: usize, happened: Happened) -> Result<(), Flop> {
        let failed = match &happened {
            Happened::Failed(reason) => Some(format!("{} cannot go on: {reason}", NAMES[client])),
            Happened::Heard(None) => {
                self.tell(&format!("{} has heard a guest", NAMES[client]));
                None
            }
            _ => None,
        };
        self.stage.client(client, happened);
        failed.map_or(Ok(()), |text| Err(Flop::Failed(text)))
    }

    /// Asks all routers how they are, and shows it.
    async fn look_around(&mut self) -> Result<(), Flop> {
        let [a, b, c] = std::array::from_fn(|router| self.fleet.control(router));
        let answers = tokio::join!(watch::look(&a), watch::look(&b), watch::look(&c));
        for (router, answer) in <[_; ROUTERS]>::from(answers).into_iter().enumerate() {
            self.stage.router(router, answer);
        }
        if let Some((router, log)) = self.fleet.ended() {
            return Err(Flop::Failed(format!("{} has ended by itself:\n{log}", self.name(router))));
        }
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= LOOK) {
            self.draw();
        }
        Ok(())
    }

    fn draw(&mut self) {
        self.drawn = Some(Instant::now());
        self.stage.elapsed = self.began.elapsed();
        self.screen.show(&self.stage);
    }

    /// The act that begins, and why it is worth watching.
    fn announce(&mut self, caption: &str) {
        self.stage.caption = caption.to_owned();
        let (act, text) = (self.stage.act, self.stage.act_text(self.stage.act).to_owned());
        self.tell(&format!("{}. {text}", act + 1));
    }

    fn outcome(&mut self, text: String) {
        self.tell(&text);
        self.stage.act_done(text);
    }

    fn tell(&self, text: &str) {
        self.screen.tell(self.began.elapsed(), text);
    }

    fn name(&self, router: usize) -> String {
        self.stage.routers[router].name.clone()
    }

    async fn order(&self, client: usize, order: Order) {
        if let Some(crowd) = &self.crowd {
            crowd.order(client, order).await;
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What happens next among the clients; never, before there are any.
async fn next_of(crowd: &mut Option<Crowd>) -> (usize, Happened) {
    match crowd {
        Some(crowd) => crowd.next().await,
        None => std::future::pending().await,
    }
}
