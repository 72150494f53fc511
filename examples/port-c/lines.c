/* SPDX-License-Identifier: Apache-2.0 */
/* Lines over stdio, a serial line or TCP. */
#define _POSIX_C_SOURCE 200809L
#include "lines.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

static int accept_next(lines *from)
{
    if (from->in >= 0)
        close(from->in);
    from->in = from->out = accept(from->listening, NULL, NULL);
    from->begin = from->end = 0;
    return from->in >= 0;
}

static int listen_at(lines *from, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int on = 1;
    address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    from->in = -1;
    from->listening = socket(AF_INET, SOCK_STREAM, 0);
    if (from->listening < 0 || setsockopt(from->listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return 0;
    if (bind(from->listening, (struct sockaddr *)&address, sizeof address) != 0 || listen(from->listening, 1) != 0)
        return 0;
    if (getsockname(from->listening, (struct sockaddr *)&address, &length) != 0)
        return 0;
    fprintf(stderr, "listening at tcp://127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    return accept_next(from);
}

static int open_tty(lines *from, const char *path)
{
    struct termios settings;
    from->in = from->out = open(path, O_RDWR | O_NOCTTY);
    if (from->in < 0 || tcgetattr(from->in, &settings) != 0)
        return 0;
    settings.c_iflag = 0;
    settings.c_oflag = 0;
    settings.c_lflag = 0;
    settings.c_cflag = CS8 | CREAD | CLOCAL;
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    cfsetispeed(&settings, B115200);
    cfsetospeed(&settings, B115200);
    if (tcsetattr(from->in, TCSANOW, &settings) != 0)
        return 0;
    fprintf(stderr, "serving %s\n", path);
    return 1;
}

int lines_open(lines *from, const char *where)
{
    static const char tcp[] = "tcp://127.0.0.1:";
    memset(from, 0, sizeof *from);
    from->out = 1;
    from->listening = -1;
    if (where == NULL)
        return 1;
    if (strncmp(where, tcp, sizeof tcp - 1) == 0)
        return listen_at(from, where + sizeof tcp - 1);
    return open_tty(from, where);
}

static int fill(lines *from)
{
    ssize_t length;
    do
        length = read(from->in, from->data, sizeof from->data);
    while (length < 0 && errno == EINTR);
    from->begin = 0;
    from->end = length > 0 ? (size_t)length : 0;
    return length > 0;
}

long lines_read(lines *from, char *out, size_t most)
{
    size_t length = 0;
    for (;;) {
        if (from->begin == from->end && !fill(from)) {
            if (from->listening < 0 || !accept_next(from))
                return -1;
            length = 0;
            continue;
        }
        char c = from->data[from->begin++];
        if (c == '\n')
            return length > most ? -2 : (long)length;
        if (length < most)
            out[length] = c;
        length += length <= most;
    }
}

int lines_write(lines *to, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t written = write(to->out, data, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return to->listening >= 0; /* the next connection is another */
        data += written;
        length -= (size_t)written;
    }
    return 1;
}
