/* json.h - reading the keeper's objects without trusting their shape, and writing lines of JSON. */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "sallyport/cleanup.h"

DEFINE_CLEANUP(json_t *, json_decref)

/* The text, number or truth of @key; "" / 0 / false when it is missing, null or of another type. */
const char *json_text(const json_t *object, const char *key);
int64_t json_number(const json_t *object, const char *key);
double json_measure(const json_t *object, const char *key); /* integer or real */
int json_truth(const json_t *object, const char *key);

/* The elements of an array of texts, joined with @between, or @none for an empty or missing one. A
 * malloc'ed text, or NULL without memory. */
char *json_join(const json_t *object, const char *key, const char *between, const char *none);

/* One object, one line. Anything beyond ASCII is written as \uXXXX: safe on every terminal. */
int json_line(FILE *out, const json_t *object); /* 0 or ERR_NOMEM */

/* A text that may hold anything as a JSON text (escaped as prose when it is not valid UTF-8). NULL
 * becomes null. NULL without memory. */
json_t *json_safe(const char *text);
