#!/usr/bin/python3
"""A client of FAU3VOM-D on Debian's python3-websockets, which shares nothing with
this project: `websockets_client.py STORY ws://HOST:PORT` runs one story against
a running router and ends with status 0 if it went as it should.

The router of these stories resends after 1 s (clients.retry_interval_s=1)."""

import asyncio
import base64
import json
import sys
import time
import urllib.error
import urllib.request
import uuid

import websockets

OK, PONG, MONED, STORED, INVALID = 0, 1, 2, 3, -1
# Longer than anything takes on a busy machine, shorter than anyone waits.
PATIENCE_S = 10
# Long enough for what must not come to have come.
SILENCE_S = 0.5
# Bytes that are no text.
VOICE = bytes(range(256)) * 37 + b"\xff"


class Client:
    """One connection. Answers nothing by itself."""

    all = []

    def __init__(self, socket):
        self.socket = socket
        Client.all.append(self)

    @classmethod
    async def connect(cls, url, client_id, **options):
        headers = {"fau3-client-id": client_id}
        return cls(await websockets.connect(url, extra_headers=headers, **options))

    async def send(self, message_type, **fields):
        message_uuid = fields.pop("MessageUuid", None) or str(uuid.uuid4())
        message = {"MessageType": message_type, "MessageUuid": message_uuid, **fields}
        await self.socket.send(json.dumps(message))
        return message_uuid

    async def receive(self, patience_s=PATIENCE_S):
        """The next message: a dict, or the bytes of a Stream."""
        frame = await asyncio.wait_for(self.socket.recv(), patience_s)
        return frame if isinstance(frame, bytes) else json.loads(frame)

    async def expect(self, message_type):
        message = await self.receive()
        assert isinstance(message, dict) and message["MessageType"] == message_type, message
        return message

    async def ask(self, message_type, **fields):
        """Sends a message; the Status that confirms it."""
        message_uuid = await self.send(message_type, **fields)
        confirm = await self.expect("Confirm")
        assert confirm["MessageUuid"] == message_uuid, (confirm, message_uuid)
        return confirm["Status"]

    async def subscribe(self, room, **fields):
        status = await self.ask("Subscribe", RoomId=room, **fields)
        assert status == OK, status

    async def confirm(self, message, status):
        await self.send("Confirm", MessageUuid=message["MessageUuid"], Status=status)

    async def hears_nothing(self, span_s=SILENCE_S):
        try:
            message = await self.receive(span_s)
        except asyncio.TimeoutError:
            return
        raise AssertionError(f"came unasked: {message}")

    async def close_code(self):
        try:
            while True:
                await self.receive()
        except websockets.ConnectionClosed as closed:
            return closed.code


def text(payload):
    return base64.b64encode(payload).decode()


async def conversation(url):
    """Two clients in a room; the third is in another one."""
    a = await Client.connect(url, "AA:BB:CC:DD:EE:01")
    b = await Client.connect(url, "AA:BB:CC:DD:EE:02")
    c = await Client.connect(url, "AA:BB:CC:DD:EE:03")
    await a.subscribe("hall")
    await b.subscribe("hall")
    await c.subscribe("cellar")

    assert await a.ask("Propogate", RoomId="hall", Payload=text(VOICE)) == STORED
    playlist = await b.expect("Playlist")
    records = playlist["Records"]
    assert [record["ClientId"] for record in records] == ["AA:BB:CC:DD:EE:01"], records
    assert base64.b64decode(records[0]["Payload"]) == VOICE
    assert uuid.UUID(playlist["MessageUuid"]).version == 8
    await b.confirm(playlist, STORED)

    # No echo, no other room, and nothing again once confirmed: 2 s are two
    # resends.
    await asyncio.gather(a.hears_nothing(2), b.hears_nothing(2), c.hears_nothing(2))

    # The other way round, and from one who is in no room at all.
    assert await b.ask("Propogate", RoomId="hall", Payload=text(b"over")) == STORED
    playlist = await a.expect("Playlist")
    assert playlist["Records"] == [{"ClientId": "AA:BB:CC:DD:EE:02", "Payload": text(b"over")}]
    await a.confirm(playlist, STORED)
    d = await Client.connect(url, "d")
    assert await d.ask("Propogate", RoomId="cellar", Payload=text(b"d")) == STORED
    assert (await c.expect("Playlist"))["Records"][0]["ClientId"] == "d"


