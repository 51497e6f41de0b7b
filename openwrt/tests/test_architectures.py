"""Each program that openwrt/build.sh has left, run on this machine (under qemu-user where it is another's): what
it says, what it checks, and whether routers of different processors and byte orders understand each other.

python3 -m unittest discover -s openwrt/tests

FAU3_OPENWRT names the folder of build.sh (else target/openwrt). FAU3_REQUIRE_ALL=1: what is missing is a failure.
"""

import ctypes
import errno
import json
import os
import platform
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILT = Path(os.environ.get("FAU3_OPENWRT", TOP / "target" / "openwrt"))
VOICE = TOP / "tests/fixtures/voice/voice.speex"
HASHES = TOP / "sim/tests/trace_hashes.txt"
# Of another byte order and word size than all others: each of them meets it.
STRANGER = "mips"
# Seconds, for a processor that is imitated on a machine that does other things, too.
PATIENCE = 30
# Of the simulator's seeds, so many.
SEEDS = 200


def emulators():
    """{target: how its programs are started here}, of the table of architectures."""
    found = {}
    for line in (TOP / "openwrt/package/architectures").read_text().splitlines():
        if line and not line.startswith("#"):
            target, _, runs, _ = line.split()
            program, _, cpu = runs.partition(",")
            unpacked = BUILT / "tools/root/usr/bin" / program
            found[target] = [] if program == "native" else [str(unpacked if unpacked.exists() else program), "-cpu", cpu]
    return found


def built(name):
    """{target: command} of the programs called `name`."""
    return {path.parent.name: [*emulators()[path.parent.name], str(path)] for path in sorted(BUILT.glob(f"bin/*/{name}"))
            if path.parent.name != "x86_64" or platform.machine() == "x86_64"}


