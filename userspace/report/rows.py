# SPDX-License-Identifier: GPL-2.0-only
"""What was measured: JSON files whose rows are as selftests/perf and scripts/perf-linux
write them, checked and put together."""
import json
import math
import os

SIZE_MAX = 4 << 20

MODES = ("hardware", "shadow-lazy", "shadow-eager")
WORKLOADS = ("fork_storm", "fork_exec", "mmap_churn", "fault_prot", "cow", "ctx_2", "ctx_8",
             "ctx_64", "getpid", "getpid_pti", "random_walk", "cpu", "divzero", "boot",
             "smp_faults", "dirty_writer",
             # As the published figures are, of a guest with page-table isolation.
             "fork_storm_pti")
# Of selftests/perf/exits.
EXITS = ("cpuid", "msr_read", "msr_write", "hypercall", "inl_kernel", "outl_kernel", "inl_user",
         "inl_vmm", "inl_qemu", "mmio_kernel", "mmio_user", "hlt_wake", "self_ipi", "ipi_halt",
         "eoi", "tscdeadline", "cr8_read", "dr_move", "kernel_gs_base_write")
# Of selftests/perf/mmu: a control, no workload.
CONTROLS = ("io",)
# Stock KVM with nested paging and without, which is beside a shadow.
KVM_MODES = ("kvm", "kvm-shadow")
FIGURES = ("umbra", "kvm", "ratio", "exits", "kvm_exits", "guest")
TLB_FIGURES = ("host_accesses", "host_misses", "guest_accesses", "guest_misses")


class BadInput(Exception):
    """One line for the user."""


def number(where, row, key):
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadInput(f"{where}: {key} is no number")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not 0 <= value < 1e18:
        raise BadInput(f"{where}: {key} is out of range")
    return value


def checked(where, row, names, modes, figures, others=()):
    """The row's name and mode, and its figures as numbers."""
    if not isinstance(row, dict):
        raise BadInput(f"{where} is no object")
    name, mode = row.get("name"), row.get("mode")
    if name not in names:
        raise BadInput(f"{where}: its name is none of a workload's or exit's")
    if mode not in modes:
        raise BadInput(f"{where}: its mode is none of {', '.join(modes)}")
    where = f"{where} ({name}, {mode})"
    unknown = row.keys() - {"name", "mode", *figures, *others}
    if unknown:
        raise BadInput(f"{where}: {sorted(unknown)[0]!r:.40} is not known")
    return (name, mode), {key: number(where, row, key) for key in figures if key in row}


def checked_row(where, row):
    key, figures = checked(where, row, WORKLOADS + EXITS + CONTROLS, MODES, FIGURES, ("exits_by",))
    reasons = row.get("exits_by", {})
    if not isinstance(reasons, dict) or len(reasons) > 64:
        raise BadInput(f"{where}: exits_by is no object of at most 64 reasons")
    for reason in reasons:
        if not (0 < len(reason) < 16 and reason.replace("_", "").isalnum() and reason.isascii()):
            raise BadInput(f"{where}: {reason!r:.40} is no reason for an exit")
    figures["exits_by"] = {reason: number(where, reasons, reason) for reason in reasons}
    return key, figures


def checked_tlb(where, row):
    key, figures = checked(where, row, WORKLOADS, MODES + KVM_MODES, TLB_FIGURES)
    if len(figures) != len(TLB_FIGURES):
        raise BadInput(f"{where}: it lacks one of {', '.join(TLB_FIGURES)}")
    return key, figures


def add(rows, where, listed, check):
    if not isinstance(listed, list) or len(listed) > 1000:
        raise BadInput(f"{where} is no list of at most 1000 rows")
    for i, row in enumerate(listed):
        key, figures = check(f"{where}[{i}]", row)
        if key in rows:
            raise BadInput(f"{where}[{i}]: {key[0]}, {key[1]} is there twice")
        rows[key] = figures


def refuse_constant(word):
    raise ValueError(f"{word} is no number")


def parse(name, text, measured):
    """Add what this text holds to @measured, a pair of dictionaries: rows and TLB misses. How
    many boots it says were made again."""
    try:
        top = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as e:
        raise BadInput(f"{name}: no JSON: {str(e) or 'too deep'}") from None
    if not isinstance(top, dict) or not top or top.keys() - {"rows", "tlb", "repeated"}:
        raise BadInput(f"{name}: no object with rows, tlb or repeated, and nothing else")
    for (part, check), rows in zip((("rows", checked_row), ("tlb", checked_tlb)), measured):
        if part in top:
            add(rows, f"{name}: {part}", top[part], check)
    return number(name, top, "repeated") if "repeated" in top else 0


def read(names):
    """(rows, tlb, repeated): figures by (name, mode) of all these files, and how many boots
    were made again."""
    measured, repeated = ({}, {}), 0
    for name in names:
        with open(name, "rb") as f:
            text = f.read(SIZE_MAX + 1)
        if len(text) > SIZE_MAX:
            raise BadInput(f"{name}: more than {SIZE_MAX >> 20} MiB")
        try:
            repeated += parse(os.path.basename(name), text.decode(), measured)
        except UnicodeDecodeError:
            raise BadInput(f"{name}: not UTF-8") from None
    if not any(key[0] in WORKLOADS for key in measured[0]):
        raise BadInput("none of the files has a workload")
    return *measured, int(repeated)
