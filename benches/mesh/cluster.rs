//! Members of one program on a network of their own, one a host, and who of them leads when.

use std::{
    env, fs,
    path::PathBuf,
    process::id,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::dialect::Result,
    member::Member,
    netns::Net,
    program::{Post, Program},
};

/// A mesh that does not agree after this long is broken, not slow.
const AGREE_MAX: Duration = Duration::from_secs(40);
/// For so long nothing changes before a mesh counts as settled: longer than what either program waits for.
const CALM: Duration = Duration::from_millis(1_500);
/// How often the logs, which are stamped when they arrive, are looked through.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A mesh. Dropping it ends its members and removes their network and files.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Option<Member>>,
    pub(crate) net: Net,
    pub(crate) scratch: PathBuf,
    program: Program,
    is_ranked: bool,
    options: Vec<&'static str>,
}

impl Cluster {
    /// A network of `len` hosts for members of `program`, and `more` hosts for clients; nobody runs yet.
    pub(crate) fn new(program: &Program, len: usize, more: usize) -> Result<Cluster> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let net = Net::new(len + more).ok_or("no network namespaces here")?;
        let scratch = env::temp_dir().join(format!("fau3-bench-mesh-{}-{number}", id()));
        program.prepare(&scratch)?;
        Ok(Cluster {
            members: (0..len).map(|_| None).collect(),
            net,
            scratch,
            program: program.clone(),
            is_ranked: false,
            options: Vec::new(),
        })
    }

    /// The last member leads whenever it is there.
    pub(crate) fn ranked(mut self) -> Cluster {
        self.is_ranked = true;
        self
    }

    /// With options of `fau3 node`.
    pub(crate) fn with(mut self, options: &[&'static str]) -> Cluster {
        self.options.extend(options);
        self
    }

    /// A whole mesh that has agreed on who leads.
    pub(crate) fn settled(program: &Program, len: usize) -> Result<Cluster> {
        let mut cluster = Cluster::new(program, len, 0)?;
        for host in 0..len {
            cluster.start(host)?;
        }
        cluster.settle()?;
        Ok(cluster)
    }

    /// Starts the member of `host`; returns when.
    pub(crate) fn start(&mut self, host: usize) -> Result<Instant> {
        let post = Post {
            host,
            of: self.members.len(),
            is_ranked: self.is_ranked,
            scratch: &self.scratch,
            options: &self.options,
        };
        let command = self.program.command(&self.net, post)?;
        let at = Instant::now();
        self.members[host] = Some(Member::start(command, self.program.reader())?);
        Ok(at)
    }

    /// The members that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, &Member)> {
        let members = self.members.iter().enumerate();
        members.filter_map(|(host, member)| Some((host, member.as_ref()?))).filter(|(_, m)| m.is_running())
    }

    /// The member of `host`.
    pub(crate) fn member(&mut self, host: usize) -> Result<&mut Member> {
        self.members[host].as_mut().ok_or_else(|| format!("nobody runs on host {host}").into())
    }

    /// Who says that it leads.
    pub(crate) fn leaders(&self) -> Vec<usize> {
        self.running().filter(|(_, member)| member.now().leads).map(|(host, _)| host).collect()
    }

    /// Waits until one leads, everyone that runs sees everyone, and nothing changes any more; returns who leads.
    pub(crate) fn settle(&self) -> Result<usize> {
        let begun = Instant::now();
        let len = self.running().count();
        let mut since = Instant::now();
        let mut before = self.leaders();
        loop {
            let leaders = self.leaders();
            let all_seen = !self.program.counts_members()
                || self.running().all(|(_, member)| member.now().in_reach == len);
            if leaders.len() != 1 || leaders != before || !all_seen {
                since = Instant::now();
            }
            before = leaders;
            if since.elapsed() > CALM {
                return Ok(before[0]);
            }
            if begun.elapsed() > AGREE_MAX {
                return Err(self.explain("the mesh does not agree on who leads"));
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// When, at `since` or later, one of `hosts` first began to lead; an error after `patience`.
    pub(crate) fn next_leader(&self, hosts: &[usize], since: Instant, patience: Duration) -> Result<Instant> {
        loop {
            let members = self.running().filter(|(host, _)| hosts.contains(host));
            let begun = members.flat_map(|(_, member)| member.beginnings()).filter(|at| *at >= since).min();
            if let Some(at) = begun {
                return Ok(at);
            }
            if since.elapsed() > patience {
                return Err(self.explain("nobody takes over"));
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Everyone but `host`.
    pub(crate) fn others(&self, host: usize) -> Vec<usize> {
        (0..self.members.len()).filter(|other| *other != host).collect()
    }

    /// How many led when, from `since` on: the moments of change, each with the number from then on.
    pub(crate) fn leaders_since(&self, since: Instant) -> Vec<(Instant, usize)> {
        let mut leads = vec![false; self.members.len()];
        let mut changes: Vec<(Instant, usize, bool)> = Vec::new();
        for (host, member) in self.members.iter().enumerate() {
            let member = member.iter().flat_map(Member::changes);
            changes.extend(member.map(|(at, leads)| (at, host, leads)));
        }
        changes.sort();
        let mut history = vec![(since, 0)];
        for (at, host, now) in changes {
            leads[host] = now;
            let count = leads.iter().filter(|leads| **leads).count();
            if at <= since {
                history[0].1 = count;
            } else {
                history.push((at, count));
            }
        }
        history
    }

    /// An error with what everybody said last.
    pub(crate) fn explain(&self, what: &str) -> Box<dyn std::error::Error> {
        let mut text = format!("{what} ({})", self.program.name());
        for (host, member) in self.running() {
            text.push_str(&format!("\n  host {host}:\n    {}", member.log()));
        }
        text.into()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in self.members.iter_mut().flatten().filter(|member| member.is_running()) {
            member.kill();
        }
        self.members.clear();
        // Its files may be gone, which is what is wanted here.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}
