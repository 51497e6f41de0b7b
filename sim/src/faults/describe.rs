use std::fmt;

use fau3_election::Time;

use super::{Disk, Fault, FaultKind};
use crate::engine::{NodeSet, nodes_of};

/// `{0 2 3}`.
#[must_use]
pub fn set_text(set: NodeSet) -> String {
    let names: Vec<String> = nodes_of(set).map(|node| node.to_string()).collect();
    format!("{{{}}}", names.join(" "))
}

/// The router that a fault happens to; `None` if it is one of links or of all.
#[must_use]
pub fn lane_of(kind: &FaultKind) -> Option<usize> {
    match kind {
        FaultKind::Stall { node, .. }
        | FaultKind::Crash { node, .. }
        | FaultKind::CrashLoop { node, .. }
        | FaultKind::Leave { node }
        | FaultKind::Absent { node }
        | FaultKind::Clone { node }
        | FaultKind::SameName { node, .. }
        | FaultKind::Words { node }
        | FaultKind::ClockError { node, .. } => Some(*node),
        _ => None,
    }
}

/// `12.000 to 20.500: router 2 loses power, comes back with its disk lost`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.until == Time::MAX {
            return write!(f, "always: {}", self.kind);
        }
        write!(f, "{} to {}: {}", self.from, self.until, self.kind)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rough { from, to, quality } => write!(
                f,
                "links {} to {}: loss {} %, duplicates {} %, reordered {} % by up to {} ms, delay up to {} ms",
                set_text(*from),
                set_text(*to),
                quality.loss_ppm / 10_000,
                quality.duplicate_ppm / 10_000,
                quality.reorder_ppm / 10_000,
                quality.reorder_us / 1_000,
                quality.delay.max() / 1_000
            ),
            Self::Slow { from, to, rate } => {
                write!(f, "connections {} <-> {} carry {rate} KB/s", set_text(*from), set_text(*to))
            }
            Self::Cut { from, to, both } => {
                let arrow = if *both { "<->" } else { "->" };
                write!(f, "cut {} {arrow} {}", set_text(*from), set_text(*to))
            }
            Self::Shape { name, reaches } => {
                write!(f, "only {name} left:")?;
                reaches
                    .iter()
                    .enumerate()
                    .try_for_each(|(node, set)| write!(f, " {node}->{}", set_text(*set)))
            }
            Self::Flap { from, to, period_ms } => {
                write!(f, "links {} <-> {} flap every {period_ms} ms", set_text(*from), set_text(*to))
            }
            Self::Stall { node, frozen_ms, running_ms } => {
                write!(f, "router {node} stalls {frozen_ms} ms, runs {running_ms} ms")
            }
            Self::Crash { node, silent, disk } => {
                let how = if *silent { "loses power" } else { "crashes" };
                write!(f, "router {node} {how}, comes back with {}", disk_text(*disk))
            }
            Self::CrashLoop { node, period_ms } => {
                write!(f, "router {node} crashes and starts every {period_ms} ms")
            }
            Self::Leave { node } => write!(f, "router {node} leaves"),
            Self::Absent { node } => write!(f, "router {node} has not joined yet"),
            Self::Clone { node } => write!(f, "a clone of router {node} runs"),
            Self::SameName { node, as_of } => write!(f, "router {node} has the name of router {as_of}"),
            Self::Words { node } => write!(f, "extreme numbers are said in the name of router {node}"),
            Self::ClockError { node, ppm } => write!(f, "clock of router {node} is wrong by {ppm} ppm"),
            Self::DefaultServer { nodes } => write!(f, "main server out of reach of {}", set_text(*nodes)),
            Self::ListConfigured { order } => write!(f, "list in the UCI files becomes {order:?}"),
            Self::ListFetched { order } => write!(f, "list of the main server becomes {order:?}"),
        }
    }
}

fn disk_text(disk: Disk) -> &'static str {
    match disk {
        Disk::Kept => "its disk",
        Disk::Lost => "its disk lost",
        Disk::Backup => "an old backup of its disk",
        Disk::OldList => "an old list",
    }
}
