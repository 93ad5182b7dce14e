/* tests/fuzz/fyaml.h - libfyaml 0.7 loses a block of 4 KiB on some inputs with a fault (seed
 * policy_text/fyaml-leak). Who parses policies ends right afterwards, and the keeper reads its
 * configuration seldom, so we live with it: leaks of the library's own are not reported. Ours are.
 */
#pragma once

const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so\n";
}
