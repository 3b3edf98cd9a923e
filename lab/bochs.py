# SPDX-License-Identifier: GPL-2.0-only
"""Bochs as the lab's emulator: its CPU models, its configuration, its lines.

It has no virtio. The disks are ATA: the root, the kernel's modules and images,
this tree as a tar archive, and one that holds all that is shared. A fifth, which
Linux does not look for, holds the kernel (lab/boot-disk, lab/boot-rom.S). Input
goes to the host over its second serial line; what comes back, over its parallel
port, because an emulated serial line is as slow as a real one.
"""
import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
import tty

PACKAGES = ["bochs", "bochsbios", "vgabios", "bochs-term", "squashfs-tools"]

# Short name: vendor, Bochs's own name. The first of a vendor's is its default.
MODELS = {
    "broadwell_ult": ("intel", "broadwell_ult"),
    "skylake_x": ("intel", "corei7_skylake_x"),
    "haswell": ("intel", "corei7_haswell_4770"),
    "ivy_bridge": ("intel", "corei7_ivy_bridge_3770k"),
    "sandy_bridge": ("intel", "corei7_sandy_bridge_2600k"),
    "lynnfield": ("intel", "corei5_lynnfield_750"),
    "penryn": ("intel", "core2_penryn_t9600"),
    "zambezi": ("amd", "zambezi"),
    "turion64": ("amd", "turion64_tyler"),
}

MIB = 1024
MIB_MAX = 2048
CPUS_MAX = 8
CYLINDER = 16 * 63 * 512        # a disk's size is a multiple of it
BLOCK = 0x300000                # as in lab/boot-disk
COMMAND_LINE = 0x1000           # in that block
COMMAND_LINE_MAX = 2048
# What an emulated second holds in instructions. With -i one takes a nanosecond.
IPS = 100_000_000
IPS_COUNTED = 1_000_000_000

KERNEL_ARGS = [
    "console=ttyS0,115200", "lab.channel=ttyS1", "lab.printer=0x378", "lab.disks=ata",
    # Self-tests of algorithms and the check of a certificate: a quarter of the boot.
    "cryptomgr.notests", "initcall_blacklist=jent_mod_init,load_system_certificate_list",
]

CONFIG = """\
config_interface: textconfig
display_library: term
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={mib}, host={mib}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
optromimage1: file={boot}/rom, address=0xd0000
optramimage1: file={work}/block, address={block:#x}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata2: enabled=1, ioaddr1=0x1e8, ioaddr2=0x3e0, irq=7
com1: enabled=1, mode=file, dev={console}
com2: enabled=1, mode=term, dev={line}
parport1: enabled=1, file={work}/printer
sound: driver=dummy
clock: sync=none, time0={time0}
log: {log}
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
"""


def find(model):
    """(vendor, Bochs's name) of a model by its short or its long name, or None."""
    for short, (vendor, name) in MODELS.items():
        if model in (short, name):
            return vendor, name
    return None


def default_model(vendor):
    return next(short for short, (whose, _) in MODELS.items() if whose == vendor)


def whole_cylinders(path):
    os.truncate(path, max(1, -(-os.path.getsize(path) // CYLINDER)) * CYLINDER)


def write_block(boot, work, kargs):
    with open(os.path.join(boot, "block"), "rb") as f:
        block = bytearray(f.read())
    line = " ".join(kargs).encode()
    if len(line) >= COMMAND_LINE_MAX:
        raise ValueError("the kernel's command line is longer than 2047 characters")
    block[COMMAND_LINE:COMMAND_LINE + len(line)] = line
    with open(os.path.join(work, "block"), "wb") as f:
        f.write(block)


def disks(parts, archive, shares, work):
    """(channel, path) of each disk, and the lines that configure them."""
    whole_cylinders(archive)
    images = [("ata0-master", parts["root"]), ("ata0-slave", parts["disk"]),
              ("ata1-master", archive), ("ata2-master", os.path.join(parts["boot"], "disk"))]
    if shares:
        image = os.path.join(work, "shares")
        subprocess.run(["mksquashfs", *map(os.path.abspath, shares), image, "-quiet",
                        "-no-progress", "-keep-as-directory", "-noI", "-noD", "-noF", "-noX"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        whole_cylinders(image)
        images.append(("ata1-slave", image))
    # Nothing is written to an image: what the host writes goes to a journal.
    return [f"{place}: type=disk, path={path}, mode=volatile, journal={work}/{place}.journal"
            for place, path in images]


class Machine:
    """A running Bochs: `process`, and the file descriptors `reader` and `writer`."""

    def __init__(self, opts, parts, archive, work, console, log, kargs):
        write_block(parts["boot"], work, KERNEL_ARGS + kargs)
        self.writer, self.line = os.openpty()
        tty.setraw(self.line)
        printer = os.path.join(work, "printer")
        os.mkfifo(printer)
        self.reader = os.open(printer, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        config = CONFIG.format(
            model=find(opts.model)[1], cpus=opts.cpus, mib=opts.mib, block=BLOCK,
            boot=parts["boot"], work=work, console=console, log=log,
            line=os.ttyname(self.line),
            ips=IPS_COUNTED if opts.icount else IPS,
            time0="1767225600" if opts.icount else "utc")
        config += "\n".join(disks(parts, archive, opts.shares, work)) + "\n"
        for name, text in (("bochsrc", config), ("rc", "c\n")):
            with open(os.path.join(work, name), "w", encoding="ascii") as f:
                f.write(text)
        self.start(work, opts.emuargs)

    def start(self, work, words):
        """Debian's build has the debugger in; `rc` tells it to go on."""
        display, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("<4H", 50, 132, 0, 0))
        args = ["bochs", "-q", "-f", os.path.join(work, "bochsrc"),
                "-rc", os.path.join(work, "rc")]
        for word in words:
            args += word.split()
        self.process = subprocess.Popen(args, stdin=inside, stdout=inside, stderr=inside,
                                        start_new_session=True,
                                        env=dict(os.environ, TERM="xterm"))
        os.close(inside)
        threading.Thread(target=self.drain, args=(display,), daemon=True).start()
        threading.Thread(target=self.drain_screen, daemon=True).start()

    @staticmethod
    def drain(display):
        """The emulated screen, which nobody looks at."""
        try:
            while os.read(display, 65536):
                pass
        except OSError:
            pass
        os.close(display)

    def drain_screen(self):
        """
        With the debugger in, Bochs draws the screen on a pseudo-terminal of its own
        making. Unread, that fills by the cursor's blinking, and Bochs stands still
        after some minutes: once a line has ended, input of 4 KiB waits for a reader.
        """
        fds = f"/proc/{self.process.pid}/fdinfo"
        while self.process.poll() is None:
            with contextlib.suppress(OSError, termios.error):
                for fd in os.listdir(fds):
                    with open(os.path.join(fds, fd), encoding="ascii") as f:
                        index = re.search(r"^tty-index:\s*(\d+)", f.read(), re.MULTILINE)
                    if index:
                        screen = os.open(f"/dev/pts/{index[1]}", os.O_RDWR | os.O_NOCTTY)
                        tty.setraw(screen)
                        self.drain(screen)
                        return
            time.sleep(0.1)
