// The load driver: thousands of connections from one thread, at a few microseconds each, so that the server under
// measurement is what limits the load. opener.ts builds and drives it. Linux, glibc 2.35 or later.
//
//   opener ADDRESS PORT FIRST_SOURCE SOURCES
//
// Connections come from FIRST_SOURCE and the SOURCES - 1 addresses after it, in turn. Commands are lines on stdin; each
// is answered with one JSON line, or with a message on stderr and exit code 1 when nothing moves for 15 seconds.
// LINES are request targets, one a line, each with a subprotocol after a space if one is to be asked for, and with a frame
// after a tab if one is to be sent after the server's first.
//
//   shake COUNT AT_ONCE PER_SECOND FRAMES + LINES   connect, upgrade, read FRAMES data frames, close from both sides
//   open  COUNT AT_ONCE PER_SECOND FRAMES + LINES   the same, but keep them
//   again AT_ONCE                                   shake with the lines of all that are kept
//   http  COUNT AT_ONCE PER_SECOND HEX              send a request COUNT times over AT_ONCE keep-alive connections
//   exchange ROUNDS FRAMES HEX                      each kept one sends HEX and waits for FRAMES data frames, ROUNDS times
//   fanout ROUNDS FRAMES PORT HEX                   send HEX, wait for FRAMES data frames on the kept ones, ROUNDS times;
//                                                   over the first kept one, or with a PORT over a connection to that
//   await FRAMES                                    wait until FRAMES data frames have come since the kept ones opened
//   close                                           close the kept ones from both sides
//   gone                                            wait until the server has closed all kept ones
//
// PER_SECOND 0 starts the next when one of AT_ONCE has ended. Otherwise starts keep to a schedule, whatever the server
// does, and times count from when a start was due: a server that stalls makes all that was due meanwhile late.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { stall_seconds = 15, read_size = 1 << 16, head_limit = 1 << 14, max_answers = 32 };

enum state { CONNECTING, ANSWER, GREETING, KEPT, CLOSING };

struct conn {
  int fd;
  enum state state;
  int is_http;         // keep-alive requests, no upgrade
  uint32_t frames;     // data frames in this state, or this round
  uint32_t round;
  char *line;          // request target and, after a tab, a frame in hex
  uint64_t due_ns;     // when this was to start
  char *answer;        // the answer so far, when it comes in pieces
  size_t answer_size;
  uint64_t payload;    // bytes of the current frame still to come
  uint8_t frame[14];   // its header so far
  uint8_t frame_size;
};

static enum { SHAKE, OPEN, HTTP, EXCHANGE, FANOUT, AWAIT, CLOSE, GONE } job;
static uint64_t count, at_once, per_second, started, ended, in_flight, operations;
static uint64_t begin_ns, end_ns, moved_ns, received, wanted;
static uint32_t frames_wanted, rounds;
static int is_answer_due;              // of fanout, if the publisher is not a WebSocket
static uint64_t *times;
static size_t times_size;
static struct { char text[64]; uint64_t count; } answers[max_answers];  // as `101`, `401 ticket_used`, an error
static int answers_size;

static int epoll, input_open = 1;
static struct sockaddr_in server;
static char server_text[32];
static uint32_t first_source, sources, next_source;
static char **lines;                   // of this job
static uint8_t *sent_bytes;            // by http, exchange and fanout
static size_t sent_size;
static struct conn **kept, **idle, *publisher;  // idle: a ring, or a server may close an idle one
static size_t kept_size, kept_room, idle_first, idle_size, lost;
static char *input;
static size_t input_size, input_room;

static void fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fputc('\n', stderr);
  exit(1);
}

static void *checked(void *memory) {
  if (!memory) fail("out of memory");
  return memory;
}

static uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

static uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static void tally(const char *text) {
  int i = 0;
  while (i < answers_size && strcmp(answers[i].text, text)) i++;
  if (i == max_answers) return;
  if (i == answers_size) {
    snprintf(answers[i].text, sizeof answers[i].text, "%s", text);
    answers[answers_size++].count = 0;
  }
  answers[i].count++;
}

static void took(uint64_t since_ns) {
  if (times_size < count) times[times_size++] = now_ns() - since_ns;
}

static uint8_t *from_hex(const char *hex, size_t *size) {
  *size = strlen(hex) / 2;
  uint8_t *bytes = checked(malloc(*size + 1));
  for (size_t i = 0; i < *size; i++)
    if (sscanf(hex + 2 * i, "%2hhx", &bytes[i]) != 1) fail("bad hex");
  return bytes;
}

