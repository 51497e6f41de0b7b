//! fau3-sim
fn main() {
    let config = fau3_election::Config::default();
    let mut args = std::env::args().skip(1).map(|a| a.parse::<u64>().unwrap_or(0));
    let (a, b) = (args.next().unwrap_or(0), args.next().unwrap_or(1));
    let verbose = args.next().is_some();
    let began = std::time::Instant::now();
    let mut bad = 0;
    for seed in a..b {
        let setup = fau3_sim::world::Setup::from_seed(seed, &config);
        let mut world = fau3_sim::world::World::new(setup.clone());
        if verbose { world = world.with_timeline(); }
        let outcome = world.run();
        if verbose {
            for e in world.timeline() { println!("{}", fau3_sim::timeline::line(e, world.nodes(), &setup.faults)); }
            println!("{:?}", outcome.tally);
        }
        if let Some(v) = outcome.violation { println!("seed {seed}: {v}"); bad += 1; }
    }
    println!("{bad} bad of {} in {:?}", b - a, began.elapsed());
}
