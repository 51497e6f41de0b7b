//! Meshes as large as they come, and all small ones.

use alloc::vec::Vec;

use super::net::Net;

/// Routers a side of the grid.
const SIDE: usize = 8;

fn grid() -> Vec<(usize, usize)> {
    let right = (0..SIDE * SIDE).filter(|at| at % SIDE + 1 < SIDE).map(|at| (at, at + 1));
    let down = (0..SIDE * (SIDE - 1)).map(|at| (at, at + SIDE));
    right.chain(down).collect()
}

/// Starts all, lets the leader die, and says how long it took until all the others agree.
fn converge(net: &mut Net) -> u64 {
    let all: Vec<usize> = (0..SIDE * SIDE).collect();
    all.iter().for_each(|index| net.start(*index));
    net.run(6_000);
    assert!(net.led_by(0, &all));
    let before: u64 = all.iter().map(|index| net.counters(*index).decisions).sum();
    net.run(5_000);
    assert_eq!(all.iter().map(|index| net.counters(*index).decisions).sum::<u64>(), before, "at rest");
    net.kill(0);
    let took = net.run_until(3_500, |net| net.led_by(1, &all[1..]));
    assert_eq!(net.leaders(), [1]);
    took
}

#[test]
fn sixty_four_routers_in_one_room_converge_as_five_do() {
    let mut net = Net::new(SIDE * SIDE, "");
    let took = converge(&mut net);
    assert!(took <= 2_200, "{took} ms");
}

#[test]
fn a_grid_of_sixty_four_converges_within_the_bound_and_its_hops() {
    let mut net = Net::new(SIDE * SIDE, "");
    net.topology(&grid());
    let took = converge(&mut net);
    assert!(took <= 2_200 + 14 * 55, "{took} ms");
}

#[test]
fn each_component_of_a_directed_graph_of_four_has_exactly_one_leader() {
    // Every 37th of the 4,096 graphs; the simulator takes them all.
    for graph in (0..4_096_u32).step_by(graph_step()) {
        let mut net = Net::new(4, "CB");
        let mut arrow = 0;
        for a in 0..4 {
            for b in (0..4).filter(|b| *b != a) {
                net.up[a][b] = graph >> arrow & 1 == 1;
                arrow += 1;
            }
        }
        (0..4).for_each(|index| net.start(index));
        net.run(4_000);
        for index in 0..4 {
            let component = component(&net, index);
            let leaders = net.leaders().into_iter().filter(|leader| component.contains(leader));
            let leaders: Vec<usize> = leaders.collect();
            assert_eq!(leaders.len(), 1, "graph {graph}: {component:?} has {leaders:?}");
            let best = [2, 1, 0, 3].into_iter().find(|best| component.contains(best));
            assert_eq!(leaders.first().copied(), best, "graph {graph}");
            assert!(net.led_by(leaders[0], &component), "graph {graph}");
        }
    }
}

fn graph_step() -> usize {
    if cfg!(debug_assertions) { 37 } else { 1 }
}

/// By the links as they are, not as any router sees them.
fn component(net: &Net, start: usize) -> Vec<usize> {
    let mut found = Vec::from([start]);
    let mut next = 0;
    while let Some(from) = found.get(next).copied() {
        next += 1;
        for to in 0..net.nodes.len() {
            if net.up[from][to] && net.up[to][from] && !found.contains(&to) {
                found.push(to);
            }
        }
    }
    found
}
