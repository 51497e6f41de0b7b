"""A router of one's own: OpenWrt's places and scripts in a file system that vanishes, into which each kind of package is
unpacked, set up and started by its own scripts, as its own user, until it serves a client.

python3 -m unittest discover -s openwrt/tests

Needs root, namespaces and overlayfs. What only a router has is stood in for: procd and the package manager by this file,
`validate_data` and what scripts load by tests/openwrt/host; `uci` is the real one. FAU3_OPENWRT names the folder
of build.sh (else target/openwrt). The program is x86_64's if it was built, else aarch64's under qemu-user.
"""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path[:0] = [str(HERE), str(TOP / "openwrt" / "package")]

import adb_reader  # noqa: E402
import pack  # noqa: E402
from test_architectures import BUILT, PATIENCE, VOICE, built, skipped  # noqa: E402

HOST = TOP / "tests/openwrt/host"
TOOLS = TOP / "target/tmp/openwrt"
PROGRAM = "/usr/bin/fau3"
# For a shell: waits until it answers.
SERVES = f"until {PROGRAM} status >/dev/null 2>&1; do sleep 0.1; done"
# Seconds from the package to a message that is stored; an imitated processor has PATIENCE.
SERVING_MAX = 5
LAN = "192.168.1.1"

# Of /lib/functions.sh, what OpenWrt does when a package is installed (default_postinst, default_prerm and
# add_group_and_user of its base-files): the user, then uci-defaults once, then the package's own, then the service.
FUNCTIONS = r"""
. "$HOST/functions.sh"
_list() { cat "/usr/lib/opkg/info/$1.list" "/lib/apk/packages/$1.list" 2>/dev/null; }
add_group_and_user() {
	local asked
	asked="$(sed -n 's/^Require-User: *//p' "/usr/lib/opkg/info/$pkgname.control" 2>/dev/null)"
	asked="${asked:-$(cat "/lib/apk/packages/$pkgname.rusers" 2>/dev/null)}"
	grep -q "^${asked%%:*}:" /etc/passwd && return
	echo "${asked##*:}:x:32768:" >>/etc/group
	echo "${asked%%:*}:x:32768:32768::/var/run:/bin/false" >>/etc/passwd
}
default_postinst() {
	local script pkgname="${pkgname:-$(basename "${1%.*}")}"
	[ ! -e "/usr/lib/opkg/info/$pkgname.list" ] || add_group_and_user
	for script in $(_list "$pkgname" | grep ^/etc/uci-defaults/); do
		( [ -f "$script" ] && cd "$(dirname "$script")" && . "$script" ) && rm -f "$script"
	done
	uci commit
	[ ! -f "/usr/lib/opkg/info/$pkgname.postinst-pkg" ] || ( . "/usr/lib/opkg/info/$pkgname.postinst-pkg" )
	for script in $(_list "$pkgname" | grep ^/etc/init.d/); do
		[ "$PKG_UPGRADE" = 1 ] || "$script" enable
		"$script" start
	done
}
default_prerm() {
	local script pkgname="${pkgname:-$(basename "${1%.*}")}"
	for script in $(_list "$pkgname" | grep ^/etc/init.d/); do
		"$script" disable
		"$script" stop
	done
}
"""
RC_COMMON = r"""#!/bin/sh
case "$2" in
enable) mkdir -p /etc/rc.d && ln -sf "$1" "/etc/rc.d/S95${1##*/}" ;;
disable) rm -f "/etc/rc.d/S95${1##*/}" ;;
*) . "$HOST/rc.common" ;;
esac
"""
# Nothing of it reaches this machine: what is written lies in memory, and goes with the last process in it.
NAMESPACE = r"""
mount -t tmpfs fau3-test "$1"
cd "$1"
mkdir over work root
mount -t overlay fau3-test -o "lowerdir=/,upperdir=$1/over,workdir=$1/work" root
mkdir -p root/router
for empty in dev router; do mount -t tmpfs fau3-test "root/$empty"; done
# As there: all that is in memory shares one file system.
mount -t tmpfs -o size=4m fau3-test root/tmp
mkdir root/tmp/run
mount --bind root/tmp/run root/run
mount -t proc proc root/proc
for device in null urandom; do
	touch "root/dev/$device"
	mount --bind "/dev/$device" "root/dev/$device"
done
ip link set lo up
ip link add br-lan type bridge
ip addr add "$2/24" dev br-lan
ip link set br-lan up
for brought in "$3" "$4"; do
	mkdir -p "root$brought"
	mount --bind "$brought" "root$brought"
	mount -o remount,bind,ro "root$brought"
done
exec chroot root sh -c 'echo ready; exec cat'
"""


