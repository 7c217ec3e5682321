/* trainer.c: every kind of message through a socketpair, and what a broken or hostile other side may send. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/text.h"
#include "proto/test_maps.h"
#include "proto/trainer.h"

typedef struct pair {
    int ends[2]; /* [0] sends, [1] receives */
    trainer_reader *reader;
} pair;

static pair *open_pair(bool blocking)
{
    pair *p = calloc(1, sizeof *p);
    assert_non_null(p);
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p->ends), errno);
    if (!blocking) assert_return_code(fcntl(p->ends[1], F_SETFL, O_NONBLOCK), errno);
    assert_int_equal(trainer_reader_create(p->ends[1], &p->reader), OK);
    return p;
}

static void close_pair(pair *p)
{
    if (p->ends[0] >= 0) close(p->ends[0]);
    close(p->ends[1]);
    trainer_reader_destroy(&p->reader);
    assert_null(p->reader);
    free(p);
}

static void close_sender(pair *p)
{
    close(p->ends[0]);
    p->ends[0] = -1;
}

static void send_bytes(pair *p, const void *data, size_t count)
{
    assert_int_equal(send(p->ends[0], data, count, MSG_NOSIGNAL), (ssize_t)count);
}

/* A start with everything in it. The caller frees it. */
static trainer_message full_start(void)
{
    trainer_message m = {.kind = TRAINER_START, .seed = 4294967295};
    hyp_space space;
    double values[HYP_MAX];
    metrics options = {0};
    hyp_space_default(&space);
    hyp_defaults(&space, false, values);
    metrics_add(&options, "epochs", 3); /* any map will do: the frame carries it as it is */
    assert_int_equal(map_pack_hyps(&space, values, &m.hyps), OK);
    assert_int_equal(map_pack_metrics(&options, &m.options), OK);
    m.data = text_copy("train: images\n");
    m.data_root = text_copy("/data/\xc3\xbc");
    m.model = text_copy("");
    m.folder = text_copy("/tmp/run");
    m.resume = text_copy("checkpoint.pt");
    m.path = text_copy("/tmp/run/weights.pt");
    return m;
}

/* ---- round trips ---- */

static void same_text(const char *a, const char *b)
{
    assert_true((a == NULL) == (b == NULL));
    if (a) assert_string_equal(a, b);
}

static void same_bytes(const bytes *a, const bytes *b)
{
    assert_int_equal(a->count, b->count);
    if (a->count) assert_memory_equal(a->data, b->data, a->count);
}

static void same_message(const trainer_message *a, const trainer_message *b)
{
    assert_int_equal(a->kind, b->kind);
    same_bytes(&a->hyps, &b->hyps);
    same_bytes(&a->options, &b->options);
    const char *const texts[][2] = {{a->data, b->data},     {a->data_root, b->data_root}, {a->model, b->model},
                                    {a->folder, b->folder}, {a->resume, b->resume},       {a->device, b->device},
                                    {a->path, b->path},     {a->precision, b->precision}, {a->version, b->version},
                                    {a->detail, b->detail}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) same_text(texts[i][0], texts[i][1]);
    const int64_t counts[][2] = {{a->seed, b->seed},     {a->threads, b->threads},
                                 {a->epoch, b->epoch},   {a->epochs, b->epochs},
                                 {a->step, b->step},     {a->steps, b->steps},
                                 {a->memory, b->memory}, {a->result_count, b->result_count},
                                 {a->reason, b->reason}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) assert_int_equal(counts[i][0], counts[i][1]);
    assert_true(a->loss == b->loss && a->images_per_s == b->images_per_s && a->seconds == b->seconds);
    assert_memory_equal(a->results, b->results, sizeof a->results);
    assert_int_equal(a->metrics.count, b->metrics.count);
    for (size_t i = 0; i < a->metrics.count; i++) {
        assert_string_equal(a->metrics.item[i].key, b->metrics.item[i].key);
        assert_true(a->metrics.item[i].value == b->metrics.item[i].value);
    }
}

