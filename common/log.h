/* log.h - lines for people, on standard error.
 *
 * One line an event: "12:31:07 worker: lost the coordinator, training on". Results that a program is asked for go to
 * standard output instead. The level and the name are the process's. Thread safe. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

/* Not LOG_...: those are syslog.h's. */
typedef enum { LEVEL_SILENT, LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG } log_level;

/* Which lines are written (default LEVEL_INFO; the environment's MENDEL_LOG=debug|info|warning|error|silent wins). */
void log_set_level(log_level level);
log_level log_get_level(void);

/* Name in front of each line, with the time; NULL (default) writes bare lines, as `train` does for its user.
 * Borrowed: a string literal. */
void log_set_name(const char *name);

/* Called before each line is written, to clear a status block off the terminal; NULL: nothing (default). From the thread that
 * logs. */
void log_set_before(void (*before)(void *state), void *state);

void log_write(log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LEVEL_DEBUG, __VA_ARGS__)

#endif
