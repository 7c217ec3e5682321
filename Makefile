# Mendel. `make demo` and `make check` are the two commands; `make help` lists the rest.
#
# Sources are found by folder and land in build/, mirrored; headers are followed by -MMD. What a program is made of:
#   coordinator  coordinator/ and the folders in it, proto/ common/ common/draw/
#   worker       worker/*.c   proto/ common/
#   train        worker/{train,data,model,loss,metrics,plots}/ worker/backend/*.c proto/ common/ common/draw/
#   backend_X.so worker/backend/X/
#   shapes       examples/shapes/ common/
# A unit test X_test.c lies beside X.c and links what its program links, but for main.c.

ifeq ($(origin CC),default)
  CC := gcc
endif
BUILD    ?= build
PREFIX   ?= /usr/local
SANITIZE ?=
VERSION  := $(shell cat VERSION)

WARNINGS  = -Wall -Wextra -Werror
CPPFLAGS += -I. -I$(BUILD)/generated -D_GNU_SOURCE -DMENDEL_VERSION='"$(VERSION)"'
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(CFLAGS) $(WARNINGS) -fno-math-errno -ffp-contract=off -fPIC -fno-semantic-interposition -pthread $(SANITIZER)
LDFLAGS  += -pthread -rdynamic $(SANITIZER)
comma := ,
ifneq ($(SANITIZE),)
  SANITIZER = -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
  BUILD    := build/$(subst $(comma),-,$(SANITIZE))
