/* status_link.h: the end of the command after a time without a request of the page.
 * tests/e2e/test_status_page.py has the rest. */
#include "status_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_MS 1000

/* A browser in a thread of its own: what the command printed, and its requests. */
typedef struct browser {
    pthread_t thread;
    int printed; /* the command's stdout */
    in_port_t port;
    char link[64]; /* "/open/..." */
    unsigned refused, pages;
    bool signs_in;
} browser_t;

/* Returns the status of a GET, 0 if nobody listens any more. `cookie`: of the session. */
static int get(const browser_t *browser, const char *target, char cookie[128])
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = browser->port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[4096] = "";
    int status = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int n = snprintf(text, sizeof(text),
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n%s%s\r\n\r\n", target,
                     ntohs(browser->port), *cookie != '\0' ? "Cookie: " : "X: y", cookie);
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
        send(fd, text, (size_t)n, MSG_NOSIGNAL) == n) {
        size_t len = 0;
        for (ssize_t got = 1; got > 0 && len<sizeof(text) - 1; len += got> 0 ? (size_t)got : 0)
            got = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        text[len] = '\0';
        (void)sscanf(text, "HTTP/1.1 %d", &status);
        const char *set = strcasestr(text, "set-cookie: ");
        if (set != NULL)
            (void)sscanf(set + strlen("set-cookie: "), "%127[^;\r]", cookie);
    }
    close(fd);
    return status;
}

static void *browse(void *arg)
{
    browser_t *browser = arg;
    char text[1024] = "", session[128] = "", none[128] = "";
    unsigned port = 0;
    for (size_t len = 0; strchr(text, '\n') == NULL;) {
        ssize_t got = read(browser->printed, text + len, sizeof(text) - 1 - len);
        if (got <= 0)
            return NULL;
        text[len += (size_t)got] = '\0';
    }
    (void)sscanf(text, "http://127.0.0.1:%u%63s", &port, browser->link);
    browser->port = htons((in_port_t)port);
    if (browser->signs_in && get(browser, browser->link, session) == 303)
        browser->pages += get(browser, "/status", session) == 200;
    for (int status = 1; status != 0;) {
        status = get(browser, "/status", none);
        browser->refused += status == 403;
    }
    return NULL;
}

/* Runs the command until it ends by itself. */
static browser_t run(bool signs_in)
{
    browser_t browser = {.signs_in = signs_in};
    int ends[2], out = dup(STDOUT_FILENO);
    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    assert_true(dup2(ends[1], STDOUT_FILENO) >= 0);
    close(ends[1]);
    browser.printed = ends[0];
    assert_int_equal(pthread_create(&browser.thread, NULL, browse, &browser), 0);
    bool served = status_link_serve("status", "/nonexistent/admin.sock", IDLE_MS);
    fflush(stdout);
    assert_true(dup2(out, STDOUT_FILENO) >= 0);
    close(out);
    assert_int_equal(pthread_join(browser.thread, NULL), 0);
    close(ends[0]);
    assert_true(served);
    return browser;
}

/* ---- tests ---- */

/* Whoever has no session, and asks again and again, does not keep it open. */
static void it_ends_without_a_request_of_the_page(void **state)
{
    (void)state;
    browser_t browser = run(false);
    assert_int_equal(strncmp(browser.link, "/open/", 6), 0);
    assert_true(browser.refused > 0);
}

static void it_ends_after_the_last_request_of_the_page(void **state)
{
    (void)state;
    browser_t browser = run(true);
    assert_int_equal(browser.pages, 1);
    assert_true(browser.refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_ends_without_a_request_of_the_page),
        cmocka_unit_test(it_ends_after_the_last_request_of_the_page),
    };
    sigset_t set; /* its end is a SIGTERM, which no thread of the test may take */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
