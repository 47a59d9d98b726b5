#include "crash.h"

#include <elf.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log_entry.h"
#include "logger.h"

#define FRAMES_MAX  64
#define MODULES_MAX 48
#define NAME_MAX    48
#define STACK_BYTES 65536

/* A loaded file: the program or a library. */
typedef struct module {
    char name[NAME_MAX];
    uintptr_t base, end;
} module_t;

static struct {
    const char *process;
    crash_detail_t detail;
    void *arg;
    module_t modules[MODULES_MAX]; /* the program is the first */
    size_t module_count;
    char build_id[41]; /* of the program, in hex; empty: it has none */
} crash;

/* Signals that a fault of the program raises. The sanitizers report all but abort by themselves. */
static const int signals[] = {
    SIGABRT,
#ifndef BOXEDGE_ASAN
    SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS,
#endif
};

/* ---- lines ---- */

void crash_line_text(crash_line_t *line, const char *text)
{
    while (*text != '\0' && line->len < CRASH_LINE_MAX - 1)
        line->text[line->len++] = *text++;
}

void crash_line_number(crash_line_t *line, uint64_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof(digits);
    digits[--at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    if (base == 16)
        crash_line_text(line, "0x");
    crash_line_text(line, digits + at);
}

void crash_line_begin(crash_line_t *line)
{
    line->len = log_head(line->text, LOG_CRASH, crash.process);
    crash_line_text(line, "crash: ");
}

void crash_line_end(crash_line_t *line)
{
    line->text[line->len++] = '\n';
    if (write(STDERR_FILENO, line->text, line->len) < 0)
        logger_lost_line();
}

/* ---- the handler ---- */

static void write_signal(int signal, const siginfo_t *info)
{
    crash_line_t line;
    crash_line_begin(&line);
    crash_line_text(&line, "signal SIG");
    const char *name = sigabbrev_np(signal);
    crash_line_text(&line, name != NULL ? name : "?");
    if (info->si_code > 0 && signal != SIGABRT) {
        crash_line_text(&line, " at address ");
        crash_line_number(&line, (uintptr_t)info->si_addr, 16);
    }
    crash_line_text(&line, ", build id ");
    crash_line_text(&line, crash.build_id[0] != '\0' ? crash.build_id : "unknown");
    crash_line_end(&line);
}

static const module_t *module_of(uintptr_t address)
{
    for (size_t i = 0; i < crash.module_count; i++)
        if (address >= crash.modules[i].base && address < crash.modules[i].end)
            return &crash.modules[i];
    return NULL;
}

static void write_frame(uintptr_t address)
{
    crash_line_t line;
    const module_t *module = module_of(address);
    crash_line_begin(&line);
    crash_line_text(&line, "in ");
    crash_line_text(&line, module != NULL ? module->name : "?");
    crash_line_text(&line, " ");
    crash_line_number(&line, module != NULL ? address - module->base : address, 16);
    crash_line_end(&line);
}

static void on_crash(int signal, siginfo_t *info, void *context)
{
    (void)context;
    void *frames[FRAMES_MAX];
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)sigaction(signals[i], &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    write_signal(signal, info);
    int count = backtrace(frames, FRAMES_MAX);
    for (int i = 1; i < count; i++) /* the first is this function */
        write_frame((uintptr_t)frames[i]);
    if (crash.detail != NULL)
        crash.detail(crash.arg);
    /* A fault now happens again and ends the process. A signal that was sent does not. */
    if (info->si_code <= 0 && raise(signal) != 0)
        _exit(128 + signal);
}

/* ---- preparation: no call here is safe in the handler ---- */

static void read_build_id(const struct dl_phdr_info *info, const ElfW(Phdr) * header)
{
    const char *at = (const char *)(info->dlpi_addr + header->p_vaddr), *end = at + header->p_memsz;
    while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)at;
        const unsigned char *name = (const unsigned char *)(note + 1);
        const unsigned char *id = name + ((note->n_namesz + 3u) & ~3u);
        if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz <= (sizeof(crash.build_id) - 1) / 2) {
            for (size_t i = 0; i < note->n_descsz; i++) {
                crash.build_id[2 * i] = "0123456789abcdef"[id[i] >> 4];
                crash.build_id[2 * i + 1] = "0123456789abcdef"[id[i] & 15];
            }
            return;
        }
        at = (const char *)id + ((note->n_descsz + 3u) & ~3u);
    }
}

static int add_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    if (crash.module_count == MODULES_MAX)
        return 1;
    module_t *module = &crash.modules[crash.module_count++];
    bool program = crash.module_count == 1;
    const char *slash = strrchr(info->dlpi_name, '/');
    strncpy(module->name, program ? "boxedge" : slash != NULL ? slash + 1 : info->dlpi_name, NAME_MAX - 1);
    module->base = info->dlpi_addr;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t end = info->dlpi_addr + header->p_vaddr + header->p_memsz;
        if (header->p_type == PT_LOAD && end > module->end)
            module->end = end;
        if (header->p_type == PT_NOTE && program && crash.build_id[0] == '\0')
            read_build_id(info, header);
    }
    return 0;
}

/* The stack of a process that overflowed its own. The sanitizers have their own. */
static void make_stack(void)
{
#ifndef BOXEDGE_ASAN
    static void *stack;
    if (stack == NULL)
        stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) {
        stack = NULL;
        return;
    }
    const stack_t alternate = {.ss_sp = stack, .ss_size = STACK_BYTES};
    (void)sigaltstack(&alternate, NULL);
#endif
}

static void find_modules(void)
{
    if (crash.module_count == 0)
        (void)dl_iterate_phdr(add_module, NULL);
}

const char *crash_build_id(void)
{
    find_modules();
    return crash.build_id;
}

void crash_catch(const char *process)
{
    void *frame[1];
    crash.process = process;
    crash.detail = NULL;
    if (crash.module_count == 0) {
        find_modules();
        (void)backtrace(frame, 1); /* loads its library now */
    }
    make_stack();
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK)};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)sigaction(signals[i], &action, NULL);
}

void crash_set_detail(crash_detail_t detail, void *arg)
{
    crash.arg = arg;
    crash.detail = detail;
}
