/* tests/unit/base/check.h - what every cmocka file needs before cmocka.h. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sallyport/cleanup.h"
#include "sallyport/err.h"
