//! `/etc/init.d/fau3`: what it asks procd for.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use crate::common::{Program, wait_for};
use crate::openwrt::root::Root;

const PATIENCE: Duration = Duration::from_secs(20);
const COMMAND: &str = "param command [/usr/bin/fau3] [node] [--config] [/etc/config/fau3] [--syslog]";

fn has(asked: &[String], line: &str) -> bool {
    asked.iter().any(|asked| asked == line)
}

#[track_caller]
fn assert_asked(asked: &[String], wanted: &[&str]) {
    for line in wanted {
        assert!(has(asked, line), "{line:?} is missing in {asked:#?}");
    }
}

#[test]
fn with_the_package_s_own_file_the_node_is_supervised_for_ever_as_its_own_user_with_no_rights() {
    let Some(root) = Root::new() else { return };
    let asked = root.service("start", "");
    assert_asked(
        &asked,
        &[
            "service fau3",
            "instance node",
            COMMAND,
            "param file [/etc/config/fau3]",
            "param reload_signal [HUP]",
            "param respawn [3600] [5] [0]",
            "param user [fau3]",
            "param group [fau3]",
            "param stdout [1]",
            "param stderr [1]",
            "param no_new_privs [1]",
            "param capabilities [/etc/capabilities/fau3-none.json]",
            "jail fau3 log procfs sysfs",
            "mount ro /etc/config",
            "mount rw /etc/fau3",
            "mount rw /var/run/fau3",
            "mount rw /tmp/fau3",
            "trigger fau3",
            "changed firewall",
        ],
    );
    assert!(!has(&asked, "validation again"), "procd would forget the first: {asked:#?}");
    assert_eq!(root.syslog(), "", "nothing to say");
    let rights: serde_json::Value =
        serde_json::from_str(&root.read("etc/capabilities/fau3-none.json")).unwrap();
    assert!(rights.as_object().unwrap().values().all(|set| set == &serde_json::json!([])));
}

#[test]
fn its_folders_are_made_for_it_alone() {
    let Some(root) = Root::new() else { return };
    root.service("start", "");
    for folder in ["etc/fau3", "var/run/fau3", "tmp/fau3"] {
        let mode = fs::metadata(root.path(folder)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o750, "{folder}");
    }
    // Whoever knows the socket by its other name finds it.
    let link = fs::read_link(root.path("var/run/fau3.sock")).unwrap();
    assert_eq!(link, root.path("var/run/fau3/fau3.sock"));
    root.service("stop", "node");
    assert!(fs::symlink_metadata(root.path("var/run/fau3.sock")).is_err());
}

#[test]
fn doors_are_opened_in_the_firewall_as_the_configuration_has_them_and_not_those_of_loopback() {
    let Some(root) = Root::new() else { return };
    root.configure_with(&[
        "clients: list listen '127.0.0.1:7001'",
        "clients: list listen '192.168.1.1:7003'",
        "mesh: list listen '[fe80::1%br-lan]:7002'",
    ]);
    // `configure_with` puts the later one first and drops what was there.
    let asked = root.service("start", "");
    assert_asked(
        &asked,
        &[
            "data /firewall/#/src=lan",
            "data /firewall/#/name=fau3-clients",
            "data /firewall/#/dest_port=7003",
            "data /firewall/#/proto=tcp udp",
            "data /firewall/#/dest_port=7002",
        ],
    );
    assert!(!asked.iter().any(|line| line.contains("7001")), "{asked:#?}");
    root.edit("config mesh 'mesh'\n", "config mesh 'mesh'\n\toption enabled '0'\n");
    root.edit("\toption enabled '1'\n\t# TCP", "\t# TCP");
    let asked = root.service("start", "");
    assert!(!has(&asked, "data /firewall/#/name=fau3-mesh"), "{asked:#?}");
}

