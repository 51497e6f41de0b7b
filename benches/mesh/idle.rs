//! What a router costs that has nothing to do but to belong to a mesh of twelve.

use std::{fs, thread, time::Duration};

use crate::{
    bench::{Bench, Pair, progress},
    cluster::Cluster,
    common::{
        dialect::Result,
        proc::status_kib,
        table::{Reach, Row},
    },
};

const ROUTERS: usize = 12;
const KIB: f64 = 1_024.0;

impl Bench {
    /// Bytes on the wire as the cards count them, Ethernet headers included, and memory. Of all the routers the one
    /// with most is shown.
    pub(crate) fn idle(&self) -> Result<Vec<Row>> {
        let cluster = Cluster::settled(&self.ours, ROUTERS)?;
        let [pause_s, watched_s] = self.amounts.idle_s;
        thread::sleep(Duration::from_secs(pause_s));
        let before = counters(&cluster)?;
        thread::sleep(Duration::from_secs(watched_s));
        let after = counters(&cluster)?;
        let rates: Vec<[f64; 4]> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| std::array::from_fn(|i| (after[i] - before[i]) as f64 / watched_s as f64))
            .collect();
        let most = |which: usize| rates.iter().map(|rate| rate[which]).fold(0.0, f64::max);
        let [received, sent] = [most(0) / KIB, most(2) / KIB];
        let memory = cluster
            .running()
            .map(|(_, member)| status_kib(member.pid(), "VmRSS:"))
            .collect::<Result<Vec<f64>>>()?;
        let memory_mib = memory.into_iter().fold(0.0, f64::max) / KIB;
        let packets = format!("{:.0} packets/s received, {:.0} sent", most(1), most(3));
        progress(&self.ours, &format!("{received:.2} and {sent:.2} KiB/s; {packets}; {memory_mib:.1} MiB"));
        let row = |ours, work, unit, most| Pair { ours, peer: None }.row(work, unit, Reach::AtMost(most));
        Ok(vec![
            row(received, "idle among 12: received", "KiB/s", 12.0),
            row(sent, "idle among 12: sent", "KiB/s", 12.0),
            row(memory_mib, "idle among 12: memory (VmRSS)", "MiB", 12.0),
        ])
    }
}

/// Of each host's card: bytes and packets received, bytes and packets sent.
fn counters(cluster: &Cluster) -> Result<Vec<[u64; 4]>> {
    let card = |host| -> Result<[u64; 4]> {
        let read = cluster.net.inside(host, || fs::read_to_string("/proc/thread-self/net/dev"));
        let text = read.join().map_err(|_| "cannot enter a host")??;
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix("eth0:"));
        let fields: Vec<u64> =
            line.ok_or("no eth0")?.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        match fields[..] {
            [rx_bytes, rx_packets, _, _, _, _, _, _, tx_bytes, tx_packets, ..] => {
                Ok([rx_bytes, rx_packets, tx_bytes, tx_packets])
            }
            _ => Err("malformed /proc/net/dev".into()),
        }
    };
    (0..ROUTERS).map(card).collect()
}
