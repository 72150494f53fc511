/* SPDX-License-Identifier: Apache-2.0 */
/* One request and one answer of the port protocol, in buffers of fixed size. */
#ifndef JSON_H
#define JSON_H

#include <stddef.h>
#include <stdint.h>

#define JSMN_HEADER
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#define LINE_MAX_LENGTH 8192 /* of a request, its newline included */
#define TOKENS 192
#define ANSWER 4096

typedef struct {
    const char *text;
    int count; /* of tokens */
    jsmntok_t tokens[TOKENS];
} request;

/* Parse one line without its newline. Returns 0 if it is no JSON object. */
int json_parse(request *asked, const char *line, size_t length);
/* Each returns 0 if the member is missing or is none such. */
int json_text(const request *asked, const char *name, uint8_t *out, size_t most, size_t *length); /* UTF-8 */
int json_hex(const request *asked, const char *name, uint8_t *out, size_t most, size_t *length);  /* lower case */
/* Args: most: seconds. out: microseconds. */
int json_micros(const request *asked, const char *name, double most, uint64_t *out);
int json_bool(const request *asked, const char *name, int *out);
/* The id as it stands there, a whole number; NULL: there is none. */
const char *json_id(const request *asked, size_t *length);
int json_is_text(const request *asked, const char *name);
int json_has(const request *asked, const char *name);

typedef struct {
    size_t length;
    int overflow;
    char text[ANSWER];
} answer;

void put(answer *out, const char *text);
void put_bytes(answer *out, const char *text, size_t length);
/* Args: before: the name of the member and what stands around it. */
void put_count(answer *out, const char *before, uint64_t value);
void put_member(answer *out, const char *before, const uint8_t *data, size_t length); /* in hexadecimal */

#endif