#[test]
fn batman_adv_alone_is_given_a_right_and_umdns_speaks_only_where_the_program_does_not() {
    let Some(root) = Root::new() else { return };
    assert!(!root.service("start", "").iter().any(|line| line.starts_with("data /mdns")));
    root.configure_with(&["mesh: list discovery 'batman'"]);
    let asked = root.service("start", "");
    assert_asked(
        &asked,
        &["param capabilities [/etc/capabilities/fau3-batman.json]", "data /mdns/_fau3vomd._tcp=8901"],
    );
}

#[test]
fn netifd_is_asked_only_where_interfaces_are_named() {
    let Some(root) = Root::new() else { return };
    assert!(!root.service("start", "").iter().any(|line| line.contains("ubus")));
    root.configure_with(&["mesh: list interface 'lan'"]);
    let asked = root.service("start", "");
    assert!(
        asked.iter().any(|line| line.starts_with("mount ro ") && line.contains("/bin/ubus")),
        "{asked:#?}"
    );
    assert_asked(&asked, &["jail fau3 log procfs sysfs ubus"]);
    // It may ask what a network is, and nothing else.
    let rights: serde_json::Value = serde_json::from_str(&root.read("usr/share/acl.d/fau3.json")).unwrap();
    let wanted =
        serde_json::json!({"user": "fau3", "access": {"network.interface.*": {"methods": ["status"]}}});
    assert_eq!(rights, wanted);
}

#[test]
fn a_service_that_is_switched_off_says_so_and_runs_nothing() {
    let Some(root) = Root::new() else { return };
    root.edit("option enabled '1'", "option enabled 'off'");
    let asked = root.service("start", "");
    assert!(!asked.iter().any(|line| line.starts_with("instance")), "{asked:#?}");
    assert_asked(&asked, &["trigger fau3"]);
    assert_eq!(root.syslog(), "daemon.notice node.enabled is 0 in /etc/config/fau3: not started\n");
}

#[test]
fn a_mangled_file_is_told_with_its_lines_and_the_service_starts_by_itself_once_it_is_mended() {
    // Given a file with three mistakes,
    let Some(root) = Root::new() else { return };
    let good = root.read("etc/config/fau3");
    let at = |text: &str, of: &str| text.lines().position(|line| line.contains(of)).unwrap() + 1;
    let bad = good
        .replace("option copies '2'", "option copies '0'")
        .replace("option log 'info'", "optoin log 'info'")
        .replace("option storage 'ram'", "option storage 'tape'");
    fs::write(root.path("etc/config/fau3"), &bad).unwrap();
    // when the service is started, then it serves nobody and says why, line by line,
    let asked = root.service("start", "");
    assert!(!has(&asked, "instance node"), "{asked:#?}");
    assert_asked(&asked, &["trigger fau3", "instance mending", "param respawn [3600] [2] [0]"]);
    let said = root.syslog();
    for (of, what) in
        [("copies '0'", "clients.copies"), ("optoin", "'optoin'"), ("storage 'tape'", "clients.storage")]
    {
        let line = format!("daemon.err /etc/config/fau3:{}: {what}", at(&bad, of));
        assert!(said.contains(&line), "{line} is missing:\n{said}");
    }
    assert!(said.contains("the service waits until they are mended"), "{said}");
    // and who waits notices a change, whoever makes it:
    let waiter = |asked: &[String]| {
        let mut command = root.command(root.path("bin/sh"));
        command.arg("-c").args(root.waiting(asked));
        Program::start(command)
    };
    let mut waits = waiter(&asked);
    fs::write(root.path("etc/config/fau3"), bad.replace("optoin", "option")).unwrap();
    // still wrong, it is said again, with what is left;
    wait_for("the next look", PATIENCE, || root.syslog().matches("waits until").count() == 2);
    let said = root.syslog().split("mended\n").nth(1).unwrap().to_owned();
    assert!(said.contains("clients.copies") && !said.contains("optoin"), "{said}");
    wait_for("its end", PATIENCE, || waits.has_ended());
    // mended, it starts.
    let mut waits = waiter(&root.recorded());
    fs::remove_file(root.path("record")).unwrap();
    fs::write(root.path("etc/config/fau3"), &good).unwrap();
    wait_for("its end", PATIENCE, || waits.has_ended());
    let asked = root.recorded();
    assert_asked(&asked, &["instance node", COMMAND]);
    assert!(!has(&asked, "instance mending"), "{asked:#?}");
}