def skipped(test, lacking):
    test.assertNotEqual(os.environ.get("FAU3_REQUIRE_ALL"), "1", lacking)
    print(f"SKIPPED, NOT TESTED: {lacking}", file=sys.stderr)
    test.skipTest(lacking)


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.1)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def without_netlink():
    """Called in a child before it becomes an emulator: to it the system has no netlink.

    qemu-user does not turn the bytes of an attribute without content at the end of a netlink message, and musl's
    getifaddrs, which may trust a kernel, then reads on for ever. A router's own kernel has nothing to turn.
    """
    socket_number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    load, jump_if_equal, give = 0x20, 0x15, 0x06
    refused = 0x00050000 | errno.EAFNOSUPPORT
    program = [(load, 0, 0, 0), (jump_if_equal, 0, 3, socket_number), (load, 0, 0, 16),
               (jump_if_equal, 0, 1, socket.AF_NETLINK), (give, 0, 0, refused), (give, 0, 0, 0x7FFF0000)]
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    held = ctypes.create_string_buffer(code)
    filtered = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(held)))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, seccomp, by_filter = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(seccomp, by_filter, filtered, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


class Router:
    """`fau3 node` of one target, with all that is its own in one folder."""

    def __init__(self, target, command, folder, ports, peers, more=None):
        self.target, self.command, self.folder = target, command, folder
        folder.mkdir(exist_ok=True)
        self.clients, self.mesh = ports
        self.log = folder / "log"
        options = {
            "node.name": target, "node.data_dir": folder, "node.identity": folder / "identity.key",
            "node.control": folder / "control", "node.console": "off",
            "clients.listen": f"127.0.0.1:{self.clients}", "clients.hosts_file": "off",
            "mesh.listen": f"127.0.0.1:{self.mesh}", "mesh.key": folder / "mesh.key", "mesh.discovery": "off",
        }
        settings = [f"{name}={value}" for name, value in {**options, **(more or {})}.items()]
        settings += [f"mesh.peer=127.0.0.1:{port}" for port in peers]
        arguments = [word for setting in settings for word in ("--set", setting)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, "node", *arguments], stderr=log, stdout=log,
                                            preexec_fn=without_netlink if target == STRANGER else None)

    def status(self):
        told = subprocess.run([*self.command, "status", "--json", "--control", self.folder / "control"],
                              capture_output=True, text=True)
        return json.loads(told.stdout) if told.returncode == 0 else {}

    def client(self, command, *arguments):
        url = f"ws://127.0.0.1:{self.clients}"
        return subprocess.Popen([*self.command, command, "--room", "hall", "--url", url, *map(str, arguments)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def stop(self):
        """Asked to end, it ends with 0."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "killed, since it did not end"


class Programs(unittest.TestCase):
    def setUp(self):
        self.programs = {**{(target, "fau3"): command for target, command in built("fau3").items()},
                         **{(target, "fau3-disk"): command for target, command in built("fau3-disk").items()}}
        if not self.programs:
            skipped(self, f"nothing built in {BUILT}: openwrt/build.sh aarch64 mips")
        for command in self.programs.values():
            if not shutil.which(command[0]):
                skipped(self, f"{command[0]}: openwrt/build.sh --tools")

    def run_here(self, key, *arguments):
        return subprocess.run([*self.programs[key], *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE)

    def test_each_says_its_version(self):
        version = re.search(r'^version = "(.*)"', (TOP / "Cargo.toml").read_text(), re.M)[1]
        for key in self.programs:
            said = self.run_here(key, "--version")
            self.assertEqual((said.returncode, said.stdout), (0, f"fau3 {version}\n"), key)

    def test_each_finds_the_package_s_configuration_good_and_a_wrong_one_wrong(self):
        for key in self.programs:
            said = self.run_here(key, "check-config", TOP / "openwrt/fau3/files/etc/config/fau3")
            self.assertEqual(said.returncode, 0, (key, said))
            self.assertIn("good, 0 warnings", said.stdout, key)
            with tempfile.NamedTemporaryFile("w") as wrong:
                wrong.write("config clients\n\toption storage 'tape'\n")
                wrong.flush()
                said = self.run_here(key, "check-config", wrong.name)
            self.assertEqual(said.returncode, 1, (key, said))
            self.assertIn(":2:", said.stderr, key)

    def test_storage_on_disk_is_where_it_should_be(self):
        for (target, name) in self.programs:
            with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile("w") as file:
                file.write(f"config node\n\toption data_dir '{folder}'\nconfig clients\n\toption storage 'disk'\n")
                file.flush()
                said = self.run_here((target, name), "check-config", file.name)
                with_disk = name == "fau3-disk" or not target.startswith("mips")
                self.assertEqual(said.returncode, 0 if with_disk else 1, ((target, name), said))


class Storage(unittest.TestCase):
    """SQLite is built without much of what it has: what is used of it must be there."""

    def test_what_is_stored_on_disk_is_there_after_a_kill(self):
        programs = {**built("fau3"), **built("fau3-disk")}
        programs = {target: command for target, command in programs.items()
                    if not target.startswith("mips") or target in built("fau3-disk")}
        if not programs:
            skipped(self, f"no program with storage on disk in {BUILT}: openwrt/build.sh aarch64")
        for target, command in programs.items():
            with self.subTest(target), tempfile.TemporaryDirectory() as folder:
                ports = free_ports(2)
                # Given a message that is stored, and a router that is killed
                router = Router(target, command, Path(folder) / "router", ports, [], {"clients.storage": "disk"})
                wait_for("it serves", lambda: router.status().get("name"))
                talker = router.client("talk", VOICE)
                told, _ = talker.communicate(timeout=PATIENCE)
                self.assertEqual(talker.returncode, 0, told)
                router.process.kill()
                router.process.wait()
                # When it starts again
                router = Router(target, command, Path(folder) / "router", ports, [], {"clients.storage": "disk"})
                try:
                    # Then it has it
                    status = wait_for("it serves again", router.status)
                    self.assertEqual(status["records"]["count"], 1, router.log.read_text())
                finally:
                    self.assertEqual(router.stop(), 0)


class Meeting(unittest.TestCase):
    """Routers of two architectures, over loopback."""

    def setUp(self):
        self.programs = built("fau3")
        self.pairs = [(target, STRANGER) for target in self.programs if target != STRANGER]
        if STRANGER not in self.programs or not self.pairs:
            skipped(self, f"no two architectures in {BUILT}: openwrt/build.sh aarch64 mips")

    def test_routers_of_two_architectures_agree_and_pass_records_and_streams(self):
        for pair in self.pairs:
            with self.subTest(" and ".join(pair)), tempfile.TemporaryDirectory() as folder:
                self.meet(pair, Path(folder))

    def meet(self, pair, folder):
        # Given two routers, of which one is told of the other
        ports = free_ports(4)
        first = Router(pair[0], self.programs[pair[0]], folder / pair[0], ports[:2], [])
        second = Router(pair[1], self.programs[pair[1]], folder / pair[1], ports[2:], [first.mesh])
        routers = [first, second]
        try:
            # Then each has the other as its neighbour, and both say who leads
            def agreed():
                said = [router.status() for router in routers]
                neighbours = [one.get("neighbours") for one in said]
                leaders = {one.get("coordinator") for one in said}
                epochs = {str(one.get("epoch")) for one in said}
                met = neighbours == [[pair[1]], [pair[0]]]
                return met and len(leaders) == len(epochs) == 1 and leaders <= set(pair) and leaders.pop()
            began = time.monotonic()
            leader = wait_for(f"{pair} agree", agreed)
            print(f"{pair[0]} and {pair[1]}: {leader} leads, agreed {time.monotonic() - began:.1f} s after the start",
                  file=sys.stderr)
            # And what is said at one is heard at the other, to the byte, in both directions.
            for said_at, heard_at in ((first, second), (second, first)):
                self.record(said_at, heard_at, folder)
                self.stream(said_at, heard_at, folder)
        except BaseException:
            for router in routers:
                print(f"--- {router.target}\n{router.log.read_text()}", file=sys.stderr)
            raise
        finally:
            ended = [router.stop() for router in routers]
        self.assertEqual(ended, [0, 0], "a router that is asked to end says goodbye and ends with 0")

    def listener(self, router, save, *more):
        listener = router.client("listen", "--save", save, *more)
        self.assertIn("listening in room hall", listener.stdout.readline())
        return listener

    def record(self, said_at, heard_at, folder):
        save = folder / f"record-{said_at.target}"
        listener = self.listener(heard_at, save, "--count", 1)
        talker = said_at.client("talk", VOICE)
        told, _ = talker.communicate(timeout=PATIENCE)
        self.assertEqual(talker.returncode, 0, told)
        self.assertIn("stored", told)
        listener.communicate(timeout=PATIENCE)
        heard, = save.iterdir()
        self.assertEqual(heard.read_bytes(), VOICE.read_bytes())

    def stream(self, said_at, heard_at, folder):
        save = folder / f"stream-{said_at.target}"
        listener = self.listener(heard_at, save)
        talker = said_at.client("talk", "--stream", VOICE)
        told, _ = talker.communicate(timeout=PATIENCE)
        self.assertEqual(talker.returncode, 0, told)
        heard = wait_for("a stream is heard to its end", lambda: [path for path in save.iterdir() if path.suffix != ".part"])
        listener.send_signal(signal.SIGINT)
        listener.communicate(timeout=PATIENCE)
        # Old audio is dropped rather than kept waiting: most of it comes, and nothing else.
        frames = VOICE.read_bytes()
        got, = [path.read_bytes() for path in heard]
        self.assertGreater(len(got), len(frames) * 3 // 4)
        position = 0
        for start in range(0, len(got), 38):
            position = frames.find(got[start:start + 38], position)
            self.assertGreaterEqual(position, 0, f"what was heard at {start} was not said then")


class Memory(unittest.TestCase):
    """At rest, with one neighbour. Of an imitated processor, only what the program itself has: the emulator keeps that
    from an address on that it is told."""

    RESIDENT_MAX_KIB = 8 * 1024
    AT_REST_S = 15
    GUEST_AT = 1 << 44
    GUEST_END = 1 << 46

    def setUp(self):
        self.programs = built("fau3")
        if not self.programs:
            skipped(self, f"nothing built in {BUILT}: openwrt/build.sh aarch64 mips")

    def test_a_router_with_one_neighbour_is_small_at_rest(self):
        with tempfile.TemporaryDirectory() as folder:
            routers = []
            try:
                for target, command in self.programs.items():
                    routers += self.pair(target, command, Path(folder))
                for router in routers[::2]:
                    wait_for(f"two of {router.target} meet", lambda: router.status().get("neighbours") == ["two"])
                time.sleep(self.AT_REST_S)
                for router in routers:
                    resident = self.resident_kib(router)
                    print(f"{router.target}: {resident} KiB resident at rest", file=sys.stderr)
                    self.assertGreater(resident, 1024, "it is there at all")
                    self.assertLessEqual(resident, self.RESIDENT_MAX_KIB)
            finally:
                ended = [router.stop() for router in routers]
            self.assertEqual(set(ended), {0})

    def pair(self, target, command, folder):
        """One that is told of the other, and that one."""
        emulator, program = command[:-1], command[-1]
        placed = [*emulator, "-B", hex(self.GUEST_AT), program] if emulator else command
        ports = free_ports(4)
        return [Router(target, placed, folder / f"{target}-one", ports[:2], [ports[3]], {"node.name": "one"}),
                Router(target, placed, folder / f"{target}-two", ports[2:], [], {"node.name": "two"})]

    def resident_kib(self, router):
        sizes, is_own = [], False
        for line in Path(f"/proc/{router.process.pid}/smaps").read_text().splitlines():
            place = re.match("([0-9a-f]+)-[0-9a-f]+ ", line)
            if place:
                is_own = len(router.command) == 1 or self.GUEST_AT <= int(place[1], 16) < self.GUEST_END
            elif is_own and line.startswith("Rss:"):
                sizes.append(int(line.split()[1]))
        return sum(sizes)


class Traces(unittest.TestCase):
    def test_an_election_is_the_same_to_the_bit_on_every_processor(self):
        programs = built("fau3-sim")
        if not programs:
            skipped(self, f"no simulator in {BUILT}: openwrt/build.sh --sim aarch64 mips")
        known = "".join(f"{line}\n" for line in HASHES.read_text().splitlines()[:SEEDS])
        for target, command in programs.items():
            began = time.monotonic()
            told = subprocess.run([*command, "hashes", "--count", str(SEEDS)], capture_output=True, text=True)
            self.assertEqual((told.returncode, told.stdout), (0, known), target)
            print(f"{target}: {SEEDS} traces as in {HASHES.name}, {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
