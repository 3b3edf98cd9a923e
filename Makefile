# SPDX-License-Identifier: GPL-2.0-only
# Everything is built below build/; the sources stay clean. Each target installs
# what it needs and lacks from Debian's packages, after saying what and how big.
#
#   make               all of the following
#   make module        build/<release>/umbra.ko for Debian's 6.1 and 6.12, or for
#                      the kernel whose headers KDIR= names
#   make userspace     the runner           make selftests   the test programs
#   make guest         the small guest's initial RAM disk
#   make run           a Linux guest's console on this terminal; RUN='CMDS' runs
#                      CMDS in it instead; WHERE=lab|here says where
#   make check         all tests, in emulated hosts    make check-here   here
#   make check-kvm     QEMU's boots and Linux's own tests of KVM, in emulated hosts
#   make bench         what an exit costs, Umbra beside stock KVM, as a table; Linux as a
#                      guest in each mode; and QEMU's boot of Debian from a disk
#   make report        what Linux costs as a guest in each mode, beside stock KVM, drawn in
#                      build/report/index.html: some 20 minutes
#   make soak          10,000 changes of a VM's mode, and ten minutes of storm on a guest's
#                      disk, boots with all trace events on, and one with 64 CPUs, in an
#                      emulated host; in an Intel one a suspend with a VM, CPUs that come and
#                      go, all of tracing/, and memory that changes under a guest; that in the
#                      shadow modes;
#                      the runner's tests and the real guest's on the debug kernel; an
#                      Intel host that reboots, and an AMD one with tables of 4 levels
#   make soak-emul     20 million instructions, natively and emulated, in an
#                      emulated host: some 90 minutes
#   make fuzz-emul     a fuzzer on the emulator, half an hour
#   make coverage-emul the emulator's lines that no test reaches
#   make lint          what compilers and checkers find
#   make clean         undo the build    make clean-cache   drop the lab's cache

export TOP := $(CURDIR)
need := scripts/need
series := 6.1 6.12
module_sources := Kbuild $(wildcard module/*.[chS] uapi/linux/*.h)
initrd_sources := scripts/build-initrd guest/init guest/work.c lab/agent.c
# A part whose sources are not in the tree is left out.
parts := $(shell sed -n 's/^umbra-y += \(.*\)\.o$$/\1/p' Kbuild)
has_module := $(if $(strip $(foreach p,$(parts),$(if $(wildcard $(p).[cS]),,$(p)))),,yes)
has_userspace := $(wildcard userspace/Makefile)
has_selftests := $(wildcard selftests/Makefile)
has_unit := $(wildcard selftests/unit/Makefile)

.PHONY: all module userspace selftests guest unit lint check check-kvm bench check-here run report soak \
	fuzz-emul coverage-emul soak-emul clean clean-cache lab-build toolchain
all: module userspace selftests guest

toolchain:
	@$(need) gcc make libc6-dev linux-libc-dev libjansson-dev libnl-genl-3-dev \
		python3 python3-yaml

module:
	$(if $(has_module),$(if $(KDIR),scripts/build-module $(KDIR),$(foreach s,$(series),scripts/build-module $(s) &&) :))

userspace: toolchain
	$(if $(has_userspace),+$(MAKE) -C userspace O=$(CURDIR)/build/userspace)

selftests: toolchain
	$(if $(has_selftests),+$(MAKE) -C selftests O=$(CURDIR)/build/selftests)

unit: toolchain
	$(if $(has_unit),+$(MAKE) -C selftests/unit O=$(CURDIR)/build/unit run)
	$(if $(has_userspace),+$(MAKE) -C userspace O=$(CURDIR)/build/userspace test)

guest: build/guest/initrd.img
build/guest/initrd.img: $(initrd_sources)
	scripts/build-initrd

# RUN's text reaches the script by the environment, as it was typed.
run: export UMBRA_RUN = $(value RUN)
run: export WHERE := $(WHERE)
run:
	@scripts/run-guest

check:
	@scripts/check

check-kvm:
	@scripts/check-kvm

bench:
	@scripts/bench

report: userspace
	@scripts/report

check-here:
	@scripts/check-here

soak:
	@lab/run -t 3600 -- 'insmod /umbra/umbra.ko && selftests/mmu/switch --count 10000 && \
		scripts/storm-tests 12 600 && scripts/traced-tests && scripts/wide-tests && \
		scripts/mode-storm-tests'
	@lab/run -c intel -k 6.12 -t 2400 -- 'insmod /umbra/umbra.ko && selftests/api/suspend.sh && \
		SCRIPTS=all selftests/trace/scripts.sh && selftests/mmu/host && RACE_SECONDS=1 selftests/mmu/race'
	@lab/run -c intel -n 2 -k 6.12 -t 1800 -- 'CYCLES=3 MODULE_ARGS=apicv=0 \
		TESTS="api/hotplug.sh guest/smp" scripts/host-tests'
	@lab/run -n 2 -t 900 -- 'export TESTS=mmu/race; for m in lazy eager; do \
		MODULE_ARGS=mmu=shadow-$$m scripts/host-tests || exit; done'
	@lab/run -k debug -t 3000 -- "env TESTS='api/owner.sh runner/control.sh runner/runner.sh' \
		MORE=guest-tests scripts/host-tests"
	@scripts/end-tests intel-reboot intel-smp
	@lab/run -c intel -p skylake_x -k 6.12 -t 1200 -- 'export KTAP_SLOWER=8; \
		for m in hardware shadow-eager; do insmod /umbra/umbra.ko mmu=$$m && \
		selftests/guest/tsc_rate && rmmod umbra || exit; done'
	@CHECK_HOSTS='6.1,-a,no5lvl' scripts/check

fuzz-emul:
	@scripts/fuzz-emul

coverage-emul:
	@scripts/coverage-emul

soak-emul:
	lab/run -t 36000 -- 'selftests/emul/against_cpu --random --count 20000000'

lint:
	@scripts/lint

# For lab/run: what is stale, for the one kernel that it boots.
lab-build: userspace selftests guest $(if $(has_module),build/$(RELEASE)/umbra.ko)
build/$(RELEASE)/umbra.ko: $(module_sources)
	scripts/build-module $(if $(KDIR),$(KDIR),$(patsubst 6.1.%,6.1,$(patsubst 6.12.%,6.12,$(RELEASE))))

clean:
	rm -rf build

clean-cache:
	rm -rf "$${UMBRA_CACHE:-$$HOME/.cache/umbra}"
