#include "worker/train/events.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "proto/event.pb-c.h"

struct events {
    char *path;
    int descriptor;
    text pending; /* records that wait for events_flush */
};

/* ---- records ---- */

static uint32_t crc_table[256];

/* CRC-32C, its polynomial bit-reversed, for one byte after another. */
static void make_crc_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
        crc_table[i] = crc;
    }
}

static uint32_t checksum(const void *bytes, size_t count)
{
    const uint8_t *byte = bytes;
    uint32_t crc = ~UINT32_C(0);
    for (size_t i = 0; i < count; i++) crc = crc >> 8 ^ crc_table[(crc ^ byte[i]) & 255];
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

static void add_number(text *out, uint64_t value, int bytes)
{
    uint8_t little[8];
    for (int i = 0; i < bytes; i++) little[i] = (uint8_t)(value >> 8 * i);
    text_add_bytes(out, little, (size_t)bytes);
}

static void add_record(text *out, const void *message, size_t length)
{
    size_t start = out->length;
    add_number(out, length, 8);
    if (!out->failed) add_number(out, checksum(out->bytes + start, 8), 4);
    text_add_bytes(out, message, length);
    add_number(out, checksum(message, length), 4);
}

static void add_event(events *e, Events__Event *event)
{
    event->wall_time = (double)clock_wall_ms() / 1000;
    size_t length = events__event__get_packed_size(event);
    uint8_t *message = malloc(length ? length : 1);
    if (!message) {
        e->pending.failed = true;
        return;
    }
    events__event__pack(event, message);
    add_record(&e->pending, message, length);
    free(message);
}

/* ---- the file ---- */

static status open_file(events *e, const char *folder)
{
    char host[HOST_NAME_MAX + 1] = "host";
    text name = {0};
    if (gethostname(host, sizeof host)) host[0] = '\0';
    host[HOST_NAME_MAX] = '\0';
    text_add(&name, "events.out.tfevents.%010lld.%s.%ld.0", (long long)clock_wall_ms() / 1000, *host ? host : "host",
             (long)getpid());
    e->path = name.failed ? NULL : path_join(folder, text_string(&name));
    text_free(&name);
    if (!e->path) return FAIL(ERR_MEMORY, "out of memory for an event file's name");
    e->descriptor = open(e->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (e->descriptor >= 0) return OK;
    return FAIL(fs_status_of_errno(errno), "cannot open %s: %s", e->path, strerror(errno));
}

status events_open(const char *folder, events **out)
{
    *out = NULL;
    events *e;
    TRY(array_new(&e, 1));
    e->descriptor = -1;
    make_crc_table();
    status s = open_file(e, folder);
    if (s == OK) {
        Events__Event version = EVENTS__EVENT__INIT;
        version.what_case = EVENTS__EVENT__WHAT_FILE_VERSION;
        version.file_version = (char *)"brain.Event:2";
        add_event(e, &version);
        s = events_flush(e);
    }
    if (s != OK) events_close(&e);
    *out = e;
    return s;
}

void events_close(events **out)
{
    events *e = *out;
    if (!e) return;
    if (e->descriptor >= 0) close(e->descriptor);
    text_free(&e->pending);
    free(e->path);
    free(e);
    *out = NULL;
}

/* A reader stops at half a record for good, so what a failed write has left of one is cut off again. */
static status append(const events *e)
{
    struct stat before;
    if (fstat(e->descriptor, &before)) return FAIL(ERR_IO, "cannot read %s: %s", e->path, strerror(errno));
    status s = fs_write_all(e->descriptor, e->pending.bytes, e->pending.length, e->path);
    if (s != OK && ftruncate(e->descriptor, before.st_size)) return status_context(s, "half a record stays");
    return s;
}

status events_flush(events *e)
{
    status s = text_status(&e->pending);
    if (s == OK && e->pending.length) s = append(e);
    text_clear(&e->pending);
    return s;
}

/* ---- what is in it ---- */

static void add_value(events *e, int64_t step, Events__Summary__Value *value)
{
    Events__Summary summary = EVENTS__SUMMARY__INIT;
    Events__Event event = EVENTS__EVENT__INIT;
    summary.n_value = 1;
    summary.value = &value;
    event.step = step;
    event.what_case = EVENTS__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    add_event(e, &event);
}

void events_scalar(events *e, const char *tag, int64_t step, double value)
{
    Events__Summary__Value v = EVENTS__SUMMARY__VALUE__INIT;
    v.tag = (char *)tag;
    v.value_case = EVENTS__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    v.simple_value = (float)value;
    add_value(e, step, &v);
}

void events_epoch(events *e, const results_row *row, const double lr[UPDATE_GROUPS])
{
    static const char *const losses[LOSS_ITEMS - 1] = {"train/giou_loss", "train/obj_loss", "train/cls_loss"};
    static const char *const metrics[RESULT_COUNT] = {"metrics/precision",    "metrics/recall", "metrics/mAP_0.5",
                                                      "metrics/mAP_0.5:0.95", "val/giou_loss",  "val/obj_loss",
                                                      "val/cls_loss"};
    static const char *const rates[UPDATE_GROUPS] = {"x/lr0", "x/lr1", "x/lr2"};
    for (int i = 0; i < LOSS_ITEMS - 1; i++) events_scalar(e, losses[i], row->epoch, (double)row->losses[i]);
    for (int i = 0; i < RESULT_COUNT; i++) events_scalar(e, metrics[i], row->epoch, row->metrics[i]);
    for (int i = 0; i < UPDATE_GROUPS; i++) events_scalar(e, rates[i], row->epoch, lr[i]);
}

void events_image(events *e, const char *tag, int64_t step, int width, int height, const void *file, size_t length)
{
    enum { RGB = 3 };
    Events__Summary__Image image = EVENTS__SUMMARY__IMAGE__INIT;
    Events__Summary__Value v = EVENTS__SUMMARY__VALUE__INIT;
    image.width = width;
    image.height = height;
    image.colorspace = RGB;
    image.encoded_image_string = (ProtobufCBinaryData){length, (uint8_t *)file};
    v.tag = (char *)tag;
    v.value_case = EVENTS__SUMMARY__VALUE__VALUE_IMAGE;
    v.image = &image;
    add_value(e, step, &v);
}

/* ---- histograms ---- */

/* SummaryWriter's limits: 1e-12 times powers of 1.1 up to 1e20, their negatives, and 0 in between. */
enum { POWERS_MOST = 800, LIMITS_MOST = 2 * POWERS_MOST + 1 };
static const double smallest_limit = 1e-12, largest_limit = 1e20, limit_growth = 1.1;

static size_t make_limits(double limits[LIMITS_MOST])
{
    double powers[POWERS_MOST];
    size_t count = 0;
    for (double v = smallest_limit; v < largest_limit && count < POWERS_MOST; v *= limit_growth) powers[count++] = v;
    for (size_t i = 0; i < count; i++) {
        limits[i] = -powers[count - 1 - i];
        limits[count + 1 + i] = powers[i];
    }
    limits[count] = 0;
    return 2 * count + 1;
}

/* The bucket from limits[i] up to, but without, limits[i + 1]; what lies beyond all falls into the outermost. */
static size_t bucket_of(double value, const double *limits, size_t count)
{
    size_t low = 0, high = count - 1;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (value >= limits[middle]) low = middle;
        else high = middle;
    }
    return low;
}

/* Of all buckets those from the first to the last that holds something go out, with an empty one in front, whose limit is where the
 * first begins. */
static void add_buckets(events *e, const char *tag, int64_t step, Events__HistogramProto *h, double *limits,
                        double *counts, size_t buckets)
{
    double row[LIMITS_MOST];
    size_t first = 0, last = buckets - 1;
    Events__Summary__Value v = EVENTS__SUMMARY__VALUE__INIT;
    while (counts[first] == 0) first++;
    while (counts[last] == 0) last--;
    h->n_bucket = h->n_bucket_limit = last - first + 2;
    row[0] = 0;
    memcpy(row + 1, counts + first, (last - first + 1) * sizeof *row);
    h->bucket = row;
    h->bucket_limit = limits + first;
    v.tag = (char *)tag;
    v.value_case = EVENTS__SUMMARY__VALUE__VALUE_HISTO;
    v.histo = h;
    add_value(e, step, &v);
}

void events_histogram(events *e, const char *tag, int64_t step, const double *values, size_t count)
{
    Events__HistogramProto h = EVENTS__HISTOGRAM_PROTO__INIT;
    double limits[LIMITS_MOST], counts[LIMITS_MOST] = {0};
    size_t limit_count = make_limits(limits);
    if (!count) return;
    h.min = h.max = values[0];
    h.num = (double)count;
    for (size_t i = 0; i < count; i++) {
        h.min = fmin(h.min, values[i]);
        h.max = fmax(h.max, values[i]);
        h.sum += values[i];
        h.sum_squares += values[i] * values[i];
        counts[bucket_of(values[i], limits, limit_count)]++;
    }
    add_buckets(e, tag, step, &h, limits, counts, limit_count - 1);
}
