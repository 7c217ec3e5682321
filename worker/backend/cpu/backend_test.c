/* backend.c: every slot of the table is filled, the device says what it can, buffers check their ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/backend/cpu/device.h"

extern const backend_ops backend;

static device *open_device(int threads)
{
    device *d;
    assert_int_equal(backend.open(0, &(device_options){.threads = threads}, &d), OK);
    return d;
}

/* All that stands behind abi and name are functions, so the rest of the struct can be walked as such. */
static void every_slot_is_filled(void **state)
{
    (void)state;
    typedef void (*slot)(void);
    const char *from = (const char *)&backend + offsetof(backend_ops, count), *end = (const char *)(&backend + 1);
    assert_int_equal(backend.abi, BACKEND_ABI);
    assert_string_equal(backend.name, "cpu");
    assert_int_equal((end - from) % (ptrdiff_t)sizeof(slot), 0);
    for (int i = 0; from < end; from += sizeof(slot), i++) {
        slot function;
        memcpy(&function, from, sizeof function);
        if (!function) fail_msg("slot %d is empty", i);
    }
}

static void the_device_says_what_it_can(void **state)
{
    (void)state;
    device_info info;
    const char *why;
    assert_int_equal(backend.count(&why), 1);
    device *d = open_device(3);
    backend.info(d, &info);
    assert_int_equal(info.threads, 3);
    assert_true(strstr(info.name, "cpu ") == info.name && strlen(info.name) < sizeof info.name && info.memory > 0);
    assert_true(info.supports[PRECISION_FP32] && !info.supports[PRECISION_FP16] && info.supports[info.best]);
    /* bf16 without matrix tiles is slower than fp32, and only for who asks. */
    bool tiles = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
    assert_int_equal(info.best, tiles ? PRECISION_BF16 : PRECISION_FP32);
    backend.close(&d);
    assert_null(d);
    backend.close(&d);
}

static void there_is_one_device_with_threads(void **state)
{
    (void)state;
    device *d;
    assert_int_equal(backend.open(1, &(device_options){.threads = 1}, &d), ERR_ARGUMENT);
    assert_null(d);
    assert_int_equal(backend.open(0, &(device_options){.threads = 0}, &d), ERR_ARGUMENT);
    assert_null(d);
}

static void buffers_check_their_ranges(void **state)
{
    (void)state;
    device *d = open_device(1);
    buffer *b;
    char bytes[8] = "abcdefg", back[8];
    assert_int_equal(backend.buffer_create(d, sizeof bytes, &b), OK);
    assert_int_equal(backend.buffer_read(b, 0, back, sizeof back), OK);
    for (size_t i = 0; i < sizeof back; i++) assert_int_equal(back[i], 0);
    assert_int_equal(backend.buffer_write(b, 0, bytes, sizeof bytes), OK);
    assert_int_equal(backend.buffer_write(b, 6, "xy", 2), OK);
    assert_int_equal(backend.buffer_read(b, 4, back, 4), OK);
    assert_memory_equal(back, "efxy", 4);
    assert_int_equal(backend.buffer_write(b, 7, bytes, 2), ERR_ARGUMENT);
    assert_int_equal(backend.buffer_read(b, 9, back, 0), ERR_ARGUMENT);
    assert_int_equal(backend.buffer_read(b, 1, back, SIZE_MAX), ERR_ARGUMENT);
    assert_int_equal(backend.buffer_clear(b), OK);
    assert_int_equal(backend.buffer_read(b, 7, back, 1), OK);
    assert_int_equal(back[0], 0);
    backend.buffer_destroy(&b);
    assert_null(b);
    assert_int_equal(backend.buffer_wrap(d, bytes, sizeof bytes, &b), OK);
    assert_int_equal(backend.buffer_write(b, 0, "z", 1), OK);
    assert_int_equal(bytes[0], 'z'); /* the caller's memory itself */
    backend.buffer_destroy(&b);
    backend.close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slot_is_filled),
        cmocka_unit_test(the_device_says_what_it_can),
        cmocka_unit_test(there_is_one_device_with_threads),
        cmocka_unit_test(buffers_check_their_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
