#include "dev_command.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_MS 5000

static void set_state(dev_command_t *command, dev_command_state_t state)
{
    assert(state > command->state || state == DEV_COMMAND_ENDED);
    command->state = state;
}

/* A terminal like the one of this process, which echoes the keys already. */
static bool open_terminal(dev_command_t *command, char *name, size_t name_len)
{
    struct termios mode;
    struct winsize size;
    command->terminal_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (command->terminal_fd < 0 || grantpt(command->terminal_fd) != 0 ||
        unlockpt(command->terminal_fd) != 0 || ptsname_r(command->terminal_fd, name, name_len) != 0)
        return false;
    command->slave_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (command->slave_fd < 0)
        return false;
    if (tcgetattr(command->slave_fd, &mode) == 0) {
        mode.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(command->slave_fd, TCSANOW, &mode);
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        (void)ioctl(command->slave_fd, TIOCSWINSZ, &size);
    return true;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

bool dev_command_start(dev_command_t *command, const char *id, char **argv, char **env, bool terminal)
{
    char directory[4096], name[64];
    const privileges_t keep = {.drop = false};
    *command = (dev_command_t){.terminal_fd = -1, .slave_fd = -1, .output_fd = -1, .fresh_line = true};
    if (getcwd(directory, sizeof(directory)) == NULL) {
        fprintf(stderr, "boxedge dev: the current directory is not there: %s\n", strerror(errno));
        return false;
    }
    if (terminal && !open_terminal(command, name, sizeof(name))) {
        close_fd(&command->slave_fd);
        close_fd(&command->terminal_fd); /* pipes do */
    }
    const box_init_spec_t spec = {.id = id,
                                  .argv = argv,
                                  .env = env,
                                  .directory = directory,
                                  .privileges = &keep,
                                  .grace_ms = GRACE_MS,
                                  .terminal = command->slave_fd >= 0 ? name : NULL,
                                  .as_caller = true};
    if (!box_init_start(&spec, &command->init)) {
        fprintf(stderr, "boxedge dev: no process can be started: %s\n", strerror(errno));
        return false;
    }
    command->output_fd = command->terminal_fd;
    if (command->terminal_fd < 0) {
        command->output_fd = command->init.output_fd;
        command->init.output_fd = -1;
    }
    return true;
}

void dev_command_stop(dev_command_t *command)
{
    if (command->state >= DEV_COMMAND_ENDS)
        return;
    set_state(command, DEV_COMMAND_ENDS);
    if (ipc_send(command->init.fd, BOX_INIT_STOP, 0, STR(""), NULL, 0) != IPC_OK) {
        /* Its end comes as a message, or as the end of the channel. */
    }
}

void dev_command_kill(dev_command_t *command)
{
    if (command->state == DEV_COMMAND_ENDED)
        return;
    close_fd(&command->init.fd); /* the order to kill */
    set_state(command, DEV_COMMAND_ENDED);
    command->status = SIGKILL;
}

static void end(dev_command_t *command, int status)
{
    set_state(command, DEV_COMMAND_ENDED);
    command->status = status;
}

void dev_command_take(dev_command_t *command)
{
    ipc_message_t message;
    ipc_result_t result = IPC_CLOSED;
    while (command->init.fd >= 0 && (result = ipc_receive(command->init.fd, &message)) == IPC_OK) {
        if (message.type == BOX_INIT_STARTED && command->state == DEV_COMMAND_STARTS)
            set_state(command, DEV_COMMAND_RUNS);
        if (message.type == BOX_INIT_FAILED) {
            command->failed = true;
            (void)snprintf(command->why, sizeof(command->why), "%.*s", (int)message.len, message.bytes);
        }
        if (message.type == BOX_INIT_ENDED)
            end(command, (int)message.value);
        ipc_message_fini(&message);
    }
    if (result == IPC_CLOSED && command->state != DEV_COMMAND_ENDED)
        end(command, SIGKILL); /* its init was killed, and with it the command */
}

static void write_all(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* the reader has gone */
        data += n;
        len -= (size_t)n;
    }
}

void dev_command_show(dev_command_t *command)
{
    char data[16384];
    if (command->output_fd < 0)
        return;
    for (int i = 0; i < 16; i++) {
        ssize_t n = read(command->output_fd, data, sizeof(data));
        if (n > 0) {
            write_all(data, (size_t)n);
            command->fresh_line = data[n - 1] == '\n';
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (command->output_fd != command->terminal_fd) /* the terminal is closed at the end */
            close(command->output_fd);
        command->output_fd = -1;
        return;
    }
}

bool dev_command_type(dev_command_t *command)
{
    char typed[1024];
    ssize_t n = read(STDIN_FILENO, typed, sizeof(typed));
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0)
        return false;
    if (command->terminal_fd >= 0 && write(command->terminal_fd, typed, (size_t)n) < 0) {
        /* A command that takes no keys loses them. */
    }
    return true;
}

void dev_command_resize(const dev_command_t *command)
{
    struct winsize size;
    if (command->terminal_fd >= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        (void)ioctl(command->terminal_fd, TIOCSWINSZ, &size);
}

void dev_command_fini(dev_command_t *command)
{
    close_fd(&command->slave_fd);
    dev_command_show(command); /* its last words */
    if (command->output_fd >= 0 && command->output_fd != command->terminal_fd)
        close(command->output_fd);
    close_fd(&command->terminal_fd);
    close_fd(&command->init.output_fd);
    close_fd(&command->init.fd);
    if (command->init.pid > 0)
        while (waitpid(command->init.pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    command->init.pid = 0;
}