class Router:
    """The file system, its network, and a procd that runs what it is asked for once."""

    def __init__(self, folder):
        self.running, self.log, self.syslog = {}, [], socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # What procd would carry into the log.
        self.said = tempfile.TemporaryFile()
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-ec", NAMESPACE, "sh", folder, LAN, TOP, BUILT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.works = self.holder.stdout.readline() == "ready\n"

    def furnish(self):
        self.write("/lib/functions.sh", FUNCTIONS)
        self.write("/etc/rc.common", RC_COMMON, 0o755)
        # The shell and the tools of OpenWrt run scripts, whatever they are here.
        self.run("/bin/sh", "-c", "mkdir -p /etc/config /tmp/.uci && ln -sf /bin/busybox /bin/sh && "
                                  "for applet in $(/bin/busybox --list); do ln -s /bin/busybox /router/$applet; done")
        self.write("/router/logger", '#!/bin/sh\necho "$4 $5" >>/router/syslog\n', 0o755)
        self.run("ln", "-s", TOOLS / "uci", HOST / "validate_data", "/router/")
        # A folder of the namespace's own, in which there is no link.
        self.syslog.bind(f"/proc/{self.holder.pid}/root/dev/log")
        self.syslog.setblocking(False)
        self.run("chmod", "666", "/dev/log")

    def write(self, path, data, mode=0o644):
        """From inside: a link there leads nowhere else."""
        script = 'mkdir -p "${1%/*}" && rm -f "$1" && cat >"$1" && chmod "$2" "$1"'
        self.run("sh", "-c", script, "sh", path, f"{mode:o}", given=data if isinstance(data, bytes) else data.encode())

    def has(self, path):
        return subprocess.run(self.command("test", "-e", path, "-o", "-L", path)).returncode == 0

    def command(self, *words):
        inside = ["nsenter", "-t", str(self.holder.pid), "--mount", "--net", "--root", "--wd"]
        # Without a limit of the time zone, or anything else of this machine's.
        return [*inside, "env", "-i", "PATH=/router:/usr/bin:/usr/sbin:/bin", f"HOST={HOST}", "RECORD=/router/record",
                "RUNNING=", *map(str, words)]

    def run(self, *words, given=b""):
        ran = subprocess.run(self.command("timeout", PATIENCE, *words), capture_output=True, input=given)
        if ran.returncode:
            said = (ran.stdout + ran.stderr).decode()
            raise AssertionError(f"{words}: {ran.returncode} (143: not within {PATIENCE} s)\n{said}\n{self.told()}")
        return ran.stdout.decode()

    def procd(self):
        """Starts what the scripts have asked for since it was last asked, as the user they said."""
        asked, name = {}, None
        for line in self.run("cat", "/router/record").splitlines():
            word, _, rest = line.partition(" ")
            if word == "instance":
                name = rest
                asked[name] = {}
            elif word == "param" and name:
                kind, _, values = rest.partition(" ")
                asked[name][kind] = values[1:-1].split("] [")
        self.run("rm", "/router/record")
        for name, wanted in asked.items():
            command = wanted["command"]
            if "user" in wanted:
                command = ["/usr/bin/setpriv", f"--reuid={wanted['user'][0]}", f"--regid={wanted['group'][0]}", "--clear-groups",
                           "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", *command]
            self.running[name] = subprocess.Popen(self.command(*command), stdout=self.said, stderr=self.said)

    def kill(self):
        for process in self.running.values():
            process.terminate()
        ended = {name: process.wait(PATIENCE) for name, process in self.running.items()}
        self.running.clear()
        return ended

    def told(self):
        """All that was logged, by scripts and the program."""
        while True:
            try:
                self.log.append(self.syslog.recv(4096).decode())
            except BlockingIOError:
                break
        scripts = subprocess.run(self.command("cat", "/router/syslog"), capture_output=True, text=True).stdout
        self.said.seek(0)
        return "\n".join([scripts, self.said.read().decode(), *self.log])

    def vanish(self):
        self.kill()
        self.syslog.close()
        self.said.close()
        self.holder.stdin.close()
        self.holder.wait(PATIENCE)
        self.holder.stdout.close()
        self.holder.stderr.close()


