/*
 * "<label> <resume_ms> <listen_ms> <retry_after_ms> <sentence>": the sentence is the rest, and may
 * be empty.
 */
#include "wake_message.h"

#include <assert.h>
#include <stdio.h>

size_t wake_answer_write(const wake_answer_t *answer, char out[WAKE_ANSWER_BYTES])
{
    int n = snprintf(out, WAKE_ANSWER_BYTES, "%s %u %u %u %s", answer->label, answer->resume_ms,
                     answer->listen_ms, answer->retry_after_ms, answer->sentence);
    assert(n > 0 && n < WAKE_ANSWER_BYTES);
    for (int i = 0; i < n; i++)
        if (out[i] == WAKE_SENTENCE_OUTPUT)
            continue;
        else if ((unsigned char)out[i] < 0x20 || (unsigned char)out[i] == 0x7f)
            out[i] = ' ';
        else if ((unsigned char)out[i] >= 0x80)
            out[i] = '?';
    return (size_t)n;
}

/* Takes the text before the next space. Returns false without a space. */
static bool take_word(str_t *rest, str_t *word)
{
    const char *space = memchr(rest->p, ' ', rest->n);
    if (space == NULL)
        return false;
    *word = str_make(rest->p, (size_t)(space - rest->p));
    *rest = str_from_offset(*rest, word->n + 1);
    return true;
}

static bool take_number(str_t *rest, uint32_t *number)
{
    str_t word;
    if (!take_word(rest, &word) || word.n == 0 || word.n > 10)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] < '0' || word.p[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(word.p[i] - '0');
    }
    *number = (uint32_t)value;
    return value <= UINT32_MAX;
}

bool wake_answer_read(str_t bytes, wake_answer_t *out)
{
    str_t label;
    *out = (wake_answer_t){.resume_ms = 0};
    if (bytes.n == 0 || !take_word(&bytes, &label) || label.n == 0 || label.n > WAKE_LABEL_MAX)
        return false;
    if (!take_number(&bytes, &out->resume_ms) || !take_number(&bytes, &out->listen_ms) ||
        !take_number(&bytes, &out->retry_after_ms) || bytes.n > WAKE_SENTENCE_MAX)
        return false;
    memcpy(out->label, label.p, label.n);
    memcpy(out->sentence, bytes.p, bytes.n);
    return true;
}
