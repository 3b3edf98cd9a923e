# SPDX-License-Identifier: GPL-2.0-only
"""The page: HTML with everything in it."""
from html import escape

import plots
from model import CALIBRATED, CALIBRATION, COLUMNS, CONSTANTS
from rows import MODES
from shapes import SHAPES

STYLE = """
body { font: 15px/1.5 sans-serif; margin: 0 auto; padding: 16px; max-width: 1140px;
       color: #1c1c1c; background: #fff; overflow-wrap: anywhere; }
h1 { font-size: 24px; } h2 { font-size: 19px; margin-top: 32px; }
p, li, dd { max-width: 75ch; }
.plots { display: flex; flex-wrap: wrap; gap: 20px; align-items: flex-start; }
figure { margin: 0; width: 356px; } figcaption { font-size: 13px; font-weight: bold; }
svg { display: block; }
table { border-collapse: collapse; font-size: 12px; }
th, td { padding: 1px 5px; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
td.n, th.n { text-align: right; white-space: nowrap; overflow-wrap: normal; }
.good { color: #17663a; } .bad { color: #a31621; }
.verdict { border-left: 4px solid; padding-left: 10px; }
dt { font-weight: bold; margin-top: 10px; } dd { margin-left: 0; }
"""

SYSTEMS = (*MODES, "kvm", "kvm-shadow")
SYSTEM_TITLES = {"hardware": "Umbra, hardware", "shadow-lazy": "Umbra, shadow-lazy",
                 "shadow-eager": "Umbra, shadow-eager", "kvm": "KVM, nested paging",
                 "kvm-shadow": "KVM, its shadow"}


def short(value):
    """Three digits and a unit."""
    if value is None:
        return "–"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def table(head, rows):
    """@head: titles, of numbers those that begin with a «#»."""
    numeric = [title.startswith("#") for title in head]
    out = ["<table><tr>"]
    for title, n in zip(head, numeric):
        out.append(f"<th{' class=n' if n else ''}>{escape(title.lstrip('#'))}</th>")
    out.append("</tr>")
    for row in rows:
        out.append("<tr>" + "".join(f"<td{' class=n' if n else ''}>{escape(str(cell))}</td>"
                                    for cell, n in zip(row, numeric)) + "</tr>")
    return "".join(out) + "</table>"


def figure(title, svg):
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>"


def ratio_plot(model, names):
    measured = [name for name in names if any("ratio" in model.rows.get((name, mode), {})
                                              for mode in MODES)]
    series = [(SYSTEM_TITLES[mode], [model.rows.get((name, mode), {}).get("ratio")
                                     for name in measured]) for mode in MODES]
    return figure("Instructions for one of stock KVM's, with nested paging or its shadow",
                  plots.bars("ratios", measured, series, "instructions, Umbra / KVM", line=1))


# What page tables cause is told apart; the rest stands together.
TOLD = ("exception", "page_fault", "cr", "invlpg")


def reason_plots(model, names):
    for mode in MODES:
        rows = [model.rows.get((name, mode), {}).get("exits_by") for name in names]
        series = [(reason, [None if by is None else by.get(reason, 0) for by in rows])
                  for reason in TOLD]
        series.append(("all others", [
            None if by is None else sum(n for reason, n in by.items() if reason not in TOLD)
            for by in rows]))
        yield figure(f"Exits of an operation by reason: {mode}",
                     plots.bars(f"exits-{mode}", names, series, "exits of an operation", log=True))


def cycles_plots(model, names):
    """Each workload's cycles in a shadow for one with nested paging, in three columns."""
    for over, under, title in (("shadow-lazy", "hardware", "Umbra: shadow-lazy for one of hardware"),
                               ("kvm-shadow", "kvm", "KVM: its shadow for one of nested paging")):
        measured = [name for name in names if model.ratio(name, over, under, "mid") is not None]
        if not measured:
            continue
        series = [(column, [model.ratio(name, over, under, column) for name in measured])
                  for column in COLUMNS]
        yield figure(f"A model's cycles, {title}",
                     plots.bars(f"cycles-{over}", measured, series, "cycles for one", log=True, line=1))


def ring_plot(model):
    series = []
    for mode in MODES:
        points = [(n, model.rows[f"ctx_{n}", mode]["exits"]) for n in (2, 8, 64)
                  if "exits" in model.rows.get((f"ctx_{n}", mode), {})]
        if points:
            series.append((mode, points))
    if series:
        yield figure("Exits at each switch of processes",
                     plots.lines("ring", series, "processes in the ring", "exits"))


def tlb_plot(model, names):
    measured = [name for name in names if any(key[0] == name for key in model.tlb)]
    if measured:
        series = [(f"{SYSTEM_TITLES[system]}: the {whose}'s",
                   [model.tlb.get((name, system), {}).get(f"{whose}_misses") for name in measured])
                  for system in ("hardware", "shadow-lazy") for whose in ("guest", "host")]
        yield figure("Misses of the model TLB, of an operation",
                     plots.bars("tlb", measured, series, "misses of an operation", log=True))


def cycles_table(model, names):
    rows = []
    for name in names:
        for system in SYSTEMS:
            values = [model.cycles(name, system, column) for column in COLUMNS]
            if values[0] is not None:
                rows.append((name, system, *map(short, values)))
    return table(("workload", "system", "#low", "#mid", "#high"), rows)


