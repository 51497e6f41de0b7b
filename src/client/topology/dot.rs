//! The mesh as a graph in Graphviz's language (Graphviz documentation, "DOT
//! Language").

use std::fmt::Write;

use super::map::Map;

pub(super) fn draw(map: &Map) -> String {
    let mut dot =
        format!("graph fau3 {{\n  label={};\n  node [shape=box, style=rounded];\n", quoted(&map.headline()));
    for (at, router) in map.routers.iter().enumerate() {
        let clients =
            format!("{} client{}", router.client_count, if router.client_count == 1 { "" } else { "s" });
        let label = format!("{}\n{}\n{clients}", router.label, router.role());
        let leads = if router.leads { ", penwidth=3" } else { "" };
        let _ = writeln!(dot, "  r{at} [label={}{leads}];", quoted(&label));
    }
    for (a, b) in &map.links {
        let _ = writeln!(dot, "  r{a} -- r{b};");
    }
    dot.push_str("}\n");
    dot
}

/// A string of the language: only the quote ends it, and a backslash would
/// begin an escape.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"))
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::map;
    use super::*;

    #[test]
    fn graphviz_gets_a_node_for_each_router_and_an_edge_for_each_link() {
        let dot = draw(&map(&[("a", &["b"]), ("b", &["a"])]));
        let wanted = r#"graph fau3 {
  label="b leads, epoch 7; 2 routers, 1 link, 1 client";
  node [shape=box, style=rounded];
  r0 [label="a\nfollower, priority 0\n0 clients"];
  r1 [label="b\nserver, priority 1\n1 client", penwidth=3];
  r0 -- r1;
}
"#;
        assert_eq!(dot, wanted);
    }

    #[test]
    fn a_name_does_not_leave_its_quotes() {
        assert_eq!(quoted(r#"a"];\"#), r#""a\"];\\""#);
    }
}
