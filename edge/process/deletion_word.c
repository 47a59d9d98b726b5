#include "deletion_word.h"

#include <string.h>

#include <jansson.h>

/* Any other state (an error, one that is about to end) leaves open whether the box keeps its address. */
static bool lives(const char *status)
{
    static const char *const living[] = {"creating", "idle", "running", "paused", "stopped"};
    for (size_t i = 0; i < sizeof(living) / sizeof(living[0]); i++)
        if (strcmp(status, living[i]) == 0)
            return true;
    return false;
}

static deletion_word_t read_box(str_t id, str_t body)
{
    json_t *box = json_loadb(body.p != NULL ? body.p : "", body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(box, "id"));
    const char *status = json_string_value(json_object_get(box, "status"));
    deletion_word_t word = DELETION_WORD_NONE;
    if (name != NULL && status != NULL && str_eq(str_from(name), id)) {
        if (strcmp(status, "deleted") == 0)
            word = DELETION_WORD_GONE;
        else if (lives(status))
            word = DELETION_WORD_THERE;
    }
    json_decref(box);
    return word;
}

deletion_word_t deletion_word(str_t id, int status, str_t body)
{
    if (status == 200)
        return read_box(id, body);
    if (status == 404 || status == 410)
        return DELETION_WORD_GONE;
    bool refused = status == 0 || status == 401 || status == 403 || status == 429 || status >= 500;
    return refused ? DELETION_WORD_REFUSED : DELETION_WORD_NONE;
}
