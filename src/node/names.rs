//! Names and whose they are: a name once seen with a router stays bound to it,
//! over restarts. Another router that claims it is shown to people; nothing else
//! follows, since only people know who is right. Pure.

use std::collections::{BTreeMap, BTreeSet};

use fau3_election::RouterId;

use crate::discovery::believable_name;

/// Names that are remembered; later ones are not bound. Several lives of a mesh
/// as large as can be.
const NAMES_MAX: usize = 256;

/// A router that claims the name of another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Conflict {
    pub(super) name: String,
    /// Whose it is.
    pub(super) owner: RouterId,
    /// Who claims it.
    pub(super) claimed_by: RouterId,
}

/// What a look at the routers in reach has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// A name was bound: the table is to be kept.
    pub(super) is_new: bool,
    /// All that there are now.
    pub(super) conflicts: Vec<Conflict>,
    /// Those of them that were not there before in this life.
    pub(super) untold: Vec<Conflict>,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Names {
    bound: BTreeMap<String, RouterId>,
    /// Conflicts of which people were told, at most [`NAMES_MAX`].
    told: BTreeSet<Conflict>,
}

impl Names {
    /// As an earlier life has left it.
    pub(super) fn new(bound: BTreeMap<String, RouterId>) -> Self {
        let is_right = |(name, _): &(String, RouterId)| believable_name(name).is_some();
        Self { bound: bound.into_iter().filter(is_right).take(NAMES_MAX).collect(), told: BTreeSet::new() }
    }

    /// To be kept for the next life.
    pub(super) fn bound(&self) -> &BTreeMap<String, RouterId> {
        &self.bound
    }

    /// Takes in who has which name now. Of several that come with a name at
    /// once, the first one has it.
    pub(super) fn see<'a>(&mut self, routers: impl Iterator<Item = (&'a str, RouterId)>) -> Seen {
        let mut seen = Seen::default();
        // What nobody can configure is nobody's name.
        for (name, router) in routers.filter(|(name, _)| believable_name(name).is_some()) {
            match self.bound.get(name) {
                Some(owner) if *owner == router => {}
                Some(owner) => {
                    let conflict = Conflict { name: name.to_owned(), owner: *owner, claimed_by: router };
                    if self.told.len() < NAMES_MAX && self.told.insert(conflict.clone()) {
                        seen.untold.push(conflict.clone());
                    }
                    seen.conflicts.push(conflict);
                }
                None if self.bound.len() < NAMES_MAX => {
                    self.bound.insert(name.to_owned(), router);
                    seen.is_new = true;
                }
                None => {}
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RouterId = RouterId([1; 16]);
    const B: RouterId = RouterId([2; 16]);

    fn see(names: &mut Names, routers: &[(&str, RouterId)]) -> Seen {
        names.see(routers.iter().copied())
    }

    #[test]
    fn a_name_once_seen_with_a_router_stays_bound_to_it() {
        // Given a name that was seen with A,
        let mut names = Names::default();
        assert!(see(&mut names, &[("kitchen", A)]).is_new);
        assert_eq!(see(&mut names, &[("kitchen", A)]), Seen::default(), "nothing to write again");
        // when B claims it, then that is a conflict, told once,
        let conflict = Conflict { name: "kitchen".into(), owner: A, claimed_by: B };
        let seen = see(&mut names, &[("kitchen", B)]);
        assert_eq!(
            (seen.is_new, &seen.conflicts, &seen.untold),
            (false, &vec![conflict.clone()], &vec![conflict.clone()])
        );
        let seen = see(&mut names, &[("kitchen", A), ("kitchen", B)]);
        assert_eq!((&seen.conflicts, seen.untold.len()), (&vec![conflict.clone()], 0));
        // and in the next life told again.
        let mut next = Names::new(names.bound().clone());
        assert_eq!(see(&mut next, &[("kitchen", B)]).untold, [conflict]);
        assert!(see(&mut next, &[]).conflicts.is_empty(), "it has gone");
    }

    #[test]
    fn a_router_may_have_several_names_and_of_two_the_first_has_one() {
        let mut names = Names::default();
        assert!(see(&mut names, &[("old", A)]).is_new);
        assert!(see(&mut names, &[("new", A)]).is_new, "renamed");
        let seen = see(&mut names, &[("both", A), ("both", B)]);
        assert_eq!(seen.conflicts, [Conflict { name: "both".into(), owner: A, claimed_by: B }]);
    }

    #[test]
    fn the_table_is_bounded_and_holds_only_names_that_can_be_configured() {
        let mut names = Names::default();
        for number in 0..NAMES_MAX + 10 {
            see(&mut names, &[(&format!("r{number}"), A)]);
        }
        assert_eq!(names.bound().len(), NAMES_MAX);
        assert_eq!(see(&mut names, &[("r260", B)]), Seen::default(), "not bound, and so free");
        assert_eq!(see(&mut names, &[("r1", B)]).conflicts.len(), 1, "what is bound stays bound");
        assert_eq!(
            see(&mut Names::default(), &[("", A), ("two words", A), ("\u{1b}[2J", A)]),
            Seen::default()
        );
        let crowd = (0..NAMES_MAX * 2).map(|number| (format!("r{number}"), A)).collect();
        assert_eq!(Names::new(crowd).bound().len(), NAMES_MAX);
    }
}
