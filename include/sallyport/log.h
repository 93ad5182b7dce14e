/* sallyport/log.h - one line an event, to stderr, key=value.
 *
 *     level=info role=resolver tag=upstream msg="back after 3 failures" server=192.0.2.53
 *
 * A line starts with "<N>" (syslog priority) when stderr is the journal (JOURNAL_STREAM is set).
 * With log_init(role, LOG_FORM_JSON) each line is a JSON object instead. Lines over
 * LIMIT_LOG_PER_SECOND are dropped and counted; the next line that passes says how many.
 * Values are escaped, so that nothing from the network can write to a terminal.
 */
#pragma once

#include "sallyport/cleanup.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_form { LOG_FORM_KEYVALUE, LOG_FORM_JSON };

/* Call once, before any thread starts. @role is borrowed for ever. */
void log_init(const char *role, enum log_form form, enum log_level level);

/* @tag: the part that speaks ("upstream"). @fmt makes the message; keys go in as "msg key=value"
 * through log_kv(). Thread-safe: one write(2) a line. */
void log_msg(enum log_level level, const char *tag, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same with one key and value beside the message, for names and addresses from outside. */
void log_kv(enum log_level level, const char *tag, const char *key, const char *value,
            const char *fmt, ...) PRINTF_LIKE(5, 6);

#define log_error(tag, ...) log_msg(LOG_LEVEL_ERROR, tag, __VA_ARGS__)
#define log_warning(tag, ...) log_msg(LOG_LEVEL_WARNING, tag, __VA_ARGS__)
#define log_info(tag, ...) log_msg(LOG_LEVEL_INFO, tag, __VA_ARGS__)
#define log_debug(tag, ...) log_msg(LOG_LEVEL_DEBUG, tag, __VA_ARGS__)