// ---- one connection

static void write_all(struct conn *c, const void *bytes, size_t size) {
  for (ssize_t sent; size > 0; bytes = (const char *)bytes + sent, size -= sent) {
    sent = send(c->fd, bytes, size, MSG_NOSIGNAL);
    if (sent >= 0) continue;
    if (errno != EAGAIN) return tally(strerror(errno));
    // Nearly everything fits the socket's buffer. Large frames may have to wait for the server to read.
    sent = 0;
    if (poll(&(struct pollfd){ .fd = c->fd, .events = POLLOUT }, 1, stall_seconds * 1000) != 1) fail("the server does not read");
  }
}

static void end(struct conn *c) {
  if (c->state == KEPT) lost++;
  close(c->fd);
  c->fd = -1;
  free(c->answer);
  c->answer = NULL;
  if (c->state == KEPT) return;
  if (!c->is_http) in_flight--, ended++;
  if (job == SHAKE) free(c);
}

static struct conn *start(char *line, uint64_t due_ns, uint16_t port) {
  struct conn *c = checked(calloc(1, sizeof *c));
  c->line = line;
  c->due_ns = due_ns;
  c->is_http = line == NULL;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) fail("socket: %s (the limit on open files is too low?)", strerror(errno));
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (sources > 0) {
    // The port is chosen by connect, so that each source address has its own 28,000.
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct sockaddr_in from = { .sin_family = AF_INET };
    from.sin_addr.s_addr = htonl(first_source + next_source++ % sources);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) fail("bind: %s", strerror(errno));
  }
  struct sockaddr_in to = server;
  to.sin_port = htons(port);
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail("connect: %s", strerror(errno));
  struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl: %s", strerror(errno));
  return c;
}

static void now_idle(struct conn *c) { idle[(idle_first + idle_size++) % at_once] = c; }

static void connected(struct conn *c) {
  c->state = ANSWER;
  if (c->is_http) {
    if (job == HTTP) now_idle(c);
    return;
  }
  char request[2048];
  size_t target = strcspn(c->line, " \t");
  const char *protocol = c->line + target + (c->line[target] == ' ');
  int protocol_size = strcspn(protocol, "\t");
  int size = snprintf(request, sizeof request,
    "GET %.*s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "%s%.*s%sSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", (int)target, c->line, server_text,
    protocol_size ? "Sec-WebSocket-Protocol: " : "", protocol_size, protocol, protocol_size ? "\r\n" : "");
  if (size >= (int)sizeof request) fail("a request target is too long");
  write_all(c, request, size);
}

static void finish_writing(struct conn *c) {
  c->state = CLOSING;
  shutdown(c->fd, SHUT_WR);
}

static void opened(struct conn *c) {
  took(c->due_ns);
  tally("101");
  operations++;
  if (job == SHAKE) return finish_writing(c);
  c->state = KEPT;
  in_flight--, ended++;
  if (kept_size == kept_room) kept = checked(realloc(kept, (kept_room = kept_room * 2 + 64) * sizeof *kept));
  kept[kept_size++] = c;
}

static void send_publication(void) {
  begin_ns = begin_ns ? begin_ns : now_ns();
  publisher->due_ns = now_ns();
  wanted = received + frames_wanted;
  is_answer_due = publisher->state == ANSWER;
  write_all(publisher, sent_bytes, sent_size);
}

// The next one waits for the answer too: uWS closes a connection that sends a request before its last is answered.
static void publication_came(void) {
  if (received != wanted || is_answer_due) return;
  took(publisher->due_ns);
  operations += frames_wanted;
  if (++started < rounds) send_publication();
}

static void frame_came(struct conn *c) {
  c->frames++;
  if (c->state == GREETING) {
    const char *hello = strchr(c->line, '\t');
    if (c->frames == 1 && hello) {
      size_t size;
      uint8_t *bytes = from_hex(hello + 1, &size);
      write_all(c, bytes, size);
      free(bytes);
    }
    if (c->frames < frames_wanted) return;
    c->frames = 0;
    return opened(c);
  }
  received++;
  if (job == FANOUT) publication_came();
  if (job == EXCHANGE && c->frames == frames_wanted) {
    took(c->due_ns);
    operations += frames_wanted;
    c->frames = 0;
    if (++c->round == rounds) { ended++; return; }
    c->due_ns = now_ns();
    write_all(c, sent_bytes, sent_size);
  }
}

