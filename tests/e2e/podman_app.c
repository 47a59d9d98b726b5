/*
 * The program in the containers of tests: a server that answers GETs on PORT, from DELAY_MS after its start
 * (-1: it never listens), on all addresses, or with LOOPBACK=1 on loopback only. EXIT=n: it exits with n.
 * DIES_MS=n: after n ms it prints an error and exits with 7. LINES=n: it first writes n numbers.
 *
 *   /        NAME, and the number of requests to this process
 *   /slow    never answers
 *   /init    the commands that any process has passed to `sh -c` since
 *   /close   prints an error and closes the connection
 *   /end     prints an error and exits
 *
 * As "sh" it stores its command for /init.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOTE "/init-was"

static atomic_uint requests;

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? (int)strtol(text, NULL, 10) : otherwise;
}

/* Like Node. */
static void complain(const char *path)
{
    fprintf(stderr, "TypeError: cannot read %s\n    at main {\n  code: 1\n}\n", path);
}

static void answer(int fd, const char *path)
{
    char body[512] = "none", all[800];
    unsigned count = ++requests;
    if (strcmp(path, "/close") == 0) {
        complain(path);
        shutdown(fd, SHUT_RDWR);
        return;
    }
    if (strcmp(path, "/end") == 0) {
        complain(path);
        _exit(7);
    }
    if (strcmp(path, "/slow") == 0) {
        pause();
    } else if (strcmp(path, "/init") == 0) {
        int note = open(NOTE, O_RDONLY);
        ssize_t n = note >= 0 ? read(note, body, sizeof(body) - 1) : -1;
        if (n > 0)
            body[n] = '\0';
        close(note);
    } else {
        snprintf(body, sizeof(body), "%s %u", getenv("NAME"), count);
    }
    int n =
        snprintf(all, sizeof(all), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    if (send(fd, all, (size_t)n, MSG_NOSIGNAL) != n)
        shutdown(fd, SHUT_RDWR);
}

static void *serve(void *arg)
{
    int fd = (int)(long)arg;
    char head[16384], path[256];
    size_t n = 0;
    ssize_t got;
    while ((got = recv(fd, head + n, sizeof(head) - 1 - n, 0)) > 0) {
        n += (size_t)got;
        head[n] = '\0';
        if (strstr(head, "\r\n\r\n") == NULL)
            continue;
        if (sscanf(head, "%*s %255s", path) == 1)
            answer(fd, path);
        n = 0;
    }
    close(fd);
    return NULL;
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(number("LOOPBACK", 0) ? INADDR_LOOPBACK : INADDR_ANY);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 128) != 0)
        _exit(3);
    return fd;
}

static void end(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

static int be_shell(int argc, char **argv)
{
    int note = open(NOTE, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const char *command = argc > 2 ? argv[2] : "";
    return note >= 0 && write(note, command, strlen(command)) >= 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    size_t n = strlen(argv[0]);
    if (n >= 2 && strcmp(argv[0] + n - 2, "sh") == 0)
        return be_shell(argc, argv);
    signal(SIGTERM, end); /* as the first process of a container it would ignore it */
    for (int i = 1; i <= number("LINES", 0); i++)
        dprintf(1, "%d\n", i);
    int delay = number("DELAY_MS", 0), exit_code = number("EXIT", -1);
    if (exit_code >= 0)
        return exit_code;
    if (number("DIES_MS", -1) >= 0) {
        usleep((useconds_t)number("DIES_MS", 0) * 1000);
        fprintf(stderr, "Error: there is no database\n}\n");
        return 7;
    }
    for (;;) {
        if (delay < 0)
            pause();
        usleep((useconds_t)delay * 1000);
        int fd = listen_on(number("PORT", 3000));
        for (;;) {
            pthread_t thread;
            long conn = accept(fd, NULL, NULL);
            if (conn >= 0 && pthread_create(&thread, NULL, serve, (void *)conn) == 0)
                pthread_detach(thread);
        }
    }
}
