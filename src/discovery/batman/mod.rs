//! batman-adv: its originators are routers of the mesh, and some of them may
//! run this program too.
//!
//! An originator is the address of a network card in the mesh's lower network,
//! not that of the mesh interface, and says nothing of IP. Tried are, of the mesh interface (or the bridge in
//! which it is): the link-local IPv6 address that such a card, or another card
//! of the same router that the translation table knows, would have, and what
//! neighbour discovery knows of them; and of a router next door the same on the
//! card itself. So it finds routers whose link-local addresses are derived from
//! their cards' (RFC 4291, as Linux does unless told otherwise), and those that
//! this one has spoken to lately. It does not find one with IPv6 off, or with
//! addresses that are opaque (RFC 7217), or cards unlike each other; multicast
//! DNS, which crosses the mesh as well, may.

mod candidates;
mod json;
mod kernel;
mod mac;
mod netlink;
mod socket;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{debug, warn};

use self::candidates::View;
use self::kernel::{Batadv, NetLink, Originator};
use self::mac::Mac;
use self::socket::Error;
use super::rarely::Rarely;
use super::reported::{Reported, send_all};
use super::{Hint, News, Scan, Scanning};

/// How often the mesh is looked at.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often it is looked whether there is one now.
const ABSENT_INTERVAL: Duration = Duration::from_secs(60);
/// Originators that are reported.
pub const ORIGINATORS_MAX: usize = 128;

/// Reports the originators of all meshes of this router.
#[derive(Debug)]
pub struct Batman {
    port: u16,
}

impl Batman {
    /// A scan for routers that listen on `port`.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self { port }
    }
}

impl Scan for Batman {
    fn run(self: Box<Self>, news: mpsc::Sender<News>) -> Scanning {
        Box::pin(async move {
            let port = self.port;
            let mut reported = Reported::new(ORIGINATORS_MAX);
            let mut log = Log::default();
            loop {
                let looked = tokio::select! {
                    looked = spawn_blocking(move || look(port)) => looked,
                    () = news.closed() => return,
                };
                let Ok(looked) = looked else { return news.closed().await };
                log.tell(&looked);
                let interval = if matches!(looked, Look::Absent) { ABSENT_INTERVAL } else { INTERVAL };
                // What could not be seen may still be there: it ages in the book.
                if !matches!(looked, Look::Failed(_))
                    && send_all(&news, changes(&mut reported, looked.found())).await.is_err()
                {
                    return;
                }
                tokio::select! {
                    () = sleep(interval) => {}
                    () = news.closed() => return,
                }
            }
        })
    }
}

/// What has gone, and all that is there.
fn changes(reported: &mut Reported<Mac>, found: BTreeMap<Mac, Vec<Hint>>) -> Vec<News> {
    let mut news = reported.retain(|mac| found.contains_key(mac));
    for (mac, hints) in found {
        let changed = reported.set(&mac, hints).unwrap_or_default();
        news.extend(changed.into_iter().filter(|change| matches!(change, News::Lost(_))));
    }
    news.extend(reported.repeat());
    news
}

/// What a look has shown.
enum Look {
    /// There is no batman-adv here.
    Absent,
    /// By originator, where it may listen.
    Found(BTreeMap<Mac, Vec<Hint>>),
    Failed(String),
}

impl Look {
    fn found(self) -> BTreeMap<Mac, Vec<Hint>> {
        match self {
            Self::Found(found) => found,
            Self::Absent | Self::Failed(_) => BTreeMap::new(),
        }
    }
}

/// Looks at every mesh of this router. Blocks.
fn look(port: u16) -> Look {
    match Batadv::open().and_then(|mesh| mesh.map(|mesh| look_at_all(mesh, port)).transpose()) {
        Ok(Some(found)) => Look::Found(found),
        Ok(None) => Look::Absent,
        Err(error) => Look::Failed(error.to_string()),
    }
}

