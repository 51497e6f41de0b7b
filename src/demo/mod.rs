//! `fau3 demo`: three routers and four clients on this machine, of which one
//! router is killed and comes back, for people to watch.
//!
//! Nothing here is staged: the routers are processes of this very program, the
//! clients are those of `fau3 talk` and `fau3 listen`, and all that is shown
//! comes from the routers' control sockets and from what the clients heard. It
//! knows nothing of the router's inside.
//!
//! `story` is what happens, in five acts; `fleet` the routers, `crowd` the
//! clients, `watch` the questions to the routers; `stage` (pure) is the state
//! that follows, `draw` (pure) the picture of it, `screen` where it is shown.

mod crowd;
mod draw;
mod fleet;
#[cfg(test)]
mod picture;
mod screen;
mod stage;
mod story;
mod tally;
mod voice;
mod watch;

use std::time::Duration;

use self::fleet::Fleet;
use self::screen::Screen;
use self::stage::Stage;
use self::story::{Flop, Story};
use crate::failure::Failure;

/// Routers that take part.
const ROUTERS: usize = 3;
/// Acts of the story.
const ACTS: usize = 5;

/// Watch three routers on this machine keep voice going while one is killed
///
/// Starts three routers and four clients in a temporary folder, on free ports
/// of 127.0.0.1, with a mesh key of their own. One client speaks, the others
/// listen; the router that leads is killed and started again. Shows who leads,
/// who hears what, and in the end whether anything was lost or heard twice.
/// Leaves nothing behind. Exit status: 0 if nothing was lost and nothing
/// doubled, and another router took the lead; 1 if not, with what went wrong
/// and where the routers' logs are. Where standard output is no terminal, or
/// one of less than 80 columns and 24 rows, there is one line for each event.
#[derive(Debug, Clone, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    fau3 demo\n  \
    fau3 demo --quick\n  \
    fau3 demo --keep"
)]
pub struct DemoArgs {
    /// In 7 seconds instead of 17
    #[arg(long)]
    quick: bool,

    /// Leave the routers running at the end, until Ctrl-C, and say where
    /// clients can connect
    #[arg(long)]
    keep: bool,
}

/// How long people get to see each state.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Speech before the leader is killed.
    before: Duration,
    /// With two routers.
    without: Duration,
    /// With the third one back.
    after: Duration,
}

impl Pace {
    const CALM: Self = Self {
        before: Duration::from_millis(4_500),
        without: Duration::from_millis(4_000),
        after: Duration::from_millis(4_000),
    };
    const QUICK: Self = Self {
        before: Duration::from_millis(1_000),
        without: Duration::from_millis(700),
        after: Duration::from_millis(400),
    };
}

/// Plays it all.
///
/// # Errors
/// What went wrong, and where the routers' logs are.
pub async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(format!(
            "cannot prepare the demonstration: {error}\nis TMPDIR a folder that can be written to?"
        ))
    };
    let fleet = Fleet::new().map_err(cannot)?;
    let pace = if args.quick { Pace::QUICK } else { Pace::CALM };
    let mut story = Story::new(fleet, Stage::new(), Screen::new(), pace).map_err(cannot)?;
    let mut outcome = story.play().await;
    if outcome.is_ok() && args.keep {
        outcome = story.keep_running().await;
    }
    let result = match outcome {
        Ok(()) => Ok(()),
        Err(Flop::Interrupted) => {
            Err(Failure::new("interrupted; all routers are stopped and nothing is left"))
        }
        Err(Flop::Failed(text)) => {
            let logs = story.keep_logs();
            Err(Failure::new(format!("{text}\nthe routers' logs are kept in {logs}")))
        }
    };
    story.end().await;
    result
}