static void every_kind_comes_back(void **state)
{
    (void)state;
    trainer_message start = full_start(), without = full_start();
    free(without.resume);
    without.resume = NULL;
    trainer_message epoch = {.kind = TRAINER_EPOCH, .epoch = 5};
    metrics_add(&epoch.metrics, "map", 0.125);
    metrics_add(&epoch.metrics, "fitness", 0.25);
    const trainer_message messages[] = {
        start,
        without,
        {.kind = TRAINER_CHECKPOINT},
        {.kind = TRAINER_STOP},
        {.kind = TRAINER_HELLO,
         .device = (char *)"cpu",
         .precision = (char *)"bf16",
         .version = (char *)"1",
         .threads = 9},
        {.kind = TRAINER_ITERATION,
         .epoch = 1,
         .epochs = 2,
         .step = 3,
         .steps = 4,
         .loss = 0.1,
         .images_per_s = 1e9,
         .memory = 1},
        epoch,
        {.kind = TRAINER_CHECKPOINTED, .path = (char *)"", .epoch = 1, .step = INT64_MAX},
        {.kind = TRAINER_STOPPED, .epoch = 7},
        {.kind = TRAINER_STOPPED, .epoch = 7, .result_count = 7, .results = {1, 2, 3, 4, 5, 6, 7}},
        {.kind = TRAINER_DONE,
         .result_count = 7,
         .results = {0, -1, INFINITY},
         .seconds = 1.5,
         .memory = 8,
         .folder = (char *)"f"},
        {.kind = TRAINER_FAILED, .reason = REASON_DATA, .detail = (char *)"labels/1.txt:3: class 9"},
    };
    enum { COUNT = sizeof messages / sizeof *messages };
    pair *p = open_pair(true);
    for (int i = 0; i < COUNT; i++) assert_int_equal(trainer_send(p->ends[0], &messages[i]), OK);
    for (int i = 0; i < COUNT; i++) {
        trainer_message back;
        assert_int_equal(trainer_receive(p->reader, &back), OK);
        same_message(&back, &messages[i]);
        trainer_message_free(&back);
    }
    close_pair(p);
    trainer_message_free(&start);
    trainer_message_free(&without);
    assert_null(start.data);
}

static void every_reason_has_a_name(void **state)
{
    (void)state;
    for (int reason = 0; reason < REASON_COUNT; reason++)
        assert_int_equal(trainer_reason_find(trainer_reason_name((trainer_reason)reason)), reason);
    assert_int_equal(trainer_reason_find("meteor"), REASON_ERROR);
    assert_string_equal(trainer_reason_name((trainer_reason)99), "error");
}

static void what_cannot_be_sent_is_not(void **state)
{
    (void)state;
    pair *p = open_pair(false);
    trainer_message back, m = full_start();
    free(m.data);
    m.data = malloc((5 << 20) + 1);
    assert_non_null(m.data);
    memset(m.data, 'x', 5 << 20);
    m.data[5 << 20] = '\0';
    assert_int_equal(trainer_send(p->ends[0], &m), ERR_RANGE);
    trainer_message_free(&m);
    m = full_start();
    ((char *)m.hyps.data)[0] = 0x7; /* a number: no map */
    assert_int_not_equal(trainer_send(p->ends[0], &m), OK);
    assert_int_equal(trainer_receive(p->reader, &back), ERR_TIMEOUT);
    trainer_message_free(&m);
    close_pair(p);
}

/* ---- as it comes in ---- */

static void frames_may_come_in_any_pieces(void **state)
{
    (void)state;
    trainer_message m = full_start(), back;
    bytes frame;
    assert_int_equal(trainer_pack(&m, &frame), OK);
    pair *p = open_pair(false);
    for (size_t i = 0; i < frame.count; i++) {
        assert_int_equal(trainer_receive(p->reader, &back), ERR_TIMEOUT);
        send_bytes(p, (char *)frame.data + i, 1);
    }
    assert_int_equal(trainer_receive(p->reader, &back), OK);
    same_message(&back, &m);
    trainer_message_free(&back);
    send_bytes(p, frame.data, frame.count); /* one and a half at once */
    send_bytes(p, frame.data, frame.count / 2);
    assert_int_equal(trainer_receive(p->reader, &back), OK);
    trainer_message_free(&back);
    assert_int_equal(trainer_receive(p->reader, &back), ERR_TIMEOUT);
    send_bytes(p, (char *)frame.data + frame.count / 2, frame.count - frame.count / 2);
    assert_int_equal(trainer_receive(p->reader, &back), OK);
    same_message(&back, &m);
    trainer_message_free(&back);
    bytes_free(&frame);
    trainer_message_free(&m);
    close_pair(p);
}

static void the_other_side_may_go_at_any_byte(void **state)
{
    (void)state;
    trainer_message m = {.kind = TRAINER_FAILED, .reason = REASON_NAN, .detail = (char *)"gone"}, back;
    bytes frame;
    assert_int_equal(trainer_pack(&m, &frame), OK);
    for (size_t i = 0; i < frame.count; i++) {
        pair *p = open_pair(true);
        if (i) send_bytes(p, frame.data, i);
        close_sender(p);
        assert_int_equal(trainer_receive(p->reader, &back), ERR_END);
        close_pair(p);
    }
    bytes_free(&frame);
}

static void sending_to_nobody_is_an_error_and_no_signal(void **state)
{
    (void)state;
    pair *p = open_pair(true);
    trainer_message m = {.kind = TRAINER_STOP};
    close(p->ends[1]);
    assert_int_equal(trainer_send(p->ends[0], &m), ERR_IO);
    p->ends[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close_pair(p);
}

/* ---- what never comes from us ---- */

/* Receive a frame with this map in it: with its length in front. */
static status receive_map(const void *map, size_t count, trainer_message *out)
{
    pair *p = open_pair(false);
    const unsigned char head[4] = {(unsigned char)(count >> 24), (unsigned char)(count >> 16),
                                   (unsigned char)(count >> 8), (unsigned char)count};
    send_bytes(p, head, sizeof head);
    if (count) send_bytes(p, map, count);
    status s = trainer_receive(p->reader, out);
    if (s == ERR_PROTOCOL) { /* and for good: nobody knows where the next one would start */
        trainer_message after, stop = {.kind = TRAINER_STOP};
        char *why = text_copy(status_message());
        assert_int_equal(trainer_send(p->ends[0], &stop), OK);
        assert_int_equal(trainer_receive(p->reader, &after), ERR_PROTOCOL);
        FAIL(s, "%s", why);
        free(why);
    }
    close_pair(p);
    return s;
}

static void any_byte_may_be_wrong(void **state)
{
    (void)state;
    trainer_message messages[] = {
        full_start(),
        {.kind = TRAINER_STOPPED, .epoch = 7, .result_count = 7, .results = {1, 2, 3}},
    };
    for (size_t k = 0; k < sizeof messages / sizeof *messages; k++) {
        bytes frame;
        trainer_message back;
        assert_int_equal(trainer_pack(&messages[k], &frame), OK);
        unsigned char *map = (unsigned char *)frame.data + 4;
        static const unsigned char with[] = {0,    1,    0x7f, 0x80, 0x81, 0x8f, 0x91, 0xa0, 0xc0, 0xc1, 0xc6,
                                             0xcb, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff};
        for (size_t i = 0; i < frame.count - 4; i++) {
            unsigned char was = map[i];
            for (size_t w = 0; w < sizeof with; w++) {
                map[i] = with[w];
                status s = receive_map(map, frame.count - 4, &back);
                if (s != OK && s != ERR_PROTOCOL && s != ERR_TIMEOUT) /* unknown kinds are passed over */
                    fail_msg("byte %zu: %s", i, status_message());
                trainer_message_free(&back);
            }
            map[i] = was;
        }
        bytes_free(&frame);
    }
    trainer_message_free(&messages[0]);
}

static status receive_made(maker *m, trainer_message *out)
{
    status s = receive_map(m->buffer.data, m->buffer.size, out);
    msgpack_sbuffer_destroy(&m->buffer);
    return s;
}

static void fields_have_their_types_and_ranges(void **state)
{
    (void)state;
    maker m;
    trainer_message back;
    begin(&m, 2);
    map_put_text(&m.p, "type", "stopped");
    map_put_int(&m.p, "epoch", 1);
    assert_int_equal(receive_made(&m, &back), ERR_PROTOCOL);
    expect_message("message 'stopped' on the trainer pipe: 'results'");
    begin(&m, 3);
    map_put_text(&m.p, "type", "stopped");
    map_put_int(&m.p, "epoch", -1);
    put_key(&m, "results");
    msgpack_pack_array(&m.p, 0);
    assert_int_equal(receive_made(&m, &back), ERR_PROTOCOL);
    expect_message("'epoch' is -1");
    for (int count = 0; count < 9; count++) { /* 0 or 7 */
        begin(&m, 3);
        map_put_text(&m.p, "type", "stopped");
        map_put_int(&m.p, "epoch", 0);
        put_key(&m, "results");
        msgpack_pack_array(&m.p, (size_t)count);
        for (int i = 0; i < count; i++) msgpack_pack_int(&m.p, i - 1);
        assert_int_equal(receive_made(&m, &back), count == 0 || count == 7 ? OK : ERR_PROTOCOL);
        if (count == 7) assert_true(back.result_count == 7 && back.results[0] == -1 && back.results[6] == 5);
        trainer_message_free(&back);
    }
    begin(&m, 2); /* a done always has seven */
    map_put_text(&m.p, "type", "done");
    put_key(&m, "results");
    msgpack_pack_array(&m.p, 0);
    assert_int_equal(receive_made(&m, &back), ERR_PROTOCOL);
    begin(&m, 3); /* a reason that a newer trainer may have */
    map_put_text(&m.p, "type", "failed");
    map_put_text(&m.p, "reason", "meteor");
    map_put_text(&m.p, "detail", "");
    assert_int_equal(receive_made(&m, &back), OK);
    assert_int_equal(back.reason, REASON_ERROR);
    trainer_message_free(&back);
}

static void what_a_newer_side_says_is_passed_over(void **state)
{
    (void)state;
    maker m;
    trainer_message back;
    begin(&m, 2); /* an unknown field */
    map_put_text(&m.p, "type", "stop");
    map_put_text(&m.p, "politely", "yes");
    assert_int_equal(receive_made(&m, &back), OK);
    assert_int_equal(back.kind, TRAINER_STOP);
    pair *p = open_pair(false); /* an unknown kind, then a known one */
    static const char unknown[] = "\x00\x00\x00\x0b\x81\xa4type\xa4wink";
    trainer_message stop = {.kind = TRAINER_STOP};
    send_bytes(p, unknown, sizeof unknown - 1);
    assert_int_equal(trainer_receive(p->reader, &back), ERR_TIMEOUT);
    send_bytes(p, unknown, sizeof unknown - 1);
    assert_int_equal(trainer_send(p->ends[0], &stop), OK);
    assert_int_equal(trainer_receive(p->reader, &back), OK);
    assert_int_equal(back.kind, TRAINER_STOP);
    close_pair(p);
}

static void frames_that_are_too_long_are_refused_at_once(void **state)
{
    (void)state;
    pair *p = open_pair(false);
    trainer_message back;
    send_bytes(p, "\x7f\xff\xff\xff", 4);
    assert_int_equal(trainer_receive(p->reader, &back), ERR_PROTOCOL);
    expect_message("at most");
    assert_int_equal(trainer_receive(p->reader, &back), ERR_PROTOCOL);
    close_pair(p);
    p = open_pair(false);
    send_bytes(p, "\0\0\0\0", 4);
    assert_int_equal(trainer_receive(p->reader, &back), ERR_PROTOCOL);
    close_pair(p);
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 60000 };
    unsigned char *deep = malloc(DEPTH);
    trainer_message back;
    assert_non_null(deep);
    memset(deep, 0x91, DEPTH);
    deep[0] = 0x81;
    deep[1] = 0xa0;
    deep[DEPTH - 1] = 0;
    assert_int_equal(receive_map(deep, DEPTH, &back), ERR_PROTOCOL);
    free(deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back),
        cmocka_unit_test(every_reason_has_a_name),
        cmocka_unit_test(what_cannot_be_sent_is_not),
        cmocka_unit_test(frames_may_come_in_any_pieces),
        cmocka_unit_test(the_other_side_may_go_at_any_byte),
        cmocka_unit_test(sending_to_nobody_is_an_error_and_no_signal),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(fields_have_their_types_and_ranges),
        cmocka_unit_test(what_a_newer_side_says_is_passed_over),
        cmocka_unit_test(frames_that_are_too_long_are_refused_at_once),
        cmocka_unit_test(deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
