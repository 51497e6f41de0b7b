use clap::Args;
use fau3_election::Mutant;
use fau3_sim::mutants::hunt;

#[derive(Debug, Args)]
pub(crate) struct Mutants {
    /// A variant that survives so many seeds has survived
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
}

impl Mutants {
    pub(crate) fn run(&self) -> bool {
        println!("{:<22} {:<16} {:>11} {:>6}", "wrong variant", "caught by", "after seeds", "seed");
        let mut survivors = 0;
        for mutant in Mutant::ALL {
            let name = format!("{mutant:?}");
            match hunt(mutant, self.seeds) {
                Some(caught) => {
                    println!("{name:<22} {:<16} {:>11} {:>6}", caught.invariant, caught.after, caught.seed);
                }
                None => {
                    survivors += 1;
                    println!("{name:<22} SURVIVED {} seeds", self.seeds);
                }
            }
        }
        survivors == 0
    }
}