#[test]
fn a_reload_asks_for_the_same_again_so_that_procd_only_signals() {
    let Some(root) = Root::new() else { return };
    let before = root.service("start", "");
    root.edit("option max_clients '256'", "option max_clients '7'");
    let after = root.service("reload", "node");
    assert_eq!(before, after);
}

#[test]
fn a_reload_with_a_mangled_file_leaves_the_running_node_alone_and_has_it_say_so() {
    let Some(root) = Root::new() else { return };
    fs::write(root.path("etc/config/fau3"), "config node\n\toption log 'loud'\n").unwrap();
    let asked = root.service("reload", "node");
    assert_eq!(asked, ["signal fau3 node HUP"]);
    // Where none runs, it is as a start.
    assert!(has(&root.service("reload", "mending"), "instance mending"));
}

#[test]
fn a_key_that_others_may_read_is_closed_and_one_of_another_user_is_given_to_the_service() {
    let Some(root) = Root::new() else { return };
    fs::create_dir_all(root.path("etc/fau3")).unwrap();
    let key = root.path("etc/fau3/mesh.key");
    fs::write(&key, "secret").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    root.service("start", "");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        root.syslog(),
        "daemon.notice /etc/fau3/mesh.key could be read by others, and cannot any more\n"
    );
    assert_eq!(root.asked(), "", "it is the service's already: nothing is written");
    // After a restored backup, say, the numbers differ.
    root.set_owner(4_242);
    root.service("start", "");
    let asked = root.asked();
    for path in ["/etc/fau3", "/etc/fau3/mesh.key", "/var/run/fau3", "/tmp/fau3"] {
        assert!(asked.lines().any(|line| line == format!("chown fau3:fau3 {path}")), "{path}:\n{asked}");
    }
}

#[test]
fn neither_a_link_nor_a_folder_of_others_changes_hands() {
    let Some(root) = Root::new() else { return };
    root.set_owner(4_242);
    fs::create_dir_all(root.path("etc/fau3")).unwrap();
    fs::write(root.path("etc/shadow"), "").unwrap();
    symlink(root.path("etc/shadow"), root.path("etc/fau3/mesh.key")).unwrap();
    fs::create_dir_all(root.path("tmp/shared")).unwrap();
    root.edit("/tmp/fau3'", "/tmp/shared'");
    root.service("start", "");
    let asked = root.asked();
    assert!(!asked.contains("shared") && !asked.contains("mesh.key") && !asked.contains("shadow"), "{asked}");
    assert!(root.syslog().contains("daemon.err /etc/fau3/mesh.key is a link, and stays as it is"));
}

#[test]
fn a_folder_that_cannot_be_made_is_told_and_the_node_starts_all_the_same() {
    let Some(root) = Root::new() else { return };
    fs::write(root.path("tmp/file"), "").unwrap();
    root.edit("/tmp/fau3'", "/tmp/file/fau3'");
    let said = root.run("etc/rc.common", &[root.path("etc/init.d/fau3").to_str().unwrap(), "start"]).stderr;
    assert!(said.contains("mkdir"), "{said}");
    assert!(has(&root.recorded(), "instance node"));
    assert!(root.syslog().contains("daemon.err /tmp/file/fau3 cannot be made"), "{}", root.syslog());
}

#[test]
fn check_says_what_is_wrong_to_who_asks() {
    let Some(root) = Root::new() else { return };
    fs::write(root.path("etc/config/fau3"), "config node\n\toption log 'loud'\n").unwrap();
    let said = root.run("etc/rc.common", &[root.path("etc/init.d/fau3").to_str().unwrap(), "check"]).stdout;
    assert!(said.contains("fau3:2: node.log: 'loud' is not one of error, warn"), "{said}");
}
