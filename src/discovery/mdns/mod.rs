//! Multicast DNS (RFC 6762, RFC 6763): announces this router, and hears others.
//!
//! The protocol is the library's. What it leaves to its user is here: it closes
//! a receiver that falls behind without a word; it asks ever more rarely, up to
//! once an hour, so that a link that comes back unseen stays without routers;
//! and what it remembers has no bound.

mod announce;
mod daemon;
mod heard;

use std::collections::BTreeSet;
use std::time::Duration;

use mdns_sd::{DaemonEvent, ResolvedService, ServiceEvent};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{debug, warn};

use super::rarely::Rarely;
use super::reported::{Reported, send_all};
use super::{News, Own, Scan, Scanning};
use daemon::Daemon;

/// Routers that are believed to be there at once. Further announcements are
/// left out until some of these have gone.
pub const ROUTERS_MAX: usize = 256;
/// Announced names between two questions; one more, and it is a flood.
const NAMES_MAX: usize = 4 * ROUTERS_MAX;
/// Records of the network that the library may remember, some 400 bytes each.
const RECORDS_MAX: usize = 4_096;
/// How often it is asked how many those are.
const RECORDS_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Who has not answered so long after a question has gone.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// The first question of our own after the library's first ones, or after a
/// router was lost; doubling up to the longest.
const QUESTION_INTERVAL_MIN: Duration = ANSWER_TIME_MAX;
/// The longest time between two of our questions.
const QUESTION_INTERVAL_MAX: Duration = Duration::from_secs(120);
/// The first pause after a flood or a failure; doubling up to the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// What has run for so long had nothing wrong with it: pauses begin anew.
const CALM: Duration = Duration::from_secs(120);

/// Announces this router and reports others.
#[derive(Debug)]
pub struct Mdns {
    own: Own,
}

impl Mdns {
    /// A scan that announces `own`.
    #[must_use]
    pub fn new(own: Own) -> Self {
        Self { own }
    }
}

impl Scan for Mdns {
    fn run(self: Box<Self>, news: mpsc::Sender<News>) -> Scanning {
        Box::pin(async move {
            let mut hearing = Hearing::new(self.own, news);
            let mut pause = PAUSE_MIN;
            loop {
                let since = Instant::now();
                match hearing.run().await {
                    End::Unwanted => return,
                    End::Flooded(records) => hearing.warn("a flood of announcements", &records),
                    End::Failed(error) => hearing.warn("it has failed", &error),
                }
                pause = if since.elapsed() > CALM { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
                tokio::select! {
                    () = sleep(pause) => {}
                    () = hearing.news.closed() => return,
                }
            }
        })
    }
}

/// Why hearing has ended.
enum End {
    /// Nobody takes the news any more.
    Unwanted,
    /// More was announced than is good for memory.
    Flooded(String),
    Failed(String),
}

impl From<SendError<News>> for End {
    fn from(_: SendError<News>) -> Self {
        Self::Unwanted
    }
}

impl From<mdns_sd::Error> for End {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

struct Hearing {
    own: Own,
    news: mpsc::Sender<News>,
    /// By the full name of what they announce.
    reported: Reported<String>,
    /// Names heard since the last question.
    answered: BTreeSet<String>,
    question_interval: Duration,
    warned: Rarely,
    overfull: Rarely,
}

impl Hearing {
    fn new(own: Own, news: mpsc::Sender<News>) -> Self {
        Self {
            own,
            news,
            reported: Reported::new(ROUTERS_MAX),
            answered: BTreeSet::new(),
            question_interval: QUESTION_INTERVAL_MIN,
            warned: Rarely::default(),
            overfull: Rarely::default(),
        }
    }

    /// From a start of the library to its end, with a goodbye.
    async fn run(&mut self) -> End {
        match Daemon::start(&self.own) {
            Ok(daemon) => {
                let end = self.hear(&daemon).await;
                daemon.stop().await;
                end
            }
            Err(error) => error.into(),
        }
    }

    async fn hear(&mut self, daemon: &Daemon) -> End {
        match self.try_hear(daemon).await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn try_hear(&mut self, daemon: &Daemon) -> Result<std::convert::Infallible, End> {
        let mut events = daemon.ask()?;
        let mut asked = Instant::now();
        let mut is_judged = false;
        let troubles = daemon.troubles()?;
        let mut check = interval(RECORDS_CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.question_interval = QUESTION_INTERVAL_MIN;
        loop {
            tokio::select! {
                () = self.news.closed() => return Err(End::Unwanted),
                event = events.recv_async() => match event {
                    Ok(event) => self.take(event).await?,
                    // Closed since we were too slow: ask again, which tells all anew.
                    Err(_) => {
                        sleep(PAUSE_MIN).await;
                        (events, asked, is_judged) = (daemon.ask()?, Instant::now(), false);
                    }
                },
                () = sleep_until(asked + ANSWER_TIME_MAX), if !is_judged => {
                    is_judged = true;
                    self.judge().await?;
                }
                () = sleep_until(asked + self.question_interval), if is_judged => {
                    self.question_interval = (self.question_interval * 2).min(QUESTION_INTERVAL_MAX);
                    self.answered.clear();
                    (events, asked, is_judged) = (daemon.ask()?, Instant::now(), false);
                }
                _ = check.tick() => {
                    let records = daemon.records().await?;
                    if records > RECORDS_MAX {
                        return Err(End::Flooded(format!("{records} records")));
                    }
                }
                Ok(DaemonEvent::Error(error)) = troubles.recv_async() => self.warn("trouble", &error),
            }
        }
    }

    async fn take(&mut self, event: ServiceEvent) -> Result<(), End> {
        match event {
            ServiceEvent::ServiceFound(_, name) => self.hear_name(name),
            ServiceEvent::ServiceResolved(service) => self.found(&service).await,
            ServiceEvent::ServiceRemoved(_, name) => {
                self.answered.remove(&name);
                let lost = self.reported.remove(&name);
                if !lost.is_empty() {
                    // Maybe not the router has gone but the link, which comes back unseen.
                    self.question_interval = QUESTION_INTERVAL_MIN;
                }
                Ok(send_all(&self.news, lost).await?)
            }
            _ => Ok(()),
        }
    }

    async fn found(&mut self, service: &ResolvedService) -> Result<(), End> {
        self.hear_name(service.fullname.clone())?;
        let hints = heard::hints(service, &self.own.peer_id);
        match self.reported.set(&service.fullname, hints) {
            Some(changes) => Ok(send_all(&self.news, changes).await?),
            None => {
                if let Some(left_out) = self.overfull.due() {
                    let known = self.reported.len();
                    warn!("mDNS: {known} routers are announced, more are left out ({left_out} more lately)");
                }
                Ok(())
            }
        }
    }

    fn hear_name(&mut self, name: String) -> Result<(), End> {
        self.answered.insert(name);
        if self.answered.len() > NAMES_MAX {
            return Err(End::Flooded(format!("{} names", self.answered.len())));
        }
        Ok(())
    }

    /// Who has not answered has gone; who has is there.
    async fn judge(&mut self) -> Result<(), End> {
        let gone = self.reported.retain(|name| self.answered.contains(name));
        send_all(&self.news, gone).await?;
        Ok(send_all(&self.news, self.reported.repeat()).await?)
    }

    fn warn(&mut self, what: &str, error: &dyn std::fmt::Display) {
        self.answered.clear();
        match self.warned.due() {
            Some(left_out) => warn!("mDNS: {what}: {error}; going on ({left_out} more lately)"),
            None => debug!("mDNS: {what}: {error}"),
        }
    }
}