// Returns the bytes used of a frame's header, or of its payload.
static size_t read_frame(struct conn *c, const uint8_t *bytes, size_t size) {
  uint8_t length = c->frame_size > 1 ? c->frame[1] & 127 : 0;
  uint8_t header = c->frame_size < 2 ? 2 : length == 127 ? 10 : length == 126 ? 4 : 2;
  size_t used = 0;
  if (c->frame_size < header) {
    c->frame[c->frame_size++] = bytes[0];
    used = 1;
    if (c->frame_size < 2) return used;
    length = c->frame[1] & 127;
    header = length == 127 ? 10 : length == 126 ? 4 : 2;
    if (c->frame_size < header) return used;
    c->payload = length < 126 ? length : 0;
    for (int i = 2; i < header; i++) c->payload = c->payload << 8 | c->frame[i];
  } else {
    used = size < c->payload ? size : c->payload;
    c->payload -= used;
  }
  if (c->payload > 0) return used;
  uint8_t kind = c->frame[0] & 15, short_one = header == 2 && length < 2;
  c->frame_size = 0;
  if (kind == 9) write_all(c, "\x8a\x80\0\0\0\0", 6);
  // An Engine.IO ping is a text frame of one byte.
  if (kind < 3 && !short_one) frame_came(c);
  return used;
}

static void answer_came(struct conn *c, const char *head, size_t head_size, const char *body, size_t body_size) {
  char text[64] = "", status[4] = "";
  memcpy(status, head + 9, head_size > 12 ? 3 : 0);
  const char *code = memmem(body, body_size, "\"code\":\"", 8);
  if (code) snprintf(text, sizeof text, "%s %.*s", status, (int)strcspn(code + 8, "\""), code + 8);
  tally(code ? text : status);
  if (job == FANOUT) {
    is_answer_due = 0;
    return publication_came();
  }
  took(c->due_ns);
  operations++;
  if (!c->is_http) return finish_writing(c);
  ended++, in_flight--;
  now_idle(c);
}

// Returns the bytes used of an answer, 0 when there is more to come.
static size_t read_answer(struct conn *c, const char *bytes, size_t size) {
  const char *gap = memmem(bytes, size, "\r\n\r\n", 4);
  if (!gap) return 0;
  size_t head_size = gap + 4 - bytes, body_size = 0;
  if (memmem(bytes, head_size, " 101 ", 5) == bytes + 8) {
    c->state = GREETING;
    return head_size;
  }
  for (const char *at = bytes; at < gap; at = (const char *)memchr(at, '\n', gap + 2 - at) + 1)
    if (!strncasecmp(at, "content-length:", 15)) body_size = strtoul(at + 15, NULL, 10);
  if (size < head_size + body_size) return 0;
  answer_came(c, bytes, head_size, bytes + head_size, body_size);
  return head_size + body_size;
}

static void bytes_came(struct conn *c, char *bytes, size_t size) {
  if (c->state == ANSWER && c->answer_size > 0) {
    if (c->answer_size + size > head_limit) fail("an answer is too long");
    c->answer = checked(realloc(c->answer, c->answer_size + size + 1));
    memcpy(c->answer + c->answer_size, bytes, size);
    size += c->answer_size;
    bytes = c->answer;
    bytes[size] = 0;
  }
  char *const all = bytes;
  while (size > 0) {
    size_t used = size;
    if (c->state == ANSWER) used = read_answer(c, bytes, size);
    else if (c->state != CLOSING) used = read_frame(c, (uint8_t *)bytes, size);
    if (used == 0) break;
    bytes += used;
    size -= used;
  }
  // The rest is the beginning of a response.
  if (size > 0 && c->answer == all) memmove(c->answer, bytes, size);
  else if (size > 0) c->answer = memcpy(checked(malloc(size + 1)), bytes, size);
  else free(c->answer), c->answer = NULL;
  c->answer_size = size;
  if (c->answer) c->answer[size] = 0;
}

static void event_came(struct conn *c, uint32_t events) {
  static char buffer[read_size + 1];
  if (c->fd < 0) return;
  if (c->state == CONNECTING) {
    int error = 0;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error });
    if (error) {
      tally(strerror(error));
      return end(c);
    }
    if (events & EPOLLOUT) connected(c);
  }
  if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
  for (;;) {
    ssize_t size = read(c->fd, buffer, read_size);
    if (size > 0) {
      buffer[size] = 0;
      bytes_came(c, buffer, size);
      if (size < read_size && !(events & (EPOLLRDHUP | EPOLLHUP))) return;
      continue;
    }
    if (size < 0 && errno == EAGAIN) return;
    if (c->is_http && job == HTTP) fail("the server closed a keep-alive connection");
    if (c->state != CLOSING && c->state != KEPT) tally(size < 0 ? strerror(errno) : "closed without an answer");
    return end(c);
  }
}

