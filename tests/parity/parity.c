#include "tests/parity/parity_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/text.h"
#include "worker/backend/load.h"

/* ---- memory ---- */

void *parity_keep(parity *p, void *memory)
{
    if (!memory || array_room(&p->kept, &p->kept_room, p->kept_count + 1) != OK) {
        fprintf(stderr, "parity: out of memory\n");
        exit(2);
    }
    return p->kept[p->kept_count++] = memory;
}

void *parity_alloc(parity *p, size_t bytes)
{
    return parity_keep(p, calloc(bytes ? bytes : 1, 1));
}

const char *parity_name(parity *p, const char *format, ...)
{
    char *name;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&name, format, arguments);
    va_end(arguments);
    return parity_keep(p, length < 0 ? NULL : name);
}

/* ---- cases ---- */

static folder_count *count_of(parity *p, const char *name)
{
    size_t length = strcspn(name, "/");
    for (size_t i = 0; i < p->folder_count; i++)
        if (strlen(p->folders[i].name) == length && !memcmp(p->folders[i].name, name, length)) return &p->folders[i];
    if (array_room(&p->folders, &p->folder_room, p->folder_count + 1) != OK) exit(2);
    folder_count *fresh = &p->folders[p->folder_count++];
    fresh->name = parity_keep(p, text_copy_bytes(name, length));
    return fresh;
}

void case_start(parity *p, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(p->case_name, sizeof p->case_name, format, arguments);
    va_end(arguments);
    p->case_bad = false;
    count_of(p, p->case_name)->found++;
}

void case_end(parity *p)
{
    folder_count *folder = count_of(p, p->case_name);
    folder->run++;
    if (p->case_bad) folder->failed++;
    p->case_name[0] = '\0';
}

bool case_failed(const parity *p)
{
    return p->case_bad;
}

void case_fail(parity *p, const char *format, ...)
{
    char sentence[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    printf("FAILED %s: %s\n", *p->case_name ? p->case_name : "(outside a case)", sentence);
    if (!*p->case_name) p->loose_failures++;
    p->case_bad = true;
}

bool case_ok(parity *p, const char *what, status s)
{
    if (s != OK) case_fail(p, "%s: %s", what, status_message());
    return s == OK;
}

/* ---- comparisons ---- */

static bool near(double a, double b, tolerance t)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (a == b) return true;
    double difference = fabs(a - b);
    return difference <= t.abs || difference <= t.rel * fmax(fabs(a), fabs(b));
}

bool case_numbers(parity *p, const char *what, const double *got, const double *want, size_t count, tolerance t)
{
    bool by_value = t.rel > 0 || t.abs > 0 || !(t.rel_l2 > 0 || t.max > 0 || t.mean > 0);
    double square = 0, norm = 0, largest = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (by_value && !near(got[i], want[i], t)) {
            case_fail(p, "%s[%zu]: %.17g, expected %.17g", what, i, got[i], want[i]);
            return false;
        }
        double difference = isnan(got[i]) && isnan(want[i]) ? 0 : fabs(got[i] - want[i]);
        if (!by_value && !(difference < INFINITY) && got[i] != want[i]) {
            case_fail(p, "%s[%zu]: %g, expected %g", what, i, got[i], want[i]);
            return false;
        }
        if (got[i] == want[i]) difference = 0; /* infinities */
        square += difference * difference;
        norm += want[i] * want[i];
        sum += difference;
        if (difference > largest) largest = difference;
    }
    double l2 = square == 0 ? 0 : sqrt(square) / sqrt(norm), mean = count ? sum / (double)count : 0;
    bool good =
        (!(t.rel_l2 > 0) || l2 <= t.rel_l2) && (!(t.max > 0) || largest <= t.max) && (!(t.mean > 0) || mean <= t.mean);
    if (!good)
        case_fail(p, "%s: rel L2 %.3g, max %.3g, mean %.3g; allowed %.3g, %.3g, %.3g", what, l2, largest, mean,
                  t.rel_l2, t.max, t.mean);
    return good;
}

bool case_floats(parity *p, const char *what, const float *got, const float *want, size_t count, tolerance t)
{
    double *a = malloc((count ? count : 1) * 2 * sizeof *a), *b = a ? a + count : NULL;
    if (!a) exit(2);
    for (size_t i = 0; i < count; i++) {
        a[i] = (double)got[i];
        b[i] = (double)want[i];
    }
    bool good = case_numbers(p, what, a, b, count, t);
    free(a);
    return good;
}

bool case_bytes(parity *p, const char *what, const uint8_t *got, const uint8_t *want, size_t count, tolerance t)
{
    double *a = malloc((count ? count : 1) * 2 * sizeof *a), *b = a ? a + count : NULL;
    if (!a) exit(2);
    for (size_t i = 0; i < count; i++) {
        a[i] = got[i];
        b[i] = want[i];
    }
    bool good = case_numbers(p, what, a, b, count, t);
    free(a);
    return good;
}

bool case_ints(parity *p, const char *what, const int64_t *got, const int64_t *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (got[i] != want[i]) {
            case_fail(p, "%s[%zu]: %lld, expected %lld", what, i, (long long)got[i], (long long)want[i]);
            return false;
        }
    return true;
}

bool case_int(parity *p, const char *what, int64_t got, int64_t want)
{
    if (got != want) case_fail(p, "%s: %lld, expected %lld", what, (long long)got, (long long)want);
    return got == want;
}

bool case_number(parity *p, const char *what, double got, double want, tolerance t)
{
    return case_numbers(p, what, &got, &want, 1, t);
}

bool case_text(parity *p, const char *what, const char *got, size_t got_length, const char *want, size_t want_length)
{
    size_t at = 0, line = 1;
    while (at < got_length && at < want_length && got[at] == want[at]) line += got[at++] == '\n';
    if (at == got_length && at == want_length) return true;
    size_t start = at;
    while (start && got[start - 1] != '\n') start--;
    case_fail(p, "%s, line %zu: '%.*s', expected '%.*s'", what, line, (int)strcspn(got + start, "\n"), got + start,
              (int)strcspn(want + start, "\n"), want + start);
    return false;
}

/* ---- what the fixtures need besides ---- */

const data_yaml *parity_data_set(parity *p)
{
    if (!p->data_path) {
        case_fail(p, "needs the data set's pictures: --data YAML");
        return NULL;
    }
    if (!p->data_read && !case_ok(p, "data set", data_yaml_read(p->data_path, &p->data))) return NULL;
    p->data_read = true;
    return &p->data;
}

const backend_ops *parity_backend(parity *p, device **d)
{
    if (!p->ops && !case_ok(p, "backend", backend_load("cpu", &p->ops))) return NULL;
    device_options options = {.threads = 2};
    if (!p->device && !case_ok(p, "backend", p->ops->open(0, &options, &p->device))) return NULL;
    *d = p->device;
    return p->ops;
}

const char *parity_scratch(parity *p)
{
    if (*p->scratch) return p->scratch;
    const char *place = getenv("TMPDIR");
    snprintf(p->scratch, sizeof p->scratch, "%s/mendel-parity-XXXXXX", place ? place : "/tmp");
    if (!mkdtemp(p->scratch)) {
        perror("parity: no scratch folder");
        exit(2);
    }
    return p->scratch;
}
