//! What a mesh at rest puts on its main server, of either kind: no more than
//! one router would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::harness::{ms, secs};
use super::super::mesh::net::{MeshNet, R};
use crate::router::{ServerKind, UpstreamInput};
use crate::upstream::watch::{Input, Output, Settings, Watch};

/// As many as the election knows; without optimisation, which would take minutes
/// for these, fewer.
const MANY: usize = if cfg!(debug_assertions) { 12 } else { 64 };
const MEASURED: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);

/// Each router's watch over a legacy server, which looks while its router is the
/// deputy (`node::UpstreamSide`), and what comes to the server.
#[derive(Default)]
struct Watches {
    all: BTreeMap<R, (Watch, bool)>,
    dials: usize,
    pings: usize,
}

impl Watches {
    fn of(net: &MeshNet) -> Self {
        let settings = Settings { check_interval: ms(250), hold: secs(3) };
        let watch = |at: R| (at, (Watch::new(settings, at.0 as u64), false));
        Self { all: net.all().into_iter().map(watch).collect(), ..Self::default() }
    }

    /// A server that answers everything at once.
    fn step(&mut self, net: &mut MeshNet) {
        for at in net.all() {
            let view = net.router(at).snapshot(net.now).mesh.unwrap().view;
            let is_deputy = view.deputy == Some(MeshNet::id(at));
            let (watch, looks) = self.all.get_mut(&at).unwrap();
            let changed = std::mem::replace(looks, is_deputy) != is_deputy;
            let first = match (changed, is_deputy) {
                (true, true) => Input::Start,
                (true, false) => Input::Stop,
                (false, _) => Input::Timeout,
            };
            let mut inputs = vec![first];
            let mut judged = (changed && !is_deputy).then_some(None);
            while let Some(input) = inputs.pop() {
                watch.handle(net.now, input);
                while let Some(output) = watch.poll_output() {
                    match output {
                        Output::Dial(conn) => {
                            self.dials += 1;
                            inputs.push(Input::Upgraded(conn));
                        }
                        Output::Ping(conn) => {
                            self.pings += 1;
                            inputs.push(Input::Pong(conn));
                        }
                        Output::FetchList => inputs.push(Input::ListDone),
                        Output::Judged(there) => judged = Some(Some(there)),
                        Output::Drop(_) => {}
                    }
                }
            }
            if let Some(reach) = judged {
                net.upstream(at, UpstreamInput::Reach(reach));
            }
        }
        net.run(STEP);
    }

    fn run(&mut self, net: &mut MeshNet, span: Duration) {
        let until = net.now + span;
        while net.now < until {
            self.step(net);
        }
    }
}

/// Connections, and pings of the check, while so many routers rest.
fn legacy(routers: usize) -> (usize, usize) {
    let mut net = MeshNet::new(routers);
    for at in net.all() {
        net.upstream(at, UpstreamInput::Configure(Some(ServerKind::Legacy)));
    }
    let mut watches = Watches::of(&net);
    watches.run(&mut net, secs(3));
    assert!(net.all().iter().all(|at| net.router(*at).snapshot(net.now).upstream.unwrap().leads));
    let began = (watches.dials, watches.pings);
    watches.run(&mut net, MEASURED);
    assert!(net.server.connected.is_empty(), "nobody is carried");
    let looking = watches.all.values().filter(|(_, looks)| *looks).count();
    assert_eq!((looking, watches.dials - began.0), (1, 0), "one looks, over a connection that stands");
    (looking, watches.pings - began.1)
}

/// Connections, and messages that came over them, while so many routers rest.
fn node(routers: usize) -> (usize, usize) {
    let mut net = MeshNet::with_main(&[routers]);
    let main = R(routers);
    net.run(secs(12));
    net.messages.clear();
    let mut callers = BTreeSet::new();
    for _ in 0..MEASURED.as_secs() {
        net.run(secs(1));
        callers.extend(net.keepers());
    }
    let to_main = net.messages.iter().filter(|(_, to, _)| *to == main);
    (callers.len(), to_main.count())
}

#[test]
fn many_routers_at_rest_put_no_more_probes_on_a_legacy_server_than_one() {
    let (one, many) = (legacy(1), legacy(MANY));
    assert_eq!(one.0, 1);
    // Four each second, more or less one at the edges.
    assert!(one.1.abs_diff(4 * MEASURED.as_secs() as usize) <= 1, "{one:?}");
    assert!(many.0 == one.0 && many.1.abs_diff(one.1) <= 1, "{many:?} instead of {one:?}");
}

#[test]
fn many_routers_at_rest_put_no_more_on_a_node_than_one() {
    // Each connection is asked over by itself whether the other end is there; what
    // is held is told once in ten seconds.
    let (one, many) = (node(1), node(MANY));
    assert_eq!(one, (1, 2));
    assert!(many.0 == 1 && many.1 <= 2, "{many:?} instead of {one:?}");
}
