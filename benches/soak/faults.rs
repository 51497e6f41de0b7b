//! What happens to routers and links, one at a time.

use std::fmt;

use crate::chance::Chance;

use crate::routers::Mesh;
use crate::summary::Counters;

/// Percent of packets lost at a host whose link is bad.
const LOSS_PERCENT: u8 = 30;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Kill(usize),
    Terminate(usize),
    Freeze(usize),
    Unplug(usize),
    Isolate(usize),
    /// The first so many, and the others.
    Part(usize),
    OneWay(usize, usize),
    Loss(usize),
}

impl Fault {
    /// Each kind as often; every second time it meets the one that leads.
    pub(crate) fn choose(mesh: &Mesh, chance: &mut Chance) -> Self {
        let count = mesh.all().len();
        let leads = |number: &usize| mesh.router(*number).sees().is_some_and(|seen| seen.leads);
        let leader = mesh.all().into_iter().find(leads);
        let any = chance.below(count);
        let victim = leader.filter(|_| chance.one_in(2)).unwrap_or(any);
        match chance.below(8) {
            0 => Self::Kill(victim),
            1 => Self::Terminate(victim),
            2 => Self::Freeze(victim),
            3 => Self::Unplug(victim),
            4 => Self::Isolate(victim),
            5 => Self::Part(1 + chance.below(count - 1)),
            6 => Self::OneWay(victim, (victim + 1 + chance.below(count - 1)) % count),
            _ => Self::Loss(victim),
        }
    }

    /// What a router that ends has counted is noted before.
    pub(crate) fn begin(&self, mesh: &Mesh, counters: &mut Counters) {
        if let Self::Kill(number) | Self::Terminate(number) = *self {
            counters.add(&mesh.router(number).status());
        }
        let (all, net) = (mesh.all(), &mesh.net);
        match *self {
            Self::Kill(number) => drop(mesh.router(number).kill()),
            Self::Terminate(number) => drop(mesh.router(number).terminate()),
            Self::Freeze(number) => drop(mesh.router(number).freeze()),
            Self::Unplug(number) => net.unplug(number),
            Self::Isolate(number) => {
                let others: Vec<_> = all.into_iter().filter(|&other| other != number).collect();
                net.partition(&[number], &others);
            }
            Self::Part(count) => net.partition(&all[..count], &all[count..]),
            Self::OneWay(from, to) => net.one_way(from, to),
            Self::Loss(number) => net.loss(number, LOSS_PERCENT),
        }
    }

    /// Whether it keeps this router, of so many, from all others, while it serves clients.
    pub(crate) fn isolates(&self, router: usize, routers: usize) -> bool {
        let serves = !matches!(self, Self::Kill(_) | Self::Terminate(_) | Self::Freeze(_));
        serves && (0..routers).filter(|other| *other != router).all(|other| self.parts(router, other))
    }

    /// Whether it lets nothing from one of the two to the other, nor around; or takes one of them away.
    pub(crate) fn parts(&self, a: usize, b: usize) -> bool {
        match *self {
            Self::Kill(number)
            | Self::Terminate(number)
            | Self::Freeze(number)
            | Self::Unplug(number)
            | Self::Isolate(number) => a == number || b == number,
            Self::Part(count) => (a < count) != (b < count),
            Self::OneWay(..) | Self::Loss(_) => false,
        }
    }

    pub(crate) fn end(&self, mesh: &Mesh) {
        match *self {
            Self::Kill(number) | Self::Terminate(number) => mesh.router(number).start(),
            Self::Freeze(number) => drop(mesh.router(number).thaw()),
            Self::Unplug(number) => mesh.net.plug(number),
            Self::Isolate(_) | Self::Part(_) | Self::OneWay(..) | Self::Loss(_) => mesh.net.heal(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(number) => write!(f, "router {number} is killed"),
            Self::Terminate(number) => write!(f, "router {number} is asked to go"),
            Self::Freeze(number) => write!(f, "router {number} stands still"),
            Self::Unplug(number) => write!(f, "router {number} is unplugged"),
            Self::Isolate(number) => write!(f, "router {number} is isolated"),
            Self::Part(count) => write!(f, "the first {count} are parted from the others"),
            Self::OneWay(from, to) => write!(f, "router {to} does not hear router {from}"),
            Self::Loss(number) => write!(f, "{LOSS_PERCENT} % are lost at router {number}"),
        }
    }
}
