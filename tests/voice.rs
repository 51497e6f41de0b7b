//! A voice message spoken for the tests (`fixtures/voice/make.sh`) goes from
//! `talk` to `listen` through a running node and comes out as it went in.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Finished, Node, PYTHON, Program, TempDir};
use crate::common::{fau3, finish, finish_with_input, python_can, skipped, wait_for};

const VOICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/voice/voice.speex");
const DECODER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/voice/decode.py");
/// Samples of one 20 ms frame at 8 kHz.
const FRAME_SAMPLES: u64 = 160;
const FRAME_BYTES: u64 = 38;

/// A listener that is in the room.
fn listener(node: &Node, args: &[&str]) -> Program {
    let mut command = fau3(&["listen", "--room", "hall", "--url", &node.url()]);
    command.args(args);
    let mut listener = Program::start(command);
    listener.wait_until_it_says("listening in room hall");
    listener
}

fn talk(node: &Node, args: &[&str]) -> Finished {
    let mut command = fau3(&["talk", "--room", "hall", "--url", &node.url()]);
    command.args(args);
    finish(command)
}

/// What Debian's Speex library makes of it: `None` where there is none.
fn decode(path: &std::path::Path) -> Option<serde_json::Value> {
    if !python_can("import ctypes; ctypes.CDLL('libspeex.so.1')") {
        skipped("libspeex.so.1 (apt-get install libspeex1 python3)");
        return None;
    }
    let mut command = Command::new(PYTHON);
    command.args(["-B", DECODER]).stdin(std::fs::File::open(path).unwrap()).stdout(Stdio::null());
    let decoded = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&decoded.stderr).into_owned();
    assert!(decoded.status.success(), "{said}");
    Some(serde_json::from_str(&said).unwrap())
}

#[test]
fn a_spoken_message_arrives_byte_for_byte_and_decodes_to_its_length() {
    // Given a node, and a listener that saves
    let node = Node::start();
    let saved = TempDir::new("saved");
    let listener = listener(&node, &["--json", "--count", "1", "--save", saved.path().to_str().unwrap()]);

    // When the message is said
    let talked = talk(&node, &["--client-id", "AA:BB:CC:DD:EE:FF", VOICE]);
    assert!(talked.status.success(), "{talked}");
    let voice = std::fs::read(VOICE).unwrap();
    let bytes = voice.len() as u64;
    let seconds = (bytes / FRAME_BYTES) as f64 * 0.02;
    let wanted = format!("({bytes} bytes, {seconds:.1} s of Speex)");
    assert!(talked.stdout.starts_with("stored ") && talked.stdout.contains(&wanted), "{talked}");

    // Then the listener shows it, has it byte for byte, and ends
    let heard = listener.finish();
    assert!(heard.status.success(), "{heard}");
    let line: serde_json::Value = serde_json::from_str(&heard.stdout).expect("exactly one line");
    assert_eq!(line["client_id"], "AA:BB:CC:DD:EE:FF");
    assert_eq!(line["room"], "hall");
    assert_eq!(line["bytes"], bytes);
    let files = saved.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(line["file"], files[0].to_str().unwrap());
    assert_eq!(std::fs::read(&files[0]).unwrap(), voice);

    // And Debian's decoder makes as much audio of it as was spoken
    let Some(decoded) = decode(&files[0]) else { return };
    assert_eq!(decoded["frames"], bytes / FRAME_BYTES);
    assert_eq!(decoded["samples"], bytes / FRAME_BYTES * FRAME_SAMPLES);
    assert!(decoded["rms"].as_f64().unwrap() > 500.0, "that is silence: {decoded}");
}

#[test]
fn the_longest_message_of_a_radio_arrives_byte_for_byte() {
    // Given 20 s of Speex: 1,000 frames, 50,668 characters of base64
    let node = Node::start();
    let dir = TempDir::new("longest");
    let frames = (0..1_000_u32).flat_map(|frame| (0..38).map(move |byte| (frame * 38 + byte) as u8));
    let message: Vec<u8> = frames.map(|byte| byte.wrapping_mul(167)).collect();
    let path = dir.path().join("message.speex");
    std::fs::write(&path, &message).unwrap();
    let saved = TempDir::new("saved");
    let listener = listener(&node, &["--count", "1", "--save", saved.path().to_str().unwrap()]);

    let talked = talk(&node, &[path.to_str().unwrap()]);
    assert!(talked.stdout.contains("(38000 bytes, 20.0 s of Speex)"), "{talked}");

    let heard = listener.finish();
    assert!(heard.status.success(), "{heard}");
    assert_eq!(std::fs::read(&saved.files()[0]).unwrap(), message);
}

