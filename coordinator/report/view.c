/* A frame is made as text first and written in one piece, so that no other line gets between its lines. */
#include "coordinator/report/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/array.h"
#include "common/log.h"
#include "coordinator/report/pace.h"

enum {
    REDRAW_MS = 100,
    PLAIN_MS = 4000,            /* a plain line after this time when its words have changed, */
    PLAIN_UNCHANGED_MS = 60000, /* after this time when they have not, */
    PLAIN_LEAST_MS = 1000,      /* and no sooner, whatever happens */
    PLAIN_ATTEMPTS = 4,         /* named in a plain line */
    SILENT_AFTER_S = 10,        /* of an attempt, before it is worth a word */
    BAR_WIDTH = 20,
};

struct view {
    FILE *to;
    bool terminal, silent;
    int width, height;        /* 0: ask the terminal */
    int lines;                /* on the screen */
    int64_t drawn_ms;         /* INT64_MIN: never */
    text frame;               /* what is drawn */
    text plain, happened;     /* the plain line, and the part of it that says what has happened, of the last snapshot */
    text told, told_happened; /* the same as last written */
    pace pace;
};

/* ---- words ---- */

void view_time(double seconds, char words[VIEW_TIME_ROOM])
{
    double capped = seconds > 0 ? fmin(seconds, 1e9) : 0; /* NaN too */
    long s = (long)(capped + 0.5), minutes = (long)(capped / 60 + 0.5), hours = (long)(capped / 3600 + 0.5);
    if (s < 60) snprintf(words, VIEW_TIME_ROOM, "%ld s", s);
    else if (minutes < 60) snprintf(words, VIEW_TIME_ROOM, "%ld min", minutes);
    else if (minutes < 24 * 60) snprintf(words, VIEW_TIME_ROOM, "%ld h %ld min", minutes / 60, minutes % 60);
    else snprintf(words, VIEW_TIME_ROOM, "%ld d %ld h", hours / 24, hours % 24);
}

const char *view_number(double value, bool with_sign, char words[VIEW_NUMBER_ROOM])
{
    bool small = value != 0 && fabs(value) < 0.001;
    if (with_sign) snprintf(words, VIEW_NUMBER_ROOM, small ? "%+.3g" : "%+.4f", value);
    else snprintf(words, VIEW_NUMBER_ROOM, small ? "%.3g" : "%.4f", value);
    return words;
}

/* Append a text that may come from elsewhere: what would move the cursor becomes a question mark. */
static void add_clean(text *out, const char *words)
{
    for (const unsigned char *c = (const unsigned char *)words; *c; c++) {
        bool control = *c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0);
        text_add_bytes(out, control ? "?" : (const char *)c, 1);
        if (control && *c == 0xc2) c++;
    }
}

static void add_best(text *out, const view_state *s)
{
    if (!s->best || !isfinite(s->best_fitness)) return;
    char words[VIEW_NUMBER_ROOM];
    text_add(out, ", best %s (", view_number(s->best_fitness, false, words));
    if (s->best > 0) text_add(out, "candidate %lld", (long long)s->best);
    else text_add(out, "imported row %lld", -(long long)s->best);
    if (s->best != 1 && isfinite(s->base_fitness))
        text_add(out, ", %s", view_number(s->best_fitness - s->base_fitness, true, words));
    text_add(out, ")");
}

static void add_counts(text *out, const view_state *s)
{
    if (s->failed) text_add(out, ", %lld failed", (long long)s->failed);
    if (s->waiting) text_add(out, ", %lld waiting", (long long)s->waiting);
}

static void add_time_left(text *out, const view *v, const view_state *s, int64_t now_ms)
{
    double left = pace_seconds_left(&v->pace, s->generations, s->attempt_count, now_ms);
    if (isnan(left)) return;
    char words[VIEW_TIME_ROOM];
    view_time(left, words);
    text_add(out, ", about %s left", words);
}

/* ---- plain lines ---- */

static void add_epoch(text *out, const view_attempt *a)
{
    if (!a->epochs) return;
    int64_t epoch = a->epoch < a->epochs ? a->epoch + 1 : a->epochs;
    text_add(out, " epoch %lld/%lld", (long long)epoch, (long long)a->epochs);
}

