//! What does not work between routers, in the words of the configuration.

use std::collections::BTreeMap;

use crate::control::MeshTrouble;
use crate::discovery::Setting;
use crate::mesh::{Blocked, Refusal, Trouble, Unmet};

/// All troubles: of the ways to others, and of lines that mean nothing or the same.
///
/// Where nobody answers is said only of addresses that the configuration names:
/// whatever else tells of routers tells of many that are no more.
pub(super) fn all(
    blocked: impl Iterator<Item = Trouble>,
    settings: &BTreeMap<String, Setting>,
) -> Vec<MeshTrouble> {
    let blocked = blocked.filter_map(|trouble| of_ways(&trouble, settings));
    let lines = settings.values().filter_map(|setting| of_line(setting, settings));
    blocked.chain(lines).collect()
}

fn of_ways(trouble: &Trouble, settings: &BTreeMap<String, Setting>) -> Option<MeshTrouble> {
    let address = trouble.address?;
    let line = settings.values().find(|setting| setting.addresses.contains(&address));
    let is_shown = match trouble.what {
        // One list for all routers names each of them to itself, too.
        Blocked::Place(Unmet::Oneself) => {
            line.is_some()
                && settings.values().flat_map(|setting| &setting.addresses).all(|at| *at == address)
        }
        // Others tell of addresses in the internet, too.
        Blocked::Place(Unmet::Refused(Refusal::NotLan)) => line.is_some(),
        Blocked::Place(Unmet::Refused(_) | Unmet::Claimed) => true,
        Blocked::Place(_) => line.is_some(),
        _ => true,
    };
    let place = match line {
        Some(setting) if setting.line.ends_with(&address.to_string()) => setting.line.clone(),
        Some(setting) => format!("{} at {address}", setting.line),
        None if address.port() == 0 => address.ip().to_string(),
        None => address.to_string(),
    };
    let (kind, text) = (trouble.what.kind(), trouble.what.to_string());
    is_shown.then_some(MeshTrouble { router: trouble.router, place, kind, text })
}

fn of_line(setting: &Setting, settings: &BTreeMap<String, Setting>) -> Option<MeshTrouble> {
    let is_twin = |other: &&Setting| {
        other.line < setting.line && other.addresses.iter().any(|at| setting.addresses.contains(at))
    };
    let twin = || {
        let twin = settings.values().find(is_twin)?;
        let text = format!("it has the same address as {}: each router needs one of its own", twin.line);
        Some(("address", text))
    };
    let (kind, text) = setting.trouble.clone().map(|text| ("setting", text)).or_else(twin)?;
    Some(MeshTrouble { router: None, place: setting.line.clone(), kind, text })
}

#[cfg(test)]
mod tests {
    use fau3_election::RouterId;

    use super::*;

    fn setting(line: &str, addresses: &[&str]) -> (String, Setting) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        (line.into(), Setting { line: line.into(), addresses, trouble: None })
    }

    fn shown(
        blocked: &[(&str, Blocked)],
        settings: &BTreeMap<String, Setting>,
    ) -> Vec<(String, &'static str)> {
        let trouble = |(address, what): &(&str, Blocked)| Trouble {
            router: Some(RouterId([1; 16])),
            address: Some(address.parse().unwrap()),
            what: *what,
        };
        let all = all(blocked.iter().map(trouble), settings);
        all.into_iter().map(|trouble| (trouble.place, trouble.kind)).collect()
    }

    #[test]
    fn where_nobody_answers_is_said_of_configured_addresses_in_their_words() {
        let peers = [
            setting("mesh.peer 10.0.0.1:8902", &["10.0.0.1:8902"]),
            setting("mesh.peer b.example:8902", &["10.0.0.2:8902"]),
        ];
        let silent = Blocked::Place(Unmet::Silent);
        let blocked = [("10.0.0.1:8902", silent), ("10.0.0.2:8902", silent), ("10.0.0.3:8902", silent)];
        let told = shown(&blocked, &peers.into());
        let places: Vec<_> = told.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["mesh.peer 10.0.0.1:8902", "mesh.peer b.example:8902 at 10.0.0.2:8902"]);
    }

    #[test]
    fn a_list_that_names_the_router_itself_too_is_none_unless_it_names_nobody_else() {
        let oneself = [("10.0.0.1:8902", Blocked::Place(Unmet::Oneself))];
        let own = setting("mesh.peer 10.0.0.1:8902", &["10.0.0.1:8902"]);
        let other = setting("mesh.peer 10.0.0.2:8902", &["10.0.0.2:8902"]);
        assert!(shown(&oneself, &[own.clone(), other].into()).is_empty());
        assert_eq!(shown(&oneself, &[own].into()).len(), 1);
    }

    #[test]
    fn two_lines_that_mean_one_address_are_said() {
        let peers = [
            setting("mesh.peer a.example:8902", &["10.0.0.1:8902"]),
            setting("mesh.peer b.example:8902", &["10.0.0.1:8902"]),
        ];
        assert_eq!(shown(&[], &peers.into()), [("mesh.peer b.example:8902".to_owned(), "address")]);
    }
}