def unpack_ipk(router, package):
    """As opkg does: what is installed, and the control data beside a list of it."""
    name = package.name.split("_")[0]
    info = f"/usr/lib/opkg/info/{name}"
    data = subprocess.run(["tar", "-xzOf", package, "./data.tar.gz"], capture_output=True, check=True).stdout
    control = subprocess.run(["tar", "-xzOf", package, "./control.tar.gz"], capture_output=True, check=True).stdout
    # Debian's /lib is a link.
    router.run("/usr/bin/tar", "-xz", "--keep-directory-symlink", "-C", "/", given=data)
    listed = subprocess.run(["tar", "-tzf", "-"], input=data, capture_output=True, check=True).stdout.decode()
    for member in ("control", "postinst", "postinst-pkg", "prerm"):
        text = subprocess.run(["tar", "-xzOf", "-", f"./{member}"], input=control, capture_output=True, check=True).stdout
        router.write(f"{info}.{member}", text, 0o755)
    router.write(f"{info}.list", "".join(f"{line[1:]}\n" for line in listed.splitlines() if not line.endswith("/")))
    return f"{info}.postinst", f"{info}.prerm"


def unpack_apk(router, package):
    read, made = adb_reader.Package(package.read_bytes()), io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, member in read.members.items():
            info = tarfile.TarInfo(path)
            info.mode, info.size = member.mode, len(member.data or b"")
            info.type = tarfile.DIRTYPE if member.data is None else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(member.data or b""))
    router.run("/usr/bin/tar", "-x", "--keep-directory-symlink", "-C", "/", given=made.getvalue())
    for name in ("post-install", "pre-deinstall"):
        router.write(f"/lib/apk/exec/{name}", read.scripts[name], 0o755)
    return "/lib/apk/exec/post-install", "/lib/apk/exec/pre-deinstall"


