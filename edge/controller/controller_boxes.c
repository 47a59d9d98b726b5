/* Writes the static provider's boxes to the volatile store. */
#include <assert.h>

#include "address.h"
#include "controller.h"

/* The boxes of the store that the configuration lacks, and its highest generation. */
typedef struct survey {
    const conf_t *conf;
    const conf_box_t **by_id; /* the configuration's boxes, sorted by id */
    uint64_t last_generation;
    size_t gone_count;
    size_t gone_capacity;
    char (*gone)[BOX_ID_MAX + 1];
} survey_t;

static int compare_boxes(const void *a, const void *b)
{
    const conf_box_t *const *x = a;
    const conf_box_t *const *y = b;
    return strcmp((*x)->id, (*y)->id);
}

static int compare_id(const void *id, const void *box)
{
    const conf_box_t *const *b = box;
    return strcmp(id, (*b)->id);
}

static bool survey_box(const store_box_t *box, void *arg)
{
    survey_t *survey = arg;
    if (box->generation > survey->last_generation)
        survey->last_generation = box->generation;
    if (box->provider != PROVIDER_STATIC)
        return true;
    if (survey->conf->box_count != 0 &&
        bsearch(box->id, survey->by_id, survey->conf->box_count, sizeof *survey->by_id, compare_id) != NULL)
        return true;
    if (survey->gone_count == survey->gone_capacity) {
        survey->gone_capacity = survey->gone_capacity != 0 ? survey->gone_capacity * 2 : 16;
        survey->gone = realloc(survey->gone, survey->gone_capacity * sizeof *survey->gone);
        assert(survey->gone != NULL);
    }
    memcpy(survey->gone[survey->gone_count++], box->id, sizeof box->id);
    return true;
}

/* Sets the box's address, IPv4 as mapped IPv6, and port. */
static void take_address(store_box_t *box, const conf_address_t *address)
{
    bool taken = address_take((const struct sockaddr *)&address->sa, &box->address, &box->fixed_port);
    assert(taken);
}

static bool same_place(const store_box_t *a, const store_box_t *b)
{
    return a->provider == b->provider && a->state == b->state && a->fixed_port == b->fixed_port &&
           memcmp(&a->address, &b->address, sizeof a->address) == 0 && a->port_count == b->port_count &&
           memcmp(a->ports, b->ports, sizeof a->ports) == 0;
}

/* Writes the box unless the store has it already. */
static store_result_t put_box(store_t *store, const conf_box_t *conf_box, uint64_t *last_generation,
                              bool *changed)
{
    store_box_t box = {.state = BOX_RUNNING};
    store_box_t old;
    memcpy(box.id, conf_box->id, sizeof box.id);
    take_address(&box, &conf_box->address);
    assert(conf_box->port_count <= STORE_BOX_PORTS_MAX);
    for (size_t i = 0; i < conf_box->port_count; i++)
        box.ports[box.port_count++] = conf_box->ports[i];
    store_result_t result = store_get_box(store, str_from(box.id), &old);
    if (result == STORE_OK && same_place(&old, &box))
        return STORE_OK;
    /* An unreadable record (of another version of the edge) is written anew. */
    box.generation = ++*last_generation;
    *changed = true;
    return store_put_box(store, &box);
}

static store_result_t put_all(store_t *store, survey_t *survey, uint64_t now_us, bool *changed)
{
    uint64_t last = survey->last_generation > now_us ? survey->last_generation : now_us;
    for (size_t i = 0; i < survey->conf->box_count; i++) {
        store_result_t result = put_box(store, &survey->conf->boxes[i], &last, changed);
        if (result != STORE_OK)
            return result;
    }
    for (size_t i = 0; i < survey->gone_count; i++) {
        *changed = true;
        store_result_t result = store_delete_box(store, str_from(survey->gone[i]));
        if (result != STORE_OK && result != STORE_NOT_FOUND)
            return result;
    }
    return STORE_OK;
}

store_result_t controller_put_boxes(store_t *store, const conf_t *conf, uint64_t now_us, bool *changed)
{
    *changed = false;
    survey_t survey = {.conf = conf, .by_id = calloc(conf->box_count + 1, sizeof *survey.by_id)};
    assert(survey.by_id != NULL);
    for (size_t i = 0; i < conf->box_count; i++)
        survey.by_id[i] = &conf->boxes[i];
    qsort(survey.by_id, conf->box_count, sizeof *survey.by_id, compare_boxes);
    store_result_t result = store_each_box(store, survey_box, &survey);
    if (result == STORE_OK || result == STORE_NOT_FOUND)
        result = put_all(store, &survey, now_us, changed);
    free(survey.by_id);
    free(survey.gone);
    return result;
}
