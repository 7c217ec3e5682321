/* Any bytes as what comes along the trainer pipe: messages, each whole, until the pipe's end or the first that is none. What was read can be
 * sent and reads alike. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "proto/trainer.h"
#include "tests/fuzz/file.h"

static void send_on(const trainer_message *m)
{
    char path[FUZZ_PATH_ROOM];
    bytes packed;
    trainer_reader *r;
    trainer_message again;
    if (trainer_pack(m, &packed) != OK) return; /* a number that has no text, a map that grew */
    int descriptor = fuzz_file(packed.data, packed.count, path);
    lseek(descriptor, 0, SEEK_SET);
    if (trainer_reader_create(descriptor, &r) != OK) abort();
    if (trainer_receive(r, &again) != OK || again.kind != m->kind || again.result_count != m->result_count) abort();
    trainer_message_free(&again);
    trainer_reader_destroy(&r);
    close(descriptor);
    bytes_free(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    char path[FUZZ_PATH_ROOM];
    trainer_reader *r;
    trainer_message m;
    log_set_level(LEVEL_SILENT);
    int descriptor = fuzz_file(data, count, path);
    lseek(descriptor, 0, SEEK_SET);
    if (trainer_reader_create(descriptor, &r) != OK) abort();
    status s;
    while ((s = trainer_receive(r, &m)) == OK) {
        if (m.kind >= TRAINER_KINDS || (m.result_count && m.result_count != RESULT_COUNT)) abort();
        send_on(&m);
        trainer_message_free(&m);
    }
    if (s != ERR_END && s != ERR_PROTOCOL && s != ERR_MEMORY) abort();
    trainer_reader_destroy(&r);
    close(descriptor);
    return 0;
}
