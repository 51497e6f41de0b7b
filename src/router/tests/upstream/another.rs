//! The configuration turns to another server, or to none.

use super::super::harness::{ms, secs};
use super::super::mesh::net::{D, MeshNet, R};
use super::server::Server;
use crate::router::{ServerKind, Told, UpstreamInput};
use crate::wire::fau3d::FromClient;

fn heard(net: &MeshNet, device: D) -> Vec<&str> {
    net[device].heard.iter().map(String::as_str).collect()
}

fn texts(server: &Server) -> Vec<&str> {
    server.told.iter().map(|(_, text)| &**text).collect()
}

impl MeshNet {
    /// As the shell says it: what was known of the one before is void.
    fn configure_all(&mut self, kind: Option<ServerKind>) {
        for router in self.all() {
            self.upstream(router, UpstreamInput::Reach(None));
            self.upstream(router, UpstreamInput::Configure(None));
            self.upstream(router, UpstreamInput::Configure(kind));
        }
    }

    /// All routers turn to another legacy server, which is there.
    fn turn_to_another_server(&mut self) {
        let before = std::mem::take(&mut self.server);
        self.server = Server::after(before);
        self.configure_all(Some(ServerKind::Legacy));
        self.run(ms(50));
        self.server_judged(true);
        self.run(secs(1));
    }

    fn server_before(&self) -> &Server {
        self.server.before.as_ref().unwrap()
    }
}

#[test]
fn what_waits_goes_to_the_new_server_and_what_the_one_before_has_does_not() {
    let mut net = MeshNet::new(3).with_server();
    let (a, b) = (net.listener("a", R(1), "r"), net.listener("b", R(2), "r"));
    net.run(secs(1));
    net.say(a, "r", "one");
    net.run(ms(200));
    net.server_ends();
    net.say(a, "r", "two");
    net.run(secs(1));
    // When: the routers are told of another server,
    net.turn_to_another_server();
    net.say(a, "r", "three");
    net.run(secs(3));
    // Then: each message is at one of the two, and clients have noticed nothing.
    assert_eq!((texts(net.server_before()), texts(&net.server)), (vec!["one"], vec!["two", "three"]));
    assert_eq!(net.connected_there(), ["a", "b"]);
    assert_eq!(heard(&net, b), ["one", "two", "three"]);
    for router in net.all() {
        assert_eq!(net.router(router).snapshot(net.now).upstream.unwrap().waiting, 0);
    }
}

#[test]
fn turning_while_the_one_before_is_there_says_goodbye_to_it_first() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    net.run(secs(1));
    net.say(a, "r", "one");
    net.run(ms(100));
    net.turn_to_another_server();
    // A server that is known by two names would end if an id connected twice.
    assert_eq!(net.server_before().connected_ids(), [""; 0]);
    assert_eq!(net.connected_there(), ["a", "b"]);
    net.say(a, "r", "two");
    net.run(secs(1));
    assert_eq!((texts(net.server_before()), texts(&net.server)), (vec!["one"], vec!["two"]));
    assert_eq!(heard(&net, b), ["one", "two"]);
}

#[test]
fn turning_away_from_a_server_that_is_out_of_reach_ends_its_connections() {
    let mut net = MeshNet::new(2).with_server();
    net.listener("a", R(0), "r");
    net.run(secs(1));
    // Given: it is out of reach without a word, and its connections stay as they are.
    net.server.cut = [R(0), R(1)].into();
    net.server_judged(false);
    net.run(secs(5));
    assert_eq!(net.router(R(0)).snapshot(net.now).upstream.unwrap().carried, 1);
    // When: the configuration names another, then the client is there
    net.turn_to_another_server();
    net.run(secs(1));
    assert_eq!(net.connected_there(), [""; 0]);
    // once the one before would have found out, in case it is the same under another name.
    net.run(secs(16));
    assert_eq!(net.connected_there(), ["a"]);
}

