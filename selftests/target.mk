# SPDX-License-Identifier: GPL-2.0-only
# Runs the built tests that lie beside this file; needs no compiler.
#
#   make run_tests                     all of tests.list, TAP on stdout
#   make run_tests TESTS='api/system'  only these programs
#   make run_tests WITHOUT='runner/%'  all but these

TESTS ?= $(filter-out $(WITHOUT),$(shell cat tests.list))

.PHONY: all run_tests emit_tests
all:
	@:

# Each program prints a TAP stream of its own; a skipped one (4) is no failure.
run_tests:
	@bad=0; \
	for t in $(TESTS); do \
		echo "# selftests: $$t"; \
		"./$$t"; rc=$$?; \
		if [ $$rc -ne 0 ] && [ $$rc -ne 4 ]; then \
			bad=1; \
			[ $$rc -eq 1 ] || echo "# $$t: exit status $$rc"; \
		fi; \
	done; \
	exit $$bad

emit_tests:
	@printf '%s\n' $(TESTS)
