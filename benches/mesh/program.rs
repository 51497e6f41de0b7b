//! The two programs: how they are started on a host, and how they say who leads.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    common::{dialect::Result, proc::find},
    member::Said,
    netns::Net,
};

/// What a member shall be.
#[derive(Clone, Copy)]
pub(crate) struct Post<'a> {
    pub(crate) host: usize,
    /// Of how many; the last one is the best, where there is a best one.
    pub(crate) of: usize,
    /// Whether the last one shall lead whenever it is there.
    pub(crate) is_ranked: bool,
    /// A folder for the whole mesh's files.
    pub(crate) scratch: &'a Path,
    /// More options of `fau3 node`, each as `section.option=value`.
    pub(crate) options: &'a [&'a str],
}

/// What can be measured.
#[derive(Clone)]
pub(crate) enum Program {
    Fau3(PathBuf),
    Keepalived(PathBuf),
}

impl Program {
    pub(crate) fn find_keepalived() -> Option<Program> {
        find("keepalived").map(Program::Keepalived)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Program::Fau3(_) => "fau3",
            Program::Keepalived(_) => "keepalived",
        }
    }

    /// Whether every member says how many it sees.
    pub(crate) fn counts_members(&self) -> bool {
        matches!(self, Program::Fau3(_))
    }

    /// The first line that it says about itself.
    pub(crate) fn version(&self) -> String {
        let (Program::Fau3(path) | Program::Keepalived(path)) = self;
        let output = Command::new(path).arg("--version").output();
        // keepalived says it on standard error.
        let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&said).lines().next().unwrap_or("unknown version").to_owned()
    }

    /// What the mesh needs before its first member starts.
    pub(crate) fn prepare(&self, scratch: &Path) -> Result<()> {
        fs::create_dir_all(scratch)?;
        if let Program::Fau3(path) = self {
            let key = Command::new(path).args(["keys", "--new-mesh-key"]).output()?;
            if !key.status.success() {
                return Err(format!("no mesh key: {}", String::from_utf8_lossy(&key.stderr)).into());
            }
            fs::write(scratch.join("mesh.key"), key.stdout)?;
        }
        Ok(())
    }

    /// What starts it on a host of `net`.
    pub(crate) fn command(&self, net: &Net, post: Post<'_>) -> Result<Command> {
        let (path, arguments) = match self {
            Program::Fau3(path) => (path, fau3_arguments(post)),
            Program::Keepalived(path) => (path, keepalived_arguments(net, post)?),
        };
        let mut command = net.command(post.host, path);
        command.args(arguments);
        Ok(command)
    }

    /// Reads a line of its log.
    pub(crate) fn reader(&self) -> fn(&str) -> Option<Said> {
        match self {
            Program::Fau3(_) => read_fau3,
            Program::Keepalived(_) => read_keepalived,
        }
    }
}

/// As delivered, but for the places of its files and the mesh's key.
fn fau3_arguments(post: Post<'_>) -> Vec<OsString> {
    let folder = post.scratch.join(post.host.to_string());
    let at = |name: &str| folder.join(name).display().to_string();
    let mut settings = vec![
        format!("node.name={}", fau3_name(post.host)),
        format!("node.data_dir={}", at("data")),
        format!("node.identity={}", at("identity.key")),
        format!("node.control={}", control_socket(post.scratch, post.host).display()),
        format!("mesh.key={}", post.scratch.join("mesh.key").display()),
    ];
    if post.is_ranked {
        // Highest priority first.
        settings.extend((0..post.of).rev().map(|host| format!("extra_server.name={}", fau3_name(host))));
    }
    settings.extend(post.options.iter().map(|&option| option.to_owned()));
    let mut arguments = vec!["node".into()];
    arguments.extend(settings.into_iter().flat_map(|setting| ["--set".into(), setting.into()]));
    arguments
}

fn fau3_name(host: usize) -> String {
    format!("router-{}", host + 1)
}

/// Where a `fau3 node` answers questions.
pub(crate) fn control_socket(scratch: &Path, host: usize) -> PathBuf {
    scratch.join(host.to_string()).join("control.sock")
}

/// "this router leads, epoch 3; routers in reach: 3, ...".
fn read_fau3(line: &str) -> Option<Said> {
    let (who, rest) = line.split_once("; routers in reach: ")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some(Said { leads: who.contains("this router leads"), in_reach: digits.parse().ok()? })
}

/// VRRP version 2 with adverts every second, which is its default, and ranks as close as they can be.
fn keepalived_arguments(net: &Net, post: Post<'_>) -> Result<Vec<OsString>> {
    let folder = post.scratch.join(format!("keepalived-{}", post.host));
    fs::create_dir_all(&folder)?;
    let config = folder.join("keepalived.conf");
    let rank = 100 + post.host;
    let text = format!(
        "global_defs {{\n router_id host{}\n}}\nvrrp_instance mesh {{\n state BACKUP\n interface eth0\n \
         virtual_router_id 51\n priority {rank}\n advert_int 1\n virtual_ipaddress {{ {}/24 }}\n}}\n",
        post.host,
        net.virtual_ipv4(),
    );
    fs::write(&config, text)?;
    // In the foreground, its log on standard error, VRRP only, with files of its own.
    let mut arguments: Vec<OsString> = ["-n", "-l", "-P", "-f"].map(OsString::from).to_vec();
    arguments.extend([
        config.into(),
        "-p".into(),
        folder.join("pid").into(),
        "-r".into(),
        folder.join("vrrp.pid").into(),
    ]);
    Ok(arguments)
}

/// "(mesh) Entering MASTER STATE".
fn read_keepalived(line: &str) -> Option<Said> {
    let (_, state) = line.split_once("(mesh) Entering ")?;
    Some(Said { leads: state.starts_with("MASTER"), in_reach: 0 })
}
