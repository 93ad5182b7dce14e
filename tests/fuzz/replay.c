/* tests/fuzz/replay.c - run a fuzz target over its seeds, without a fuzzer.
 *
 * usage: fuzz_NAME FOLDER_OR_FILE...
 * Every file is one input. A folder without any file is a failure: a target needs seeds.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0, got;

	if (!file) {
		perror(path);
		exit(1);
	}
	do {
		uint8_t *more = realloc(data, size + 65536);

		if (!more) {
			perror(path);
			exit(1);
		}
		data = more;
		got = fread(data + size, 1, 65536, file);
		size += got;
	} while (got > 0);
	fclose(file);
	/* An exact copy, so that the sanitizer sees a read past the end. */
	uint8_t *exact = malloc(size ? size : 1);

	if (!exact) {
		perror(path);
		exit(1);
	}
	memcpy(exact, data, size);
	free(data);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return 1;
}

static size_t replay(const char *path)
{
	struct stat st;
	size_t n = 0;

	if (stat(path, &st) != 0) {
		perror(path);
		exit(1);
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);

	DIR *dir = opendir(path);

	if (!dir) {
		perror(path);
		exit(1);
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		char file[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		n += replay_file(file);
	}
	closedir(dir);
	return n;
}

int main(int argc, char **argv)
{
	size_t n = 0;

	for (int i = 1; i < argc; i++)
		n += replay(argv[i]);
	printf("%zu seeds replayed\n", n);
	return n > 0 ? 0 : 1;
}
