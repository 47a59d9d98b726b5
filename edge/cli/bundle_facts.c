/*
 * The parts of a support bundle that need no edge: the machine, limits, files, certificates. See bundle.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "bundle.h"
#include "certificate_print.h"
#include "clock.h"
#include "crash.h"
#include "lockfile.h"
#include "process.h"
#include "table.h"

/* Of a file below /proc, /sys or /etc. */
#define COPY_MAX 65536
/* Entries of all directories. */
#define ENTRIES_MAX 2000
#define DEPTH_MAX   4

/* Copies a small file of the system under its name. Those that a kernel lacks are left out. */
static void copy(FILE *out, const char *path)
{
    char bytes[COPY_MAX];
    FILE *in = fopen(path, "re");
    if (in == NULL)
        return;
    size_t n = fread(bytes, 1, sizeof(bytes), in);
    fclose(in);
    fprintf(out, "--- %s\n%.*s%s", path, (int)n, bytes, n > 0 && bytes[n - 1] == '\n' ? "" : "\n");
}

void bundle_add_versions(bundle_t *bundle)
{
    static const char *const files[] = {"/etc/os-release",
                                        "/proc/loadavg",
                                        "/proc/uptime",
                                        "/proc/meminfo",
                                        "/sys/fs/cgroup/cpu.max",
                                        "/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/pids.max",
                                        "/proc/sys/net/core/somaxconn",
                                        "/proc/sys/net/ipv4/ip_local_port_range",
                                        "/proc/sys/net/ipv4/tcp_max_syn_backlog",
                                        "/proc/sys/net/ipv6/bindv6only",
                                        "/proc/sys/fs/file-max",
                                        "/proc/sys/fs/file-nr",
                                        "/proc/self/cgroup",
                                        "/proc/net/sockstat",
                                        "/proc/net/netstat"};
    bundle_stream_t stream;
    struct utsname name;
    const char *id = crash_build_id();
    FILE *out = bundle_open(&stream);
    fprintf(out, "boxedge %s\nbuild id: %s\nformat of the store: %d\n%s\n", BOXEDGE_VERSION,
            id[0] != '\0' ? id : "none", TABLE_FORMAT, OpenSSL_version(OPENSSL_VERSION));
    if (uname(&name) == 0)
        fprintf(out, "%s %s %s %s\n", name.sysname, name.release, name.version, name.machine);
    fprintf(out, "processors: %ld\nuser: %ld\n", sysconf(_SC_NPROCESSORS_ONLN), (long)geteuid());
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        copy(out, files[i]);
    bundle_close(bundle, &stream, "versions.txt");
}

/* ---- limits ---- */

/* Whether process `pid` runs this program under any of its names. */
static bool is_edge(const char *pid)
{
    static const char *const names[] = {"boxedge", "worker", "controller", "runner", "logger", "old-worker"};
    char path[64], name[32] = "";
    snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
    FILE *in = fopen(path, "re");
    if (in == NULL)
        return false;
    bool read = fgets(name, sizeof(name), in) != NULL;
    fclose(in);
    for (size_t i = 0; read && i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

void bundle_add_limits(bundle_t *bundle)
{
    bundle_stream_t stream;
    FILE *out = bundle_open(&stream);
    DIR *dir = opendir("/proc");
    copy(out, "/proc/self/limits");
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[64];
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !is_edge(entry->d_name))
            continue;
        static const char *const parts[] = {"comm", "limits", "status"};
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
            snprintf(path, sizeof(path), "/proc/%.16s/%s", entry->d_name, parts[i]);
            copy(out, path);
        }
    }
    if (dir != NULL)
        closedir(dir);
    bundle_close(bundle, &stream, "limits.txt");
}

/* ---- files ---- */

typedef struct walk {
    bundle_t *bundle;
    FILE *out;
    size_t entries;
} walk_t;

static bool print_file(const walk_t *walk, const char *path, struct stat *st)
{
    char when[32] = "?";
    struct tm tm;
    if (lstat(path, st) < 0) {
        bundle_miss(walk->bundle, "files.txt", "%s: %s", path, strerror(errno));
        return false;
    }
    if (gmtime_r(&st->st_mtime, &tm) != NULL)
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(walk->out, "%06o %5u %5u %12lld %s %s\n", st->st_mode, st->st_uid, st->st_gid,
            (long long)st->st_size, when, path);
    return true;
}

/* Recurses at most DEPTH_MAX times, and follows no link. */
static void walk_dir(walk_t *walk, const char *path, unsigned depth)
{
    struct stat st;
    if (walk->entries++ >= ENTRIES_MAX || !print_file(walk, path, &st) || !S_ISDIR(st.st_mode) ||
        depth == DEPTH_MAX)
        return;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        bundle_miss(walk->bundle, "files.txt", "%s: %s", path, strerror(errno));
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char inner[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            (size_t)snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) >= sizeof(inner))
            continue;
        walk_dir(walk, inner, depth + 1);
    }
    closedir(dir);
}

