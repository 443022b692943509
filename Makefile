# The toolkit's one makefile.  GNU make.
#
#	make			build into build/
#	make check		install what tests need, build, run them
#	make run		install what building needs, build, and run a
#				relay on ws://127.0.0.1:7777 (RUN_PORT,
#				RUN_STORE)
#	make install		PREFIX, DESTDIR
#	make bench load soak fuzz torture union	longer runs
#
# CC, CFLAGS, LDFLAGS, PREFIX and DESTDIR belong to the packager.  SAN=
# builds with sanitizers (address,undefined or thread), in a directory of
# its own; NO_DEPS=1 keeps make run and make check off the network.

PREFIX ?= /usr/local
CFLAGS ?= -O2 -g

SAN ?=
FUZZ ?=
comma := ,
space := $(subst ,, )
variant := $(if $(SAN),-$(subst $(comma),-,$(SAN)))
B := build$(if $(FUZZ),-fuzz,$(variant))

warn := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wvla -Wundef -fno-common
ifneq ($(FUZZ),)
CC := clang
harden := -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all -fno-omit-frame-pointer
else ifneq ($(SAN),)
harden := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
else
harden := -D_FORTIFY_SOURCE=2 -fstack-protector-strong
hardlink := -Wl,-z,relro,-z,now
endif
cflags := -std=c11 -D_GNU_SOURCE -Ilib -fPIE -pthread $(warn) $(harden)
ldflags := -pie -pthread $(filter -fsanitize=%,$(harden)) $(hardlink)

# Only programs that use libjq load it.
libs := -lsecp256k1 -lcrypto -llmdb -lzstd -lz -Wl,--as-needed -ljq