fn look_at_all(mut batadv: Batadv, port: u16) -> Result<BTreeMap<Mac, Vec<Hint>>, Error> {
    let links = kernel::links()?;
    let mut found = BTreeMap::new();
    for mesh in links.iter().filter(|link| link.is_mesh) {
        let originators = match batadv.originators(mesh.index) {
            Ok(originators) => originators,
            // It has just been taken down.
            Err(Error::Refused(Errno::NODEV)) => continue,
            Err(error) => by_batctl(mesh).map_err(|other| both(error, &other))?,
        };
        let view = View {
            mesh_index: mesh.index,
            links: links.clone(),
            originators,
            // Without these two there is less to try.
            translations: batadv.translations(mesh.index).unwrap_or_default(),
            neighbours: kernel::neighbours().unwrap_or_default(),
        };
        found.extend(view.candidates(port));
    }
    Ok(found)
}

fn both(error: Error, other: &dyn fmt::Display) -> Error {
    debug!("batman-adv: batctl does not help either: {other}");
    error
}

/// Originators as the mesh's own tool lists them, which may be allowed more than this program.
fn by_batctl(mesh: &NetLink) -> Result<Vec<Originator>, String> {
    let mut batctl = Command::new("batctl");
    batctl.args(["meshif", &mesh.name, "originators_json"]);
    batctl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = batctl.spawn().map_err(|error| error.to_string())?;
    let mut text = String::new();
    let printed = running.stdout.take().ok_or("no output")?;
    let read = printed.take(json::LEN_MAX as u64).read_to_string(&mut text);
    // One that prints more than is read would wait for ever.
    let _ = running.kill();
    let _ = running.wait();
    read.map_err(|error| error.to_string())?;
    json::originators(&text)
}

/// Tells what changes, and what fails at most once a minute.
#[derive(Default)]
struct Log {
    was_absent: bool,
    failed: Rarely,
}

impl Log {
    fn tell(&mut self, looked: &Look) {
        let is_absent = matches!(looked, Look::Absent);
        if is_absent && !self.was_absent {
            debug!("batman-adv: not on this router; looking again every minute");
        }
        self.was_absent = is_absent;
        if let Look::Failed(error) = looked
            && let Some(left_out) = self.failed.due()
        {
            warn!("batman-adv: cannot see the mesh: {error} ({left_out} more lately)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Source;

    fn found(numbers: &[u8]) -> BTreeMap<Mac, Vec<Hint>> {
        let hint = |number: u8| {
            let address = ([10, 0, 0, number], 8902).into();
            Hint { address, source: Source::Batman, peer_id: None, name: None }
        };
        numbers.iter().map(|&n| (Mac::from_bytes(&[2, 0, 0, 0, 0, n]).unwrap(), vec![hint(n)])).collect()
    }

    #[test]
    fn what_is_there_is_said_again_and_what_has_gone_once() {
        let hint = |number: u8| found(&[number]).into_values().next().unwrap().remove(0);
        let mut reported = Reported::new(ORIGINATORS_MAX);
        let all = [News::Found(hint(1)), News::Found(hint(2))];
        assert_eq!(changes(&mut reported, found(&[1, 2])), all);
        assert_eq!(changes(&mut reported, found(&[1, 2])), all);
        assert_eq!(changes(&mut reported, found(&[2])), [News::Lost(hint(1)), News::Found(hint(2))]);
        assert_eq!(changes(&mut reported, found(&[])), [News::Lost(hint(2))]);
        assert_eq!(changes(&mut reported, found(&[])), []);
    }

    #[test]
    fn a_machine_without_a_mesh_finds_nothing_and_that_is_no_error() {
        match look(8902) {
            Look::Absent => {}
            Look::Found(found) => assert!(found.is_empty(), "no mesh was made for this test"),
            Look::Failed(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn the_scan_ends_when_nobody_takes_its_news() {
        let (sender, news) = mpsc::channel(1);
        let running = tokio::spawn(Box::new(Batman::new(8902)).run(sender));
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(news);
        tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
    }
}
