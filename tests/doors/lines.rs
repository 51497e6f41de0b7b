//! A whole door, as docs/doors.md shows it: who connects says its name in a line, and is in a
//! room. Each further line is said there, and what others say comes as a line.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fau3::gateway::{Attending, Client, Door, Guest};
use fau3::router::{Says, Told};
use fau3::wire::{ClientId, RoomId};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

/// What one may send in all, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;
/// For its name.
const NAME_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Lines;

impl Door for Lines {
    fn url(&self, address: SocketAddr) -> String {
        format!("tcp://{address}")
    }

    fn crowded(&self) -> Vec<u8> {
        b"no place; try again\n".to_vec()
    }

    fn attend(self: Arc<Self>, guest: Guest) -> Attending {
        Box::pin(async move {
            // Whoever has gone is told nothing.
            let _ = converse(guest).await;
        })
    }
}

async fn converse(guest: Guest) -> io::Result<()> {
    let Guest { stream, address, entrance, place, .. } = guest;
    let (input, mut output) = stream.into_split();
    let mut lines = BufReader::new(input.take(BYTES_MAX)).lines();
    let Some(name) = timeout(NAME_WITHIN, lines.next_line()).await?? else { return Ok(()) };
    let Ok(name) = ClientId::new(&name) else { return output.write_all(b"a name, please\n").await };
    let client = match entrance.hall().enter(name, address).await {
        Ok(client) => client,
        Err(refusal) => {
            entrance.turned_away(address, None, &refusal.to_string());
            return output.write_all(format!("{refusal}\n").as_bytes()).await;
        }
    };
    drop(place);
    let room = RoomId::new("lines").map_err(io::Error::other)?;
    let enter = Says::Enter { token: "".into(), room: room.clone(), monitor_period_s: 0, ping_period_s: 0 };
    client.says(enter).await;
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => say(&client, &room, line).await,
                None => return Ok(()),
            },
            told = client.told() => match told {
                Ok(Told::Item { item, record }) => {
                    output.write_all(&[&record.payload[..], b"\n"].concat()).await?;
                    client.says(Says::Settles { item: Some(item), is_taken: true }).await;
                }
                Ok(_) => {}
                Err(why) => return output.write_all(format!("{}\n", why.text()).as_bytes()).await,
            },
        }
    }
}

async fn say(client: &Client, room: &RoomId, line: String) {
    let token = line.chars().take(64).collect::<String>().into();
    client.says(Says::Post { token, room: room.clone(), body: line.into_bytes().into() }).await;
}