def constants_table(model):
    rows = []
    for name, (what, values, source) in CONSTANTS.items():
        rows.append((name, f"{what}: {source}", *(f"{value:g}" for value in values)))
    return table(("", "what, from where", "#low", "#mid", "#high"), rows)


def calibration(model):
    if model.k is None:
        return "<p>The exit by which the model would be calibrated was not measured.</p>"
    name, published, cycles = CALIBRATION
    text = (f"<p>One published cost is fitted: KVM's {published}, {cycles} cycles, is here "
            f"{name}, {model.kvm_exit(name):g} instructions of stock KVM. With "
            f"{CONSTANTS['switch'][1][0]} cycles for the way out and back that makes "
            f"k = {model.k:.2f}; the column «{CALIBRATED}» is mid with these two. "
            "What it then says of costs that were not fitted:</p>")
    rows = [(f"{published} ({note})" if note else published, cycles, f"{value:.0f}",
             f"{value / cycles:.2f}") for published, cycles, value, note in model.exit_predictions()]
    return text + table(("KVM's exit", "#published", "#model", "#off by"), rows)


def predictions(model):
    rows = []
    for _, published, ratio, mine in model.ratio_predictions():
        rows.append((published, f"{ratio:g}", *(
            "–" if mine.get(column) is None else f"{mine[column]:.2f}"
            for column in (*COLUMNS, CALIBRATED))))
    return ("<p>A CPU takes some hundred cycles for the loads of CR3 of page-table isolation, "
            "which are an instruction each here: the model says too much of getpid with it.</p>"
            "<p>Stock KVM's shadow for one of its nested paging, beside what PVM's authors "
            "measured on a Cascade Lake with KVM 4.19 (SOSP 2023, Tables 2 to 4). None was fitted."
            "</p>" + table(("", "#published", *(f"#{c}" for c in COLUMNS), "#fitted k"), rows))


def verdict(model):
    failures = list(model.failures())
    if not failures:
        return ("<p class='verdict good' id=calibrated>Stock KVM shows the published ratio of "
                "fork and the tie of getpid in sign and within a factor of 2, in all columns.</p>")
    return ("<p class='verdict bad' id=calibrated><b>The model is not calibrated:</b> "
            + escape("; ".join(failures)) + ". Of cycles below, trust the sign only where all "
            "columns agree, and no factor.</p>")


def shapes(model):
    out = ["<dl id=shapes>"]
    for shape in SHAPES:
        shown, text = shape.verdict(model)
        word, colour = {True: ("shown", "good"), False: ("not shown", "bad"),
                        None: ("absent", "bad")}[shown]
        names = f" ({', '.join(shape.names)})" if shape.names else ""
        out.append(f"<dt>{escape(shape.title + names)}</dt><dd>Expected: {escape(shape.wanted)}. "
                   f"<span class={colour}>{word}</span>: {escape(text)}.</dd>")
    return "".join(out) + "</dl>"


def repeated(model):
    return (f"<p id=repeated>repeated: {model.repeated}. So many boots of a guest did not end in "
            "time and were made again: the emulator delivers an interrupt twice now and then, and "
            "such a guest may hang. None of their figures is here.</p>")


def section(title, *parts):
    return f"<h2>{escape(title)}</h2>" + "".join(parts)


HEADLINE = """<p>Counted in an emulated host: instructions that the host and its guest retire, and
exits. Beside each of Umbra's modes stands stock KVM with the same guest in the same host; that
ratio needs no model. No time was measured, and no silicon.</p>"""

BIASES = """<p id=biases>Two biases of counted instructions: they leave out what each exit costs
the caches and the TLB, which <b>favours the shadow modes</b>, as they have more exits; and the
emulator walks page tables for nothing, two-dimensional ones too, which <b>favours nested paging</b>
where the TLB misses much.</p>"""

TLB_MODEL = """<p>The TLB is a model (lab/tlb.c), as the emulator's own is none: 64 entries in 4
ways, then 1536 in 12 ways, the one used longest ago makes room, 4 KiB pages alone, data accesses
of the host and of the guest alike. An entry is known by its linear page and the memory behind it:
no flush empties it, so that it misses less than a CPU's. Its model leaves out fetches.</p>"""

FORMULA = """<p>cycles = guest's instructions + k · the host's + exits · switch + misses ·
references · c. An operation's; boot is all until init. A claim holds where its sign is the same
in all three columns, and else depends on the machine.</p>"""


def make(model):
    names = model.measured_workloads()
    figures = [ratio_plot(model, names), *reason_plots(model, names), *cycles_plots(model, names),
               *ring_plot(model), *tlb_plot(model, names)]
    return "".join((
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>Umbra: what Linux costs as a guest</title><style>{STYLE}</style></head><body>",
        "<h1>What Linux costs as a guest</h1>", HEADLINE, verdict(model), BIASES,
        repeated(model),
        section("Figures", "<div class=plots>", *figures, "</div>"),
        section("Shapes", shapes(model)),
        section("The model", FORMULA, constants_table(model)),
        section("Its calibration", calibration(model)),
        section("Its predictions", predictions(model)),
        section("Cycles of an operation", cycles_table(model, names)),
        section("The TLB", TLB_MODEL),
        "</body></html>\n"))
