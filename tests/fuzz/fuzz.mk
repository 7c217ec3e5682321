# Fuzzing: NAME_fuzz.c gives any bytes to one parser; corpus/NAME.tar.gz holds the smallest set of inputs that reaches what is known to be reached.
#   make fuzz             every fuzzer for FUZZ_SECONDS under ASan and UBSan; how much of its parser was reached (needs clang)
#   make FUZZ=NAME fuzz   that one; KEEP=1 makes corpus/NAME.tar.gz anew
# `make check` gives each the inputs of its corpus once more (replay.sh).
FUZZ_SECONDS ?= 600
FUZZERS       = $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
REPLAYS       = $(FUZZERS:%=$(BUILD)/tests/fuzz/%_replay)
FUZZ_LIBS     = $(TRAIN_LIBS) $(COORDINATOR_LIBS)

## make fuzz           every parser against any bytes, FUZZ_SECONDS (600) each; FUZZ=NAME for one of them
fuzz:
	@$(MAKE) --no-print-directory $(JOBS) CC=clang BUILD=$(BUILD)/fuzz fuzzers \
	    SANITIZER='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -fprofile-instr-generate -fcoverage-mapping'
	@tests/fuzz/run.sh $(BUILD)/fuzz $(FUZZ_SECONDS) $(or $(FUZZ),$(FUZZERS))
fuzzers: $(FUZZERS:%=$(BUILD)/tests/fuzz/%)
$(FUZZERS:%=$(BUILD)/tests/fuzz/%): $(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%_fuzz.o $(BUILD)/obj/coordinator.a $(BUILD)/obj/train.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ $(FUZZ_LIBS) -o $@
$(REPLAYS): %_replay: $(BUILD)/obj/tests/fuzz/replay.o $(BUILD)/obj/coordinator.a $(BUILD)/obj/train.a
$(REPLAYS): $(BUILD)/tests/fuzz/%_replay: $(BUILD)/obj/tests/fuzz/%_fuzz.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(FUZZ_LIBS) -o $@
$(BUILD)/obj/train.a: $(TRAIN)
	rm -f $@
	$(AR) rcs $@ $^
REPLAY_TESTS  = $(foreach f,$(FUZZERS),'tests/fuzz/replay.sh $(BUILD)/tests/fuzz/$(f)_replay tests/fuzz/corpus/$(f).tar.gz')
.PHONY: fuzz fuzzers
