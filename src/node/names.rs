//! Names and whose they are: a name once seen with a router stays bound to it,
//! over restarts. Another router that claims it is shown to people; nothing else
//! follows, since only people know who is right. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fau3_election::RouterId;

use crate::discovery::believable_name;

/// Names that are remembered; later ones are not bound. Several lives of a mesh
/// as large as can be.
const NAMES_MAX: usize = 256;

/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// A router that claims the name of another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Conflict {
    pub(super) name: String,
    /// Whose it is.
    pub(super) owner: RouterId,
    /// Who claims it.
    pub(super) claimed_by: RouterId,
}

/// Digits of an id behind a name that several routers have by default.
const ID_DIGITS: usize = 4;

/// A name that a router has by default, as its own.
pub(super) fn with_id(name: &str, router: RouterId) -> String {
    let digits: String = router.to_string().chars().take(ID_DIGITS).collect();
    let cut: String = name.chars().take(NAME_CHARS_MAX - ID_DIGITS - 1).collect();
    format!("{cut}-{digits}")
}

/// By which name a router with a default one begins: with its id behind it if
/// that name was another one's before, or it has had to tell itself apart.
pub(super) fn at_start(name: &str, me: RouterId, bound: &BTreeMap<String, RouterId>) -> String {
    let own = with_id(name, me);
    let is_shared = bound.get(name).is_some_and(|owner| *owner != me) || bound.get(&own) == Some(&me);
    if is_shared { own } else { name.to_owned() }
}

impl Conflict {
    /// For people on router `me`: the same advice on both, and on all others.
    /// `in_reach`: the owner is there, too.
    pub(super) fn text(&self, me: RouterId, in_reach: bool, state_file: &Path) -> String {
        let Self { name, owner, claimed_by } = self;
        let whose = |router: RouterId| match router == me {
            true => format!("this router ({router})"),
            false => format!("router {router}"),
        };
        if in_reach {
            let (keeps, changes) = (*owner.min(claimed_by), *owner.max(claimed_by));
            return format!(
                "two routers have the name {name}: {} keeps it, {} is to be renamed (node.name there)",
                whose(keeps),
                whose(changes)
            );
        }
        format!(
            "{} claims the name {name} (node.name), which is that of router {owner}, which is not in reach: rename \
             one of them. If it stands in for the other one, or is the same machine with another identity (a router \
             that is started with --config has its identity in another place than one without), stop this router, \
             remove the name from \"names\" in {}, and start it again",
            whose(*claimed_by),
            state_file.display()
        )
    }
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
    fn of_two_with_one_name_all_say_who_is_to_be_renamed_and_say_the_same() {
        // Given two, of which each has seen its own name with itself first,
        let on_a = Conflict { name: "hall".into(), owner: A, claimed_by: B };
        let on_b = Conflict { name: "hall".into(), owner: B, claimed_by: A };
        let text = |conflict: &Conflict, me| conflict.text(me, true, Path::new("/s"));
        // then both say that the second one is to be renamed, and each says which of them it is itself.
        let (a, b) = (format!("router {A} keeps"), format!("this router ({B}) is to be renamed"));
        assert!(text(&on_a, A).contains(&format!("this router ({A}) keeps")), "{}", text(&on_a, A));
        assert!(text(&on_a, A).contains(&format!("router {B} is to be renamed")));
        assert!(text(&on_b, B).contains(&a) && text(&on_b, B).contains(&b), "{}", text(&on_b, B));
        let third = RouterId([9; 16]);
        assert_eq!(text(&on_a, third), text(&on_b, third));
        // One whose owner is gone may be the same machine.
        let gone = on_a.text(third, false, Path::new("/s"));
        assert!(gone.contains("not in reach") && gone.contains("--config"), "{gone}");
    }

    #[test]
    fn a_default_name_that_was_shared_has_the_id_behind_it_from_the_start() {
        let own = with_id("OpenWrt", B);
        assert_eq!(own, "OpenWrt-0202");
        assert_eq!(with_id(&"h".repeat(64), B).len(), 64);
        let bound = |pairs: &[(&str, RouterId)]| pairs.iter().map(|(n, id)| ((*n).to_owned(), *id)).collect();
        for (known, name) in [
            (&[][..], "OpenWrt"),
            (&[("OpenWrt", B)], "OpenWrt"),
            (&[("OpenWrt", A)], "OpenWrt-0202"),
            (&[("OpenWrt", B), ("OpenWrt-0202", B)], "OpenWrt-0202"),
        ] {
            assert_eq!(at_start("OpenWrt", B, &bound(known)), name, "{known:?}");
        }
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
