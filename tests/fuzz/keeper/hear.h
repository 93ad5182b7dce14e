/* tests/fuzz/keeper/hear.h - ways into what the keeper does with a process's messages. */
#pragma once

#include "child.h"
#include "compile.h"
#include "verify.h"

void hear_child(struct child *child, struct role_msg *msg);

struct compile *hear_compile_new(void);
void hear_compile(struct compile *c, struct role_msg *msg);
void hear_compile_end(struct compile *c); /* checks what it has kept */

struct verify *hear_verify_new(void);
void hear_verify(struct verify *v, struct role_msg *msg);
void hear_verify_end(struct verify *v); /* checks what it has kept */
