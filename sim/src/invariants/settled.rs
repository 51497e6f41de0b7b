use std::collections::BTreeSet;

use fau3_election::{Coordinator, Epoch, RouterId};

use crate::engine::{NodeSet, nodes_of};
use crate::faults::set_text;
use crate::world::Node;

pub(super) const ONE_LEADER: &str = "one-leader";
pub(super) const AGREEMENT: &str = "agreement";
pub(super) const HIGHEST: &str = "highest-entry";
pub(super) const FOLLOWING: &str = "following";
pub(super) const DEFAULT_SERVER: &str = "default-server";
pub(super) const ONE_LIST: &str = "one-list";
pub(super) const FENCING: &str = "fencing";

type Found<T> = Result<T, (&'static str, String)>;

/// The settled rules but fencing, for one two-way component.
pub(super) fn check(nodes: &[Node], members: NodeSet) -> Found<()> {
    let Some(first) = nodes_of(members).next() else { return Ok(()) };
    let view = nodes[first].view;
    one_list(nodes, members)?;
    for node in nodes_of(members) {
        let other = nodes[node].view;
        if (other.deputy, other.coordinator) != (view.deputy, view.coordinator) {
            let text = format!(
                "in {}: r{first} says {}, r{node} says {}",
                set_text(members),
                says(nodes, first),
                says(nodes, node)
            );
            return Err((AGREEMENT, text));
        }
    }
    highest(nodes, members, view.deputy)?;
    default_server(nodes, members, first)?;
    one_leader(nodes, members, view.coordinator)
}

fn says(nodes: &[Node], node: usize) -> String {
    let name = |id: RouterId| match nodes.iter().position(|other| other.id == id) {
        Some(other) => format!("r{other}"),
        None => id.to_string(),
    };
    let view = nodes[node].view;
    let coordinator = match view.coordinator {
        Coordinator::None => "nobody".into(),
        Coordinator::DefaultServer => "the main server".into(),
        Coordinator::Router(id) => name(id),
    };
    let deputy = view.deputy.map_or_else(|| "nobody".into(), name);
    format!("{coordinator} leads, deputy {deputy} ({:?}, {} members)", view.role, view.members)
}

/// Lists have spread: the newest version is everywhere.
fn one_list(nodes: &[Node], members: NodeSet) -> Found<()> {
    let versions: BTreeSet<_> = nodes_of(members).map(|node| nodes[node].view.list).collect();
    if versions.len() > 1 {
        return Err((ONE_LIST, format!("{} hold {versions:?}", set_text(members))));
    }
    Ok(())
}

/// The rule of DESIGN.md, worked out from what the routers themselves say
/// rather than from anyone's map.
fn highest(nodes: &[Node], members: NodeSet, deputy: Option<RouterId>) -> Found<()> {
    let rank = |node: usize| {
        let machine = &nodes[node];
        let place = machine.election.as_ref().and_then(|it| it.list().place(machine.id, &machine.name()));
        (machine.view.held, place.unwrap_or(u8::MAX), machine.id)
    };
    let best = nodes_of(members).filter(|node| nodes[*node].view.ready).min_by_key(|node| rank(*node));
    if best.map(|node| nodes[node].id) != deputy {
        let ranks: Vec<String> = nodes_of(members)
            .map(|node| {
                let (held, place, _) = rank(node);
                format!("r{node} place {place} ready {} held {held}", nodes[node].view.ready)
            })
            .collect();
        let first = members.trailing_zeros() as usize;
        return Err((HIGHEST, format!("{}: {}", says(nodes, first), ranks.join(", "))));
    }
    Ok(())
}

/// The main server leads exactly where the deputy reaches it.
fn default_server(nodes: &[Node], members: NodeSet, first: usize) -> Found<()> {
    let view = nodes[first].view;
    let deputy = nodes_of(members).find(|node| Some(nodes[*node].id) == view.deputy);
    let reached = deputy.is_some_and(|node| nodes[node].default_reached);
    if reached != (view.coordinator == Coordinator::DefaultServer) {
        let text = format!("reached by the deputy: {reached}, but r{first} says {}", says(nodes, first));
        return Err((DEFAULT_SERVER, text));
    }
    Ok(())
}

fn one_leader(nodes: &[Node], members: NodeSet, coordinator: Coordinator) -> Found<()> {
    let leaders: Vec<usize> = nodes_of(members).filter(|node| nodes[*node].leads()).collect();
    match coordinator {
        Coordinator::Router(id) => match leaders[..] {
            [only] if nodes[only].id == id => Ok(()),
            [] => Err((FOLLOWING, format!("all of {} follow {id}, which does not lead", set_text(members)))),
            _ => Err((ONE_LEADER, format!("in {} lead {leaders:?}", set_text(members)))),
        },
        Coordinator::DefaultServer if leaders.is_empty() => Ok(()),
        Coordinator::DefaultServer => {
            Err((DEFAULT_SERVER, format!("the main server leads, and so do {leaders:?}")))
        }
        Coordinator::None => Err((ONE_LEADER, format!("nobody leads {}", set_text(members)))),
    }
}

/// Everyone knows the leader's epoch, and refuses a write of any term of a
/// member that was over before it. The number of refusals.
pub(super) fn fencing(nodes: &mut [Node], members: NodeSet, used: &BTreeSet<Epoch>) -> Found<u64> {
    let Some(leader) = nodes_of(members).find(|node| nodes[*node].leads()) else { return Ok(0) };
    let epoch = nodes[leader].view.epoch;
    let mut refused = 0;
    for node in nodes_of(members) {
        if nodes[node].view.epoch != epoch {
            let text = format!("r{leader} leads with {epoch:?}, r{node} knows {:?}", nodes[node].view.epoch);
            return Err((FENCING, text));
        }
    }
    // What a stale leader would write with: the latest term of each member's
    // present life. Earlier lives write nothing any more.
    let latest = |node: usize| {
        let life = nodes[node].election.as_ref()?.incarnation();
        let own = |term: &&Epoch| term.router == nodes[node].id && term.incarnation == life;
        used.iter().rev().filter(own).find(|term| Some(**term) != epoch).copied()
    };
    let stale: Vec<Epoch> = nodes_of(members).filter_map(latest).collect();
    for node in nodes_of(members) {
        let Some(election) = nodes[node].election.as_mut() else { continue };
        for term in &stale {
            if election.accepts(*term) {
                return Err((FENCING, format!("r{node} accepts a write of {term}, led by {epoch:?}")));
            }
            refused += 1;
        }
    }
    Ok(refused)
}
