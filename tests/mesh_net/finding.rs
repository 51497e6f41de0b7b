//! Routers that nobody has told of each other.

use std::sync::Arc;

use crate::common::{Net, Program, TempDir};
use crate::mesh_net::routers::Mesh;
use crate::mesh_net::{HEARD_MAX, START_MAX};

const VOICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/voice/voice.speex");

#[test]
fn three_routers_find_each_other_by_mdns_alone_and_what_is_said_at_one_is_heard_at_all() {
    let Some(net) = Net::new(3).map(Arc::new) else { return };
    // given three routers with nothing configured: no key, no addresses
    let mesh = (0..3).fold(Mesh::on(net), |mesh, _| mesh.with(None, &[]));
    mesh.agreed(&[0, 1, 2], START_MAX);
    assert!(mesh.router(0).life().contains("no mesh key: anyone on the LAN may join"), "it warns of that");
    // and a listener at each
    let dir = TempDir::new("heard");
    let folders: Vec<_> = (0..3).map(|host| dir.path().join(host.to_string())).collect();
    let program = |host: usize, args: &[&str]| {
        let mut command = mesh.net.command(host, env!("CARGO_BIN_EXE_fau3"));
        command.args(args);
        Program::start(command)
    };
    let mut listeners: Vec<_> = (0..3)
        .map(|host| {
            let folder = folders[host].to_str().unwrap();
            program(host, &["listen", "--room", "hall", "--count", "1", "--save", folder])
        })
        .collect();
    listeners.iter_mut().for_each(|listener| listener.wait_until_it_says("listening in room hall"));
    // when someone talks at one of them
    let talked = program(1, &["talk", "--room", "hall", VOICE]).finish();
    assert!(talked.status.success(), "{talked}");
    // then all have heard it
    let voice = std::fs::read(VOICE).unwrap();
    for (listener, folder) in listeners.into_iter().zip(&folders) {
        let heard = listener.finish();
        assert!(heard.status.success(), "within {HEARD_MAX:?}: {heard}");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(std::fs::read(&files[0]).unwrap(), voice);
    }
}
