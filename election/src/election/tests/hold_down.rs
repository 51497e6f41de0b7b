//! Hand-back: quick the first time, slower with each flap, forgotten at last.

use super::net::Net;

/// A dies and comes back; how long it then took to lead again.
fn flap(net: &mut Net) -> u64 {
    net.kill(0);
    net.run(3_000);
    net.start(0);
    net.run_until(70_000, |net| net.led_by(0, &[0, 1, 2]))
}

#[test]
fn each_flap_doubles_the_hold_down_up_to_the_bound_and_quiet_forgets_it() {
    let mut net = Net::running(3, "ABC");
    net.run(5_000);
    // The first time is quick
    assert!(flap(&mut net) <= 3_000);
    // The second costs the base, each further one the double
    let times: [u64; 6] = core::array::from_fn(|_| flap(&mut net));
    for (time, hold) in times.iter().zip([4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
        assert!((hold..hold + 1_500).contains(time), "{times:?}");
    }
    // After the quiet time it is the first time again
    net.run(125_000);
    assert!(flap(&mut net) <= 3_000);
}

#[test]
fn a_newcomer_reads_the_hold_down_from_others() {
    let mut net = Net::new(4, "ABC");
    (0..3).for_each(|index| net.start(index));
    net.run(5_000);
    flap(&mut net);
    flap(&mut net);
    net.kill(0);
    net.run(3_000);
    net.start(0);
    // Given that A is held down, when D starts
    net.start(3);
    net.run(4_000);
    // Then it follows B as the others do, and A knows it, too
    assert!(net.led_by(1, &[0, 1, 2, 3]));
    assert!(net.view(0).held && net.view(0).ready);
}

#[test]
fn a_loose_cable_is_held_against_the_one_behind_it_not_against_the_room() {
    // Given that A, first in the list, is cut off again and again, alive all the time
    let mut net = Net::running(4, "ABCD");
    for _ in 0..3 {
        (1..4).for_each(|other| net.link(0, other, false));
        net.run(4_000);
        assert_eq!(net.leaders(), [0, 1]);
        (1..4).for_each(|other| net.link(0, other, true));
        net.run(1_500);
    }
    // Then the room keeps B while A is held down, although A saw all flap
    assert!(net.led_by(1, &[0, 1, 2, 3]));
    assert!(net.view(0).held && !net.view(1).held);
    net.run(10_000);
    assert!(net.led_by(0, &[0, 1, 2, 3]));
}

#[test]
fn where_all_are_held_down_one_leads_all_the_same() {
    let mut net = Net::running(2, "AB");
    for _ in 0..4 {
        net.link(0, 1, false);
        net.run(4_000);
        net.link(0, 1, true);
        net.run(1_000);
        assert!(net.led_by(0, &[0, 1]));
    }
    assert!(net.view(0).held && net.view(1).held);
}
