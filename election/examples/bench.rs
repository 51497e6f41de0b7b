use fau3_election::*;
use std::time::Instant;
fn main() {
    let n = 5;
    let mut nodes: Vec<Election> = (0..n)
        .map(|i| {
            Election::new(
                Config::default(),
                RouterId([i as u8 + 1; 16]),
                SavedState::default(),
                i,
                Time::ZERO,
            )
        })
        .collect();
    let start = Instant::now();
    let mut hb = 0u64;
    let mut now;
    let end = Time::from_secs(66_000);
    loop {
        let (at, i) = nodes.iter().enumerate().map(|(i, e)| (e.poll_timeout().unwrap(), i)).min().unwrap();
        now = at;
        if now > end {
            break;
        }
        nodes[i].handle(now, Input::Timeout);
        let mut work = vec![i];
        while let Some(i) = work.pop() {
            while let Some(o) = nodes[i].poll_output() {
                match o {
                    Output::Broadcast(d) => {
                        for j in 0..nodes.len() {
                            if j != i {
                                hb += 1;
                                nodes[j].handle(now, Input::Datagram(d.as_bytes()));
                                if j != i {
                                    work.push(j);
                                }
                            }
                        }
                    }
                    Output::Send(to, d) => {
                        let j = to.0[0] as usize - 1;
                        nodes[j].handle(now, Input::Datagram(d.as_bytes()));
                        work.push(j);
                    }
                    Output::Persist { ticket, .. } => nodes[i].handle(now, Input::Persisted { ticket }),
                    _ => {}
                }
            }
        }
    }
    let t = start.elapsed();
    println!(
        "{} deliveries in {:?}: {:.1} ns each; {:.0} runs/s",
        hb,
        t,
        t.as_nanos() as f64 / hb as f64,
        100.0 / t.as_secs_f64()
    );
    println!("leaders {:?}", nodes.iter().map(|e| e.view().leads()).collect::<Vec<_>>());
    println!("{} {}", size_of::<Output>(), size_of::<Election>());
}
