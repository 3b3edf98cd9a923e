# SPDX-License-Identifier: GPL-2.0-only
"""What the tests by Debian's QEMU share: a QEMU on Umbra by `umbra exec`, with its monitor, and
their TAP. The guest of most is selftests/tools/tick_guest.S, which counts its ticks aloud."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

QEMU = "qemu-system-x86_64"
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECONDS = 240           # until anything that is waited for has come
LINES = 5               # numbers that show that the guest runs


class Failure(Exception):
    """What a test found."""


class Skip(Exception):
    """Why a test can't be done here."""


def wait_for(what, condition):
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what} in {SECONDS} s")
        time.sleep(0.02)


def first_of(*paths):
    """The first of them that exists."""
    return next(path for path in paths if os.path.exists(path))


def tick_guest():
    """Options for that guest."""
    name = "/tools/tick_guest.elf"
    return ["-m", "16", "-kernel", first_of(os.environ.get("SELFTESTS", TOP + "/selftests") + name,
                                            TOP + "/build/selftests" + name)]


def connect(path):
    """A stream to and from QEMU by the socket that it makes."""
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(SECONDS)
    wait_for("no " + os.path.basename(path),
             lambda: os.path.exists(path) and not stream.connect_ex(path))
    return stream


class Machine:
    """One QEMU, with its monitor."""

    count = 0
    prefix = ["umbra", "exec", "--"]

    def __init__(self, directory, *options):
        Machine.count += 1
        self.serial = f"{directory}/serial{Machine.count}"
        path = f"{directory}/monitor{Machine.count}"
        self.process = subprocess.Popen(
            [*self.prefix, QEMU, "-nodefaults", "-display", "none",
             "-serial", "file:" + self.serial, "-qmp", f"unix:{path},server=on,wait=off",
             *([] if "-accel" in options else ["-accel", "kvm"]), *options],
            stdin=subprocess.DEVNULL)
        self.events = []
        self.socket = connect(path)
        self.stream = self.socket.makefile("rw")
        self.stream.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "error" in answer:
                raise Failure(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer["event"])

    def wait_event(self, name):
        """Until QEMU tells of it; each is told of once."""
        def told():
            self.command("query-status")
            return name in self.events
        wait_for("no event " + name, told)
        self.events.remove(name)

    def human(self, line):
        said = self.command("human-monitor-command", **{"command-line": line})
        if "rror" in said:
            raise Failure(f"{line}: {said}")
        return said

    def output(self):
        try:
            with open(self.serial, encoding="ascii", errors="replace") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""

    def said(self, *texts):
        """Until the guest has printed them all."""
        for text in texts:
            wait_for(f"{text!r} does not come", lambda text=text: text in self.output())

    def wait_lines(self, count):
        wait_for(f"not {count} lines of the guest's", lambda: self.output().count("\n") >= count)

    def wait_more(self, count=LINES):
        """Until that many lines have come from now on."""
        self.wait_lines(self.output().count("\n") + count)

    def end(self):
        self.process.kill()
        self.process.wait()


def judge_text(text):
    """What tick_guest has printed are the numbers from 1 on; the last line may lack its end."""
    for number, line in enumerate(text.split("\n")[:-1], 1):
        if line != f"{number:08x}":
            raise Failure(f"line {number} is {line!r}")


def judge(*machines):
    """What it has printed on them, one after the other, are these numbers."""
    judge_text("".join(machine.output() for machine in machines))


def main(tests):
    """TESTS: what each says, its function of a directory, a maker of machines and its options,
    and these options. Arguments choose functions by name; SKIP (4) where there is no QEMU."""
    wanted = sys.argv[1:]
    tests = [test for test in tests if not wanted or test[1].__name__ in wanted]
    print("TAP version 13")
    if not shutil.which(QEMU):
        print(f"1..0 # SKIP no {QEMU}")
        return 4
    failed = False
    node = not os.path.exists("/dev/kvm")
    if node:
        os.mknod("/dev/kvm", 0o20600, os.makedev(10, 232))
    print(f"1..{len(tests)}")
    for number, (name, test, options) in enumerate(tests, 1):
        machines = []
        with tempfile.TemporaryDirectory() as directory:
            def start(*options, directory=directory, machines=machines):
                machines.append(Machine(directory, *options))
                return machines[-1]
            begun = time.monotonic()
            result = "ok"
            try:
                test(directory, start, *options)
            except Skip as reason:
                name += f" # SKIP {reason}"
            except (Failure, OSError, ValueError) as problem:
                print(f"# {problem}")
                for machine in machines:
                    for line in machine.output().split("\n")[-20:]:
                        print(f"# | {line}")
                result = "not ok"
                failed = True
            for machine in machines:
                machine.end()
        print(f"{result} {number} QEMU: {name}", flush=True)
        print(f"# {time.monotonic() - begun:.1f} s", file=sys.stderr)
    if node:
        os.unlink("/dev/kvm")
    return failed
