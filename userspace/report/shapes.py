# SPDX-License-Identifier: GPL-2.0-only
"""The shapes that are published or to be expected of each workload, and whether what was
measured shows them."""

NO_CACHES = "instructions and a fixed price for an exit leave out the caches and TLBs that exits cost"


class Shape:
    """@wanted: the shape. @found(model): (whether it is shown, what was found), or None where it
    was not measured. @why: the explanation where it is not shown."""

    def __init__(self, names, title, wanted, found, why):
        self.names = names
        self.title = title
        self.wanted = wanted
        self.found = found
        self.why = why

    def verdict(self, model):
        """(shown or None, text)."""
        found = self.found(model) if self.found else None
        if not found:
            return None, self.why if not self.found else "not measured"
        shown, text = found
        return shown, text if shown else f"{text}; {self.why}"


def row(model, name, mode):
    return model.rows.get((name, mode), {})


def instructions(model, name, over="shadow-lazy", under="hardware"):
    a, b = row(model, name, over).get("umbra"), row(model, name, under).get("umbra")
    return a / b if a is not None and b else None


def exits(model, name, mode, reasons=None):
    """Exits of an operation, for these reasons alone; None: not measured."""
    by = row(model, name, mode).get("exits_by")
    if by is None:
        return None
    return sum(n for reason, n in by.items() if not reasons or reason in reasons)


PAGING = ("exception", "page_fault", "cr", "invlpg")


def eager_over_lazy(model, name):
    return instructions(model, name, "shadow-eager", "shadow-lazy")


def costs_more(name, low, high, eager_too=False):
    """Nested paging wins by a factor in this range, by the mid column; with @eager_too the
    eager shadow is dearer than the lazy one."""
    def found(model):
        ratio = model.ratio(name, "shadow-lazy", "hardware", "mid")
        eager = eager_over_lazy(model, name)
        if ratio is None or eager is None:
            return None
        return low <= ratio <= high and (eager > 1 or not eager_too), \
            (f"shadow-lazy costs {ratio:.2f} times hardware in the mid column; eager takes "
             f"{eager:.2f} of lazy's instructions")
    return found


# Workloads that change page tables.
CHANGES = ("fork_storm", "fork_exec", "mmap_churn", "fault_prot", "cow")


def differ_most(names, low, high):
    """One of @names costs more as above, and of all that changes tables the modes differ most there."""
    def found(model):
        cost = costs_more(names[0], low, high)(model)
        apart = {name: eager_over_lazy(model, name) for name in CHANGES}
        if cost is None or None in apart.values():
            return None
        most = max(apart, key=apart.get)
        return cost[0] and most in names, \
            f"{cost[1]}; the two differ most in {most}, {apart[most]:.2f}"
    return found


def tie(names, slack):
    def found(model):
        ratios = [instructions(model, name, mode) for name in names
                  for mode in ("shadow-lazy", "shadow-eager")]
        if None in ratios:
            return None
        worst = max(ratios, key=lambda ratio: abs(ratio - 1))
        return abs(worst - 1) <= slack, f"{worst:.3f} of hardware's instructions at most apart"
    return found


def switches(model):
    per = [exits(model, name, "shadow-lazy", ("cr",)) for name in ("ctx_2", "ctx_8", "ctx_64")]
    nested = exits(model, "ctx_2", "hardware", PAGING)
    if None in (*per, nested):
        return None
    text = ", ".join(f"{n:.2f}" for n in per)
    return all(0.9 <= n <= 1.6 for n in per) and nested < 0.1, \
        f"{text} exits for CR3 at each step with 2, 8, 64 processes; {nested:.2f} with nested paging"


def no_exits(model):
    found = [exits(model, "getpid", mode, PAGING)
             for mode in ("hardware", "shadow-lazy", "shadow-eager")]
    if None in found:
        return None
    return max(found) <= 0.01, f"{max(found):.2f} exits at most"


def isolation(model):
    lazy = exits(model, "getpid_pti", "shadow-lazy", PAGING)
    nested = exits(model, "getpid_pti", "hardware", PAGING)
    ratio = model.ratio("getpid_pti", "shadow-lazy", "hardware", "mid")
    if None in (lazy, nested, ratio):
        return None
    return abs(lazy - 2) < 0.1 and nested < 0.01, \
        f"{lazy:.2f} exits in a shadow, {nested:.2f} with nested paging, {ratio:.1f} times the cycles"


def walk(model):
    ratio = model.ratio("random_walk", "shadow-lazy", "hardware", "mid")
    plain = instructions(model, "random_walk")
    if ratio is None or ("random_walk", "hardware") not in model.tlb:
        return None
    missed = model.tlb["random_walk", "hardware"]["guest_misses"]
    return 1.05 <= 1 / ratio <= 1.35 and abs(plain - 1) < 0.05, \
        (f"hardware costs {1 / ratio:.2f} times shadow-lazy, {missed:.2f} misses at each step; "
         f"instructions alone: {plain:.3f}")


def boot(model):
    lazy, nested = exits(model, "boot", "shadow-lazy"), exits(model, "boot", "hardware")
    if not lazy or not nested:
        return None
    return 1.1 <= lazy / nested <= 2.7, f"{lazy / nested:.1f} times the exits in shadow-lazy ({lazy:.0f})"