// ---- all of them

static void read_input(void) {
  if (input_room - input_size < read_size)
    input = checked(realloc(input, input_room = input_room * 2 + 2 * read_size));
  ssize_t size = read(STDIN_FILENO, input + input_size, input_room - input_size);
  if (size == 0) input_open = 0;
  if (size > 0) input_size += size;
}

static void serve(uint64_t timeout_ns) {
  struct epoll_event events[512];
  struct timespec timeout = { timeout_ns / 1000000000u, timeout_ns % 1000000000u };
  int size = epoll_pwait2(epoll, events, 512, &timeout, NULL);
  for (int i = 0; i < size; i++) {
    if (events[i].data.ptr == NULL) read_input();
    else event_came(events[i].data.ptr, events[i].events);
  }
  if (size > 0) moved_ns = now_ns();
}

// The next line, to be freed; NULL at the end of input. Kept connections are served while waiting for it.
static char *next_line(void) {
  static size_t looked;
  for (;;) {
    char *newline = input_size > looked ? memchr(input + looked, '\n', input_size - looked) : NULL;
    if (newline) {
      char *line = checked(strndup(input + looked, newline - input - looked));
      looked = newline + 1 - input;
      if (looked == input_size) looked = input_size = 0;
      return line;
    }
    if (!input_open) return NULL;
    memmove(input, input + looked, input_size -= looked);
    looked = 0;
    serve(1000000000u);
  }
}

static void print_times(void) {
  int order(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
  }
  qsort(times, times_size, sizeof *times, order);
  static const struct { const char *name; double share; } points[] = {
    { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 }, { "max", 1 } };
  for (int i = 0; i < 5; i++) {
    size_t at = times_size ? (size_t)(points[i].share * times_size) : 0;
    if (at >= times_size) at = times_size - 1;
    printf("%s\"%s\":%lu", i ? "," : "", points[i].name, times_size ? times[at] : 0);
  }
}

static void run(uint64_t steps, uint64_t until) {
  times = checked(realloc(times, (steps + 1) * sizeof *times));
  times_size = answers_size = 0;
  count = steps;
  operations = started = ended = in_flight = 0;
  uint64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  moved_ns = begin_ns = now_ns();
  uint64_t interval_ns = per_second ? 1000000000u / per_second : 0;
  if (job == HTTP) {
    idle = checked(realloc(idle, (at_once + 1) * sizeof *idle));
    idle_first = idle_size = 0;
    for (uint64_t i = 0; i < at_once; i++) start(NULL, 0, ntohs(server.sin_port));
    while (idle_size < at_once) {
      serve(1000000000u);
      if (answers_size || now_ns() - moved_ns > stall_seconds * 1000000000ull) fail("could not connect");
    }
    cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    begin_ns = now_ns();
  }
  if (job == FANOUT) {
    while (publisher->state == CONNECTING) serve(1000000000u);
    begin_ns = 0;
    send_publication();
  }
  if (job == EXCHANGE)
    for (size_t i = 0; i < kept_size; i++) {
      if (kept[i]->fd < 0) fail("a connection was lost");
      kept[i]->round = kept[i]->frames = 0;
      kept[i]->due_ns = now_ns();
      write_all(kept[i], sent_bytes, sent_size);
    }
  for (;;) {
    uint64_t wait_ns = 1000000000u;
    while (job <= HTTP && started < count && (job == HTTP ? idle_size > 0 : in_flight < at_once)) {
      uint64_t now = now_ns(), due_ns = interval_ns ? begin_ns + started * interval_ns : now;
      if (due_ns > now) {
        wait_ns = due_ns - now;
        break;
      }
      in_flight++;
      if (job == HTTP) {
        struct conn *c = idle[idle_first];
      idle_first = (idle_first + 1) % at_once;
      idle_size--;
        c->due_ns = due_ns;
        started++;
        write_all(c, sent_bytes, sent_size);
      } else start(lines[started++], due_ns, ntohs(server.sin_port));
    }
    uint64_t progress = job == FANOUT ? started : job == AWAIT ? received : job >= CLOSE ? lost : ended;
    if (progress >= until) break;
    serve(wait_ns);
    if (now_ns() - moved_ns > stall_seconds * 1000000000ull) {
      fprintf(stderr, "nothing moved for %d s: %lu of %lu, answers:", stall_seconds, progress, until);
      for (int i = 0; i < answers_size; i++) fprintf(stderr, " %s x %lu", answers[i].text, answers[i].count);
      fail("");
    }
  }
  end_ns = now_ns();
  printf("{\"operations\":%lu,\"wallNs\":%lu,\"cpuNs\":%lu,\"kept\":%lu,\"lost\":%lu,\"latencyNs\":{", operations,
    end_ns - begin_ns, clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns, kept_size, lost);
  print_times();
  printf("},\"answers\":{");
  for (int i = 0; i < answers_size; i++) printf("%s\"%s\":%lu", i ? "," : "", answers[i].text, answers[i].count);
  puts("}}");
  fflush(stdout);
  for (; job == HTTP && idle_size > 0; idle_size--) end(idle[idle_size - 1]), free(idle[idle_size - 1]);
}

