#include "json.h"

#include "sallyport/err.h"
#include "text.h"

const char *json_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t json_number(const json_t *object, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(object, key));
}

double json_measure(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

int json_truth(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

char *json_join(const json_t *object, const char *key, const char *between, const char *none)
{
	const json_t *array = json_object_get(object, key);
	size_t n = json_array_size(array);
	char *joined = NULL;
	size_t len;
	FILE *out = open_memstream(&joined, &len);

	if (!out)
		return NULL;
	if (n == 0)
		fputs(none, out);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(array, i));

		fprintf(out, "%s%s", i > 0 ? between : "", text ? text : "?");
	}
	if (fclose(out) != 0) {
		free(joined);
		return NULL;
	}
	return joined;
}

int json_line(FILE *out, const json_t *object)
{
	if (json_dumpf(object, out, JSON_COMPACT | JSON_ENSURE_ASCII) < 0)
		return ERR_NOMEM;
	putc('\n', out);
	return ERR_OK;
}

json_t *json_safe(const char *text)
{
	CLEANUP(free) char *escaped = NULL;
	json_t *value;

	if (!text)
		return json_null();
	value = json_string(text);
	if (value)
		return value;
	escaped = text_escape(TEXT_PROSE, text);
	return escaped ? json_string(escaped) : NULL;
}