#[test]
fn several_files_arrive_in_their_order_and_standard_input_is_one() {
    let node = Node::start();
    let saved = TempDir::new("saved");
    let files: Vec<_> = (1..=5u8)
        .map(|number| {
            let path = saved.path().join(format!("{number}.speex"));
            std::fs::write(&path, vec![number; 38 * usize::from(number)]).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    let listener = listener(&node, &["--json", "--count", "6"]);
    let mut command = fau3(&["talk", "--room", "hall", "--url", &node.url(), "-"]);
    command.args(&files);
    let talked = finish_with_input(command, b"not a whole frame");
    assert!(talked.status.success(), "{talked}");
    assert!(talked.stdout.starts_with("stored standard input (17 bytes)\n"), "{talked}");

    let heard = listener.finish();
    let lines = heard.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let sizes: Vec<_> = lines.map(|line| line["bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [17, 38, 76, 114, 152, 190]);
}

#[test]
fn a_stream_arrives_frame_by_frame_in_its_own_time() {
    let node = Node::start();
    let saved = TempDir::new("saved");
    let mut listener = listener(&node, &["--save", saved.path().to_str().unwrap()]);
    let began = std::time::Instant::now();
    let talked = talk(&node, &["--stream", VOICE]);
    assert!(talked.status.success(), "{talked}");
    let bytes = std::fs::metadata(VOICE).unwrap().len();
    let frames = bytes / FRAME_BYTES;
    // 20 ms for each frame after the first; the machine may be busy, never early.
    let span = began.elapsed();
    assert!(span >= Duration::from_millis((frames - 1) * 20), "{frames} frames in {span:?}");

    listener.wait_until_it_says("stream ended");
    assert!(
        listener.stdout().contains(&format!("hall  {frames} frames  {bytes} bytes")),
        "{}",
        listener.stdout()
    );
    assert!(listener.terminate().success(), "SIGTERM ends it as wanted");
    let files = saved.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(std::fs::read(&files[0]).unwrap(), std::fs::read(VOICE).unwrap());
}

#[test]
fn a_listener_comes_back_by_itself_when_its_node_does_and_shows_nothing_twice() {
    let mut node = Node::start();
    let mut listener = listener(&node, &["--json", "--count", "2"]);
    assert!(talk(&node, &[VOICE]).status.success());
    node.kill();
    listener.wait_until_it_says("trying again until it is back");
    node.start_again();
    wait_for("the listener is back", Duration::from_secs(20), || {
        listener.stderr().matches("listening in room hall").count() == 2
    });
    assert!(talk(&node, &[VOICE]).status.success());
    let heard = listener.finish();
    assert!(heard.status.success(), "{heard}");
    let uuids: BTreeSet<_> = heard
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["message_uuid"].to_string())
        .collect();
    assert_eq!((uuids.len(), heard.stdout.lines().count()), (2, 2), "{heard}");
}

#[test]
fn talk_waits_for_a_router_that_is_not_there_yet_and_says_so() {
    let mut node = Node::start();
    node.kill();
    let mut command = fau3(&["talk", "--room", "hall", "--url", &node.url(), VOICE]);
    command.args(["--timeout-s", "30"]);
    let mut talker = Program::start(command);
    talker.wait_until_it_says("is a router running? start one with: fau3 node");
    assert!(talker.stderr().contains(&node.url()), "{}", talker.stderr());
    node.start_again();
    let talked = talker.finish();
    assert!(talked.status.success() && talked.stdout.contains("stored "), "{talked}");
}

#[test]
fn a_file_that_cannot_be_stored_fails_with_what_to_do_next() {
    let mut node = Node::start();
    let dir = TempDir::new("files");
    let file = |name: &str, bytes: usize| {
        let path = dir.path().join(name);
        std::fs::write(&path, vec![7; bytes]).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // Nothing is sent if one of the files cannot be.
    let talked = talk(&node, &[VOICE, &file("large", 1024 * 1024)]);
    assert_eq!(talked.status.code(), Some(1), "{talked}");
    assert!(talked.stderr.contains("bytes") && talked.stderr.contains("--stream"), "{talked}");
    assert_eq!(talked.stdout, "");
    for (path, reason) in [(file("empty", 0), "empty"), ("/nonexistent".into(), "/nonexistent")] {
        let talked = talk(&node, &[&path]);
        assert_eq!(talked.status.code(), Some(1), "{talked}");
        assert!(talked.stderr.contains(reason), "{talked}");
    }
    // The largest record that is said to fit does: it is stored.
    let limit = talk(&node, &[&file("larger", 900_000)]).stderr;
    let limit: usize = limit.split("at most ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let talked = talk(&node, &[&file("largest", limit)]);
    assert!(talked.status.success(), "{talked}");

    // A router with less room than the record needs: tried until the time is up.
    let small = Node::with(&["clients.storage_max_kib=64"]).start();
    let talked = talk(&small, &["--timeout-s", "3", &file("too large for it", 100_000), VOICE]);
    assert_eq!(talked.status.code(), Some(1), "{talked}");
    assert!(talked.stderr.contains("FAU3_SERROR") && talked.stderr.contains("within 3 s"), "{talked}");
    assert_eq!(talked.stdout, "", "the next file is not sent before this one is stored");

    node.kill();
    let talked = talk(&node, &["--timeout-s", "1", VOICE]);
    assert_eq!(talked.status.code(), Some(1), "{talked}");
    assert!(talked.stderr.contains("fau3 node") && talked.stderr.contains(&node.url()), "{talked}");
}

#[test]
fn wrong_usage_is_2_and_help_has_an_example() {
    for args in [
        &["talk", "--room", "hall"][..],
        &["talk", "--room", "", VOICE],
        &["talk", "--room", "hall", "--client-id", " x", VOICE],
        &["listen", "--room", "hall", "--url", "wss://host"],
        &["listen", "--room", "hall", "--count", "0"],
    ] {
        let used = finish(fau3(args));
        assert_eq!(used.status.code(), Some(2), "{args:?} {used}");
    }
    for command in ["talk", "listen", "status"] {
        let help = finish(fau3(&[command, "--help"]));
        assert!(help.status.success() && help.stdout.contains("Example"), "{help}");
    }
}

#[test]
fn nobody_reading_the_output_ends_a_listener_quietly() {
    let node = Node::start();
    let mut command = fau3(&["listen", "--room", "hall", "--url", &node.url()]);
    let mut listener = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(listener.stdout.take());
    wait_for("the listener is there", Duration::from_secs(10), || {
        node.status()["clients"].as_array().unwrap().len() == 1
    });
    assert!(talk(&node, &[VOICE]).status.success());
    let ended = listener.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && !said.contains("panicked") && said.lines().count() == 1, "{said}");
}

#[test]
fn status_shows_people_their_clients_and_says_where_it_looked_in_vain() {
    let mut node = Node::start();
    let _listener = listener(&node, &["--client-id", "kitchen radio"]);
    let control = node.control();
    let control = control.to_str().unwrap();
    let shown = finish(fau3(&["status", "--control", control]));
    assert!(shown.status.success(), "{shown}");
    let line = shown.stdout.lines().find(|line| line.starts_with("kitchen radio")).expect(&shown.stdout);
    assert!(line.contains("hall"), "{shown}");
    assert_eq!(node.status()["clients"][0]["room"], "hall");

    node.terminate();
    let shown = finish(fau3(&["status", "--control", control]));
    assert_eq!(shown.status.code(), Some(1), "{shown}");
    assert!(shown.stderr.contains(control) && shown.stderr.contains("fau3 node"), "{shown}");
}

#[test]
fn a_client_whose_id_is_taken_over_ends_and_says_so() {
    let node = Node::start();
    let first = listener(&node, &["--client-id", "radio"]);
    let _second = listener(&node, &["--client-id", "radio"]);
    let ended = first.finish();
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("--client-id of its own"), "{ended}");
}

/// A page of Ogg with these packets of less than 255 bytes, as an encoder makes it.
fn page(packets: &[&[u8]]) -> Vec<u8> {
    let table: Vec<u8> = packets.iter().map(|packet| packet.len() as u8).collect();
    [&b"OggS"[..], &[0; 22], &[table.len() as u8], &table, &packets.concat()].concat()
}

#[test]
fn speex_in_ogg_is_said_as_the_frames_within_and_other_sound_is_refused_with_the_line_to_type() {
    let node = Node::start();
    let dir = TempDir::new("formats");
    let voice = std::fs::read(VOICE).unwrap();
    let mut head = [b"Speex   1.2".as_slice(), &[0; 69]].concat();
    for (at, value) in [(36, 8_000u32), (48, 1), (64, 1)] {
        head[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    let frames: Vec<&[u8]> = voice.chunks(38).collect();
    let pages: Vec<u8> = frames.chunks(100).flat_map(page).collect();
    let ogg = [page(&[&head]), page(&[b"a comment"]), pages].concat();
    let written = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // Given a listener, when Speex in Ogg is said, then the bare frames arrive.
    let saved = TempDir::new("saved");
    let listener = listener(&node, &["--count", "1", "--save", saved.path().to_str().unwrap()]);
    let talked = talk(&node, &[&written("voice.spx", &ogg)]);
    assert!(talked.stdout.contains(&format!("({} bytes", voice.len())), "{talked}");
    assert!(listener.finish().status.success());
    assert_eq!(std::fs::read(&saved.files()[0]).unwrap(), voice);
    // Everything else is refused before anything is sent, whichever way it was to go.
    let wav = [b"RIFF\x24\0\0\0WAVEfmt ".as_slice(), &[0; 800]].concat();
    let odd = written("odd.speex", &[7; 100]);
    for (args, says) in [
        (vec![written("a.wav", &wav)], "a WAV file"),
        (vec!["--stream".into(), written("b.wav", &wav)], "libspeex"),
        (vec!["--stream".into(), written("c.opus", &page(&[b"OpusHead"]).repeat(2))], "Opus in Ogg"),
        (vec!["--stream".into(), odd], "not a whole number of 38-byte frames"),
        (vec![written("a.txt", &b"hello, is anybody there? ".repeat(4))], "is text"),
        (vec![dir.path().to_str().unwrap().to_owned()], "directory"),
        (vec!["--stream".into(), written("none", b"")], "is empty"),
    ] {
        let args: Vec<_> = [VOICE].into_iter().chain(args.iter().map(String::as_str)).collect();
        let talked = talk(&node, &args);
        assert_eq!(talked.status.code(), Some(1), "{talked}");
        assert!(talked.stderr.contains(says) && talked.stdout.is_empty(), "{says}: {talked}");
    }
}

#[test]
fn a_client_at_the_wrong_port_is_told_which_port_is_which() {
    let mesh = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let console = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = [&*format!("mesh.listen={mesh}"), &*format!("node.console={console}")];
    let _node = Node::with(&["mesh.enabled=1", "mesh.discovery="]).and(&options).start();
    wait_for("the console", Duration::from_secs(20), || std::net::TcpStream::connect(console).is_ok());
    for (port, option) in [(mesh, "mesh.listen"), (console, "node.console")] {
        for command in [&["talk", "--room", "r", VOICE][..], &["listen", "--room", "r"]] {
            let mut command = fau3(command);
            command.args(["--url", &format!("ws://{port}")]);
            let told = finish(command);
            assert_eq!(told.status.code(), Some(1), "{told}");
            let says = [option, "clients.listen", "8901", "not where clients connect"];
            assert!(says.iter().all(|text| told.stderr.contains(text)), "{told}");
        }
    }
}

#[test]
fn a_name_that_nobody_knows_is_not_taken_for_a_router_that_does_not_run() {
    let mut command =
        fau3(&["talk", "--room", "r", "--timeout-s", "1", "--url", "ws://nobody.invalid:8901", VOICE]);
    command.env("RES_OPTIONS", "timeout:1 attempts:1");
    let told = finish(command);
    assert!(told.stderr.contains("nobody.invalid") && !told.stderr.contains("is a router running"), "{told}");
}

#[test]
fn a_folder_for_messages_is_no_file() {
    let dir = TempDir::new("file");
    let file = dir.path().join("messages");
    std::fs::write(&file, "").unwrap();
    let told = finish(fau3(&["listen", "--room", "r", "--save", file.to_str().unwrap()]));
    assert_eq!(told.status.code(), Some(1), "{told}");
    assert!(told.stderr.contains("that is a file: name a folder"), "{told}");
}
