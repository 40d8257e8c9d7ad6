/*
 * The load: asks a socket the way exim does (connect, request without a newline, half-close, read to the
 * end), so many times, with so many requests in flight, and prints what came of it as JSON.
 *
 *     client SOCKET REQUEST COUNT IN_FLIGHT BYTES [PAUSE_US]
 *
 * In C because a client as slow as the server would measure itself. An answer of another length than
 * BYTES (0: none at all) and a connection that fails count as lost. With one request in flight it can wait
 * for PAUSE_US microseconds before the next one, awake, so that a server goes to sleep and it does not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static const char *request;
static size_t bytes;
static double *latencies;
static int answered, lost;

struct connection {
  int fd;
  size_t received;
  double started;
};

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int ask(struct connection *connection, int flags) {
  connection->received = 0;
  connection->started = now();
  connection->fd = socket(AF_UNIX, SOCK_STREAM | flags, 0);
  size_t length = strlen(request);
  if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      write(connection->fd, request, length) == (ssize_t)length &&
      shutdown(connection->fd, SHUT_WR) == 0)
    return 1;
  close(connection->fd);
  lost++;
  return 0;
}

/* Reads what is there; true when the connection has ended. */
static int receive(struct connection *connection) {
  char buffer[65536];
  for (;;) {
    ssize_t count = read(connection->fd, buffer, sizeof buffer);
    if (count < 0 && errno == EAGAIN) return 0;
    if (count > 0) {
      connection->received += (size_t)count;
      continue;
    }
    close(connection->fd);
    int whole = bytes == 0 ? connection->received > 0 : connection->received == bytes;
    if (count == 0 && whole) latencies[answered++] = now() - connection->started;
    else lost++;
    return 1;
  }
}

static void sequential(int count, int pause_us) {
  struct connection one;
  while (count-- > 0) {
    if (ask(&one, 0)) receive(&one);
    double rested = now() + pause_us;
    while (pause_us > 0 && now() < rested);
  }
}

static void in_flight(int count, int width) {
  struct connection *connections = calloc((size_t)width, sizeof *connections);
  struct epoll_event events[256];
  int epoll = epoll_create1(0), sent = 0, open = 0;
  for (int next = 0; next < width && sent < count; next++, sent++) {
    if (!ask(&connections[next], SOCK_NONBLOCK)) continue;
    struct epoll_event event = {EPOLLIN, {.ptr = &connections[next]}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, connections[next].fd, &event);
    open++;
  }
  while (open > 0) {
    int ready = epoll_wait(epoll, events, 256, 15000);
    if (ready <= 0) break;
    for (int index = 0; index < ready; index++) {
      struct connection *connection = events[index].data.ptr;
      if (!receive(connection)) continue;
      open--;
      while (sent < count) {
        sent++;
        if (!ask(connection, SOCK_NONBLOCK)) continue;
        struct epoll_event event = {EPOLLIN, {.ptr = connection}};
        epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
        open++;
        break;
      }
    }
  }
  lost += open; /* Neither answered nor closed within 15 s. */
  lost += count - sent;
}

static int ascending(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

int main(int argc, char **argv) {
  if (argc < 6 || argc > 7 || strlen(argv[1]) >= sizeof address.sun_path) return 64;
  strcpy(address.sun_path, argv[1]);
  request = argv[2];
  int count = atoi(argv[3]), width = atoi(argv[4]);
  bytes = (size_t)atol(argv[5]);
  latencies = calloc((size_t)count + 1, sizeof *latencies);
  double started = now();
  if (width == 1) sequential(count, argc > 6 ? atoi(argv[6]) : 0);
  else in_flight(count, width);
  double seconds = (now() - started) / 1e6;
  qsort(latencies, (size_t)answered, sizeof *latencies, ascending);
  printf("{\"answered\":%d,\"lost\":%d,\"seconds\":%f,\"p50Us\":%f,\"p99Us\":%f}\n", answered, lost,
         seconds, latencies[answered / 2], latencies[answered * 99 / 100]);
  return 0;
}