static void make_plain(view *v, const view_state *s, int64_t now_ms)
{
    text_clear(&v->plain);
    text_clear(&v->happened);
    text_add(&v->plain, "%lld/%lld evaluated", (long long)s->evaluated, (long long)s->generations);
    add_counts(&v->plain, s);
    text_add(&v->plain, ", %zu running", s->attempt_count);
    text_add(&v->happened, "%s", text_string(&v->plain));
    for (size_t i = 0; i < s->attempt_count && i < PLAIN_ATTEMPTS; i++) {
        text_add(&v->plain, i ? ", candidate %lld" : " (candidate %lld", (long long)s->attempts[i].candidate);
        text_add(&v->happened, " %lld", (long long)s->attempts[i].candidate);
        add_epoch(&v->plain, &s->attempts[i]);
    }
    if (s->attempt_count > PLAIN_ATTEMPTS) text_add(&v->plain, ", ...");
    if (s->attempt_count) text_add(&v->plain, ")");
    else if (!s->workers) text_add(&v->plain, ", no worker");
    add_best(&v->plain, s);
    add_best(&v->happened, s);
    if (s->notice) {
        text_add(&v->plain, ", ");
        add_clean(&v->plain, s->notice);
        text_add(&v->happened, "%s", s->notice);
    } else add_time_left(&v->plain, v, s, now_ms);
    text_add(&v->plain, "\n");
}

static void write_plain(view *v, int64_t now_ms)
{
    fputs(text_string(&v->plain), v->to);
    fflush(v->to);
    v->drawn_ms = now_ms;
    text_clear(&v->told);
    text_clear(&v->told_happened);
    text_add(&v->told, "%s", text_string(&v->plain));
    text_add(&v->told_happened, "%s", text_string(&v->happened));
}

static void show_plain(view *v, const view_state *s, int64_t now_ms)
{
    make_plain(v, s, now_ms);
    bool first = v->drawn_ms == INT64_MIN;
    bool happened = strcmp(text_string(&v->happened), text_string(&v->told_happened)) != 0;
    bool changed = strcmp(text_string(&v->plain), text_string(&v->told)) != 0;
    int64_t wait = happened ? PLAIN_LEAST_MS : changed ? PLAIN_MS : PLAIN_UNCHANGED_MS;
    if (first || now_ms - v->drawn_ms >= wait) write_plain(v, now_ms);
}

/* ---- the block ---- */

static void measure(const view *v, int *width, int *height)
{
    struct winsize size = {.ws_col = (unsigned short)v->width, .ws_row = (unsigned short)v->height};
    if (!v->width) ioctl(fileno(v->to), TIOCGWINSZ, &size);
    *width = size.ws_col ? size.ws_col : 80;
    *height = size.ws_row ? size.ws_row : 24;
}

/* Append a line of the block, cut to the width, which counts characters and leaves the last column free: a cursor there would
 * wrap on some terminals. */
static void add_line(view *v, const text *line, int width)
{
    const char *bytes = text_string(line);
    size_t length = 0;
    for (int columns = 0; bytes[length]; length++) {
        bool starts = ((unsigned char)bytes[length] & 0xc0) != 0x80;
        if (starts && ++columns > width - 1) break;
    }
    text_add_bytes(&v->frame, bytes, length);
    text_add(&v->frame, "\033[K\n");
    v->lines++;
}

static void make_headline(const view *v, const view_state *s, int64_t now_ms, text *line)
{
    add_clean(line, s->name ? s->name : "");
    double part = s->generations > 0 ? (double)s->evaluated / (double)s->generations : 1;
    text_add(line, " [");
    for (int i = 0; i < BAR_WIDTH; i++) text_add(line, i < (int)(part * BAR_WIDTH) ? "#" : ".");
    text_add(line, "] %lld/%lld", (long long)s->evaluated, (long long)s->generations);
    add_counts(line, s);
    add_best(line, s);
    add_time_left(line, v, s, now_ms);
}

