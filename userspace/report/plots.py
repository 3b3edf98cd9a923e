# SPDX-License-Identifier: GPL-2.0-only
"""Plots: gnuplot's SVG, of a telephone's width, so that no screen has to shrink its text."""
import re
import subprocess

WIDTH = 356
FONT = 12
BAR = 6         # of one bar, pixels
COLOURS = ("#1b6ca8", "#d1495b", "#edae49", "#66a182", "#6b4c9a", "#8d96a3")
# Least that a logarithmic axis shows.
LEAST = 0.01


class NoGnuplot(Exception):
    """One line for the user."""


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def gnuplot(script):
    try:
        done = subprocess.run(["gnuplot", "-d", "-"], input=script, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as e:
        raise NoGnuplot(f"gnuplot does not run: {e.strerror}; Debian's package is gnuplot-nox") \
            from None
    if done.returncode or "</svg>" not in done.stdout:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise NoGnuplot(f"gnuplot failed: {lines[-1] if lines else 'no plot'}")
    return done.stdout


def inline(svg, name):
    """What an HTML page takes: no prologue, and ids that no other plot has."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"\bid='([^']+)'", rf"id='{name}-\1'", svg)
    svg = re.sub(r"(href=['\"]|url\()#", rf"\1#{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)


def head(height, log):
    lines = [
        f"set terminal svg size {WIDTH},{height} font 'sans-serif,{FONT}' noenhanced background 'white'",
        "set border 3", "set tics nomirror out", "set grid xtics lc rgb '#dddddd'",
        "set style fill solid noborder", "set tmargin 0.5", "set rmargin 2",
    ]
    if log:
        lines += ["set logscale x", "set format x '%g'", "set xtics 100"]
    return lines


def data(name, rows):
    return [f"${name} << EOD", *(" ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in row)
                                 for row in rows), "EOD"]


def key_lines(count):
    """The key stands below, an entry a line."""
    return [f"set key below vertical maxrows {count} Left reverse samplen 1.5 width -2"]


def bars(name, labels, series, axis, log=False, line=None):
    """Horizontal bars: for each label one of each series, (title, values), None: none. @line:
    a value to compare with."""
    labels, count = list(reversed(labels)), len(series)
    group = max(16, count * BAR + 8)
    height = len(labels) * group + 60 + 17 * count
    values = [v for _, listed in series for v in listed if v is not None]
    start = LEAST if log else 0
    top = max([*values, line or 0, start * 10 if log else 1])
    least = min([LEAST * 100, *(v for v in values if v > 0)]) / 2 if log else 0
    start = max(start, least)
    out = head(height, log) + key_lines(count)
    for i, (_, listed) in enumerate(series):
        rows = []
        for y, value in enumerate(reversed(listed)):
            if value is None or (log and value < start):
                continue
            at = y + 0.4 - (i + 0.5) * 0.8 / count
            rows.append((start, at, start, value, at - 0.36 / count, at + 0.36 / count))
        out += data(f"s{i}", rows or [(start, -9, start, start, -9, -9)])
    tics = ", ".join(f"{quoted(label)} {y}" for y, label in enumerate(labels))
    out += [f"set yrange [-0.6:{len(labels) - 0.4}]", f"set ytics ({tics}) scale 0",
            f"set xrange [{start:g}:{top * (2 if log else 1.05):g}]", f"set xlabel {quoted(axis)}"]
    if line is not None:
        out.append(f"set arrow from {line:g}, graph 0 to {line:g}, graph 1 nohead lc rgb '#333333' dt 2")
    out.append("plot " + ", ".join(
        f"$s{i} using 1:2:3:4:5:6 with boxxyerror lc rgb '{COLOURS[i % len(COLOURS)]}' title {quoted(title)}"
        for i, (title, _) in enumerate(series)))
    return inline(gnuplot("\n".join(out) + "\n"), name)


def lines(name, series, x_axis, y_axis):
    """Lines with points: of each series (title, [(x, y)...]); x by powers of two."""
    out = head(300, False) + key_lines(len(series))
    for i, (_, points) in enumerate(series):
        out += data(f"s{i}", points)
    out += ["set logscale x 2", "set xrange [1.7:75]", "set xtics (2, 8, 64)", "set yrange [0:*]",
            f"set xlabel {quoted(x_axis)}", f"set ylabel {quoted(y_axis)}", "set grid ytics lc rgb '#dddddd'"]
    out.append("plot " + ", ".join(
        f"$s{i} with linespoints lw 2 pt {5 + 2 * i} lc rgb '{COLOURS[i % len(COLOURS)]}' title {quoted(title)}"
        for i, (title, _) in enumerate(series)))
    return inline(gnuplot("\n".join(out) + "\n"), name)
