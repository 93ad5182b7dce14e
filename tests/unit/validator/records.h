/* tests/unit/validator/records.h - messages from records in presentation form, one a line. */
#pragma once

#include "zone.h"

enum { RECORDS_MAX = 100 };

/* Group those lines of @text that are about @name and @type (NULL: all of them), signatures
 * included, in @section. Octets live as long as @world; free the message before. A line that cannot
 * be read fails the test. */
struct val_message *records_message(struct world *world, const char *text, const char *name,
                                    const char *type, uint8_t section);
/* Group @n rows, whose octets the caller keeps. */
struct val_message *records_group(const struct val_row *rows, size_t n);
/* A name in lower case, wire form. */
const uint8_t *records_name(struct world *world, const char *text);
