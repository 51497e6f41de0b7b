//! `uci-defaults`: what the package sets up once, and what it takes over.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::Finished;
use crate::openwrt::root::Root;

const SCRIPT: &str = "etc/uci-defaults/80_fau3";

fn set_up(root: &Root) {
    let Finished { status, stdout, stderr } = root.run(SCRIPT, &[]);
    assert!(status.success() && stdout.is_empty() && stderr.is_empty(), "{stdout}{stderr}");
}

/// What `uci` says of an option now.
fn uci(root: &Root, arguments: &[&str]) -> String {
    let mut command = root.command(root.path("bin/uci"));
    let said = command.arg("-q").args(arguments).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

#[test]
fn an_identity_is_made_once_for_the_service_s_user_alone_and_never_a_mesh_key() {
    let Some(root) = Root::new() else { return };
    set_up(&root);
    let key = fs::read(root.path("etc/fau3/identity.key")).unwrap();
    let mode = |path| fs::metadata(root.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("etc/fau3"), mode("etc/fau3/identity.key")), (0o750, 0o600));
    assert!(root.asked().contains("chown fau3:fau3 /etc/fau3/identity.key"), "{}", root.asked());
    set_up(&root);
    assert_eq!(fs::read(root.path("etc/fau3/identity.key")).unwrap(), key);
    let files: Vec<_> =
        fs::read_dir(root.path("etc/fau3")).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files, ["identity.key"]);
}

#[test]
fn on_a_new_router_the_configuration_stays_as_the_package_has_it() {
    let Some(root) = Root::new() else { return };
    let before = root.read("etc/config/fau3");
    fs::write(root.path("etc/config/dhcp"), "config dnsmasq\n\toption domain 'lan'\n").unwrap();
    let dhcp = root.read("etc/config/dhcp");
    set_up(&root);
    assert_eq!((root.read("etc/config/fau3"), root.read("etc/config/dhcp")), (before, dhcp));
    assert_eq!(root.syslog(), "");
}

#[test]
fn an_existing_name_of_the_main_server_becomes_the_default_server_and_is_taken_from_dnsmasq_once() {
    // Given a router that resolved the clients' name by hand so far, beside another,
    let Some(root) = Root::new() else { return };
    let dhcp = "config domain\n\toption name 'printer'\n\toption ip '192.168.1.9'\n\n\
                config domain\n\toption name 'fau3vomdMain'\n\toption ip '10.10.11.156'\n";
    fs::write(root.path("etc/config/dhcp"), dhcp).unwrap();
    // when the package is set up,
    set_up(&root);
    // then the address is the main server's, and only that name is gone.
    assert_eq!(uci(&root, &["get", "fau3.default_server.url"]), "ws://10.10.11.156:8901");
    assert_eq!(uci(&root, &["get", "fau3.default_server"]), "default_server");
    assert_eq!(
        uci(&root, &["show", "dhcp"]),
        "dhcp.@domain[0]=domain\ndhcp.@domain[0].name='printer'\ndhcp.@domain[0].ip='192.168.1.9'"
    );
    assert!(root.syslog().contains("fau3vomdMain was 10.10.11.156: that is the main server now"));
    let checked = root.service("check", "");
    assert!(checked.is_empty());
    // What was set since stays when it is run again, after an upgrade say.
    uci(&root, &["set", "fau3.default_server.url=ws://10.0.0.1:9000"]);
    uci(&root, &["commit", "fau3"]);
    let (fau3, dhcp) = (root.read("etc/config/fau3"), root.read("etc/config/dhcp"));
    set_up(&root);
    assert_eq!((root.read("etc/config/fau3"), root.read("etc/config/dhcp")), (fau3, dhcp));
}

#[test]
fn a_default_server_that_is_configured_already_stays_as_it_is() {
    let Some(root) = Root::new() else { return };
    uci(&root, &["set", "fau3.default_server=default_server"]);
    uci(&root, &["set", "fau3.default_server.url=ws://10.0.0.1:9000"]);
    uci(&root, &["commit", "fau3"]);
    let dhcp = "config domain\n\toption name 'fau3vomdMain'\n\toption ip '10.10.11.156'\n";
    fs::write(root.path("etc/config/dhcp"), dhcp).unwrap();
    set_up(&root);
    assert_eq!(uci(&root, &["get", "fau3.default_server.url"]), "ws://10.0.0.1:9000");
    assert_eq!(uci(&root, &["show", "dhcp"]), "");
}

#[test]
fn a_name_that_led_to_this_router_itself_is_no_default_server() {
    let Some(root) = Root::new() else { return };
    fs::write(root.path("etc/config/network"), "config interface 'lan'\n\toption ipaddr '192.168.1.1'\n")
        .unwrap();
    let dhcp = "config domain\n\toption name 'fau3vomdMain'\n\toption ip '192.168.1.1'\n";
    fs::write(root.path("etc/config/dhcp"), dhcp).unwrap();
    set_up(&root);
    assert_eq!(uci(&root, &["get", "fau3.default_server.url"]), "");
    assert_eq!(uci(&root, &["show", "dhcp"]), "");
}

#[test]
fn where_the_program_gives_clients_no_name_the_old_one_stays() {
    let Some(root) = Root::new() else { return };
    root.configure_with(&["clients: option hosts_file 'off'"]);
    let dhcp = "config domain\n\toption name 'fau3vomdMain'\n\toption ip '10.10.11.156'\n";
    fs::write(root.path("etc/config/dhcp"), dhcp).unwrap();
    set_up(&root);
    assert_eq!(root.read("etc/config/dhcp"), dhcp);
    assert_eq!(uci(&root, &["get", "fau3.default_server.url"]), "");
}

#[test]
fn a_configuration_of_an_earlier_version_goes_on_with_paths_that_its_user_may_write() {
    // Given what version 0.1.0 had, changed by hand so that the package leaves it alone,
    let Some(root) = Root::new() else { return };
    root.configure(
        "config node 'node'\n\toption name 'mine'\n\toption data_dir '/tmp/fau3'\n\
         \toption identity '/etc/fau3/identity.key'\n\toption control '/var/run/fau3.sock'\n\
         config clients 'clients'\n\toption hosts_file '/tmp/hosts/fau3'\n\
         config mesh 'mesh'\n\toption key '/etc/fau3/mesh.key'\n",
    );
    // The paths stand as the earlier version wrote them.
    let folder = root.path("").display().to_string();
    let folder = folder.trim_end_matches('/');
    let script = root.read(SCRIPT);
    assert!(script.contains(&format!("{folder}/var/run/fau3.sock")));
    set_up(&root);
    assert_eq!(uci(&root, &["get", "fau3.node.control"]), format!("{folder}/var/run/fau3/fau3.sock"));
    assert_eq!(uci(&root, &["get", "fau3.clients.hosts_file"]), format!("{folder}/var/run/fau3/hosts"));
    assert_eq!(uci(&root, &["get", "fau3.node.name"]), "mine");
    // and the service starts with it.
    assert!(root.service("start", "").contains(&"instance node".to_owned()));
}
