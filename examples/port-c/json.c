/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of the port protocol, over the tokens of jsmn. */
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#define JSMN_STATIC
#include <jsmn.h>

#include "json.h"

#include <stdlib.h>
#include <string.h>

static size_t width(const jsmntok_t *token)
{
    return (size_t)(token->end - token->start);
}

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int json_parse(request *asked, const char *line, size_t length)
{
    jsmn_parser parser;
    jsmn_init(&parser);
    asked->text = line;
    asked->count = 0;
    if (memchr(line, 0, length) != NULL)
        return 0;
    asked->count = jsmn_parse(&parser, line, length, asked->tokens, TOKENS);
    if (asked->count < 1 || asked->tokens[0].type != JSMN_OBJECT)
        return 0;
    for (size_t i = (size_t)asked->tokens[0].end; i < length; i++)
        if (!is_space(line[i]))
            return 0;
    for (int i = 1; i < asked->count; i++)
        if (asked->tokens[i].parent == 0 && (asked->tokens[i].type != JSMN_STRING || asked->tokens[i].size != 1))
            return 0;
    return 1;
}

static const jsmntok_t *member(const request *asked, const char *name)
{
    for (int i = 1; i + 1 < asked->count; i++) {
        const jsmntok_t *key = &asked->tokens[i];
        if (key->parent == 0 && width(key) == strlen(name) && memcmp(asked->text + key->start, name, width(key)) == 0)
            return key + 1;
    }
    return NULL;
}

int json_has(const request *asked, const char *name)
{
    return member(asked, name) != NULL;
}

int json_is_text(const request *asked, const char *name)
{
    const jsmntok_t *token = member(asked, name);
    return token != NULL && token->type == JSMN_STRING;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int json_hex(const request *asked, const char *name, uint8_t *out, size_t most, size_t *length)
{
    const jsmntok_t *token = member(asked, name);
    if (token == NULL || token->type != JSMN_STRING || width(token) % 2 != 0 || width(token) / 2 > most)
        return 0;
    *length = width(token) / 2;
    for (size_t i = 0; i < *length; i++) {
        int high = nibble(asked->text[token->start + (int)(2 * i)]), low = nibble(asked->text[token->start + (int)(2 * i) + 1]);
        if (high < 0 || low < 0)
            return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 1;
}

/* Args: text: four digits that the parser has seen, of either case. */
static uint32_t code_unit(const char *text)
{
    uint32_t value = 0;
    for (size_t i = 0; i < 4; i++)
        value = value << 4 | (uint32_t)nibble((char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] + 32 : text[i]));
    return value;
}

static size_t put_utf8(uint8_t *out, uint32_t point)
{
    size_t more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (uint8_t)(lead[more] | point >> 6 * more);
    for (size_t i = 1; i <= more; i++)
        out[i] = (uint8_t)(0x80 | (point >> 6 * (more - i) & 0x3f));
    return more + 1;
}

int json_text(const request *asked, const char *name, uint8_t *out, size_t most, size_t *length)
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const jsmntok_t *token = member(asked, name);
    const char *text, *end;
    if (token == NULL || token->type != JSMN_STRING)
        return 0;
    text = asked->text + token->start;
    end = asked->text + token->end;
    for (*length = 0; text < end;) {
        uint32_t point = (uint8_t)*text++;
        if (*length + 4 > most || point < 0x20)
            return 0;
        if (point != '\\') {
            out[(*length)++] = (uint8_t)point;
        } else if (*text == 'u') {
            point = code_unit(text + 1);
            text += 5;
            if (point >= 0xd800 && point < 0xdc00 && end - text >= 6 && text[0] == '\\' && text[1] == 'u') {
                uint32_t second = code_unit(text + 2);
                if (second < 0xdc00 || second > 0xdfff)
                    return 0;
                point = 0x10000 + ((point - 0xd800) << 10) + (second - 0xdc00);
                text += 6;
            }
            *length += put_utf8(out + *length, point);
        } else {
            out[(*length)++] = (uint8_t)meant[strchr(escapes, *text++) - escapes];
        }
    }
    return 1;
}

int json_micros(const request *asked, const char *name, double most, uint64_t *out)
{
    const jsmntok_t *token = member(asked, name);
    char text[40], *end;
    double seconds;
    if (token == NULL || token->type != JSMN_PRIMITIVE || width(token) >= sizeof text)
        return 0;
    memcpy(text, asked->text + token->start, width(token));
    text[width(token)] = 0;
    if (strspn(text, "+-.0123456789eE") != width(token))
        return 0;
    seconds = strtod(text, &end);
    if (*end != 0 || !(seconds >= 0 && seconds <= most))
        return 0;
    *out = (uint64_t)seconds * 1000000;
    *out += (uint64_t)((seconds - (double)(uint64_t)seconds) * 1e6);
    return 1;
}

int json_bool(const request *asked, const char *name, int *out)
{
    const jsmntok_t *token = member(asked, name);
    const char *text = token == NULL ? "" : asked->text + token->start;
    if (token == NULL || token->type != JSMN_PRIMITIVE)
        return 0;
    *out = width(token) == 4 && memcmp(text, "true", 4) == 0;
    return *out || (width(token) == 5 && memcmp(text, "false", 5) == 0);
}

const char *json_id(const request *asked, size_t *length)
{
    const jsmntok_t *token = member(asked, "id");
    const char *text = token == NULL ? "" : asked->text + token->start;
    if (token == NULL || token->type != JSMN_PRIMITIVE || width(token) > 18)
        return NULL;
    *length = width(token);
    for (size_t i = 0; i < *length; i++)
        if (text[i] < '0' || text[i] > '9')
            return NULL;
    return text;
}

void put_bytes(answer *out, const char *text, size_t length)
{
    if (length > sizeof out->text - out->length) {
        out->overflow = 1;
        return;
    }
    memcpy(out->text + out->length, text, length);
    out->length += length;
}

void put(answer *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

static void put_hex(answer *out, const uint8_t *data, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        char two[2] = {digits[data[i] >> 4], digits[data[i] & 15]};
        put_bytes(out, two, sizeof two);
    }
}

static void put_number(answer *out, uint64_t value)
{
    char text[20];
    size_t i = sizeof text;
    do
        text[--i] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    put_bytes(out, text + i, sizeof text - i);
}

void put_count(answer *out, const char *before, uint64_t value)
{
    put(out, before);
    put_number(out, value);
}

void put_member(answer *out, const char *before, const uint8_t *data, size_t length)
{
    put(out, before);
    put(out, "\"");
    put_hex(out, data, length);
    put(out, "\"");
}
