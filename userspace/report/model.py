# SPDX-License-Identifier: GPL-2.0-only
"""Cycles as a function of what was counted, with published constants where there are any.

    cycles = guest + k * handler + exits * switch + misses * references * c

in three columns, as no constant fits all machines, and in a fourth, calibrated one: k is
there what makes one published cost of an exit come out."""
from rows import WORKLOADS

COLUMNS = ("low", "mid", "high")
CONSTANTS = {
    # What, unit: low, mid, high, where from.
    "switch": ("the CPU's way out of the guest and back in, cycles", (784, 1000, 2123),
               "784: Sandy Bridge (Agesen et al., ATC 2012, quoted); 2123: Core 2 (Adams and "
               "Agesen, ASPLOS 2006, quoted); 1000: between them"),
    "k": ("cycles for an instruction of the host while it handles an exit", (0.33, 1.0, 2.0),
          "an assumption"),
    "user": ("more for an exit to userspace, cycles", (3870, 3870, 8125),
             "6209 − 2339 (Linux commit b7ffc44d5b2e); 9475 − 1350 (PVM, SOSP 2023)"),
    "c": ("cycles for one reference of a page walk", (4, 12, 40),
          "an assumption: first, second, third level of cache"),
    "refs": ("references of a walk: native and shadow", (1, 1, 4),
             "with a cache of upper levels; without one: the architecture's four levels"),
    "refs_nested": ("references of a two-dimensional walk", (3, 4, 24),
                    "with such caches; without: (4 + 1) · (4 + 1) − 1"),
}
CALIBRATED = "calibrated"
# Linux commit b7ffc44d5b2e, kvm-unit-tests' vmexit on an Intel client CPU of 2017, after.
CALIBRATION = ("outl_kernel", "outl_to_kernel", 1391)
EXIT_COSTS = (
    ("inl_kernel", "inl_from_kernel", 2339, False, ""),
    ("cpuid", "cpuid", 1291, False,
     "QEMU's CPU does not save the next RIP, so that KVM emulates the instruction here"),
    ("inl_vmm", "inl_from_qemu", 6209, True,
     "not independent: the constant for userspace is from the same table"),
    ("cr8_read", "mov_from_cr8", 11, False, "no exit: instructions only"),
)
# PVM, SOSP 2023: Tables 2 to 4, one process, KVM with shadow paging for one with EPT; of
# guests with page-table isolation (KPTI) where nothing else is said, as their cheapest
# system calls show.
RATIOS = (("fork_storm_pti", "fork, KPTI", 6.1), ("fork_storm", "the same, here without", 6.1), ("fork_exec", "exec", 3.6), ("mmap_churn", "mmap", 1.47),
          ("fault_prot", "protection fault", 4.8), ("getpid", "getpid, no KPTI", 1.0),
          ("getpid_pti", "getpid, KPTI", 9.5))
# The two that say whether the model is calibrated.
GATES = ("fork_storm_pti", "getpid")
TIE = 1.05
NEAR = 2.0


def sign(ratio):
    return 0 if 1 / TIE <= ratio <= TIE else 1 if ratio > 1 else -1


class Model:
    """Of what rows.read() has read."""

    def __init__(self, rows, tlb, repeated=0):
        self.rows = rows
        self.tlb = tlb
        self.repeated = repeated
        self.columns = {column: {name: values[i] for name, (_, values, _) in CONSTANTS.items()}
                        for i, column in enumerate(COLUMNS)}
        self.k = self.calibrate()
        if self.k is not None:
            self.columns[CALIBRATED] = self.columns["mid"] | {
                "switch": self.columns["low"]["switch"], "k": self.k}

    def kvm_exit(self, name):
        """Instructions of an exit on stock KVM."""
        return self.rows.get((name, "hardware"), {}).get("kvm")

    def calibrate(self):
        instructions = self.kvm_exit(CALIBRATION[0])
        if not instructions:
            return None
        return max(0.0, CALIBRATION[2] - CONSTANTS["switch"][1][0]) / instructions

    def exit_predictions(self):
        """(published name, published cycles, predicted ones, note) of what was not fitted."""
        if self.k is None:
            return
        for name, published, cycles, to_user, note in EXIT_COSTS:
            instructions = self.kvm_exit(name)
            if not instructions:
                continue
            at = self.columns[CALIBRATED]
            model = instructions if name == "cr8_read" else \
                at["switch"] + at["k"] * instructions + (at["user"] if to_user else 0)
            yield published, cycles, model, note

    def counted(self, name, system):
        """(all instructions, the guest's, exits) of an operation; None: not counted."""
        mode = {"kvm": "hardware", "kvm-shadow": "shadow-lazy"}.get(system, system)
        row = self.rows.get((name, mode))
        if not row or "guest" not in row:
            return None
        if system == mode:
            return row.get("umbra"), row["guest"], row.get("exits")
        # The guest is the same one: what the rest is, is KVM's.
        guest = self.rows.get((name, "hardware"), row)["guest"]
        return row.get("kvm"), min(guest, row.get("kvm", 0)), row.get("kvm_exits")

    def cycles(self, name, system, column):
        """Cycles of an operation; None: something was not counted."""
        counts = self.counted(name, system)
        if not counts or None in counts:
            return None
        total, guest, exits = counts
        at = self.columns[column]
        missed = self.tlb.get((name, system), {"guest_misses": 0, "host_misses": 0})
        refs = at["refs_nested"] if system in ("hardware", "kvm") else at["refs"]
        walks = missed["guest_misses"] * refs + missed["host_misses"] * at["refs"]
        return guest + at["k"] * (total - guest) + exits * at["switch"] + walks * at["c"]

    def ratio(self, name, system, beside, column):
        a, b = self.cycles(name, system, column), self.cycles(name, beside, column)
        return a / b if a is not None and b else None

    def ratio_predictions(self):
        """(name, published name, published ratio, {column: ratio})."""
        for name, published, ratio in RATIOS:
            yield name, published, ratio, {
                column: self.ratio(name, "kvm-shadow", "kvm", column) for column in self.columns}

    def failures(self):
        """Why the model is not calibrated, one line for each reason; none: it is."""
        if self.k is None:
            yield f"{CALIBRATION[0]} was not measured"
        for name, published, ratio, mine in self.ratio_predictions():
            if name not in GATES:
                continue
            for column, value in mine.items():
                if value is None:
                    yield f"{published}: not measured"
                    break
                if sign(value) != sign(ratio):
                    yield f"{published}, {column}: {value:.2f} is another sign than {ratio}"
                elif not ratio / NEAR <= value <= ratio * NEAR:
                    yield f"{published}, {column}: {value:.2f} is not within a factor of 2 of {ratio}"

    def measured_workloads(self):
        return [name for name in WORKLOADS if any(key[0] == name for key in self.rows)]
