#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""umbra report without its plots: bad input, the model's arithmetic, and the shapes. UMBRA=
names the program."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "report"))
import page                             # noqa: E402
import rows                             # noqa: E402
from model import Model                 # noqa: E402
from shapes import CHANGES, SHAPES             # noqa: E402

UMBRA = os.environ.get("UMBRA", "umbra")
PERF_LINUX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts",
                          "perf-linux")
GOOD = {"name": "cpu", "mode": "hardware", "umbra": 10, "kvm": 20, "ratio": 0.5}

# (what, text of the file, what the line on stderr holds)
BAD = (
    ("an empty file", "", "no JSON"),
    ("half of JSON", '{"rows": [', "no JSON"),
    ("bytes that are no text", b'\xff{"rows": []}', "not UTF-8"),
    ("a list", "[]", "no object with rows"),
    ("an object with something else", '{"rows": [], "more": 1}', "no object with rows"),
    ("rows that are no list", '{"rows": 3}', "no list"),
    ("too many rows", json.dumps({"rows": [GOOD] * 1001}), "no list of at most"),
    ("no workload", '{"rows": []}', "has a workload"),
    ("a row that is no object", '{"rows": [1]}', "no object"),
    ("an unknown name", json.dumps({"rows": [GOOD | {"name": "<b>"}]}), "its name"),
    ("a name that is a list", json.dumps({"rows": [GOOD | {"name": ["cpu"]}]}), "its name"),
    ("an unknown mode", json.dumps({"rows": [GOOD | {"mode": "fast"}]}), "its mode"),
    ("a figure nobody knows", json.dumps({"rows": [GOOD | {"speed": 1}]}), "'speed' is not known"),
    ("a row twice", json.dumps({"rows": [GOOD, GOOD]}), "there twice"),
    ("a number that is text", json.dumps({"rows": [GOOD | {"umbra": "1"}]}), "umbra is no number"),
    ("a number that is true", json.dumps({"rows": [GOOD | {"umbra": True}]}), "umbra is no number"),
    ("a negative number", json.dumps({"rows": [GOOD | {"kvm": -1}]}), "kvm is out of range"),
    ("a number beyond all", '{"rows": [{"name": "cpu", "mode": "hardware", "umbra": 1e999}]}',
     "umbra is out of range"),
    ("an integer of 400 digits",
     '{"rows": [{"name": "cpu", "mode": "hardware", "umbra": 1%s}]}' % ("0" * 400),
     "umbra is out of range"),
    ("no number", '{"rows": [{"name": "cpu", "mode": "hardware", "umbra": NaN}]}', "no JSON"),
    ("a reason with a quote", json.dumps({"rows": [GOOD | {"exits_by": {"a'b": 1}}]}),
     "no reason"),
    ("reasons that are a list", json.dumps({"rows": [GOOD | {"exits_by": [1]}]}), "exits_by"),
    ("too many reasons", json.dumps({"rows": [GOOD | {"exits_by": {f"r{i}": 1 for i in range(65)}}]}),
     "at most 64"),
    ("boots made again, as text", json.dumps({"rows": [GOOD], "repeated": "1"}),
     "repeated is no number"),
    ("half of a TLB's row", '{"tlb": [{"name": "cpu", "mode": "kvm", "host_misses": 1}]}',
     "lacks one of"),
    ("lists in lists without end", "[" * 100000, "no JSON"),
)

results = []


def ok(good, what):
    results.append(good)
    print(f"{'ok' if good else 'not ok'} {len(results)} report: {what}")