#[test]
fn the_same_words_said_at_the_new_server_are_new_though_the_one_before_has_told_of_them() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    net.run(secs(1));
    net.say(a, "r", "mayday");
    net.say_there("main-1", "r", "mayday");
    net.run(secs(1));
    assert_eq!(heard(&net, b), ["mayday"; 2]);
    // When: both have gone to the new server, and say it again at once.
    net.detach(a);
    net.turn_to_another_server();
    net.say_there("a", "r", "mayday");
    net.say_there("main-1", "r", "mayday");
    net.run(secs(5));
    assert_eq!(heard(&net, b), ["mayday"; 4]);
    assert_eq!(net.server.crashed, None);
}

#[test]
fn what_the_one_before_still_tells_of_is_known_while_its_connections_end() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    net.run(secs(1));
    // Given: copies of both are on their way from the server when the configuration changes.
    net.say(a, "r", "from here");
    net.run(ms(2));
    net.say_there("main-1", "r", "from there");
    net.turn_to_another_server();
    net.run(secs(5));
    let mut all = heard(&net, b);
    all.sort_unstable();
    assert_eq!(all, ["from here", "from there"], "once each");
    assert_eq!(texts(&net.server), [""; 0]);
}

#[test]
fn who_is_at_the_server_before_is_shown_no_more() {
    let mut net = MeshNet::new(1).with_server();
    let a = net.listener("a", R(0), "r");
    let room = super::super::harness::room("r");
    let subscribe =
        FromClient::Subscribe { message_uuid: "s".into(), room, monitor_period_s: 2, ping_period_s: 0 };
    net.send(a, subscribe);
    net.run(secs(1));
    net.server_monitors(&["main-1"]);
    let ids_of_last = |net: &MeshNet| {
        let mut lists = net[a].inbox.iter().filter_map(|frame| match frame {
            Told::Present { clients, .. } => Some(clients.clone()),
            _ => None,
        });
        let last = lists.next_back().unwrap();
        last.iter().map(|client| client.client_id.as_str().to_owned()).collect::<Vec<_>>()
    };
    net.run(secs(3));
    assert_eq!(ids_of_last(&net), ["a", "main-1"]);
    net.turn_to_another_server();
    net.run(secs(3));
    assert_eq!(ids_of_last(&net), ["a"]);
}

#[test]
fn without_a_server_nobody_is_carried_and_what_is_said_waits_for_the_next_one() {
    let mut net = MeshNet::new(2).with_server();
    let a = net.listener("a", R(0), "r");
    net.run(secs(1));
    net.say(a, "r", "one");
    net.run(secs(1));
    // When: there is none any more. The net looks for a router that spins.
    net.configure_all(None);
    net.run(secs(5));
    assert!(net.connected_there().is_empty() && net.router(R(0)).snapshot(net.now).upstream.is_none());
    net.say(a, "r", "two");
    net.run(secs(20));
    // And when there is one again, then what was said meanwhile goes there, once.
    net.turn_to_another_server();
    net.run(secs(5));
    assert_eq!(texts(&net.server), ["two"]);
}

#[test]
fn what_was_held_back_for_its_record_is_heard_also_where_the_server_is_gone_for_good() {
    let mut net = MeshNet::new(2).with_server();
    let (a, b) = (net.listener("a", R(0), "r"), net.listener("b", R(1), "r"));
    net.run(secs(1));
    // Given: a message of a client of the mesh that came from the server first.
    net.say_there("a", "r", "hello");
    net.run(ms(100));
    assert!(heard(&net, b).is_empty(), "its record may be on its way");
    // When: there is no server any more, and nobody has anything to be carried.
    net.configure_all(None);
    [a, b].into_iter().for_each(|device| net.detach(device));
    net.run(secs(3));
    net.attach(b, R(1));
    net.subscribe(b, "r");
    net.run(secs(3));
    assert_eq!(heard(&net, b), ["hello"]);
}

#[test]
fn what_expires_while_there_is_no_server_waits_for_none() {
    let settings = crate::router::Settings { storage_age_max: secs(30), ..Default::default() };
    let mut net = MeshNet::with(1, settings).with_server();
    let a = net.listener("a", R(0), "r");
    net.server_ends();
    net.say(a, "r", "old");
    net.run(secs(1));
    net.configure_all(None);
    net.run(secs(40));
    net.say(a, "r", "young");
    net.turn_to_another_server();
    net.run(secs(5));
    assert_eq!(texts(&net.server), ["young"]);
}
