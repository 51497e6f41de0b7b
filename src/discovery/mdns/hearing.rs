//! Who is announced: asks, listens, and judges who is there.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use mdns_sd::{DaemonEvent, HostnameResolutionEvent, Receiver, ResolvedService, ServiceEvent};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{debug, warn};

use super::daemon::Daemon;
use super::interfaces::Interfaces;
use super::{ROUTERS_MAX, heard};
use crate::discovery::rarely::Rarely;
use crate::discovery::reported::{Reported, send_all};
use crate::discovery::{News, Own};

/// Announced names between two questions; one more, and it is a flood.
const NAMES_MAX: usize = 4 * ROUTERS_MAX;
/// Records of the network that the library may remember, some 400 bytes each.
const RECORDS_MAX: usize = 4_096;
/// How often it is asked how many those are.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Who has not answered so long after a question has gone.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// The first question of our own after the library's first ones, or after a
/// router was lost; doubling up to the longest.
const QUESTION_INTERVAL_MIN: Duration = ANSWER_TIME_MAX;
/// The longest time between two of our questions: each has the library ask some
/// eight times, which among twelve routers is most of the idle traffic.
const QUESTION_INTERVAL_MAX: Duration = Duration::from_secs(240);
/// Before a question is asked again whose answers came faster than they were read.
const BREATH: Duration = Duration::from_secs(1);
/// What comes of itself comes this soon after a question.
const LOOK_UP_DELAY: Duration = Duration::from_secs(1);
/// Hosts looked up at once.
const LOOK_UPS_MAX: usize = 16;

/// Why hearing has ended.
pub(super) enum End {
    /// Nobody takes the news any more.
    Unwanted,
    /// More was announced than is good for memory.
    Flooded(String),
    /// The library has failed.
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

/// A question to the network, from when it was asked.
struct Question {
    events: Receiver<ServiceEvent>,
    asked: Instant,
    /// Whether who has not answered was found to have gone.
    is_judged: bool,
}

impl Question {
    fn ask(daemon: &Daemon) -> mdns_sd::Result<Self> {
        Ok(Self { events: daemon.ask()?, asked: Instant::now(), is_judged: false })
    }
}

/// What is known of others, through all starts of the library.
pub(super) struct Hearing {
    own: Own,
    interfaces: Arc<Interfaces>,
    news: mpsc::Sender<News>,
    /// By the full name of what they announce.
    reported: Reported<String>,
    /// Names heard since the last question; at most [`NAMES_MAX`].
    answered: BTreeSet<String>,
    /// Hosts of which addresses of one kind only have been heard; at most
    /// [`LOOK_UPS_MAX`].
    half_known: BTreeSet<String>,
    /// Those being looked up: that ends when its receiver is dropped.
    look_ups: Vec<Receiver<HostnameResolutionEvent>>,
    question_interval: Duration,
    ended: Rarely,
    troubled: Rarely,
    overfull: Rarely,
}

impl Hearing {
    pub(super) fn new(own: Own, interfaces: Interfaces, news: mpsc::Sender<News>) -> Self {
        Self {
            own,
            interfaces: Arc::new(interfaces),
            news,
            reported: Reported::new(ROUTERS_MAX),
            answered: BTreeSet::new(),
            half_known: BTreeSet::new(),
            look_ups: Vec::new(),
            question_interval: QUESTION_INTERVAL_MIN,
            ended: Rarely::default(),
            troubled: Rarely::default(),
            overfull: Rarely::default(),
        }
    }

    /// Returns when nobody takes the news any more.
    pub(super) async fn unwanted(&self) {
        self.news.closed().await;
    }

    /// From a start of the library to its end, with a goodbye.
    pub(super) async fn run(&mut self) -> End {
        self.answered.clear();
        self.half_known.clear();
        self.question_interval = QUESTION_INTERVAL_MIN;
        let end = match Daemon::start(&self.own, &self.interfaces) {
            Ok(daemon) => {
                let Err(end) = self.hear(&daemon).await;
                daemon.stop().await;
                end
            }
            Err(error) => error.into(),
        };
        match &end {
            End::Unwanted => return end,
            End::Flooded(what) => tell(&mut self.ended, "a flood of announcements", what),
            End::Failed(error) => tell(&mut self.ended, "it has failed and is started again", error),
        }
        // What was known before a flood stays known for as long as it lasts.
        match send_all(&self.news, self.reported.repeat()).await {
            Ok(()) => end,
            Err(error) => error.into(),
        }
    }

