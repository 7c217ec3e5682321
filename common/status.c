#include "common/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

/* Long enough for two paths and a sentence; a longer one is cut, which loses words and nothing else. */
enum { MESSAGE_ROOM = 4096 };

/* Like errno: the cause belongs to the thread in which it happened. */
static _Thread_local char message[MESSAGE_ROOM];

#define STATUS_AS_TEXT(id, text) text,
static const char *const texts[STATUS_COUNT] = {STATUS_LIST(STATUS_AS_TEXT)};

const char *status_text(status code)
{
    return (unsigned)code < STATUS_COUNT ? texts[code] : "unknown status";
}

const char *status_message(void)
{
    return message;
}

status status_fail(const char *file, int line, status code, const char *format, ...)
{
    char sentence[MESSAGE_ROOM]; /* not straight into message: an argument may be status_message() itself */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    memcpy(message, sentence, sizeof message);
    log_debug("%s:%d: %s (%s)", file, line, message, status_text(code));
    return code;
}

status status_context(status code, const char *format, ...)
{
    char front[MESSAGE_ROOM / 4], whole[MESSAGE_ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(front, sizeof front, format, arguments);
    va_end(arguments);
    int length = snprintf(whole, sizeof whole, "%s: %.*s", front, (int)(MESSAGE_ROOM - sizeof front - 3), message);
    if (length >= 0) memcpy(message, whole, sizeof message);
    return code;
}
