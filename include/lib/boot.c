/* include/lib/boot.c - uname(2) and the kernel's boot id. */
#include "sallyport/boot.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

static void read_id(uint8_t ret_id[static 16])
{
	CLEANUP(fd_close) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64];
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	size_t n = 0;

	memset(ret_id, 0, 16);
	for (ssize_t i = 0; i < len && n < 32; i++) {
		unsigned int digit;

		if (text[i] >= '0' && text[i] <= '9')
			digit = (unsigned int)(text[i] - '0');
		else if (text[i] >= 'a' && text[i] <= 'f')
			digit = (unsigned int)(text[i] - 'a') + 10;
		else
			continue;
		ret_id[n / 2] = (uint8_t)((unsigned int)ret_id[n / 2] << 4 | digit);
		n++;
	}
	if (n < 32)
		memset(ret_id, 0, 16);
}

void boot_read(struct boot *ret_boot)
{
	struct utsname name;

	memset(ret_boot, 0, sizeof(*ret_boot)); /* what lies behind the text is compared, too */
	read_id(ret_boot->id);
	if (uname(&name) == 0)
		snprintf(ret_boot->kernel, sizeof(ret_boot->kernel), "%s %s %s", name.release,
		         name.version, name.machine);
}

uint64_t boot_age_ns(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_BOOTTIME, &t); /* fails only on kernels before 2.6.39 */
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}