def ports(model):
    in_modes = tie(("io",), 0.02)(model)
    kept = [row(model, name, "hardware").get("ratio") for name in ("inl_kernel", "inl_vmm")]
    if in_modes is None or None in kept:
        return None
    return in_modes[0], (f"{in_modes[1]}; {kept[0]:.2f} of KVM's instructions in the kernel, "
                         f"{kept[1]:.2f} to userspace")


def priority(model):
    one = row(model, "cr8_read", "hardware")
    if "umbra" not in one or "kvm" not in one:
        return None
    return abs(one["umbra"] - one["kvm"]) <= 2, f"{one['umbra']:g} instructions, {one['kvm']:g} on KVM"


def together(model):
    lazy, nested = (exits(model, "smp_faults", mode) for mode in ("shadow-lazy", "hardware"))
    if lazy is None or nested is None:
        return None
    return lazy > 2 * nested, f"{lazy:.0f} exits in shadow-lazy, {nested:.0f} with nested paging"


def dirty(model):
    found = [exits(model, "dirty_writer", mode) for mode in ("hardware", "shadow-lazy")]
    if None in found:
        return None
    return all(0.9 <= n <= 1.3 for n in found), \
        f"{found[0]:.2f} exits for each page with nested paging, {found[1]:.2f} in shadow-lazy"


SHAPES = (
    Shape(("fork_storm",), "Processes forked",
          "nested paging wins, 4 to 7 times; 6.1 in PVM's table; lazy beats eager",
          costs_more("fork_storm", 4, 7, eager_too=True),
          f"{NO_CACHES}, and Umbra's shadow takes fewer instructions than KVM's"),
    Shape(("fork_exec",), "Forked, and a program run", "nested paging wins, 2.5 to 4 times",
          costs_more("fork_exec", 2.5, 4), NO_CACHES),
    Shape(("mmap_churn",), "Memory mapped, touched, unmapped",
          "nested paging wins, 1.5 to 6 times; eager is worst",
          costs_more("mmap_churn", 1.5, 6, eager_too=True), NO_CACHES),
    Shape(("fault_prot", "cow"), "Rights of pages changed",
          "nested paging wins, about 5 times; eager and lazy differ most",
          differ_most(("fault_prot", "cow"), 2.5, 10),
          f"{NO_CACHES}; and a program that is run has all its tables built and taken down, each "
          "store of which eager emulates"),
    Shape(("ctx_2", "ctx_8", "ctx_64"), "Processes that take turns",
          "nested paging wins; one exit at each switch in a shadow", switches,
          "a switch goes by way of the idle task or the kernel's own tables too, or a CPU's CR3 "
          "is loaded when nothing changes"),
    Shape(("getpid",), "System calls", "a tie, without any exit", no_exits,
          "this would be a bug of Umbra's"),
    Shape(("getpid_pti",), "System calls with page-table isolation",
          "2 exits in a shadow, none with nested paging, which wins about 9 times", isolation,
          "Linux reads CR3 before each of its two loads of it, and in a shadow a read exits too"),
    Shape(("random_walk",), "Random accesses to 64 MiB, 4 KiB pages",
          "the shadow wins, 1.05 to 1.35 times; instructions alone show a tie", walk,
          "nearly each step misses the data caches too, which costs both alike, so that the real "
          "factor is smaller, and the model knows no data caches"),
    Shape(("cpu",), "Arithmetic", "a tie, within 2 %", tie(("cpu",), 0.02),
          "ticks of the host's clock fell into it"),
    Shape((), "A kernel built", "nested paging wins, 1.1 to 1.5 times", None,
          "not run: the small guest has no compiler. fork_exec, mmap_churn and cow are what a "
          "build does to memory, without the compiler's own work, which ties as cpu does"),
    Shape(("boot",), "Linux booted until init",
          "more exits in a shadow: 1.1 to 2.7 times, those for exceptions up to 75 times", boot,
          "the published ones are of boots with firmware and a PC's devices, whose exits are most "
          "of all with nested paging; here nearly none is left beside page tables'"),
    Shape(("divzero",), "Divisions by zero", "a tie: such a fault does not exit",
          tie(("divzero",), 0.025), "the signal's frame is written to a stack, and a shadow may "
          "still take a page that was a table for one"),
    Shape((), "Ports read and written", "a tie between modes: a control, within 2 %", ports,
          "ticks of the host's clock fell into it"),
    Shape((), "The task priority (CR8)", "a tie, without an exit", priority,
          "one side exits for it"),
    Shape(("smp_faults",), "CPUs that fault at once", "nested paging wins", together,
          "the guest had its pages, and their tables, from before"),
    Shape((), "The more of them", "the wider nested paging wins", None,
          "counts of exits do not show how long CPUs wait for each other's locks, and emulated "
          "ones wait by other rules"),
    Shape(("dirty_writer",), "Pages written while they are logged",
          "one exit for each page and round", dirty,
          "a shadow has faults of the guest's tables besides"),
    Shape((), "Page tables that change themselves", "equal results, no factor", None,
          "no figure: the tests compare results (selftests/mmu/oracle, selftests/mmu/tables)"),
)
