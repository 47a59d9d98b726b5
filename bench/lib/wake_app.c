/*
 * The app in the boxes of bench/wake. It answers every request with times in nanoseconds of CLOCK_MONOTONIC,
 * which all processes of a machine share: of its start, of the start of listening, and of its last thaw. It
 * listens on PORT of all addresses, DELAY_MS after its start. With ONLY_BEGIN it prints the time of its start
 * and ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t began, listening;
static _Atomic int64_t thawed;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static long number(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

/* A tick that was due while the process was frozen comes at the thaw: a tick that is late by half a tick
 * marks a thaw. */
static void *watch(void *arg)
{
    const int64_t tick = number("TICK_MS", 200) * 1000000;
    (void)arg;
    for (;;) {
        int64_t due = now_ns() + tick;
        const struct timespec at = {due / 1000000000, due % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
            ;
        int64_t now = now_ns();
        if (now - due > tick / 2)
            thawed = now;
    }
    return NULL;
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char head[16384], answer[256];
    size_t n = 0;
    ssize_t got;
    while ((got = recv(fd, head + n, sizeof(head) - 1 - n, 0)) > 0) {
        n += (size_t)got;
        head[n] = '\0';
        if (strstr(head, "\r\n\r\n") == NULL)
            continue;
        n = 0;
        char body[128];
        snprintf(body, sizeof(body), "{\"began\":%lld,\"listening\":%lld,\"thawed\":%lld}", (long long)began,
                 (long long)listening, (long long)thawed);
        int len = snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                           strlen(body), body);
        if (send(fd, answer, (size_t)len, MSG_NOSIGNAL) != len)
            break;
    }
    close(fd);
    return NULL;
}

static void end(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

int main(void)
{
    began = now_ns();
    if (getenv("ONLY_BEGIN") != NULL)
        return printf("%lld\n", (long long)began) > 0 ? 0 : 1;
    signal(SIGTERM, end); /* as the first process of a container it would ignore it */
    usleep((useconds_t)number("DELAY_MS", 0) * 1000);
    const int on = 1;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)number("PORT", 3000))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 128) != 0) {
        perror("listen");
        return 1;
    }
    listening = now_ns();
    pthread_t thread;
    pthread_create(&thread, NULL, watch, NULL);
    for (;;) {
        intptr_t conn = accept(fd, NULL, NULL);
        if (conn >= 0 && pthread_create(&thread, NULL, serve, (void *)conn) == 0)
            pthread_detach(thread);
    }
}
