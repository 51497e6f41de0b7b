//! Hosts on a switch, in network namespaces of this machine: several routers
//! as if each were a machine of its own. Needs root, iproute2 and nftables.
//!
//! ```ignore
//! let Some(net) = Net::new(3) else { return };             // or skipped, loudly
//! let router = Program::start(net.command(0, "fau3"));     // any program, on host 0
//! net.partition(&[0], &[1, 2]);                            // and cut, lossy, one-way
//! net.heal();
//! ```
//!
//! Every host has one card, `eth0`, at 10.83.0.(i+1) and fd83::(i+1), usable at
//! once. Faults are rules of the switch and act on what crosses it, broadcasts
//! and ARP included, so that hosts notice nothing but silence. All of it goes
//! when the value is dropped.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{skipped, wait_for};

/// Hosts of one network, so that a number fits a byte of an address.
const HOSTS_MAX: usize = 100;

/// Hosts of all networks at once: routers that share their processors with two dozen
/// others are too slow for what is asked of a mesh. A larger network stands alone.
const HOSTS_AT_ONCE: usize = 12;

/// Hosts 0 to n-1, all on one switch.
pub(crate) struct Net {
    name: String,
    len: usize,
    faults: Mutex<Faults>,
    /// Given back once all is removed.
    _places: Places,
}

/// How many hosts there are now.
static HOSTS: Mutex<usize> = Mutex::new(0);
static FEWER_HOSTS: Condvar = Condvar::new();

/// Places among [`HOSTS_AT_ONCE`].
struct Places(usize);

impl Places {
    /// Waits for them, behind other tests of this process.
    fn wait_for(hosts: usize) -> Self {
        let taken = hosts.min(HOSTS_AT_ONCE);
        let now = HOSTS.lock().unwrap();
        let mut now = FEWER_HOSTS.wait_while(now, |now| *now + taken > HOSTS_AT_ONCE).unwrap();
        *now += taken;
        Self(taken)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        *HOSTS.lock().unwrap() -= self.0;
        FEWER_HOSTS.notify_all();
    }
}

/// What the switch drops.
#[derive(Default)]
struct Faults {
    /// From, to.
    cut: BTreeSet<(usize, usize)>,
    /// Percent of what goes to and of what comes from a host.
    loss: Vec<(usize, u8)>,
    /// Percent of all that crosses the switch.
    loss_everywhere: u8,
    /// Ports and other kinds of packets, as nftables names them, from one host to another.
    kinds: Vec<(usize, usize, &'static str)>,
}

impl Net {
    /// A network of `len` hosts; `None` where this machine cannot have one,
    /// which is said aloud, and is a failure with `FAU3_REQUIRE_ALL=1` unless
    /// `FAU3_NO_NETNS=1` says that it is known.
    pub(crate) fn new(len: usize) -> Option<Self> {
        assert!((1..=HOSTS_MAX).contains(&len), "1 to {HOSTS_MAX} hosts");
        if fau3_skipped::is_set("FAU3_NO_NETNS") {
            fau3_skipped::excused("networks in namespaces cannot be had here");
            return None;
        }
        if let Some(lacking) = lacking() {
            skipped(lacking);
            return None;
        }
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        // From here on, dropped means removed, also halfway.
        let net = Self {
            name: format!("fau3-{}-{number}", std::process::id()),
            len,
            faults: Mutex::default(),
            _places: Places::wait_for(len),
        };
        net.build();
        Some(net)
    }

