//! `fau3 topology`: the mesh as the node on this machine sees it, as text, as a
//! graph for other programs, or as a picture.

mod apart;
mod dot;
mod layout;
mod map;
mod svg;
mod text;

use super::control::{Answer, ControlArgs};
use super::error::Error;
use super::output::print;
use map::Map;

/// Show which routers hear each other, who leads, and where the clients are
///
/// Asks the router on this machine, which knows every router in reach and every
/// link between two of them. Without an option: a tree from the router that
/// leads, along the fewest hops, and the links that are left. Exit status: 0 if
/// it answers, 1 if not.
#[derive(Debug, Clone, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    fau3 topology\n  \
    fau3 topology --svg > mesh.svg\n  \
    fau3 topology --dot --control /var/run/fau3/fau3.sock > mesh.dot"
)]
pub struct TopologyArgs {
    /// Print a graph in the language of Graphviz
    #[arg(long, group = "format")]
    dot: bool,

    /// Print a picture, which any browser shows
    #[arg(long, group = "format")]
    svg: bool,

    /// Print routers, links and clients in JSON
    #[arg(long, group = "format")]
    json: bool,

    #[command(flatten)]
    control: ControlArgs,
}

/// Asks the node that is meant, else each place where one may be,
/// and prints the mesh.
///
/// # Errors
/// As [`status`](super::status()).
pub async fn topology(args: TopologyArgs) -> Result<(), Error> {
    let answer = Answer::ask(&args.control).await?;
    let map = Map::new(answer.read()?);
    let text = match (args.dot, args.svg, args.json) {
        (true, ..) => dot::draw(&map),
        (_, true, _) => svg::draw(&map),
        (.., true) => map.to_json(),
        _ => text::draw(&map),
    };
    print(&text)
}
