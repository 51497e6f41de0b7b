//! What each router says of itself, over its control socket.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::client::ask;

/// A router that has not answered after this long is shown as silent.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// The fields of a status that the demonstration shows (DESIGN.md,
/// "Interfaces").
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Answer {
    name: String,
    mode: String,
    coordinator: Option<String>,
    epoch: (u64, String),
    routers: Vec<Known>,
    clients: Vec<Client>,
    records: Records,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Known {}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Client {
    client_id: String,
    router: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Records {
    count: u64,
}

impl Answer {
    /// Who leads as this router sees it; empty if nobody does.
    pub(super) fn leader(&self) -> &str {
        self.coordinator.as_deref().unwrap_or_default()
    }

    /// Whether it leads itself.
    pub(super) fn leads(&self) -> bool {
        self.mode == "server" && self.leader() == self.name
    }

    /// The leader's epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.0
    }

    /// Routers in its reach, itself included.
    pub(super) fn reach(&self) -> usize {
        self.routers.len()
    }

    /// Voice messages that it holds.
    pub(super) fn records(&self) -> u64 {
        self.records.count
    }

    /// Those connected to it, by name.
    pub(super) fn clients(&self) -> Vec<&str> {
        let here = self.clients.iter().filter(|client| client.router == self.name);
        here.map(|client| client.client_id.as_str()).collect()
    }
}

/// A router's answer; `None` if it gives none, or none that is a status.
pub(super) async fn look(control: &Path) -> Option<Answer> {
    let answer = tokio::time::timeout(ANSWER_MAX, ask(control)).await.ok()?.ok()?;
    serde_json::from_str(&answer).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A router's answer as its socket gives it.
    pub(in crate::demo) fn answer(
        name: &str,
        coordinator: &str,
        epoch: u64,
        clients: &[&str],
        records: u64,
    ) -> Answer {
        let mode = if name == coordinator { "server" } else { "follower" };
        let clients: Vec<_> = clients
            .iter()
            .map(|id| serde_json::json!({"client_id": id, "room": "demo", "router": name, "alive_s": 1}))
            .collect();
        let json = serde_json::json!({
            "name": name, "mode": mode, "coordinator": coordinator, "epoch": [epoch, "12D3"], "uptime_s": 1,
            "routers": [{"name": "router-a"}, {"name": "router-b"}, {"name": "router-c"}],
            "clients": clients, "records": {"count": records, "bytes": 1},
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_answer_tells_who_leads_and_who_is_here() {
        let mut answer = answer("router-a", "router-a", 3, &["Anna"], 7);
        answer.clients.push(Client { client_id: "Ben".into(), router: "router-b".into() });
        assert!(answer.leads());
        assert_eq!((answer.epoch(), answer.reach(), answer.records()), (3, 3, 7));
        assert_eq!(answer.clients(), ["Anna"], "Ben is at another router");
        let follower = super::tests::answer("router-a", "router-b", 3, &[], 0);
        assert!(!follower.leads() && follower.leader() == "router-b");
    }
}
