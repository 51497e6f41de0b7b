//! The clients' name on its way to dnsmasq.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::common::{Program, wait_for};
use crate::openwrt::root::Root;

const PATIENCE: Duration = Duration::from_secs(20);

fn hook(root: &Root) -> Program {
    let mut command = root.command(root.path("bin/sh"));
    command.arg(root.path("usr/libexec/fau3/hosts-hook")).arg(root.path("var/run/fau3/hosts"));
    Program::start(command)
}

#[test]
fn dnsmasq_gets_the_name_while_it_is_there_and_is_told_of_each_change_once() {
    let Some(root) = Root::new() else { return };
    fs::create_dir_all(root.path("var/run/fau3")).unwrap();
    let (from, to) = (root.path("var/run/fau3/hosts"), "tmp/hosts/fau3");
    let mut hook = hook(&root);
    let told = || root.asked().matches("killall -q -HUP dnsmasq").count();
    fs::write(&from, "# Written by fau3\n192.168.1.1 fau3vomdMain\nfd00::1 fau3vomdMain\n").unwrap();
    wait_for("the name", PATIENCE, || root.read(to) == "192.168.1.1 fau3vomdMain\nfd00::1 fau3vomdMain\n");
    wait_for("a signal", PATIENCE, || told() == 1);
    // An address that appears an hour later, here a moment.
    fs::write(&from, "192.168.1.1 fau3vomdMain\n10.0.0.1 fau3vomdMain\n").unwrap();
    wait_for("the address", PATIENCE, || root.read(to).contains("10.0.0.1"));
    wait_for("a signal", PATIENCE, || told() == 2);
    fs::remove_file(&from).unwrap();
    wait_for("no name", PATIENCE, || !root.path(to).exists());
    wait_for("a signal", PATIENCE, || told() == 3);
    // Where nothing changes, nothing is said; and it leaves nothing behind.
    fs::write(&from, "192.168.1.1 fau3vomdMain\n").unwrap();
    wait_for("the name", PATIENCE, || root.path(to).exists());
    assert!(hook.terminate().success());
    assert!(!root.path(to).exists());
    assert_eq!(fs::read_dir(root.path("tmp/hosts")).unwrap().count(), 0);
}

#[test]
fn nothing_but_names_gets_there_whatever_the_service_s_user_puts_in_its_place() {
    let Some(root) = Root::new() else { return };
    fs::create_dir_all(root.path("var/run/fau3")).unwrap();
    fs::write(root.path("etc/hidden"), "1.2.3.4 of.others\n").unwrap();
    fs::write(root.path("var/run/fau3/hosts"), "1.2.3.4 ok\nroot:$1$secret:0:0\n1.2.3.4 a b\n").unwrap();
    let hook_ = hook(&root);
    wait_for("the name", PATIENCE, || root.read("tmp/hosts/fau3") == "1.2.3.4 ok\n");
    fs::remove_file(root.path("var/run/fau3/hosts")).unwrap();
    symlink(root.path("etc/hidden"), root.path("var/run/fau3/hosts")).unwrap();
    wait_for("no name", PATIENCE, || !root.path("tmp/hosts/fau3").exists());
    drop(hook_);
}

#[test]
fn the_service_runs_it_only_where_there_is_something_to_carry() {
    let Some(root) = Root::new() else { return };
    root.configure_with(&["clients: option hosts_file '/var/run/fau3/hosts'"]);
    let asked = root.service("start", "");
    assert!(asked.contains(&"instance hosts".to_owned()), "{asked:#?}");
    assert!(asked.iter().any(|line| line.contains("[/usr/libexec/fau3/hosts-hook] [/var/run/fau3/hosts]")));
    root.configure_with(&["clients: option hosts_file 'off'"]);
    assert!(!root.service("start", "").contains(&"instance hosts".to_owned()));
}
