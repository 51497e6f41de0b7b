//! What Linux tells of processes (proc_pid_stat(5), proc_pid_status(5), proc_loadavg(5)), and where programs are.

use std::{env, fs, path::PathBuf};

use super::dialect::Result;

/// Linux counts processor time for user space in hundredths of a second, on every architecture that we meet.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time, user and system, of process `pid`.
pub(crate) fn cpu_s(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').ok_or("malformed /proc/PID/stat")?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    match (times.next(), times.next()) {
        (Some(user), Some(system)) => Ok((user? + system?) / TICKS_PER_SECOND),
        _ => Err("malformed /proc/PID/stat".into()),
    }
}

/// A field of `/proc/PID/status` in KiB: `VmRSS:`, resident now; `VmHWM:`, resident at most since exec.
pub(crate) fn status_kib(pid: u32, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.ok_or_else(|| format!("no {field} of a process that has ended"))?.parse()?)
}

/// The machine's load in the last 1, 5 and 15 minutes.
pub(crate) fn load_average() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// As many open files as the system lets us, for the servers too: they inherit it.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        eprintln!("cannot raise the limit of open files: {error}");
    }
}

/// A program, wherever it is: Debian keeps servers where an ordinary user's PATH does not look.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|path| path.is_file())
}
