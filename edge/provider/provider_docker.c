#include "provider_docker.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "docker_internal.h"
#include "list.h"

static docker_t *docker_of(provider_t *provider)
{
    return CONTAINER_OF(docker_t, provider, provider);
}

static void on_task(loop_task_t *task)
{
    docker_t *docker = CONTAINER_OF(docker_t, task, task);
    while (!list_is_empty(&docker->todo)) {
        docker_box_t *box = CONTAINER_OF(docker_box_t, link, docker->todo.next);
        list_unlink(&box->link);
        docker_reading_work(box);
        docker_resume_work(box);
    }
}

static void resume(provider_t *provider, str_t id)
{
    docker_box_t *box = docker_add_box(docker_of(provider), id);
    assert(box->resume == RESUME_NONE);
    box->resume = RESUME_NEW;
    docker_put_off(box);
}

static void pause_box(provider_t *provider, str_t id)
{
    docker_box_t *box = docker_find_box(docker_of(provider), id);
    if (box != NULL)
        docker_pause(box);
}

static void look(provider_t *provider, str_t id)
{
    docker_box_t *box = docker_add_box(docker_of(provider), id);
    if (box->chosen != NULL) {
        docker_inspect(box->chosen, false);
        return;
    }
    box->look = true;
    docker_put_off(box);
}

static bool request(provider_t *provider, str_t id, provider_question_t *question, bool is_line)
{
    docker_box_t *box = docker_find_box(docker_of(provider), id);
    return box != NULL && docker_reading_request(box, question, is_line);
}

static bool line(provider_t *provider, str_t id, provider_question_t *question)
{
    return request(provider, id, question, true);
}

static bool container_log(provider_t *provider, str_t id, provider_question_t *question)
{
    return request(provider, id, question, false);
}

static void forget(provider_t *provider, provider_question_t *question)
{
    assert(question->provider == NULL || question->provider == provider);
    docker_reading_forget(question);
}

static void set_conf(provider_t *provider, const conf_t *conf)
{
    docker_t *docker = docker_of(provider);
    bool same = strcmp(docker->label, conf->docker.label) == 0 && docker->idle_ms == conf->docker.idle &&
                strcmp(docker_engine_socket(docker->engine), conf->docker.socket) == 0;
    if (same || conf->docker.socket[0] == '\0') /* without a socket, the provider is about to be freed */
        return;
    free(docker->label);
    docker->label = docker_text("%s", conf->docker.label);
    docker->idle_ms = conf->docker.idle;
    docker_engine_set_socket(docker->engine, conf->docker.socket);
    docker_sync_restart(docker);
}

static void free_provider(provider_t *provider)
{
    docker_t *docker = docker_of(provider);
    docker_sync_stop(docker);
    docker_free_boxes(docker);
    docker_engine_free(&docker->engine);
    docker_lines_free(&docker->lines);
    loop_undefer(&docker->task);
    free(docker->label);
    free(docker);
}

provider_t *provider_docker_new(loop_t *loop, fetcher_t *fetcher, const conf_t *conf,
                                const provider_handlers_t *handlers, void *owner)
{
    assert(conf->docker.socket[0] != '\0');
    docker_t *docker = mem_alloc(sizeof(*docker));
    *docker = (docker_t){
        .provider = {.kind = PROVIDER_DOCKER,
                     .handlers = handlers,
                     .owner = owner,
                     .resume = resume,
                     .pause = pause_box,
                     .look = look,
                     .line = line,
                     .log = container_log,
                     .forget = forget,
                     .set_conf = set_conf,
                     .free = free_provider},
        .loop = loop,
        .entries = NAME_MAP(docker_entry_t, id),
        .boxes = NAME_MAP(docker_box_t, id),
        .fetcher = fetcher,
        .engine = docker_engine_new(fetcher, conf->docker.socket),
        .label = docker_text("%s", conf->docker.label),
        .idle_ms = conf->docker.idle,
        .task = {.run = on_task},
        .lines = docker_lines_new(),
        .random = loop_precise_us() | 1,
    };
    list_init(&docker->todo);
    docker_sync_restart(docker);
    return &docker->provider;
}
