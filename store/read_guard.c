#include "read_guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local sigjmp_buf *volatile active;
static struct sigaction bus_before, segv_before;

void read_guard_fail(void)
{
    if (active != NULL)
        siglongjmp(*active, 1);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code > 0) /* of the kernel, and so of this thread */
        read_guard_fail();
    /* The instruction, or the signal, comes again and finds the former handler. */
    sigaction(number, number == SIGBUS ? &bus_before : &segv_before, NULL);
    if (info->si_code <= 0)
        raise(number);
}

static void install(int number, struct sigaction *before)
{
    /* SA_NODEFER: the jump out of the handler leaves the signal's mask as it is. */
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK},
                     now;
    if (sigaction(number, NULL, &now) == 0 && now.sa_sigaction == on_fault)
        return;
    *before = now;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void read_guard_install(void)
{
    install(SIGBUS, &bus_before);
    install(SIGSEGV, &segv_before);
}

bool read_guard(void (*read)(void *arg), void *arg)
{
    sigjmp_buf here, *volatile outer = active;
    if (sigsetjmp(here, 0) != 0) {
        active = outer;
        return false;
    }
    active = &here;
    read(arg);
    active = outer;
    return true;
}
