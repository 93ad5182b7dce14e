/* db/area.h - the historian's aggregation area: how large the keeper makes it.
 *
 * The area is shared memory (shm_create) that outlives the historian. Fresh memory is zero and
 * means "empty"; everything else about it is the historian's business (db/backlog.c).
 */
#pragma once

#include <stddef.h>

size_t historian_area_bytes(void);
