#include "common/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "common/text.h"

static atomic_int threshold = LEVEL_INFO;
static const char *_Atomic program_name;
static void (*before_line)(void *state);
static void *before_state;
static pthread_once_t environment_once = PTHREAD_ONCE_INIT;

static void read_environment(void)
{
    static const char *const names[] = {"silent", "error", "warning", "info", "debug"};
    const char *wish = getenv("MENDEL_LOG");
    for (int level = LEVEL_SILENT; wish && level <= LEVEL_DEBUG; level++)
        if (!strcasecmp(wish, names[level])) threshold = level;
}

void log_set_level(log_level level)
{
    pthread_once(&environment_once, read_environment); /* first, so that a later reading does not undo this call */
    if (!getenv("MENDEL_LOG")) threshold = level;
}

log_level log_get_level(void)
{
    pthread_once(&environment_once, read_environment);
    return (log_level)threshold;
}

void log_set_name(const char *name)
{
    program_name = name;
}

void log_set_before(void (*before)(void *state), void *state)
{
    flockfile(stderr);
    before_line = before;
    before_state = state;
    funlockfile(stderr);
}

/* The words of a line; names and sentences in it may come from elsewhere, and must not reach the terminal as they are. The caller
 * frees *longer. */
static char *make_words(const char *format, va_list arguments, char *room, size_t size, char **longer)
{
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(room, size, format, arguments);
    *longer = length >= 0 && (size_t)length >= size ? malloc((size_t)length + 1) : NULL;
    if (*longer) vsnprintf(*longer, (size_t)length + 1, format, again); /* without memory it is cut */
    va_end(again);
    if (length < 0) room[0] = '\0';
    char *words = *longer ? *longer : room;
    text_clean(words, true);
    return words;
}

void log_write(log_level level, const char *format, ...)
{
    if (level > log_get_level()) return;
    const char *name = program_name;
    char room[1024], *longer;
    va_list arguments;
    va_start(arguments, format);
    const char *words = make_words(format, arguments, room, sizeof room, &longer);
    va_end(arguments);
    flockfile(stderr); /* one line is written whole, whoever else writes */
    if (before_line) before_line(before_state);
    if (name) {
        char clock_text[16] = "";
        time_t now = time(NULL);
        struct tm parts;
        if (localtime_r(&now, &parts)) strftime(clock_text, sizeof clock_text, "%H:%M:%S", &parts);
        fprintf(stderr, "%s %s: ", clock_text, name);
    }
    if (level == LEVEL_ERROR) fputs("error: ", stderr);
    if (level == LEVEL_WARNING) fputs("warning: ", stderr);
    fputs(words, stderr);
    fputc('\n', stderr);
    funlockfile(stderr);
    free(longer);
}