static void make_attempt(const view_attempt *a, text *line)
{
    text_add(line, "  ");
    add_clean(line, a->worker ? a->worker : "?");
    text_add(line, "/%lld  candidate %lld ", (long long)a->slot, (long long)a->candidate);
    add_epoch(line, a);
    if (!a->epochs) text_add(line, " starting");
    if (a->epochs && a->steps) text_add(line, "  step %lld/%lld", (long long)a->step, (long long)a->steps);
    if (a->epochs && isfinite(a->loss)) text_add(line, "  loss %.4g", a->loss);
    if (a->epochs && a->images_per_s > 0) text_add(line, "  %.3g images/s", a->images_per_s);
    char words[VIEW_TIME_ROOM];
    view_time(a->silent_s, words);
    if (a->silent_s >= SILENT_AFTER_S) text_add(line, "  silent for %s", words);
}

static void make_block(view *v, const view_state *s, int64_t now_ms)
{
    int width, height;
    measure(v, &width, &height);
    text line = {0};
    v->lines = 0;
    make_headline(v, s, now_ms, &line);
    add_line(v, &line, width);
    text_clear(&line);
    if (s->notice) add_clean(&line, s->notice);
    else if (!s->workers && !s->attempt_count) text_add(&line, "waiting for workers");
    if (line.length && height > 3) add_line(v, &line, width);
    /* One row below the block is the cursor's. */
    size_t room = height - 1 > v->lines ? (size_t)(height - 1 - v->lines) : 0, shown = s->attempt_count;
    if (shown > room) shown = room ? room - 1 : 0;
    for (size_t i = 0; i < shown; i++) {
        text_clear(&line);
        make_attempt(&s->attempts[i], &line);
        add_line(v, &line, width);
    }
    if (shown < s->attempt_count && room) {
        text_clear(&line);
        text_add(&line, "  and %zu more", s->attempt_count - shown);
        add_line(v, &line, width);
    }
    text_free(&line);
}

static void write_frame(view *v)
{
    fwrite(text_string(&v->frame), 1, v->frame.length, v->to); /* a view has no use for errors */
    fflush(v->to);
}

static void show_block(view *v, const view_state *s, int64_t now_ms)
{
    if (v->drawn_ms != INT64_MIN && v->lines && now_ms - v->drawn_ms < REDRAW_MS) return;
    text_clear(&v->frame);
    if (v->lines) text_add(&v->frame, "\033[%dA\r", v->lines);
    make_block(v, s, now_ms);
    text_add(&v->frame, "\033[J"); /* what an earlier, longer block left */
    write_frame(v);
    v->drawn_ms = now_ms;
}

/* ---- the view ---- */

status view_create_sized(FILE *to, int width, int height, view **out)
{
    TRY(array_create(out, 1, sizeof **out));
    **out = (view){.to = to, .width = width, .height = height, .terminal = width > 0};
    (*out)->silent = log_get_level() < LEVEL_INFO;
    (*out)->drawn_ms = INT64_MIN;
    (*out)->pace = PACE_START;
    return OK;
}

status view_create(FILE *to, view **out)
{
    TRY(view_create_sized(to, 0, 0, out));
    (*out)->terminal = isatty(fileno(to)) == 1;
    return OK;
}

void view_show(view *v, const view_state *state, int64_t now_ms)
{
    if (v->silent) return;
    pace_note(&v->pace, state->evaluated, now_ms);
    if (v->terminal) show_block(v, state, now_ms);
    else show_plain(v, state, now_ms);
}

void view_hide(view *v)
{
    if (!v->lines) return;
    text_clear(&v->frame);
    text_add(&v->frame, "\033[%dA\r\033[J", v->lines);
    v->lines = 0;
    write_frame(v);
}

void view_destroy(view **v)
{
    if (!*v) return;
    view_hide(*v);
    /* The last thing that happened is not left untold. */
    if ((*v)->plain.length && strcmp(text_string(&(*v)->happened), text_string(&(*v)->told_happened)))
        write_plain(*v, (*v)->drawn_ms);
    text *const texts[] = {&(*v)->frame, &(*v)->plain, &(*v)->happened, &(*v)->told, &(*v)->told_happened};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) text_free(texts[i]);
    free(*v);
    *v = NULL;
}
