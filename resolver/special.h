/* resolver/special.h - special-use names: see sallyport/special.h, which the keeper's `explain` and
 * its judging of the ledger share.
 */
#pragma once

#include "sallyport/special.h"
