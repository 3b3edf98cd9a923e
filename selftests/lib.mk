# SPDX-License-Identifier: GPL-2.0-only
# Rules for test programs, with the names that kselftest gives them:
# TEST_GEN_PROGS are built from C and run, TEST_PROGS are scripts to run,
# TEST_FILES go along with them, TEST_GEN_PROGS_EXTENDED are built for the scripts,
# TEST_GEN_FILES are guests of their own, built from assembly.

O ?= $(CURDIR)/../build/selftests
OUT := $(abspath $(O))

CC ?= gcc
CFLAGS ?= -O2 -g
# Guest code is part of the program's own image, at the address it is linked
# at: no position independence, and no instruction a bare vCPU may lack.
TEST_CFLAGS := -std=gnu11 -Wall -Wextra -Werror -Wno-missing-field-initializers \
	-Wno-array-bounds \
	-fno-pie -fno-stack-protector -fcf-protection=none -fno-tree-vectorize \
	-fno-omit-frame-pointer -fno-toplevel-reorder -mno-red-zone -fno-strict-aliasing \
	-Ilib -I../uapi -MMD -MP
LDFLAGS_TEST := -static -no-pie -pthread -z noexecstack -z separate-code

LIB_SRC := $(wildcard lib/*.c lib/*.S)
LIB_OBJ := $(patsubst %,$(OUT)/.obj/%.o,$(basename $(LIB_SRC)))
EMUL_GEN := $(addprefix $(OUT)/,$(EMUL_PROGS) $(MMU_PROGS))
EXTENDED := $(addprefix $(OUT)/,$(TEST_GEN_PROGS_EXTENDED))
GEN := $(addprefix $(OUT)/,$(TEST_GEN_PROGS))
GEN_FILES := $(addprefix $(OUT)/,$(TEST_GEN_FILES))
COPIED := $(addprefix $(OUT)/,$(TEST_PROGS) $(TEST_FILES))

.PHONY: all run_tests install emit_tests clean
.SECONDARY:

all: $(GEN) $(EXTENDED) $(EMUL_GEN) $(GEN_FILES) $(COPIED) $(OUT)/Makefile $(OUT)/tests.list

# V=1 shows the commands.
ifeq ($(V),1)
say = @:
Q :=
else
say = @printf '  %-7s %s\n'
Q := @
endif

$(OUT)/.obj/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CFLAGS) $(TEST_CFLAGS) -c -o $@ $<

$(OUT)/.obj/%.o: %.S
	@mkdir -p $(@D)
	$(say) AS $<
	$(Q)$(CC) $(CFLAGS) $(TEST_CFLAGS) -c -o $@ $<

$(OUT)/.obj/gen/nl_spec.inc: ../uapi/linux/umbra_netlink.yaml ../scripts/netlink-spec
	@mkdir -p $(@D)
	$(say) GEN $@
	$(Q)../scripts/netlink-spec $< > $@.new && mv $@.new $@
$(OUT)/.obj/lib/nl_spec.o: $(OUT)/.obj/gen/nl_spec.inc
$(OUT)/.obj/lib/nl_spec.o: TEST_CFLAGS += -I$(OUT)/.obj/gen

$(GEN): $(OUT)/%: $(OUT)/.obj/%.o $(LIB_OBJ)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS_TEST) -o $@ $^

$(EXTENDED): $(OUT)/%: $(OUT)/.obj/%.o $(OUT)/.obj/libtest.a
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS_TEST) -o $@ $^

# Parts of the module that know no kernel, and what is made of them.
$(OUT)/.obj/module/%.o: ../module/%.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CFLAGS) $(TEST_CFLAGS) -c -o $@ $<

$(OUT)/.obj/emul/%.o: TEST_CFLAGS += -iquote ../module -Iemul

.SECONDEXPANSION:
$(EMUL_GEN): $(OUT)/%: $(OUT)/.obj/%.o $$(addprefix $(OUT)/.obj/,$$(addsuffix .o,$$($$(notdir $$*)-objs))) \
		$(OUT)/.obj/libtest.a
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS_TEST) -o $@ $^

$(OUT)/.obj/libtest.a: $(LIB_OBJ)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(GEN_FILES): $(OUT)/%.elf: %.S
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-n,-Ttext=0x200000,-e,start,--build-id=none \
		-z noexecstack -o $@ $<

$(COPIED): $(OUT)/%: %
	@mkdir -p $(@D)
	$(Q)install -m 755 $< $@

$(OUT)/Makefile: target.mk
	@mkdir -p $(@D)
	$(Q)install -m 644 $< $@

# Rewritten only when it changes, so that an unchanged tree stays untouched.
$(OUT)/tests.list: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(TEST_GEN_PROGS) $(TEST_PROGS) > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
.PHONY: FORCE

run_tests: all
	@$(MAKE) --no-print-directory -C $(OUT) run_tests

emit_tests:
	@printf '%s\n' $(TEST_GEN_PROGS) $(TEST_PROGS)

install: all
	$(if $(INSTALL_PATH),,$(error INSTALL_PATH= says where to))
	mkdir -p $(INSTALL_PATH)
	cd $(OUT) && cp -r --parents Makefile tests.list $(TEST_GEN_PROGS) \
		$(TEST_GEN_PROGS_EXTENDED) $(EMUL_PROGS) $(MMU_PROGS) $(TEST_PROGS) $(TEST_FILES) $(abspath $(INSTALL_PATH))

clean:
	rm -rf $(OUT)

-include $(wildcard $(OUT)/.obj/*/*.d)