    /// A program to be started on a host. Its process id is the program's own.
    pub(crate) fn command(&self, host: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(host)]).arg(program);
        command
    }

    /// Runs `what` in a thread on a host; threads that it starts are there too.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        host: usize,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let namespace = File::open(format!("/run/netns/{}", self.host(host))).unwrap();
        std::thread::spawn(move || {
            use std::os::fd::AsFd;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            what()
        })
    }

    /// A host's IPv4 address.
    pub(crate) fn ipv4(&self, host: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 83, 0, self.number(host))
    }

    /// An IPv4 address of the same network that no host has of its own.
    pub(crate) fn virtual_ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 83, 0, 200)
    }

    /// A host's IPv6 address, besides its link-local one.
    pub(crate) fn ipv6(&self, host: usize) -> Ipv6Addr {
        Ipv6Addr::new(0xfd83, 0, 0, 0, 0, 0, 0, self.number(host).into())
    }

    /// Nothing gets from one side to the other any more.
    pub(crate) fn partition(&self, one: &[usize], other: &[usize]) {
        self.change(|faults| {
            for &one in one {
                faults.cut.extend(other.iter().flat_map(|&other| [(one, other), (other, one)]));
            }
        });
    }

    /// Nothing gets from `from` to `to` any more; the other way it does.
    pub(crate) fn one_way(&self, from: usize, to: usize) {
        self.change(|faults| {
            faults.cut.insert((from, to));
        });
    }

    /// Nothing of one kind gets from `from` to `to` any more, as nftables names the
    /// kind: `tcp dport 8902`.
    pub(crate) fn block(&self, from: usize, to: usize, kind: &'static str) {
        self.change(|faults| faults.kinds.push((from, to, kind)));
    }

    /// Of what goes to and of what comes from a host, so much is lost at random.
    pub(crate) fn loss(&self, host: usize, percent: u8) {
        assert!(percent <= 100, "percent");
        self.change(|faults| {
            faults.loss.retain(|(other, _)| *other != host);
            faults.loss.push((host, percent));
        });
    }

    /// Of what goes from any host to any other, so much is lost at random, of
    /// a broadcast for each of those that it goes to.
    pub(crate) fn loss_everywhere(&self, percent: u8) {
        assert!(percent <= 100, "percent");
        self.change(|faults| faults.loss_everywhere = percent);
    }

    /// All these faults are over.
    pub(crate) fn heal(&self) {
        self.change(|faults| *faults = Faults::default());
    }

    /// Pulls a host's cable: its card has no carrier.
    pub(crate) fn unplug(&self, host: usize) {
        run(&self.switch_ip(&["link", "set", &port(host), "down"]));
    }

    /// Plugs it in again, and waits until its system has noticed.
    pub(crate) fn plug(&self, host: usize) {
        run(&self.switch_ip(&["link", "set", &port(host), "up"]));
        let host = self.host(host);
        // Linux tells of carriers up to a second late.
        wait_for("the card has its carrier", Duration::from_secs(5), || {
            let mut card = Command::new("ip");
            card.args(["-n", &host, "-brief", "link", "show", "dev", "eth0", "up"]);
            String::from_utf8_lossy(&card.output().unwrap().stdout).contains(" UP ")
        });
    }

    /// Takes a host's card down, as `ifdown` does: it loses its addresses.
    pub(crate) fn down(&self, host: usize) {
        let host = self.host(host);
        run(&["ip", "-n", &host, "link", "set", "eth0", "down"]);
        run(&["ip", "-n", &host, "addr", "flush", "dev", "eth0"]);
    }

    /// Takes it up again.
    pub(crate) fn up(&self, host: usize) {
        batch(&self.host(host), &self.addresses(host));
    }

    fn build(&self) {
        run(&["ip", "netns", "add", &self.switch()]);
        // Without snooping: multicast is for everyone, as in a radio network.
        batch(&self.switch(), "link add br0 type bridge mcast_snooping 0\nlink set br0 up\n");
        for host in 0..self.len {
            let (name, port) = (self.host(host), port(host));
            run(&["ip", "netns", "add", &name]);
            // The card first without a carrier, so that nothing is sent too early.
            let cable = format!(
                "link add {port} type veth peer name eth0 netns {name}\nlink set {port} master br0\n\
                 link set {port} up\n"
            );
            batch(&self.switch(), &cable);
            batch(&name, &format!("link set lo up\n{}", self.addresses(host)));
        }
    }

    /// Addresses usable at once, without a second of asking whether they are taken.
    fn addresses(&self, host: usize) -> String {
        format!(
            "link set eth0 up\naddr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n",
            self.ipv4(host),
            self.ipv6(host)
        )
    }

    fn change(&self, what: impl FnOnce(&mut Faults)) {
        let mut faults = self.faults.lock().unwrap();
        what(&mut faults);
        let rules = faults.rules();
        drop(faults);
        // In one go: there is no moment with half of the faults.
        feed(&["ip", "netns", "exec", &self.switch(), "nft", "-f", "-"], &rules);
    }

    fn switch_ip<'a>(&self, args: &[&'a str]) -> Vec<String> {
        let args = args.iter().map(|arg: &&'a str| (*arg).to_owned());
        ["ip".to_owned(), "-n".to_owned(), self.switch()].into_iter().chain(args).collect()
    }

    /// The namespace that is a host.
    pub(crate) fn namespace(&self, host: usize) -> String {
        self.host(host)
    }

    fn number(&self, host: usize) -> u8 {
        assert!(host < self.len, "hosts 0 to {}", self.len - 1);
        u8::try_from(host + 1).unwrap()
    }

    fn host(&self, host: usize) -> String {
        format!("{}-{}", self.name, self.number(host))
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.name)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let hosts = (0..self.len).map(|host| self.host(host));
        for name in hosts.chain([self.switch()]) {
            // Some may not be there, if building has failed.
            let _ = Command::new("ip").args(["netns", "del", &name]).stderr(Stdio::null()).status();
        }
    }
}

