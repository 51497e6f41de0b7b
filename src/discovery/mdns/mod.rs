//! Multicast DNS (RFC 6762, RFC 6763): announces this router, and hears others.
//!
//! The protocol is the library's. What it leaves to its user is here: it closes
//! a receiver that falls behind without a word; it asks ever more rarely, up to
//! once an hour, so that a link that comes back unseen stays without routers;
//! and what it remembers has no bound.

mod announce;
mod daemon;
mod groups;
mod heard;
mod hearing;
mod interfaces;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use self::hearing::{End, Hearing};
use self::interfaces::Interfaces;
use super::{News, Own, Scan, Scanning};

/// Routers that are believed to be there at once. Further announcements are
/// left out until some of these have gone.
pub const ROUTERS_MAX: usize = 256;
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
    interfaces: Vec<String>,
}

impl Mdns {
    /// A scan that announces `own` on these devices or logical networks, and
    /// hears others there; without any, on the LAN's.
    #[must_use]
    pub fn new(own: Own, interfaces: Vec<String>) -> Self {
        Self { own, interfaces }
    }
}

impl Scan for Mdns {
    fn run(self: Box<Self>, news: mpsc::Sender<News>) -> Scanning {
        Box::pin(async move {
            let mut hearing = Hearing::new(self.own, Interfaces::new(self.interfaces), news);
            let mut pause = PAUSE_MIN;
            loop {
                let since = Instant::now();
                if matches!(hearing.run().await, End::Unwanted) {
                    return;
                }
                pause = if since.elapsed() > CALM { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
                tokio::select! {
                    () = sleep(pause) => {}
                    () = hearing.unwanted() => return,
                }
            }
        })
    }
}
