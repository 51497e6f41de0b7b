//! What a run looks like to people: one line an event.

use std::fmt::Write;

use fau3_election::{Coordinator, Role, RouterId, Time, View, Warning};

use crate::engine::NODES_MAX;
use crate::faults::Fault;
use crate::world::Node;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When, in true time.
    pub at: Time,
    /// To whom; `None` if to no router in particular.
    pub node: Option<usize>,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone)]
pub enum What {
    /// A router's view changed to this one.
    View(View),
    /// A router started.
    Started,
    /// A router's life ended, without a word if `silent`.
    Stopped {
        /// Its kernel closed no connection.
        silent: bool,
    },
    /// SIGTERM.
    Leaves,
    /// A fault begins (or its next turn does), or ends.
    Fault {
        /// Which of the setup's.
        index: usize,
        /// Begins, or ends.
        begins: bool,
    },
    /// A router warned.
    Warning(Warning),
}

/// One word for a role.
#[must_use]
pub fn role_text(role: Role) -> &'static str {
    match role {
        Role::Waiting => "waits",
        Role::Default => "default",
        Role::Follower => "follows",
        Role::Server => "LEADS",
        Role::Stopped => "stopped",
    }
}

/// One line, without its end.
#[must_use]
pub fn line(entry: &Entry, nodes: &[Node], faults: &[Fault]) -> String {
    let who = entry.node.map_or_else(|| "      ".into(), |node| format!("{:<6}", label(node, nodes)));
    let mut line = format!("{:>9} {who} ", entry.at.to_string());
    let text = match &entry.what {
        What::View(view) => view_text(view, nodes),
        What::Started => "starts".into(),
        What::Stopped { silent: true } => "is gone without a word".into(),
        What::Stopped { silent: false } => "ends, its connections are closed".into(),
        What::Leaves => "is asked to leave".into(),
        What::Fault { index, begins } => {
            let sign = if *begins { "+++" } else { "---" };
            format!("{sign} {}", faults[*index].kind)
        }
        What::Warning(warning) => format!("warns: {}", warning_text(warning, nodes)),
    };
    line.push_str(&text);
    line
}

fn label(node: usize, nodes: &[Node]) -> String {
    if node > 0 && node + 1 == nodes.len() && nodes.len() < NODES_MAX {
        "clone".into()
    } else {
        format!("r{node}")
    }
}

fn name(id: RouterId, nodes: &[Node]) -> String {
    match nodes.iter().position(|node| node.id == id) {
        Some(node) => label(node, nodes),
        None => id.to_string(),
    }
}

fn view_text(view: &View, nodes: &[Node]) -> String {
    let mut text = String::from(role_text(view.role));
    match view.coordinator {
        Coordinator::Router(id) if view.role == Role::Follower => {
            let _ = write!(text, " {}", name(id, nodes));
        }
        _ => {}
    }
    if let Some(epoch) = view.epoch {
        let _ = write!(text, ", epoch {} of {}", epoch.number, name(epoch.router, nodes));
    }
    if let Some(deputy) = view.deputy {
        let _ = write!(text, ", deputy {}", name(deputy, nodes));
    }
    let _ = write!(text, ", {} here, list {}.{:04x}", view.members, view.list.number, view.list.hash >> 48);
    if !view.ready {
        text.push_str(", not ready");
    }
    if view.held {
        text.push_str(", held down");
    }
    text
}

fn warning_text(warning: &Warning, nodes: &[Node]) -> String {
    match warning {
        Warning::ClonedIdentity => "this identity is alive elsewhere".into(),
        Warning::IdentityHeard => "somebody speaks in this router's name".into(),
        Warning::TableFull(id) => format!("no place for {id}"),
        Warning::ListConflict { number, .. } => format!("two lists with number {number}"),
        Warning::NameTwice(a, b) => format!("{} and {} have one name", name(*a, nodes), name(*b, nodes)),
        Warning::StaleEpoch(epoch) => format!("refused a write of epoch {}", epoch.number),
    }
}
