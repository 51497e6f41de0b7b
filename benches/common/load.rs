//! The load: rooms with one sender and some listeners each, in one thread, the same for every server.
//!
//! A record is *in flight* until the server has confirmed it to its sender and every listener has it. A sender has at
//! most so many in flight ([`Pacing::Window`]), so that the latency is the server's and not that of a queue which the
//! generator filled; live frames leave by the clock ([`Pacing::Every`]), whatever became of those before.

use std::{
    cell::RefCell,
    future::pending,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::LocalSet,
    time::{sleep, sleep_until},
};

use super::{
    board::{Board, Outcome, Pacing, Shape},
    client::{Client, Session},
    dialect::{Dialect, Kind, Result},
};

/// Without any progress for so long, what is still under way is lost. Longer than the 5 s after which a server
/// resends, so that a resend is seen as what it is.
const STALL: Duration = Duration::from_secs(7);
/// How often limit and stall are looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Where clients connect.
#[derive(Clone, Copy)]
pub(crate) struct Doors {
    pub(crate) senders: SocketAddr,
    pub(crate) listeners: SocketAddr,
}

impl Doors {
    /// The same for all.
    pub(crate) fn one(door: SocketAddr) -> Doors {
        Doors { senders: door, listeners: door }
    }
}

/// Clients connected to servers. Dropping it closes their connections.
pub(crate) struct Load {
    board: Rc<RefCell<Board>>,
    tasks: LocalSet,
    runtime: Runtime,
}

impl Load {
    /// Connects everyone and subscribes the listeners.
    pub(crate) fn connect(dialect: &Rc<dyn Dialect>, doors: Doors, shape: Shape) -> Result<Load> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tasks = LocalSet::new();
        let board = Rc::new(RefCell::new(Board::new(dialect.clone(), shape)));
        let speaker_subscribes = shape.kind == Kind::Frame && dialect.speaks_where_subscribed();
        {
            let _entered = runtime.enter();
            for room in 0..shape.rooms {
                let open =
                    |door, role: &str| Session::open(&**dialect, door, &format!("bench-{room}-{role}"));
                for listener in 0..shape.listeners_per_room {
                    let mut session = open(doors.listeners, &format!("listener-{listener}"))?;
                    session.subscribe(&**dialect, room, shape.kind)?;
                    tasks.spawn_local(listen(session.into_client()?, board.clone(), room, listener));
                }
                let mut session = open(doors.senders, "sender")?;
                if speaker_subscribes {
                    session.subscribe(&**dialect, room, shape.kind)?;
                }
                tasks.spawn_local(speak(session.into_client()?, board.clone(), room));
            }
        }
        Ok(Load { board, tasks, runtime })
    }

    /// Lets each sender send `messages`, fewer if `limit` passes before, and waits until all of them are where they
    /// should be, or lost.
    pub(crate) fn run(&self, messages: u32, pacing: Pacing, limit: Duration) -> Result<Outcome> {
        let begun = Instant::now();
        let done = self.board.borrow_mut().begin(messages, pacing);
        self.runtime.block_on(self.tasks.run_until(async {
            loop {
                tokio::select! {
                    () = done.notified() => {}
                    () = sleep(CHECK_INTERVAL) => {}
                }
                let mut board = self.board.borrow_mut();
                if let Some(failure) = board.failure.take() {
                    return Err(failure.into());
                }
                if begun.elapsed() > limit {
                    board.stop_sending();
                }
                if board.is_complete() || board.last_progress.elapsed() > STALL {
                    return Ok(board.end());
                }
            }
        }))
    }
}

/// The task of `listener` in `room`.
async fn listen(mut client: Client, board: Rc<RefCell<Board>>, room: u32, listener: u32) {
    let (dialect, payload) = (board.borrow().dialect.clone(), board.borrow().payload.clone());
    let lives = async {
        loop {
            client.readable().await?;
            {
                let mut board = board.borrow_mut();
                let now_us = board.now_us();
                client
                    .read(&*dialect, &payload, |event| board.at_listener(room, listener, &event, now_us))?;
            }
            client.flush().await?;
        }
    };
    let Err(error): Result<std::convert::Infallible> = lives.await;
    board.borrow_mut().fail(format!("listener {listener} of room {room}: {error}"));
}

/// The task of the sender of `room`.
async fn speak(mut client: Client, board: Rc<RefCell<Board>>, room: u32) {
    let (dialect, payload) = (board.borrow().dialect.clone(), board.borrow().payload.clone());
    let wake = board.borrow().wake(room);
    let lives = async {
        loop {
            let due = board.borrow_mut().fill(room, &mut client.output);
            client.flush().await?;
            let is_due = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                readable = client.readable() => {
                    readable?;
                    let mut board = board.borrow_mut();
                    client.read(&*dialect, &payload, |event| board.at_sender(room, &event))?;
                }
                () = wake.notified() => {}
                () = is_due => {}
            }
        }
    };
    let Err(error): Result<std::convert::Infallible> = lives.await;
    board.borrow_mut().fail(format!("sender of room {room}: {error}"));
}