    async fn hear(&mut self, daemon: &Daemon) -> Result<Infallible, End> {
        let mut question = Question::ask(daemon)?;
        let troubles = daemon.troubles()?;
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = question.asked + self.question_interval;
            tokio::select! {
                () = self.news.closed() => return Err(End::Unwanted),
                event = question.events.recv_async() => match event {
                    Ok(event) => self.take(event).await?,
                    // Closed since we were too slow: ask again, which tells all anew.
                    Err(_) => {
                        sleep(BREATH).await;
                        question = Question::ask(daemon)?;
                    }
                },
                () = sleep_until(question.asked + ANSWER_TIME_MAX), if !question.is_judged => {
                    question.is_judged = true;
                    self.judge().await?;
                }
                () = sleep_until(next), if question.is_judged => {
                    self.question_interval = (self.question_interval * 2).min(QUESTION_INTERVAL_MAX);
                    self.answered.clear();
                    question = Question::ask(daemon)?;
                }
                _ = check.tick() => {
                    Self::check_records(daemon).await?;
                    if question.asked.elapsed() > LOOK_UP_DELAY {
                        self.look_up(daemon);
                    }
                }
                Ok(DaemonEvent::Error(error)) = troubles.recv_async() => {
                    tell(&mut self.troubled, "trouble", &error);
                }
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

    fn hear_name(&mut self, name: String) -> Result<(), End> {
        self.answered.insert(name);
        if self.answered.len() > NAMES_MAX {
            return Err(End::Flooded(format!("more than {NAMES_MAX} names at once")));
        }
        Ok(())
    }

    async fn found(&mut self, service: &ResolvedService) -> Result<(), End> {
        self.hear_name(service.fullname.clone())?;
        let hints = heard::hints(service, &self.own.peer_id);
        let Some(changes) = self.reported.set(&service.fullname, hints) else {
            if let Some(left_out) = self.overfull.due() {
                warn!("mDNS: {ROUTERS_MAX} routers are known, more are left out ({left_out} more lately)");
            }
            return Ok(());
        };
        self.note_families(service);
        Ok(send_all(&self.news, changes).await?)
    }

    /// Over a card that has just come up IPv6 may be heard before IPv4, or the
    /// other way round; nobody repeats what was missed to one who knows the
    /// service already (RFC 6762, section 7.1), so it has to be asked for.
    fn note_families(&mut self, service: &ResolvedService) {
        let has = |is_ipv4: bool| service.addresses.iter().any(|ip| ip.is_ipv4() == is_ipv4);
        let is_reported = self.reported.contains(&service.fullname);
        if is_reported && !(has(true) && has(false)) && self.half_known.len() < LOOK_UPS_MAX {
            self.half_known.insert(service.host.clone());
        } else {
            self.half_known.remove(&service.host);
        }
    }

    fn look_up(&mut self, daemon: &Daemon) {
        self.look_ups.retain(|look_up| !look_up.is_disconnected());
        while self.look_ups.len() < LOOK_UPS_MAX
            && let Some(host) = self.half_known.pop_first()
        {
            // What fails now is tried after the next question.
            self.look_ups.extend(daemon.look_up(&host));
        }
    }

    /// Who has not answered has gone; who has is there.
    async fn judge(&mut self) -> Result<(), End> {
        let gone = self.reported.retain(|name| self.answered.contains(name));
        send_all(&self.news, gone).await?;
        Ok(send_all(&self.news, self.reported.repeat()).await?)
    }

    async fn check_records(daemon: &Daemon) -> Result<(), End> {
        match daemon.records().await? {
            Some(records) if records <= RECORDS_MAX => Ok(()),
            Some(records) => Err(End::Flooded(format!("{records} records to remember"))),
            None => Err(End::Flooded("it is too busy to answer".to_owned())),
        }
    }
}

/// A line a minute of a kind; all of them for those who debug.
fn tell(rarely: &mut Rarely, what: &str, why: &dyn Display) {
    match rarely.due() {
        Some(left_out) => warn!("mDNS: {what}: {why} ({left_out} more lately)"),
        None => debug!("mDNS: {what}: {why}"),
    }
}