class Installing(unittest.TestCase):
    def setUp(self):
        programs = built("fau3")
        self.target = next((target for target in ("x86_64", "aarch64") if target in programs), None)
        if not self.target:
            skipped(self, f"nothing built in {BUILT}: openwrt/build.sh aarch64")
        if os.geteuid() != 0 or not shutil.which("busybox"):
            # CI may be anybody: nothing that it requires.
            print("NOT TESTED: installing: needs root and busybox", file=sys.stderr)
            self.skipTest("neither root nor busybox")
        subprocess.run([HOST / "build-uci", TOOLS], check=True)
        self.emulator = programs[self.target][:-1]
        version, architecture = pack.version(), pack.architectures(self.target)[0]
        self.kinds = {"ipk": (unpack_ipk, BUILT / f"packages/fau3_{version}_{architecture}.ipk"),
                      "apk": (unpack_apk, BUILT / f"packages/{architecture}/fau3-{version}.apk")}

    def test_one_package_and_it_serves_within_seconds_as_its_own_user(self):
        for kind, (unpack, package) in self.kinds.items():
            with self.subTest(kind), tempfile.TemporaryDirectory() as folder:
                router = Router(folder)
                try:
                    if not router.works:
                        print(f"NOT TESTED: installing: {router.holder.stderr.read()}", file=sys.stderr)
                        self.skipTest("no namespace or no overlayfs here")
                    router.furnish()
                    self.install(router, unpack, package, kind)
                finally:
                    router.vanish()

    def imitate(self, router):
        """Where the program is another processor's, the system runs it by what imitates that."""
        if self.emulator:
            router.run("mv", PROGRAM, f"{PROGRAM}-itself")
            router.write(PROGRAM, f'#!/bin/sh\nexec {" ".join(self.emulator)} {PROGRAM}-itself "$@"\n', 0o755)

    def install(self, router, unpack, package, kind):
        # Given a router that never had it,
        self.assertFalse(router.has("/etc/config/fau3"))
        began = time.monotonic()
        # when the package is unpacked, and its script has run,
        after, before_removal = unpack(router, package)
        self.imitate(router)
        router.run(after)
        router.procd()
        # then a client's message is stored,
        told = router.run("sh", "-c", f"{SERVES}; {PROGRAM} talk --room hall {VOICE}")
        took = time.monotonic() - began
        self.assertIn("stored", told)
        print(f"{self.target}, {kind}: {took:.1f} s from the package to a message that is stored", file=sys.stderr)
        self.assertLess(took, PATIENCE if self.emulator else SERVING_MAX)
        # by a process without any rights,
        node = router.running["node"]
        rights = dict(re.findall(r"^(Uid|CapEff|NoNewPrivs):\s+(\S+)", Path(f"/proc/{node.pid}/status").read_text(), re.M))
        self.assertEqual(rights, {"Uid": "32768", "CapEff": "0" * 16, "NoNewPrivs": "1"})
        # whose own the keys are,
        listed = router.run("ls", "-ldn", "/etc/fau3", "/etc/fau3/identity.key").splitlines()
        self.assertEqual([(line.split()[0], line.split()[2]) for line in listed],
                         [("drwxr-x---", "32768"), ("-rw-------", "32768")])
        # and dnsmasq has the name that clients ask for.
        name = router.run("sh", "-c", "until grep -s fau3vomdMain /tmp/hosts/fau3; do sleep 0.1; done")
        self.assertIn(LAN, name)
        self.assertFalse(router.has("/etc/uci-defaults/80_fau3"), "run once")
        self.assertTrue(router.has("/etc/rc.d/S95fau3"), "started at each boot")
        self.assertNotIn("err", re.findall(r"daemon\.(\w+)", router.told()))
        self.reboot(router)
        self.mangle_and_mend(router)
        self.reboot_where_nothing_can_be_written(router)
        self.remove(router, before_removal)

    def start(self, router):
        """As at boot, its memory empty."""
        self.assertEqual(router.kill()["node"], 0)
        router.run("sh", "-c", "rm -rf /var/run/fau3* /tmp/fau3 /tmp/hosts")
        router.run("/etc/rc.d/S95fau3", "start")
        router.procd()

    def reboot(self, router):
        # When the router starts again, then it serves as the one that it was.
        who = router.run(PROGRAM, "keys")
        self.start(router)
        router.run("sh", "-c", SERVES)
        self.assertEqual(router.run(PROGRAM, "keys"), who)

    def mangle_and_mend(self, router):
        # Given a configuration with a mistake,
        router.run("sed", "-i", "s/option copies '2'/option copies 'many'/", "/etc/config/fau3")
        # when the router starts with it, then the log says where, and it serves nobody,
        self.start(router)
        self.assertEqual(set(router.running), {"mending"})
        self.assertRegex(router.told(), r"daemon.err /etc/config/fau3:\d+: clients.copies: 'many'")
        # and it starts by itself once that is mended.
        router.run("sed", "-i", "s/option copies 'many'/option copies '2'/", "/etc/config/fau3")
        self.assertEqual(router.running.pop("mending").wait(PATIENCE), 0)
        router.procd()
        router.run("sh", "-c", SERVES)

    def reboot_where_nothing_can_be_written(self, router):
        # Given a full /tmp, and flash that has become read-only,
        router.run("sh", "-c", "cat >/tmp/full || true", given=bytes(8 << 20))
        router.run("/usr/bin/mount", "-o", "remount,ro", "/")
        # when the router starts, then it serves, and says what cannot be kept.
        self.start(router)
        self.assertIn("stored", router.run("sh", "-c", f"{SERVES}; {PROGRAM} talk --room hall {VOICE}"))
        self.assertIn("identity.key.state: cannot be written", router.told())
        router.run("/usr/bin/mount", "-o", "remount,rw", "/")

    def remove(self, router, before_removal):
        # Before it is removed, it is stopped, and started at no boot.
        router.run(before_removal)
        self.assertIn("kill fau3", router.run("cat", "/router/record"))
        self.assertFalse(router.has("/etc/rc.d/S95fau3"))


if __name__ == "__main__":
    unittest.main()
