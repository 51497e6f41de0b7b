//! The mesh as a tree of lines.

use std::fmt::Write;

use super::map::Map;

/// Clients named at one router; the rest is counted.
const CLIENTS_MAX: usize = 8;

pub(super) fn draw(map: &Map) -> String {
    let tree = map.tree();
    let mut text = format!("{}\n", map.headline());
    for (root, _) in tree.iter().filter(|(_, before)| before.is_none()) {
        text.push('\n');
        branch(&mut text, map, &tree, *root, "");
    }
    let in_tree = |&&(a, b): &&(usize, usize)| !tree.contains(&(a, Some(b))) && !tree.contains(&(b, Some(a)));
    let others: Vec<_> = map.links.iter().filter(in_tree).collect();
    if !others.is_empty() {
        text.push_str("\nother links\n");
    }
    for (a, b) in others {
        let _ = writeln!(text, "{} -- {}", map.routers[*a].label, map.routers[*b].label);
    }
    text
}

/// A router, its clients, and those behind it. `indent` stands before all
/// lines but its own.
fn branch(text: &mut String, map: &Map, tree: &[(usize, Option<usize>)], at: usize, indent: &str) {
    let router = &map.routers[at];
    let here = if map.here == Some(at) { ", this one" } else { "" };
    let leads = if router.leads { "* " } else { "" };
    let _ = writeln!(text, "{leads}{} ({}{here})", router.label, router.role());
    let behind: Vec<_> =
        tree.iter().filter(|(_, before)| *before == Some(at)).map(|(router, _)| *router).collect();
    let mut leaves: Vec<String> = router.clients.iter().take(CLIENTS_MAX).map(client).collect();
    let more = router.client_count.saturating_sub(leaves.len());
    if more > 0 {
        let besides = if leaves.is_empty() { "" } else { " more" };
        leaves.push(format!("{more} client{}{besides}", if more == 1 { "" } else { "s" }));
    }
    let count = leaves.len() + behind.len();
    let twigs = |nth: usize| if nth + 1 == count { ("`-- ", "    ") } else { ("|-- ", "|   ") };
    for (nth, leaf) in leaves.iter().enumerate() {
        let _ = writeln!(text, "{indent}{}{leaf}", twigs(nth).0);
    }
    for (nth, next) in behind.into_iter().enumerate() {
        let (twig, below) = twigs(leaves.len() + nth);
        let _ = write!(text, "{indent}{twig}");
        branch(text, map, tree, next, &format!("{indent}{below}"));
    }
}

fn client((id, room): &(String, Option<String>)) -> String {
    room.as_ref().map_or_else(|| id.clone(), |room| format!("{id} in {room}"))
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::map;
    use super::*;

    #[test]
    fn people_see_a_tree_from_the_leader_and_the_links_that_are_left() {
        let text =
            draw(&map(&[("a", &["b", "d"]), ("b", &["a", "d"]), ("c", &["d"]), ("d", &["a", "b", "c"])]));
        let wanted = "\
b leads, epoch 7; 4 routers, 4 links, 6 clients

* b (server, priority 1)
|-- 1 client
|-- a (follower, priority 0, this one)
`-- d (follower, priority 3)
    |-- AA:01 in h<a>ll
    |-- 2 clients more
    `-- c (follower, priority 2)
        `-- 2 clients

other links
a -- d
";
        assert_eq!(text, wanted);
    }
}
