/* SPDX-License-Identifier: Apache-2.0 */
/* Lines over stdio, a serial line or TCP. */
#ifndef LINES_H
#define LINES_H

#include <stddef.h>

typedef struct {
    int in, out, listening; /* listening: -1, or where the next connection comes from */
    size_t begin, end;
    char data[4096];
} lines;

/* Args: where: NULL: stdio; tcp://127.0.0.1:PORT, to listen there (0: at a free port, told on stderr); else a tty.
 * Returns 0 if it failed. */
int lines_open(lines *from, const char *where);
/* One line without its newline. Returns its length, -1 at the end, -2 if it is longer than `most` and was skipped. */
long lines_read(lines *from, char *out, size_t most);
int lines_write(lines *to, const char *data, size_t length);

#endif