endif
# FAULTS=1: programs that the chaos tests can kill at every step of the protocol; SEEDED=name: with one of the mistakes that they have
# to find (common/fault.h).
FAULTS   ?=
SEEDED   ?=
ifneq ($(FAULTS)$(SEEDED),)
  CPPFLAGS += -DMENDEL_FAULTS $(SEEDED:%=-DSEEDED_%=1)
  LAYER     = $(call objects,$(wildcard tests/chaos/layer/*.c))
  BUILD    := build/faults$(SEEDED:%=-%)
endif

MACHINE := $(shell uname -m)

# ---- sources ----
sources = $(filter-out %_test.c %/main.c,$(foreach folder,$(1),$(wildcard $(folder)/*.c)))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
tests   = $(patsubst %.c,$(BUILD)/tests/%,$(foreach folder,$(1),$(wildcard $(folder)/*_test.c)))

COMMON_DIRS      = common
DRAW_DIRS        = common/draw
PROTO_DIRS       = proto
COORDINATOR_DIRS = coordinator $(addprefix coordinator/,commands dashboard evolve ledger report server spec store strategies)
WORKER_DIRS      = worker
TRAIN_DIRS       = worker/train worker/data worker/model worker/loss worker/metrics worker/plots worker/backend
CPU_DIRS         = worker/backend/cpu
PARITY_DIRS      = tests/parity
BENCH_DIRS       = tests/bench
SHAPES_DIRS      = examples/shapes

# ---- what Debian has to bring: see README; CUDA is looked for, never installed ----
DEPS     = gcc libc6-dev libczmq-dev libzmq3-dev libprotobuf-c-dev protobuf-c-compiler libmsgpack-dev libyaml-dev \
           libsqlite3-dev libmicrohttpd-dev libdnnl-dev libturbojpeg0-dev libpng-dev libcairo2-dev libzip-dev libxxhash-dev \
           libcurl4-openssl-dev libcmocka-dev fonts-dejavu-core procps strace
DEPS_ALL = $(DEPS) rclone clang clang-format llvm-14 libclang-rt-14-dev valgrind curl chromium chromium-driver python3-venv
SUDO     = $(if $(filter 0,$(shell id -u)),,sudo)
JOBS     = -j$(shell nproc)

GENERATED = $(patsubst proto/%.proto,$(BUILD)/generated/proto/%.pb-c.c,$(wildcard proto/*.proto))
GENERATED_OBJECTS = $(patsubst $(BUILD)/%.c,$(BUILD)/obj/%.o,$(GENERATED))

COMMON      = $(call objects,$(call sources,$(COMMON_DIRS)))
DRAW        = $(call objects,$(call sources,$(DRAW_DIRS)))
PROTO       = $(call objects,$(call sources,$(PROTO_DIRS))) $(GENERATED_OBJECTS)
COORDINATOR = $(call objects,$(call sources,$(COORDINATOR_DIRS))) $(DRAW) $(PROTO) $(COMMON) $(LAYER)
WORKER      = $(call objects,$(call sources,$(WORKER_DIRS))) $(PROTO) $(COMMON) $(LAYER)
TRAIN       = $(call objects,$(call sources,$(TRAIN_DIRS))) $(DRAW) $(PROTO) $(COMMON)
# Vector kernels are compiled once for each instruction set and chosen when the backend is opened.
KERNEL_SETS := generic $(if $(filter x86_64,$(MACHINE)),avx2 avx512)
KERNELS     = $(foreach set,$(KERNEL_SETS),$(BUILD)/obj/worker/backend/cpu/kernels.$(set).o)
SHAPES      = $(call objects,$(call sources,$(SHAPES_DIRS))) $(COMMON)
CPU         = $(filter-out %/kernels.o,$(call objects,$(call sources,$(CPU_DIRS)))) $(KERNELS)

COMMON_LIBS      = -lyaml -lxxhash -lm
PROTO_LIBS       = -lprotobuf-c -lmsgpackc
COORDINATOR_LIBS = -lczmq -lzmq -lsqlite3 -lcairo -lmicrohttpd $(PROTO_LIBS) $(COMMON_LIBS)
WORKER_LIBS      = -lczmq -lzmq $(PROTO_LIBS) $(COMMON_LIBS)
TRAIN_LIBS       = -lturbojpeg -lpng -lcairo -lzip -lcurl -ldl $(PROTO_LIBS) $(COMMON_LIBS)
SHAPES_LIBS      = -lturbojpeg $(COMMON_LIBS)
CPU_LIBS         = -ldnnl -lgomp -lm

PROGRAMS = $(BUILD)/coordinator $(BUILD)/worker $(BUILD)/train $(BUILD)/bench $(BUILD)/backend_cpu.so $(BUILD)/shapes

.PHONY: all chaos chaos-seeded chaos-programs help deps deps-all demo check check-train check-all check-curves check-slurm check-compose check-interop bench bench-peers install clean units parity format
.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

## make                build everything into build/
all: $(PROGRAMS) $(BUILD)/tests/parity

## make deps           install the Debian packages that are missing (sudo only when not root)
deps:
	@$(call install_packages,$(DEPS))
## make deps-all       and those that only make check-all needs
deps-all:
	@$(call install_packages,$(DEPS_ALL))
define install_packages
missing=; for p in $(1); do \
    [ "$$(dpkg-query -W -f='$${Status}' $$p 2>/dev/null)" = "install ok installed" ] || missing="$$missing $$p"; done; \
if [ -n "$$missing" ]; then echo "installing$$missing"; \
    $(SUDO) apt-get -q update && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $$missing; fi
endef

## make demo           evolve a small real task with two workers on this machine (DATA=data.yaml for another)
demo: deps
	@$(MAKE) --no-print-directory $(JOBS) programs
	@examples/demo.sh $(BUILD) $(DATA)

programs: $(PROGRAMS)

## make help           this list
help:
	@sed -n 's/^## //p' $(filter Makefile %.mk,$(MAKEFILE_LIST))

# ---- compiling ----
$(BUILD)/obj/%.o: %.c | $(GENERATED:.c=.h)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

KERNEL_FLAGS_generic =
KERNEL_FLAGS_avx2    = -mavx2 -mfma -mf16c
KERNEL_FLAGS_avx512  = -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
$(BUILD)/obj/worker/backend/cpu/kernels.%.o: worker/backend/cpu/kernels.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -O3 -ffp-contract=fast -Wno-psabi $(KERNEL_FLAGS_$*) -DKERNELS=kernels_$* -MMD -MP -c $< -o $@

$(BUILD)/generated/proto/%.pb-c.c $(BUILD)/generated/proto/%.pb-c.h &: proto/%.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(BUILD)/generated $<

# protoc-c's own output is not held to our warnings.
$(BUILD)/obj/generated/%.o: $(BUILD)/generated/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -std=gnu11 $(CFLAGS) -fPIC $(SANITIZER) -c $< -o $@

# ---- programs ----
$(BUILD)/coordinator: $(BUILD)/obj/coordinator/main.o $(COORDINATOR)
	$(CC) $(LDFLAGS) $^ $(COORDINATOR_LIBS) -o $@
$(BUILD)/worker: $(BUILD)/obj/worker/main.o $(WORKER)
	$(CC) $(LDFLAGS) $^ $(WORKER_LIBS) -o $@
$(BUILD)/train: $(BUILD)/obj/worker/train/main.o $(TRAIN)
	$(CC) $(LDFLAGS) $^ $(TRAIN_LIBS) -o $@
$(BUILD)/backend_cpu.so: $(CPU)
	$(CC) $(SANITIZER) -shared $^ $(CPU_LIBS) -o $@
$(BUILD)/shapes: $(BUILD)/obj/examples/shapes/main.o $(SHAPES)
	$(CC) $(LDFLAGS) $^ $(SHAPES_LIBS) -o $@
$(BUILD)/bench: $(call objects,$(wildcard tests/bench/*.c tests/bench/cluster/*.c)) $(TRAIN) $(BUILD)/obj/coordinator.a | $(BUILD)/backend_cpu.so
	$(CC) $(LDFLAGS) $(filter %.o %.a,$^) $(TRAIN_LIBS) $(COORDINATOR_LIBS) -o $@
# The parity runner drives breeding, training and the processor's kernels alike: all of the latter, and what it needs of the
# coordinator, which an archive gives.
$(BUILD)/obj/coordinator.a: $(filter-out $(TRAIN),$(COORDINATOR))
	rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/tests/parity: $(call objects,$(wildcard tests/parity/*.c)) $(TRAIN) $(CPU) $(BUILD)/obj/coordinator.a | $(BUILD)/backend_cpu.so
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(filter %.o %.a,$^) $(TRAIN_LIBS) $(CPU_LIBS) $(COORDINATOR_LIBS) -o $@

# ---- unit tests: one program a file, linked with what the file's program links ----
UNIT_TESTS = $(call tests,$(COMMON_DIRS) $(DRAW_DIRS) $(PROTO_DIRS) $(COORDINATOR_DIRS) $(WORKER_DIRS) $(TRAIN_DIRS) $(CPU_DIRS) $(SHAPES_DIRS))
define unit_rules # folders, objects, libraries
$(call tests,$(1)): $(BUILD)/tests/%: $(BUILD)/obj/%.o $(2)
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) $$(filter %.o,$$^) -lcmocka $(3) -o $$@
endef
$(eval $(call unit_rules,$(COMMON_DIRS),$(COMMON),$(COMMON_LIBS)))
$(eval $(call unit_rules,$(DRAW_DIRS),$(DRAW) $(COMMON),-lcairo $(COMMON_LIBS)))
$(eval $(call unit_rules,$(PROTO_DIRS),$(PROTO) $(COMMON),$(PROTO_LIBS) $(COMMON_LIBS)))
$(eval $(call unit_rules,$(COORDINATOR_DIRS),$(COORDINATOR),$(COORDINATOR_LIBS)))
$(eval $(call unit_rules,$(WORKER_DIRS),$(WORKER),$(WORKER_LIBS)))
$(eval $(call unit_rules,$(TRAIN_DIRS),$(TRAIN),$(TRAIN_LIBS)))
$(eval $(call unit_rules,$(SHAPES_DIRS),$(SHAPES),$(SHAPES_LIBS)))
$(eval $(call unit_rules,$(CPU_DIRS),$(CPU) $(TRAIN) $(call objects,$(wildcard tests/backend/*.c)),$(CPU_LIBS) $(TRAIN_LIBS)))

# `train` as a process; what the script runs besides is a program of the same kind.
TRAIN_TESTS = $(call tests,tests/train)
$(eval $(call unit_rules,tests/train,$(PROTO) $(COMMON),$(PROTO_LIBS) $(COMMON_LIBS)))
check-train: $(TRAIN_TESTS) $(BUILD)/train $(BUILD)/shapes $(BUILD)/backend_cpu.so $(BUILD)/coordinator $(BUILD)/worker
	@tests/run.sh "tests/train/run.sh $(BUILD)"

# `worker` as a process, with a coordinator that follows a script and trainers that misbehave.
WORKER_TESTS = $(call tests,tests/worker)
FAKE_TRAINER = $(BUILD)/tests/tests/worker/fake_trainer
$(eval $(call unit_rules,tests/worker,$(WORKER) $(BUILD)/obj/tests/worker/stage.o,$(WORKER_LIBS)))
$(FAKE_TRAINER): $(BUILD)/obj/tests/worker/fake_trainer.o $(PROTO) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(PROTO_LIBS) $(COMMON_LIBS) -o $@

# A coordinator behind keys, and guests that mean it badly.
SECURITY_TESTS = $(call tests,tests/security)
$(eval $(call unit_rules,tests/security,$(COORDINATOR) $(BUILD)/obj/tests/security/scene.o,$(COORDINATOR_LIBS)))

# What a run has left, looked at by other code than that which wrote it.
HISTORY = $(BUILD)/tests/cluster/history
$(HISTORY): $(BUILD)/obj/tests/cluster/history.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ -lsqlite3 -lm -o $@

# Evolutions to which everything happens, and what stands for a trainer in them.
CHAOS_PROGRAMS = $(BUILD)/tests/chaos/chaos $(BUILD)/tests/chaos/standin
$(BUILD)/tests/chaos/chaos: $(call objects,$(filter-out %/standin.c %_test.c,$(wildcard tests/chaos/*.c))) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ -lsqlite3 -lzmq $(COMMON_LIBS) -o $@
$(BUILD)/tests/chaos/standin: $(BUILD)/obj/tests/chaos/standin.o $(PROTO) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(PROTO_LIBS) $(COMMON_LIBS) -o $@
chaos-programs: $(BUILD)/coordinator $(BUILD)/worker $(CHAOS_PROGRAMS)

CHAOS_TESTS = $(call tests,tests/chaos)
$(eval $(call unit_rules,tests/chaos,$(WORKER) $(call objects,$(wildcard tests/chaos/layer/*.c)),$(WORKER_LIBS)))

PROCESS_PROGRAMS = $(BUILD)/bench $(CHAOS_TESTS) $(TRAIN_TESTS) $(SECURITY_TESTS) $(WORKER_TESTS) $(FAKE_TRAINER) $(HISTORY)

# The schema is part of the program.
$(BUILD)/obj/coordinator/store/schema.o: coordinator/store/schema.sql
# So is the dashboard's page.
$(BUILD)/obj/coordinator/dashboard/assets.o: $(foreach kind,html css js svg,$(wildcard coordinator/dashboard/*.$(kind)))

# Made-up runs for the dashboard, to be looked at and tested.
PROCESS_PROGRAMS += $(BUILD)/tests/dashboard/stage
$(BUILD)/tests/dashboard/stage: $(call objects,tests/dashboard/stage.c) $(COORDINATOR)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(COORDINATOR_LIBS) -o $@

include tests/fuzz/fuzz.mk

# ---- checks ----
GOLDEN ?= $(wildcard ../shared/golden)

## make units          the unit tests
units: $(UNIT_TESTS) $(BUILD)/backend_cpu.so
	@tests/run.sh $(UNIT_TESTS)

## make parity         compare with recorded results of the reference (GOLDEN=folder)
parity: $(BUILD)/tests/parity
	$(BUILD)/tests/parity $(GOLDEN)

# What the programs do as processes: each script takes the folder of the programs and closes with "N passed, N failed".
PROCESS_TESTS = tests/train/run.sh tests/security/run.sh tests/cluster/run.sh tests/bench/syncs.sh
PARITY_TEST   = $(if $(GOLDEN),'$(BUILD)/tests/parity $(GOLDEN)',tests/skipped.sh\ the\ recorded\ results,\ GOLDEN=folder)

## make check          everything that a change has to pass: units, parity, trainings, clusters, one pass with sanitizers
check: deps
	@$(MAKE) --no-print-directory $(JOBS) all test-programs
	@$(MAKE) --no-print-directory $(JOBS) FAULTS=1 BUILD=$(BUILD)/faults chaos-programs
	@$(MAKE) --no-print-directory $(JOBS) SANITIZE=address,undefined programs test-programs
	@$(MAKE) --no-print-directory check-now
check-now:
	@tests/run.sh $(UNIT_TESTS) $(PARITY_TEST) $(WORKER_TESTS) $(CHAOS_TESTS) '$(CHAOS_TEST) short' $(PROCESS_TESTS:%='% $(BUILD)') 'tests/dashboard/run.sh $(BUILD) served' \
	    $(patsubst $(BUILD)/%,$(BUILD)/address-undefined/%,$(UNIT_TESTS) $(WORKER_TESTS)) 'tests/cluster/run.sh $(BUILD)/address-undefined' \
	    $(subst $(BUILD)/,$(BUILD)/address-undefined/,$(REPLAY_TESTS))

## make check-all      make check, the second compiler, threads under TSan, long cluster runs, the demo's bounds, whole trainings
check-all: deps-all
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory $(JOBS) CC=clang BUILD=$(BUILD)/clang all test-programs
	@$(MAKE) --no-print-directory $(JOBS) SANITIZE=thread programs test-programs
	@$(MAKE) --no-print-directory check-all-now
THREADED_TESTS = worker/data/loader_test proto/trainer_test worker/spool_test worker/backend/cpu/collective_test coordinator/report/reporter_test \
    coordinator/store/owner_test coordinator/dashboard/http_test coordinator/dashboard/hostile_test
check-all-now:
	@tests/run.sh $(UNIT_TESTS:$(BUILD)/%=$(BUILD)/clang/%) $(THREADED_TESTS:%=$(BUILD)/thread/tests/%) \
	    'tests/cluster/run.sh $(BUILD)/thread' 'tests/cluster/long.sh $(BUILD)' 'tests/demo/run.sh $(BUILD)' \
	    'tests/dashboard/run.sh $(BUILD) page' 'tests/curves/run.sh $(BUILD)' '$(CHAOS_TEST) all' 'tests/chaos/seeded.sh $(BUILD)'

## make check-curves   whole trainings on real data against the reference's (half an hour)
check-curves: deps
	@$(MAKE) --no-print-directory $(JOBS) programs
	@tests/curves/run.sh $(BUILD)

## make chaos          evolutions to which everything happens: kills, power cuts, full disks, partitions (CHAOS=short, or a kind)
CHAOS      ?= all
CHAOS_TEST  = $(BUILD)/faults/tests/chaos/chaos $(BUILD)/faults $(BUILD)
chaos: programs $(HISTORY)
	@$(MAKE) --no-print-directory $(JOBS) FAULTS=1 BUILD=$(BUILD)/faults chaos-programs
	@$(CHAOS_TEST) $(CHAOS)
## make chaos-seeded   ... and do they find what is wrong? Four mistakes, built in one by one (common/fault.h)
chaos-seeded: programs $(HISTORY)
	@tests/chaos/seeded.sh $(BUILD)

## make check-interop  what torch, onnxruntime, tensorboard and pycocotools make of our files (REFERENCE=folder: YOLOv5 itself, too)
check-interop: programs
	@tests/run.sh 'tests/interop/run.sh $(BUILD) $(REFERENCE)'
## make check-slurm    the Slurm deployment on a real Slurm of two nodes on this machine (root)
check-slurm: programs $(HISTORY)
	@tests/run.sh 'tests/deploy/slurm.sh $(BUILD)'
## make check-compose  images and compose files (root); QUICK=quick: without compiling inside
check-compose: programs $(HISTORY)
	@tests/run.sh 'tests/deploy/compose.sh $(BUILD) $(QUICK)'

test-programs: $(UNIT_TESTS) $(PROCESS_PROGRAMS) $(if $(SANITIZE),$(REPLAYS))

## make bench          how fast it is here, beside the machine's limits
bench: $(BUILD)/bench $(BUILD)/backend_cpu.so
	$(BUILD)/bench all
## make bench-peers    the same in PyTorch, in turn (REFERENCE=folder for the reference's own loader and candidate)
bench-peers: $(PROGRAMS)
	tests/bench/peers/run.sh $(BUILD) $(REFERENCE)

## make install        into PREFIX (/usr/local), programs under the names mendel-coordinator, mendel-worker, mendel-train
MAN_PAGES = $(BUILD)/man/mendel-coordinator.1 $(BUILD)/man/mendel-worker.1 $(BUILD)/man/mendel-train.1
$(BUILD)/man/mendel-%.1: $(BUILD)/%
	@mkdir -p $(@D)
	$< --man >$@
install: programs $(MAN_PAGES)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/mendel $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/mendel/models $(DESTDIR)$(PREFIX)/share/mendel/hyps
	for p in coordinator worker train; do install $(BUILD)/$$p $(DESTDIR)$(PREFIX)/bin/mendel-$$p || exit 1; done
	install -m 644 $(BUILD)/backend_*.so $(DESTDIR)$(PREFIX)/lib/mendel
	install -m 644 $(MAN_PAGES) $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 examples/models/*.yaml $(DESTDIR)$(PREFIX)/share/mendel/models
	install -m 644 examples/hyps/*.yaml $(DESTDIR)$(PREFIX)/share/mendel/hyps

## make format         lay the code out (clang-format)
format:
	clang-format -i $(shell git ls-files '*.c' '*.h')

## make clean          remove build/
clean:
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