static void run_lines(char *own[], uint64_t size) {
  lines = own;
  run(size, size);
}

static void command(char *text) {
  char name[16] = "", *hex = strrchr(text, ' ');
  uint64_t a = 0, b = 0, c = 0, d = 0;
  sscanf(text, "%15s %lu %lu %lu %lu", name, &a, &b, &c, &d);
  free(sent_bytes);
  sent_bytes = NULL;
  per_second = 0;
  if (!strcmp(name, "shake") || !strcmp(name, "open")) {
    job = *name == 's' ? SHAKE : OPEN;
    at_once = b, per_second = c, frames_wanted = d;
    char **own = checked(calloc(a + 1, sizeof *own));
    for (uint64_t i = 0; i < a; i++)
      if (!(own[i] = next_line())) fail("the input ended among the lines");
    run_lines(own, a);
    for (uint64_t i = 0; job == SHAKE && i < a; i++) free(own[i]);
    free(own);
  } else if (!strcmp(name, "again")) {
    job = SHAKE;
    at_once = a;
    char **own = checked(calloc(kept_size + 1, sizeof *own));
    for (size_t i = 0; i < kept_size; i++) own[i] = kept[i]->line;
    run_lines(own, kept_size);
    free(own);
  } else if (!strcmp(name, "http")) {
    job = HTTP;
    at_once = b, per_second = c;
    sent_bytes = from_hex(hex + 1, &sent_size);
    run(a, a);
  } else if (!strcmp(name, "exchange")) {
    job = EXCHANGE;
    rounds = a, frames_wanted = b;
    sent_bytes = from_hex(hex + 1, &sent_size);
    run(a * kept_size, kept_size);
  } else if (!strcmp(name, "fanout")) {
    job = FANOUT;
    rounds = a, frames_wanted = b;
    sent_bytes = from_hex(hex + 1, &sent_size);
    publisher = c ? start(NULL, 0, c) : kept[0];
    run(a, a);
    if (c) end(publisher), free(publisher);
  } else if (!strcmp(name, "await")) {
    job = AWAIT;
    run(0, a);
  } else if (!strcmp(name, "close") || !strcmp(name, "gone")) {
    job = *name == 'c' ? CLOSE : GONE;
    for (size_t i = 0; job == CLOSE && i < kept_size; i++)
      if (kept[i]->fd >= 0) shutdown(kept[i]->fd, SHUT_WR);
    run(0, kept_size);
    for (size_t i = 0; i < kept_size; i++) free(kept[i]->line), free(kept[i]);
    kept_size = lost = received = 0;
  } else if (!strcmp(name, "gone")) {
    job = CLOSE;
    run(0, kept_size);
  } else fail("unknown command: %s", name);
}

int main(int argc, char **argv) {
  if (argc != 5) fail("usage: opener ADDRESS PORT FIRST_SOURCE SOURCES");
  server.sin_family = AF_INET;
  server.sin_port = htons(atoi(argv[2]));
  inet_pton(AF_INET, argv[1], &server.sin_addr);
  snprintf(server_text, sizeof server_text, "%s:%s", argv[1], argv[2]);
  struct in_addr source;
  inet_pton(AF_INET, argv[3], &source);
  first_source = ntohl(source.s_addr);
  sources = atoi(argv[4]);
  prctl(PR_SET_TIMERSLACK, 1);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event)) fail("stdin must be a pipe");
  for (char *line; (line = next_line()); free(line)) command(line);
  return 0;
}