impl Faults {
    fn rules(&self) -> String {
        let mut rules = "table bridge faults\ndelete table bridge faults\ntable bridge faults {\n\
                         chain forward {\ntype filter hook forward priority 0;\n"
            .to_owned();
        for (from, to) in &self.cut {
            writeln!(rules, "iifname {} oifname {} drop", port(*from), port(*to)).unwrap();
        }
        for (from, to, kind) in &self.kinds {
            writeln!(rules, "iifname {} oifname {} {kind} drop", port(*from), port(*to)).unwrap();
        }
        for (host, percent) in &self.loss {
            for side in ["iifname", "oifname"] {
                writeln!(rules, "{side} {} numgen random mod 100 < {percent} drop", port(*host)).unwrap();
            }
        }
        if self.loss_everywhere > 0 {
            writeln!(rules, "numgen random mod 100 < {} drop", self.loss_everywhere).unwrap();
        }
        rules.push_str("}\n}\n");
        rules
    }
}

/// The switch's side of a host's cable.
fn port(host: usize) -> String {
    format!("port{}", host + 1)
}

/// What this machine lacks for a network; `None`: nothing. Tried once.
fn lacking() -> Option<&'static str> {
    static LACKING: OnceLock<Option<&'static str>> = OnceLock::new();
    *LACKING.get_or_init(try_out)
}

fn try_out() -> Option<&'static str> {
    let can = |args: &[&str]| {
        let mut tried = Command::new(args[0]);
        tried.args(&args[1..]).stdout(Stdio::null()).stderr(Stdio::null());
        tried.status().is_ok_and(|status| status.success())
    };
    for (args, lacking) in [(["ip", "-V"], "ip (iproute2)"), (["nft", "--version"], "nft (nftables)")] {
        if !can(&args) {
            return Some(lacking);
        }
    }
    // Only a trial tells: root may be so in a container that may do less.
    let name = format!("fau3-{}-trial", std::process::id());
    let is_made = can(&["ip", "netns", "add", &name]);
    let is_usable = is_made && can(&["ip", "netns", "exec", &name, "nft", "list", "ruleset"]);
    can(&["ip", "netns", "del", &name]);
    (!is_usable).then_some("network namespaces with nftables, or root to make them")
}

fn run(args: &[impl AsRef<str>]) {
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    feed(&args, "");
}

pub(crate) fn batch(namespace: &str, commands: &str) {
    feed(&["ip", "-n", namespace, "-batch", "-"], commands);
}

/// Runs a program to its end with something to read.
///
/// # Panics
/// If it fails, with what it said.
pub(crate) fn feed(args: &[&str], input: &str) {
    let mut command = Command::new(args[0]);
    command.args(&args[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?} failed: {}\n{input}", String::from_utf8_lossy(&output.stderr));
}