void bundle_add_files(bundle_t *bundle, const conf_t *conf)
{
    bundle_stream_t stream;
    walk_t walk = {.bundle = bundle, .out = bundle_open(&stream)};
    fprintf(walk.out, "mode owner group bytes changed name\n");
    walk_dir(&walk, conf->source, 0);
    walk_dir(&walk, conf->state_dir, 0);
    walk_dir(&walk, conf->run_dir, 0);
    for (size_t i = 0; i < conf->certificate_count; i++) {
        walk_dir(&walk, conf->certificates[i].chain_path, 0);
        walk_dir(&walk, conf->certificates[i].key_path, 0);
    }
    if (walk.entries > ENTRIES_MAX)
        bundle_miss(bundle, "files.txt", "only the first %d names", ENTRIES_MAX);
    bundle_close(bundle, &stream, "files.txt");
}

/* ---- certificates ---- */

static void print_certificates(bundle_t *bundle, FILE *out, const char *path)
{
    fprintf(out, "%s\n", path);
    int count = certificate_print(path, out);
    if (count < 0)
        bundle_miss(bundle, "certificates.txt", "%s: %s", path, strerror(errno));
    else if (count == 0)
        fprintf(out, "  no certificate\n\n");
}

/* The authority of the edge itself, and its leaf. */
static void print_local(bundle_t *bundle, FILE *out, const char *state_dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/ca", state_dir);
    DIR *dir = n > 0 && (size_t)n < sizeof(path) ? opendir(path) : NULL;
    if (dir == NULL) {
        bundle_miss(bundle, "certificates.txt", "the edge's own authority in %s: %s", path, strerror(errno));
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        str_t name = str_from(entry->d_name);
        if (name.n < 4 || !str_eq(str_from_offset(name, name.n - 4), STR(".pem")))
            continue;
        if ((size_t)snprintf(path, sizeof(path), "%s/ca/%s", state_dir, entry->d_name) < sizeof(path))
            print_certificates(bundle, out, path);
    }
    closedir(dir);
}

void bundle_add_certificates(bundle_t *bundle, const conf_t *conf)
{
    bundle_stream_t stream;
    FILE *out = bundle_open(&stream);
    for (size_t i = 0; i < conf->certificate_count; i++)
        print_certificates(bundle, out, conf->certificates[i].chain_path);
    for (size_t i = 0; i < conf->upstream_count; i++)
        if (conf->upstreams[i].tls_certificate[0] != '\0')
            print_certificates(bundle, out, conf->upstreams[i].tls_certificate);
    if (conf->certificate_count == 0)
        print_local(bundle, out, conf->state_dir);
    bundle_close(bundle, &stream, "certificates.txt");
}

/* ---- the journal ---- */

#define JOURNALCTL        "/usr/bin/journalctl"
#define JOURNAL_WITHIN_MS 20000u

/* Starts journalctl. Returns the end of a pipe from it; -1 with errno. */
static int start_journalctl(pid_t *pid)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    fflush(NULL);
    *pid = fork();
    if (*pid == 0) {
        if (dup2(ends[1], STDOUT_FILENO) >= 0 && dup2(ends[1], STDERR_FILENO) >= 0)
            execl(JOURNALCTL, JOURNALCTL, "--unit=boxedge", "--no-pager", "--quiet", "--lines=5000",
                  "--output=short-iso", (char *)NULL);
        _exit(127);
    }
    int saved = errno;
    close(ends[1]);
    if (*pid < 0) {
        close(ends[0]);
        errno = saved;
        return -1;
    }
    return ends[0];
}

/* Copies all that comes from `fd`. False if it does not end in time. */
static bool copy_all(int fd, FILE *out)
{
    char bytes[8192];
    uint64_t until = clock_now_ms() + JOURNAL_WITHIN_MS;
    for (;;) {
        uint64_t now = clock_now_ms();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (now >= until || poll(&wait, 1, (int)(until - now)) <= 0)
            return false;
        ssize_t n = read(fd, bytes, sizeof(bytes));
        if (n <= 0)
            return n == 0;
        (void)!fwrite(bytes, 1, (size_t)n, out);
    }
}

void bundle_add_journal(bundle_t *bundle)
{
    bundle_stream_t stream;
    pid_t pid;
    int status = 0;
    if (access("/run/systemd/system", F_OK) != 0)
        return;
    int fd = start_journalctl(&pid);
    if (fd < 0) {
        bundle_miss(bundle, "journal.txt", "%s", strerror(errno));
        return;
    }
    bool whole = copy_all(fd, bundle_open(&stream));
    bundle_close(bundle, &stream, "journal.txt");
    close(fd);
    if (!whole)
        kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    if (!whole || status != 0)
        bundle_miss(bundle, "journal.txt", JOURNALCTL " %s", whole ? "failed" : "did not end in time");
}
