/*
 * hushkey-git-client SOCKET NUMBER get: ask the agent what git asks, at git's own speed.
 *
 * The line that `hushkey install git` writes runs it (hushkey_install.register.gitdoor).
 * It says what git's own client says (builtin/credential-cache.c): two lines, git's
 * request, the end of its half; and prints the answer. Unlike that client it
 *
 * - gives the agent PATIENCE for all of it: a stopped one never answers;
 * - prints an answer only when it is whole: it ends with a line, and it begins with
 *   the NUMBER of the caller's own hushkey and environment.
 *
 * Otherwise it prints nothing and exits with 0, and git asks the helper behind it.
 * Once it has begun to print, it goes on to the end: git takes half a token for one.
 */

#define _DEFAULT_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* milliseconds */
#define PATIENCE 100
/* bytes of git's request, and of an answer; hushkey_helpers.agent.git_socket.MAX */
#define MAX (1024 * 1024)
/* bytes of what is said in front of either */
#define HEAD 64

static char request[HEAD + MAX + 1];
static char answer[MAX + 1];
static struct timespec began;

/* Wait until FD is ready for EVENTS; tell whether it was in time. */
static bool ready(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    struct timespec now;
    long long left;

    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        left = PATIENCE - (long long)(now.tv_sec - began.tv_sec) * 1000
               - (now.tv_nsec - began.tv_nsec) / 1000000;
        if (left <= 0)
            return false;
    } while (poll(&one, 1, (int)left) < 0 && errno == EINTR);
    return one.revents != 0;
}

static bool is_passing(int error)
{
    return error == EINTR || error == EAGAIN || error == EWOULDBLOCK;
}

/* Read FD to its end, SIZE bytes at most; return how many, or -1. */
static ssize_t read_all(int fd, char *to, size_t size)
{
    size_t length = 0;

    while (length < size && ready(fd, POLLIN)) {
        ssize_t got = read(fd, to + length, size - length);
        if (got == 0)
            return (ssize_t)length;
        if (got > 0)
            length += (size_t)got;
        else if (!is_passing(errno))
            return -1;
    }
    return -1;
}

/* Write all of TEXT to FD; tell whether that was done in time. */
static bool write_all(int fd, const char *text, size_t length)
{
    while (length > 0 && ready(fd, POLLOUT)) {
        ssize_t done = write(fd, text, length);
        if (done >= 0) {
            text += done;
            length -= (size_t)done;
        } else if (!is_passing(errno)) {
            return false;
        }
    }
    return length == 0;
}

/* Print TEXT if FD takes its beginning in time, and then all of it: whoever reads it
   keeps themselves waiting. */
static void print_all(int fd, const char *text, size_t length)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};

    if (!ready(fd, POLLOUT))
        return;
    while (length > 0) {
        ssize_t done = write(fd, text, length);
        if (done >= 0) {
            text += done;
            length -= (size_t)done;
        } else if (!is_passing(errno) || (poll(&one, 1, -1) < 0 && errno != EINTR)) {
            return;
        }
    }
}

/* Connect to the socket at PATH; return it, or -1. A full queue is a refusal. An empty
   path would be an abstract name, which anybody may have (unix(7)). */
static int connect_to(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd < 0 || path[0] != '/' || strlen(path) >= sizeof to.sun_path)
        return -1;
    strcpy(to.sun_path, path);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -1;
    return connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ? -1 : fd;
}

int main(int count, char **words)
{
    char mark[HEAD];
    int head, marked, agent;
    ssize_t length;

    if (count != 4 || strcmp(words[3], "get") != 0)
        return 0;
    signal(SIGPIPE, SIG_IGN); /* an agent that hangs up is no answer */
    clock_gettime(CLOCK_MONOTONIC, &began);
    head = snprintf(request, HEAD, "action=get\ntimeout=%s\n", words[2]);
    marked = snprintf(mark, HEAD, "hushkey=%s\n", words[2]);
    if (head < 0 || head >= HEAD || marked < 0 || marked >= HEAD)
        return 0;
    length = read_all(STDIN_FILENO, request + head, MAX + 1);
    if (length < 0 || (agent = connect_to(words[1])) < 0)
        return 0;
    if (!write_all(agent, request, (size_t)(head + length)) || shutdown(agent, SHUT_WR) < 0)
        return 0;
    length = read_all(agent, answer, sizeof answer);
    if (length <= marked || memcmp(answer, mark, (size_t)marked) != 0
        || answer[length - 1] != '\n')
        return 0;
    print_all(STDOUT_FILENO, answer, (size_t)length);
    return 0;
}
