# SPDX-License-Identifier: GPL-2.0-only
"""umbra report: figures as JSON become one HTML page. umbra(1) tells its exit codes."""
import argparse
import os
import sys

import page
import plots
import rows
from model import Model

USAGE, MISSING, NOT_PERMITTED = 64, 69, 77


class Parser(argparse.ArgumentParser):
    """argparse with umbra's own exit status and its one line."""

    def error(self, message):
        self.exit(USAGE, f"umbra: report: {message}; see umbra report --help\n")


def fail(code, why):
    print("umbra: report: " + "".join(c if c.isprintable() else "?" for c in why), file=sys.stderr)
    return code


def write(path, text):
    """All or nothing."""
    new = f"{path}.{os.getpid()}.new"
    try:
        with open(new, "x", encoding="utf-8") as f:
            f.write(text)
        os.replace(new, path)
    except OSError:
        if os.path.exists(new):
            os.unlink(new)
        raise


def main():
    parser = Parser(prog="umbra report", add_help=False, description=(
        "Make one HTML page of what scripts/perf-linux and selftests/perf have measured."))
    parser.add_argument("--output", required=True, metavar="PAGE", help="the page to write")
    parser.add_argument("--help", action="help", help="this text")
    parser.add_argument("files", nargs="+", metavar="FILE", help="their JSON")
    args = parser.parse_args()
    try:
        write(args.output, page.make(Model(*rows.read(args.files))))
    except (rows.BadInput, plots.NoGnuplot) as e:
        return fail(MISSING, str(e))
    except PermissionError as e:
        return fail(NOT_PERMITTED, f"{e.filename}: {e.strerror}")
    except OSError as e:
        return fail(MISSING, f"{e.filename}: {e.strerror}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