lib_src := $(sort $(wildcard lib/*/*.c))
lib_obj := $(lib_src:%.c=$B/%.o)
prog_src := $(sort $(wildcard cmd/nr-*.c))
progs := $(prog_src:cmd/%.c=$B/%)
tool_src := $(filter-out $(prog_src),$(wildcard cmd/*.c))
tool_obj := $(tool_src:%.c=$B/%.o)
unit_src := $(sort $(wildcard tests/unit/*.c))
units := $(unit_src:tests/unit/%.c=$B/unit/%)
testtool_src := $(sort $(wildcard tests/tools/*.c))
testtools := $(testtool_src:%.c=$B/%)

fuzz_src := $(filter-out %/replay.c,$(sort $(wildcard tests/fuzz/*.c)))
fuzzers := $(fuzz_src:%.c=$B/%)

all: $(progs)
	@:

$B/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(cflags) $(CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$B/libnr.a: $(lib_obj)
	rm -f $@
	ar rcs $@ $^

$B/libtool.a: $(tool_obj)
	rm -f $@
	ar rcs $@ $^

$(progs): $B/%: $B/cmd/%.o $B/libtool.a $B/libnr.a
	$(CC) $(ldflags) $(LDFLAGS) -o $@ $^ $(libs) $(libs_$*)

libs_nr-serve := -lwebsockets -lconfuse -lssl
libs_nr-publish := -lwebsockets -lssl
libs_nr-negentropy := $(libs_nr-serve)
libs_nr-req := -lwebsockets -lssl
libs_nr-bench := -lwebsockets -lssl

$B/unit/%: $B/tests/unit/%.o $B/libnr.a
	@mkdir -p $(@D)
	$(CC) $(ldflags) $(LDFLAGS) -o $@ $^ $(libs) -lcmocka

$B/tests/tools/%: $B/tests/tools/%.o $B/libnr.a
	$(CC) $(ldflags) $(LDFLAGS) -o $@ $^ $(libs)

# libFuzzer under FUZZ=1; else a main() that replays files.
$(fuzzers): $B/tests/fuzz/%: $B/tests/fuzz/%.o \
    $(if $(FUZZ),,$B/tests/fuzz/replay.o) $B/libnr.a
	$(CC) $(if $(FUZZ),$(subst fuzzer-no-link,fuzzer,$(ldflags)),\
	    $(ldflags)) $(LDFLAGS) -o $@ $^ $(libs) $(libs_fuzz_$*)

libs_fuzz_auth := $(libs_nr-serve)
libs_fuzz_http := $(libs_nr-serve)

# For the test suite of github.com/hoytech/negentropy: says where it is.
negentropy-harness: $B/tests/tools/negentropy-harness
	@echo $(CURDIR)/$<

# For LD_PRELOAD: never sanitized, in no program of ours.
preload := $B/tests/fault.so
$(preload): tests/preload/fault.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -fPIC -shared $(warn) $(CFLAGS) -o $@ $< -ldl

deps:
	@[ -n "$(NO_DEPS)" ] || contrib/deps build

# A relay to look around; the script is not a shell command, so that
# signals to make reach it.
RUN_PORT ?= 7777
RUN_STORE ?= $B/run.store
run: deps
	@$(MAKE) --no-print-directory all
	@contrib/run $B $(RUN_PORT) $(RUN_STORE)

test-deps:
	@[ -n "$(NO_DEPS)" ] || contrib/deps build test

# make again, so that what was just installed is seen.
check: test-deps
	$(MAKE) check-built

# The tests' client, from the npm registry: what the lock file says.
modules := tests/node/node_modules/.package-lock.json
$(modules): tests/node/package-lock.json
	cd tests/node && npm ci --no-audit --no-fund --loglevel=error
	touch $@

test-built := all $(units) $(testtools) $(fuzzers) $(preload) \
	$(modules)
# Tests that wait for most of their time run beside the others.
waiting := 2535 2590 2610 2700 2720 2820 2850 2860 2866
check-built: $(test-built)
	NR_BUILD=$B prove --timer -j 2 \
	    --rules='seq=tests/{$(subst $(space),$(comma),$(waiting))}-*.t' \
	    --rules='seq=**' tests/ $(units)

# Every figure beside its limit in the same run; see tests/bench/run.
bench: deps
	$(MAKE) all $B/tests/tools/plugin
	NR_BUILD=$B tests/bench/run

# Many subscribers, readers that stop, pages at depth; see tests/bench/load.
load: test-deps $(modules)
	$(MAKE) all
	NR_BUILD=$B tests/bench/load

# The tests of kills and faults at full length.
torture: $(test-built)
	NR_BUILD=$B NR_KILL_ROUNDS=200 NR_FULL=1 prove --timer -v \
	    tests/1[678]*.t

# Sets of up to 200,000 events, brought together.
union: $(test-built)
	NR_BUILD=$B NR_FULL=1 prove --timer -v tests/2740-union.t

# Everything at once for SOAK_SECONDS; memory must be flat.  For half an
# hour: SOAK_SECONDS=1800 SOAK_EVENTS=1100000.
SOAK_SECONDS ?= 120
SOAK_EVENTS ?= 100000
soak: deps
	$(MAKE) all
	NR_BUILD=$B NR_SOAK_SECONDS=$(SOAK_SECONDS) \
	    NR_SOAK_EVENTS=$(SOAK_EVENTS) tests/bench/soak

# Each fuzzer for FUZZ_SECONDS, from seeds that are made now.
FUZZ_SECONDS ?= 60
fuzz: fuzz-deps all
	$(MAKE) FUZZ=1 fuzz-built

fuzz-deps:
	@[ -n "$(NO_DEPS)" ] || contrib/deps build test fuzz

fuzz-built: $(fuzzers)
	tests/fuzz/seeds build $B/seeds
	set -e; for f in $(notdir $(fuzzers)); do \
		mkdir -p $B/corpus/$$f $B/found; \
		$B/tests/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) \
		    -max_len=4096 -timeout=20 -print_final_stats=1 \
		    -verbosity=0 -dict=tests/fuzz/json.dict \
		    -artifact_prefix=$B/found/$$f- $B/corpus/$$f \
		    $B/seeds/$$f $$(ls -d tests/fuzz/crashes/$$f 2>/dev/null); \
	done

# Bugs in copies of the sources, which the fuzzers must find.
fuzz-planted: fuzz-deps all
	tests/fuzz/planted $B

# Everything goes to a place of its own, so that it can be taken away.
# Bash and fish look completions up by the programs' names.
INSTALL ?= install
dest = $(DESTDIR)$(PREFIX)
names := $(notdir $(progs))
pages := $(wildcard man/*.[157])
bashdir := share/bash-completion/completions
zshdir := share/zsh/site-functions
fishdir := share/fish/vendor_completions.d
docs := LICENSE README.md $(wildcard NEWS.md DEVIATIONS.md)

install: all
	$(INSTALL) -d $(addprefix '$(dest)'/,bin $(bashdir) $(zshdir) \
	    $(fishdir) share/doc/nr $(addprefix share/man/man,1 5 7))
	$(INSTALL) -m 755 $(progs) '$(dest)/bin'
	$(foreach p,$(pages),$(INSTALL) -m 644 $p \
	    '$(dest)/share/man/man$(subst .,,$(suffix $p))' &&) :
	$(INSTALL) -m 644 contrib/completions/_nr '$(dest)/$(zshdir)'
	$(foreach n,$(names),$(INSTALL) -m 644 contrib/completions/nr.bash \
	    '$(dest)/$(bashdir)/$n' &&) :
	$(foreach n,$(names),$(INSTALL) -m 644 contrib/completions/nr.fish \
	    '$(dest)/$(fishdir)/$n.fish' &&) :
	$(INSTALL) -m 644 $(docs) '$(dest)/share/doc/nr'
	$(INSTALL) -d '$(dest)/share/nr/policies'
	$(INSTALL) -m 644 contrib/policies/*.rules '$(dest)/share/nr/policies'

uninstall:
	cd '$(dest)' && rm -f $(addprefix bin/,$(names)) \
	    $(foreach p,$(notdir $(pages)),share/man/man$(subst \
	    .,,$(suffix $p))/$p) $(zshdir)/_nr \
	    $(addprefix $(bashdir)/,$(names)) \
	    $(patsubst %,$(fishdir)/%.fish,$(names)) \
	    $(addprefix share/doc/nr/,$(docs))
	rm -rf '$(dest)/share/nr/policies'
	[ ! -d '$(dest)/share/nr' ] || rmdir '$(dest)/share/nr'
	[ ! -d '$(dest)/share/doc/nr' ] || rmdir '$(dest)/share/doc/nr'

clean:
	rm -rf build build-*

-include $(unit_src:%.c=$B/%.d) $(testtool_src:%.c=$B/%.d) \
	$(fuzz_src:%.c=$B/%.d) $B/tests/fuzz/replay.d \
	$(lib_obj:.o=.d) $(prog_src:%.c=$B/%.d) $(tool_obj:.o=.d)

.PHONY: all bench check check-built clean deps fuzz fuzz-built fuzz-deps \
	fuzz-planted install load negentropy-harness run soak \
	test-deps torture uninstall union
.DELETE_ON_ERROR:
.SECONDARY:
