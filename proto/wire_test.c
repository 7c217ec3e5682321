#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/rng.h"
#include "proto/test_wire.h"

static void every_kind_comes_back_as_it_was(void **state)
{
    (void)state;
    unsigned kinds = 0;
    for (unsigned i = 0; i < mendel__envelope__descriptor.n_fields; i++)
        kinds += mendel__envelope__descriptor.fields[i].type == PROTOBUF_C_TYPE_MESSAGE;
    assert_int_equal(kinds, last_kind - first_kind + 1); /* a new kind needs its body above */
    for (envelope_kind kind = first_kind; kind <= last_kind; kind++) {
        bodies b;
        envelope *e;
        fill(&b, kind);
        bytes packed = pack(&b.envelope);
        if (wire_unpack(packed.data, packed.count, &e) != OK) fail_msg("%s", status_message());
        assert_int_equal(e->body_case, kind);
        assert_int_equal(e->epoch, 3);
        assert_memory_equal(e->run.data, b.ids.run.bytes, WIRE_ID_BYTES);
        assert_memory_equal(e->session.data, b.ids.session.bytes, WIRE_ID_BYTES);
        bytes again = pack(e);
        assert_int_equal(again.count, packed.count);
        assert_memory_equal(again.data, packed.data, packed.count);
        wire_free(&e);
        assert_null(e);
        bytes_free(&packed);
        bytes_free(&again);
    }
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(wire_kind_name(KIND(HELLO)), "Hello");
    assert_string_equal(wire_kind_name(KIND(WORK_REQUEST)), "WorkRequest");
    assert_string_equal(wire_kind_name(KIND(RESULT_ACK)), "ResultAck");
    assert_string_equal(wire_kind_name(KIND(_NOT_SET)), "unknown body");
    assert_string_equal(wire_kind_name(1), "unknown body"); /* a field, but no body */
    assert_string_equal(wire_kind_name(99), "unknown body");
}

/* ---- versions ---- */

static void another_version_is_told_apart(void **state)
{
    (void)state;
    bodies b;
    envelope *e;
    fill(&b, KIND(GOODBYE));
    b.envelope.version = WIRE_VERSION + 1;
    bytes packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), ERR_UNSUPPORTED);
    assert_non_null(e);
    assert_memory_equal(e->session.data, b.ids.session.bytes, WIRE_ID_BYTES);
    wire_free(&e);
    bytes_free(&packed);
    b.envelope.session.len = 0; /* and from nobody: nonsense */
    packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), ERR_PROTOCOL);
    assert_null(e);
    bytes_free(&packed);
}

static void unknown_bodies_and_fields_are_skipped(void **state)
{
    (void)state;
    bodies b;
    envelope *e;
    fill(&b, KIND(GOODBYE));
    bytes packed = pack(&b.envelope);
    unsigned char grown[256];
    static const unsigned char field_99[] = {0x9a, 0x06, 3, 'n', 'e', 'w'}; /* 99 << 3 | 2, length, bytes */
    assert_true(packed.count + sizeof field_99 <= sizeof grown);
    memcpy(grown, packed.data, packed.count);
    memcpy(grown + packed.count, field_99, sizeof field_99);
    assert_int_equal(wire_unpack(grown, packed.count + sizeof field_99, &e), OK);
    assert_int_equal(e->body_case, KIND(GOODBYE));
    wire_free(&e);
    b.envelope.body_case = KIND(_NOT_SET);
    bytes_free(&packed);
    packed = pack(&b.envelope);
    memcpy(grown, packed.data, packed.count);
    memcpy(grown + packed.count, field_99, sizeof field_99);
    assert_int_equal(wire_unpack(grown, packed.count + sizeof field_99, &e), OK);
    assert_int_equal(e->body_case, KIND(_NOT_SET));
    wire_free(&e);
    bytes_free(&packed);
}

static void too_long_a_message_is_neither_sent_nor_read(void **state)
{
    (void)state;
    bodies b;
    envelope *e;
    bytes packed;
    fill(&b, KIND(BLOB));
    b.blob.bytes = WIRE_BYTES_MOST;
    b.blob.offset = 0;
    b.blob.data = (ProtobufCBinaryData){WIRE_BYTES_MOST, (uint8_t *)long_text(WIRE_BYTES_MOST)};
    assert_int_equal(wire_pack(&b.envelope, &packed), ERR_RANGE);
    assert_null(packed.data);
    assert_int_equal(wire_unpack(long_text(WIRE_BYTES_MOST + 1), WIRE_BYTES_MOST + 1, &e), ERR_PROTOCOL);
    assert_null(e);
}

/* ---- noise ---- */

static void noise_is_refused(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 1, 2, 3);
    for (int i = 0; i < 20000; i++) {
        unsigned char noise[64];
        size_t count = keyed_below(&r, sizeof noise + 1);
        envelope *e;
        for (size_t k = 0; k < count; k++) noise[k] = (unsigned char)keyed_next(&r);
        if (wire_unpack(noise, count, &e) == OK) fail_msg("noise was accepted"); /* it has no session of 16 bytes */
        wire_free(&e);
    }
}

/* Valid messages with some bytes changed, cut, or repeated: whatever is said of them, nothing breaks, and what is accepted is within
 * the bounds: it packs and unpacks again. */
static void damaged_messages_do_no_harm(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 4, 5, 6);
    for (int i = 0; i < 20000; i++) {
        bodies b;
        envelope *e, *again;
        fill(&b, (envelope_kind)(first_kind + keyed_below(&r, last_kind - first_kind + 1)));
        bytes packed = pack(&b.envelope);
        unsigned char *at = packed.data;
        for (uint64_t n = 1 + keyed_below(&r, 4); n > 0; n--)
            at[keyed_below(&r, packed.count)] = (unsigned char)keyed_next(&r);
        size_t count = keyed_below(&r, 4) ? packed.count : keyed_below(&r, packed.count + 1);
        if (wire_unpack(packed.data, count, &e) == OK && e->body_case) {
            bytes same = pack(e);
            assert_int_equal(wire_unpack(same.data, same.count, &again), OK);
            wire_free(&again);
            bytes_free(&same);
        }
        wire_free(&e);
        bytes_free(&packed);
    }
}

/* ---- small parts ---- */

static void ids_are_read_and_written(void **state)
{
    (void)state;
    wire_id a, b;
    char text[WIRE_ID_ROOM];
    assert_int_equal(wire_id_make(&a), OK);
    assert_int_equal(wire_id_make(&b), OK);
    assert_false(wire_id_equal(&a, &b));
    wire_id_text(&a, text);
    assert_int_equal(strlen(text), 32);
    assert_int_equal(wire_id_parse(text, &b), OK);
    assert_true(wire_id_equal(&a, &b));
    text[31] = 'g';
    assert_int_equal(wire_id_parse(text, &b), ERR_FORMAT);
    text[31] = '\0';
    assert_int_equal(wire_id_parse(text, &b), ERR_FORMAT);
    ProtobufCBinaryData short_one = {15, a.bytes};
    assert_false(wire_id_read(&short_one, &b));
}

static void tokens_are_compared_whole(void **state)
{
    (void)state;
    token t = {1, 2, 3};
    Mendel__Token body;
    token_write(t, &body);
    assert_true(token_equal(token_read(&body), t));
    assert_false(token_equal(t, (token){2, 2, 3}));
    assert_false(token_equal(t, (token){1, 1, 3}));
    assert_false(token_equal(t, (token){1, 2, 4}));
}

static void long_sentences_are_cut(void **state)
{
    (void)state;
    char *copy;
    assert_ptr_equal(wire_sentence(words, &copy), words);
    assert_null(copy);
    const char *cut = wire_sentence(SENTENCE, &copy);
    assert_int_equal(strlen(cut), WIRE_SENTENCE_MOST);
    assert_ptr_equal(cut, copy);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(every_kind_comes_back_as_it_was),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(another_version_is_told_apart),
        cmocka_unit_test(unknown_bodies_and_fields_are_skipped),
        cmocka_unit_test(too_long_a_message_is_neither_sent_nor_read),
        cmocka_unit_test(noise_is_refused),
        cmocka_unit_test(damaged_messages_do_no_harm),
        cmocka_unit_test(ids_are_read_and_written),
        cmocka_unit_test(tokens_are_compared_whole),
        cmocka_unit_test(long_sentences_are_cut),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