def report(*args, **env):
    return subprocess.run([UMBRA, "report", *args], check=False, text=True, env=os.environ | env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def refused(done, code, part):
    """One line with that part, and that exit code."""
    good = done.returncode == code and not done.stdout and done.stderr.count("\n") == 1 \
        and done.stderr.startswith("umbra: report: ") and part in done.stderr
    if not good:
        print(f"# {done.returncode}: {done.stderr[-300:]!r}")
    return good


def bad_input(folder):
    path, output = os.path.join(folder, "in.json"), os.path.join(folder, "page.html")
    for what, text, part in BAD:
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        ok(refused(report("--output", output, path), 69, part) and not os.path.exists(output), what)
    with open(path, "wb") as f:
        f.truncate(rows.SIZE_MAX + 1)
    ok(refused(report("--output", output, path), 69, "more than 4 MiB"), "a file too long")
    ok(refused(report("--output", output, path + ".not"), 69, "No such file"), "no such file")
    ok(refused(report("--output", output, folder), 69, "Is a directory"), "a directory")
    ok(refused(report(), 64, "required"), "no arguments")
    with open(path, "w", encoding="ascii") as f:
        json.dump({"rows": [GOOD]}, f)
    ok(refused(report("--output", output, path, PATH="/nowhere"), 69, "gnuplot-nox"), "no gnuplot")
    ok(refused(report("--output", output, "--fast", path), 64, "fast"), "an unknown option")
    ok(refused(report("--output", os.path.join(folder, "not", "page"), path), 69, "No such file"),
       "a page nowhere")


def boots_lines(*boots):
    """As lab/tlb.c writes them: of boot i so many lines, which have its number times 1000."""
    return "".join("start\n" + f"{i}000 0 0 0\n" * lines for i, lines in enumerate(boots))


def hung_boots(folder):
    path = os.path.join(folder, "tlb.txt")

    def tlb(*boots):
        with open(path, "w", encoding="ascii") as f:
            f.write(boots_lines(*boots))
        return subprocess.run([PERF_LINUX, "--tlb", path], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # The third of ten hung behind two of its pieces of work; the fifth at its very end.
    done = tlb(12, 2, 2, 12, 2, 12, 12, 2, 12, 2, 12, 2)
    misses = {(row["name"], row["mode"]): row["host_accesses"]
              for row in json.loads(done.stdout or '{"tlb": []}')["tlb"]}
    ok(done.returncode == 0 and len(misses) == 70 and misses.get(("getpid", "shadow-lazy")) == 3
       and misses.get(("getpid_pti", "shadow-lazy")) == 4
       and misses.get(("getpid", "shadow-eager")) == 5
       and misses.get(("getpid_pti", "shadow-eager")) == 7
       and misses.get(("getpid", "kvm-shadow")) == 10, "TLB misses of a boot that hung are left out")
    done = tlb(*(12, 2) * 4, 12)
    ok(done.returncode == 1 and "1 boots are not whole" in done.stderr, "a boot too few is told")


def boots_again():
    """scripts/perf-linux with boots that do not end in time."""
    loader = importlib.machinery.SourceFileLoader("perf_linux", PERF_LINUX)
    perf = importlib.util.module_from_spec(importlib.util.spec_from_loader("perf_linux", loader))
    loader.exec_module(perf)
    hang = []       # for each boot: whether it does

    def boot(seconds, *args):
        perf.sh("sleep", "60" if hang.pop(0) else "0", timeout=seconds)
        return args
    perf.boot = boot
    boots = perf.Boots(0.5)
    hang[:] = (True, True, False)
    with contextlib.redirect_stderr(io.StringIO()):
        ok(boots.boot("this") == ("this",) and boots.repeated == 2 and not hang,
           "a boot that hangs is ended and made again")
        hang[:] = (True, True, True)
        try:
            boots.boot("this")
            ok(False, "three that hang are told")
        except SystemExit as e:
            ok("no boot of 3" in str(e), "three that hang are told")


def repeated(folder):
    paths = [os.path.join(folder, f"{i}.json") for i in range(2)]
    for path, content in zip(paths, ({"rows": [GOOD], "repeated": 1}, {"rows": [], "repeated": 2})):
        with open(path, "w", encoding="ascii") as f:
            json.dump(content, f)
    ok("repeated: 3." in page.repeated(Model(*rows.read(paths))),
       "the page says how many boots were made again, of all files")


def model_of(listed, tlb=()):
    measured = ({}, {})
    rows.parse("test", json.dumps({"rows": listed, "tlb": list(tlb)}), measured)
    return Model(*measured)


def near(value, wanted):
    if value is None or abs(value - wanted) > 1e-6 * abs(wanted):
        print(f"# {value}, wanted {wanted}")
        return False
    return True


def fork(kvm_hardware, kvm_shadow):
    """fork_storm_pti and getpid, as they may be on KVM, all of it the host's."""
    for name, pair in (("fork_storm_pti", (kvm_hardware, kvm_shadow)), ("getpid", (100, 100))):
        for mode, kvm in zip(("hardware", "shadow-lazy"), pair):
            yield {"name": name, "mode": mode, "umbra": 100, "kvm": kvm, "ratio": 1, "guest": 0,
                   "exits": 0, "kvm_exits": 0}


OUT = {"name": "outl_kernel", "mode": "hardware", "umbra": 1, "kvm": 607, "ratio": 1}


def arithmetic():
    lazy = {"name": "cow", "mode": "shadow-lazy", "umbra": 3000, "kvm": 5000, "ratio": 0.6,
            "guest": 1000, "exits": 2, "kvm_exits": 3}
    hardware = {"name": "cow", "mode": "hardware", "umbra": 1200, "kvm": 1300, "ratio": 0.9,
                "guest": 1100, "exits": 1, "kvm_exits": 1}
    missed = {"name": "cow", "mode": "hardware", "host_accesses": 9, "host_misses": 2,
              "guest_accesses": 9, "guest_misses": 5}
    model = model_of([OUT, lazy, hardware], [missed])
    ok(near(model.cycles("cow", "shadow-lazy", "low"), 1000 + 0.33 * 2000 + 2 * 784),
       "a shadow's cycles, low")
    ok(near(model.cycles("cow", "shadow-lazy", "high"), 1000 + 2 * 2000 + 2 * 2123),
       "a shadow's cycles, high")
    ok(near(model.cycles("cow", "hardware", "mid"), 1100 + 100 + 1000 + 12 * (5 * 4 + 2 * 1)),
       "cycles with nested paging and misses")
    ok(near(model.cycles("cow", "kvm-shadow", "mid"), 1100 + 3900 + 3 * 1000),
       "KVM's cycles, whose guest is the same")
    ok(near(model.k, 1.0), "k, fitted to one exit of 607 instructions")
    ok(near(model.cycles("cow", "shadow-lazy", "calibrated"), 1000 + 2000 + 2 * 784),
       "cycles by the fitted k")
    ok(model_of([lazy, hardware]).k is None, "no k without that exit")
    ok(model.cycles("cpu", "hardware", "mid") is None, "nothing of what was not measured")


def gates():
    ok(not list(model_of([OUT, *fork(100, 610)]).failures()), "calibrated at fork's ratio itself")
    ok(any("not within" in why for why in model_of([OUT, *fork(100, 201)]).failures()),
       "not calibrated at a third of it")
    ok(any("another sign" in why for why in model_of([OUT, *fork(100, 100)]).failures()),
       "not calibrated where fork ties")
    ok(any("was not measured" in why for why in model_of([*fork(100, 610)]).failures()),
       "not calibrated without an exit's cost")
    ok(any("getpid" in why for why in model_of([OUT, *list(fork(100, 610))[:2]]).failures()),
       "not calibrated without getpid")


def shapes():
    getpid = [{"name": "getpid", "mode": mode, "exits_by": {"cr": 0.0}} for mode in rows.MODES]
    title = {shape.title: shape for shape in SHAPES}
    ok(title["System calls"].verdict(model_of(getpid))[0] is True, "no exit for a system call")
    getpid[1]["exits_by"] = {"cr": 1}
    shown, text = title["System calls"].verdict(model_of(getpid))
    ok(shown is False and "bug" in text, "an exit for one, told as a bug")
    ports = [{"name": "io", "mode": mode, "umbra": 800.0} for mode in rows.MODES]
    ports += [{"name": name, "mode": "hardware", "ratio": 0.5} for name in ("inl_kernel", "inl_vmm")]
    ok(title["Ports read and written"].verdict(model_of(ports))[0] is True, "ports: a tie")
    ports[1]["umbra"] = 880.0
    ok(title["Ports read and written"].verdict(model_of(ports))[0] is False, "and none at 10 % more")
    changes = [{"name": name, "mode": mode, "umbra": 1000.0 if mode == "hardware" else 4000.0, "guest": 500.0,
                "exits": 0.0} for name in CHANGES for mode in rows.MODES]
    stored = next(row for row in changes if (row["name"], row["mode"]) == ("cow", "shadow-eager"))
    execed = next(row for row in changes if (row["name"], row["mode"]) == ("fork_exec", "shadow-eager"))
    stored["umbra"], execed["umbra"] = 8000.0, 7000.0
    ok("most in cow, 2.00" in title["Rights of pages changed"].verdict(model_of(changes))[1],
       "where eager and lazy differ most")
    execed["umbra"] = 9000.0
    shown, text = title["Rights of pages changed"].verdict(model_of(changes))
    ok(shown is False and "fork_exec, 2.25" in text, "and that it is elsewhere")
    nothing = model_of([GOOD])
    ok(all(shape.verdict(nothing)[0] is not True and shape.verdict(nothing)[1] for shape in SHAPES),
       "each shape that was not measured is absent, and that is told")
    ok(len(SHAPES) == 18 and set(rows.WORKLOADS) - {"fork_storm_pti"} ==
       {name for shape in SHAPES for name in shape.names}, "each workload has its shape")


def main():
    with tempfile.TemporaryDirectory() as folder:
        bad_input(folder)
        hung_boots(folder)
        repeated(folder)
    boots_again()
    arithmetic()
    gates()
    shapes()
    print(f"1..{len(results)}")
    return not all(results)


if __name__ == "__main__":
    sys.exit(main())
