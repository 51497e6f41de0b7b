//! Those who open a connection and say nothing, or never finish saying it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::bad_input::bystanders::undisturbed;
use crate::bad_input::{ELSEWHERE, assert_hears_only_its_pong};
use crate::common::http::{exchange, upgrade};
use crate::common::radio::Radio;
use crate::common::{Node, wait_for};

/// For how long a connection may be there without being a client's.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How much earlier or later than that it may end on a busy machine.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Reads until the connection ends and says how long it was there.
fn lasted(mut socket: TcpStream, since: Instant) -> Duration {
    socket.set_read_timeout(Some(SILENCE_MAX + 2 * TOLERANCE)).unwrap();
    let ended = socket.read_to_end(&mut Vec::new());
    let timed_out = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!timed_out, "still open after {:?}", since.elapsed());
    since.elapsed()
}

#[test]
fn a_connection_that_says_nothing_or_stops_half_way_is_closed_after_10_seconds_and_no_client_is() {
    let node = Node::start();
    let request = upgrade("/", &["fau3-client-id: slow"]);
    let half = &request[..request.len() / 2];
    let all_but_the_end = &request[..request.len() - 2];
    let connect = || (TcpStream::connect(node.address()).unwrap(), Instant::now());
    undisturbed(&node, || {
        // Who is let in may say nothing for as long as it likes.
        let mut silent = Radio::connect(&node, "silent");
        let begun =
            [("nothing", &b""[..]), ("a byte", b"G"), ("half", half), ("all but its end", all_but_the_end)];
        let mut waiting: Vec<_> = begun
            .iter()
            .map(|(what, bytes)| {
                let (mut socket, since) = connect();
                socket.write_all(bytes).unwrap();
                (*what, socket, since)
            })
            .collect();
        // One that was answered and stays for another question.
        let (mut answered, since) = connect();
        assert_eq!(exchange(&mut answered, b"GET / HTTP/1.1\r\nHost: r\r\n\r\n").unwrap().status, 426);
        waiting.push(("a question answered", answered, since));
        // And one that sends a byte now and then never gets further than 10 s.
        let (mut dribbling, since) = connect();
        for byte in &request {
            std::thread::sleep(Duration::from_millis(100));
            if since.elapsed() > SILENCE_MAX - TOLERANCE || dribbling.write_all(&[*byte]).is_err() {
                break;
            }
        }
        waiting.push(("a byte every 100 ms", dribbling, since));
        for (what, socket, since) in waiting {
            let span = lasted(socket, since);
            assert!(span >= SILENCE_MAX - TOLERANCE && span <= SILENCE_MAX + TOLERANCE, "{what}: {span:?}");
        }
        assert_hears_only_its_pong(&mut silent);
        // The id that one of them had begun to give belongs to whoever gives it.
        assert_hears_only_its_pong(&mut Radio::connect(&node, "slow"));
    });
}

#[test]
fn clients_that_vanish_amid_their_upgrade_leave_nothing_behind() {
    let node = Node::start();
    let request = upgrade("/", &["fau3-client-id: gone"]);
    undisturbed(&node, || {
        for length in (0..=request.len()).chain(std::iter::repeat_n(request.len(), 100)) {
            let mut socket = crate::common::http::connect_from(ELSEWHERE, node.address());
            socket.write_all(&request[..length]).unwrap();
        }
        wait_for("the last of them to be gone", Duration::from_secs(10), || {
            let status = node.status();
            status["clients"].as_array().unwrap().iter().all(|client| client["client_id"] != "gone")
        });
    });
}