async def resend(url):
    """What is unconfirmed comes again with its MessageUuid, and what the client
    resends is stored once."""
    a = await Client.connect(url, "a")
    b = await Client.connect(url, "b")
    await b.subscribe("hall")
    again = str(uuid.uuid4())
    for _ in range(3):
        status = await a.ask("Propogate", MessageUuid=again, RoomId="hall", Payload=text(VOICE))
        assert status == STORED, "confirmed every time"
    first = await b.expect("Playlist")
    second = await b.expect("Playlist")
    assert first == second, "the same message, with the same MessageUuid"
    await b.confirm(second, STORED)
    await b.hears_nothing(2)

    # Left without an answer and gone: it waits for the client.
    assert await a.ask("Propogate", RoomId="hall", Payload=text(b"later")) == STORED
    missed = await b.expect("Playlist")
    await b.socket.close()
    b = await Client.connect(url, "b")
    # The session goes on with the connection: the Playlist may come before the
    # Subscribe is confirmed.
    await b.send("Subscribe", RoomId="hall")
    messages = [await b.receive(), await b.receive()]
    assert missed in messages, messages
    messages.remove(missed)
    assert (messages[0]["MessageType"], messages[0]["Status"]) == ("Confirm", OK), messages
    await b.confirm(missed, STORED)
    await b.hears_nothing(2)


async def ping_and_monitor(url):
    """Asked for with numeric strings, as the seed writes them, and answered as
    a desktop client does."""
    a = await Client.connect(url, "a")
    assert await a.ask("Ping") == PONG
    b = await Client.connect(url, "b")
    await b.subscribe("hall", IsMonitorRequired="1", IsPingRequired=1)
    seen = set()
    # More than two periods: who answers stays.
    for _ in range(8):
        message = await b.receive()
        seen.add(message["MessageType"])
        if message["MessageType"] == "Ping":
            await b.confirm(message, PONG)
        else:
            clients = {client["ClientId"]: client for client in message["ConnectedClients"]}
            assert set(clients) == {"a", "b"}, clients
            assert clients["b"]["RoomId"] == "hall"
            assert isinstance(clients["b"]["AliveTime"], int), clients
            await b.confirm(message, OK)
    assert seen == {"Ping", "Monitor"}, seen

    # Who answers no Ping for two periods is disconnected.
    c = await Client.connect(url, "c")
    await c.subscribe("hall", IsPingRequired=1)
    await c.close_code()

    # Negative and 0: disabled.
    await a.subscribe("hall", IsMonitorRequired=-1, IsPingRequired=0)
    await a.hears_nothing(2.5)


async def stream(url):
    """Sent as text or as bytes, it arrives as bytes, as it was, and is not
    confirmed."""
    a = await Client.connect(url, "a")
    b = await Client.connect(url, "b")
    c = await Client.connect(url, "c")
    await a.subscribe("hall")
    await b.subscribe("hall")
    await c.subscribe("cellar")
    frames = [b"F3SB" + bytes([number]) * 38 + b"F3FN" for number in range(100)]
    for number, frame in enumerate(frames):
        await a.socket.send(frame if number % 2 else frame.decode())
        await asyncio.sleep(0.005)
    assert [await b.receive() for _ in frames] == frames
    await asyncio.gather(a.hears_nothing(), b.hears_nothing(), c.hears_nothing())


async def desktop(url):
    """A desktop client answers everything, a Confirm with a Confirm of -2 too,
    and nothing comes of that."""
    a = await Client.connect(url, "a")
    b = await Client.connect(url, "b")
    await b.subscribe("hall")
    for number in range(20):
        message_uuid = await a.send("Propogate", RoomId="hall", Payload=text(bytes([number])))
        confirm = await a.expect("Confirm")
        assert (confirm["MessageUuid"], confirm["Status"]) == (message_uuid, STORED)
        await a.confirm(confirm, -2)
        playlist = await b.expect("Playlist")
        assert base64.b64decode(playlist["Records"][0]["Payload"]) == bytes([number])
        await b.confirm(playlist, STORED)
    await b.send("Confirm", Status=STORED)
    await b.send("Confirm", MessageUuid="not a UUID", Status=-7)
    await asyncio.gather(a.hears_nothing(), b.hears_nothing())


async def all_at_once(url):
    """A hundred desktop clients lose their connections at one moment and come
    back at one moment: each gets what it missed, once and in order."""
    sender = await Client.connect(url, "sender")
    ids = [f"desktop {number}" for number in range(100)]
    clients = [await Client.connect(url, client_id) for client_id in ids]
    await asyncio.gather(*(client.subscribe("hall") for client in clients))
    for client in clients:
        # No goodbye: the connection is reset.
        client.socket.transport.abort()
    payloads = [f"missed {number}".encode() for number in range(3)]
    for payload in payloads:
        assert await sender.ask("Propogate", RoomId="hall", Payload=text(payload)) == STORED

    async def come_back(client_id):
        client = await Client.connect(url, client_id)
        subscribe_uuid = await client.send("Subscribe", RoomId="hall")
        heard, subscribed = [], False
        while len(heard) < len(payloads) or not subscribed:
            message = await client.receive()
            if message["MessageType"] == "Playlist":
                heard.append(base64.b64decode(message["Records"][0]["Payload"]))
                await client.confirm(message, STORED)
            else:
                confirmed = (message["MessageUuid"], message["Status"])
                subscribed = confirmed == (subscribe_uuid, OK)
                assert subscribed, message
        assert heard == payloads, heard
        # Two resends would have come by then.
        await client.hears_nothing(2)

    await asyncio.gather(*(come_back(client_id) for client_id in ids))


async def doors(url):
    """Who is let in, and how others are told that they are not."""
    # A browser cannot set headers.
    browser = Client(await websockets.connect(f"{url}/any/path?fau3-client-id=browser"))
    await browser.subscribe("hall")
    offered = await Client.connect(url, "p", subprotocols=["Fau3VOMProto"])
    assert offered.socket.subprotocol == "Fau3VOMProto"

    for headers in ({}, {"fau3-client-id": ""}, {"fau3-client-id": "x" * 65}):
        try:
            await websockets.connect(url, extra_headers=headers)
        except websockets.InvalidStatusCode as refused:
            assert refused.status_code == 400, refused
        else:
            raise AssertionError(f"let in with {headers}")

    # The same id again takes the session over.
    first = await Client.connect(url, "radio")
    await first.subscribe("hall")
    second = await Client.connect(url, "radio")
    assert await first.close_code() == 4001
    assert await second.ask("Ping") == PONG

    # Not a message: told so, and the connection stays.
    await second.socket.send("not JSON")
    confirm = await second.expect("Confirm")
    assert (confirm["MessageUuid"], confirm["Status"]) == ("", INVALID)
    assert await second.ask("Propogate", RoomId="hall") == INVALID
    assert await second.ask("Nonsense") == INVALID
    assert await second.ask("Ping") == PONG
    await second.socket.send("x" * (1024 * 1024 + 1))
    assert await second.close_code() == 1009

    # Plain HTTP on the same port.
    http = url.replace("ws://", "http://")
    loop = asyncio.get_running_loop()
    get = lambda path: loop.run_in_executor(None, urllib.request.urlopen, http + path)
    answer = await get("/fau3vom/GetExtraServersList")
    servers = json.loads(answer.read())
    assert (answer.status, servers["MessageType"]) == (200, "ExtraServersList"), servers
    assert servers["Servers"] == []
    try:
        await get("/elsewhere")
    except urllib.error.HTTPError as refused:
        assert refused.code in (404, 426), refused
    else:
        raise AssertionError("there is nothing at /elsewhere")


STORIES = {
    story.__name__: story
    for story in (conversation, resend, ping_and_monitor, stream, desktop, all_at_once, doors)
}


async def tell(story, url):
    await story(url)
    # A goodbye is answered, and the connection closed, without delay.
    began = time.monotonic()
    await asyncio.gather(*(client.socket.close() for client in Client.all))
    span_s = time.monotonic() - began
    assert span_s < 5, f"{len(Client.all)} goodbyes took {span_s:.1f} s"


if __name__ == "__main__":
    asyncio.run(tell(STORIES[sys.argv[1]], sys.argv[2]))
