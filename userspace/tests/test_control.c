// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM's socket: names and stale files, the protocol, and clients that do all they
 * should not.  Server and clients are one thread, so that each step is seen to.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../client.h"
#include "../control.h"
#include "tap.h"

#define HELLO		"{\"version\":1,\"verb\":\"hello\"}\n"
#define HELLO_ANSWER	"{\"version\":1,\"result\":{\"said\":\"hello\"}}\n"
#define NOBODY		65534

static char dir[64];

/* ---- what the server does here ---- */

struct world {
	unsigned int begun;
	bool ready;
	char *big;
};

static json_t *say_hello(void *ctx, json_t *args, struct umbra_err *err)
{
	(void)ctx;
	(void)args;
	(void)err;
	return json_pack("{s:s}", "said", "hello");
}

static json_t *echo(void *ctx, json_t *args, struct umbra_err *err)
{
	(void)ctx;
	(void)err;
	return args ? json_incref(args) : json_object();
}

static enum message_code begin_wait(void *ctx, json_t *args, struct umbra_err *err)
{
	(void)args;
	(void)err;
	((struct world *)ctx)->begun++;
	return MESSAGE_OK;
}

static bool is_ready(void *ctx)
{
	return ((struct world *)ctx)->ready;
}

static enum message_code begin_never(void *ctx, json_t *args, struct umbra_err *err)
{
	(void)ctx;
	(void)args;
	return umbra_fail(err, MESSAGE_FAILED, "never");
}

static json_t *fail_late(void *ctx, json_t *args, struct umbra_err *err)
{
	(void)ctx;
	(void)args;
	umbra_fail(err, 0, "too late");
	return NULL;
}

static json_t *big(void *ctx, json_t *args, struct umbra_err *err)
{
	(void)args;
	(void)err;
	return json_pack("{s:s}", "big", ((struct world *)ctx)->big);
}

static const struct control_verb verbs[] = {
	{ .name = "hello", .finish = say_hello },
	{ .name = "echo", .takes_args = true, .finish = echo },
	{ .name = "wait", .begin = begin_wait, .ready = is_ready, .finish = say_hello },
	{ .name = "never", .begin = begin_never, .finish = say_hello },
	{ .name = "late", .finish = fail_late },
	{ .name = "big", .finish = big },
	{ .name = NULL },
};

static struct world world;
static struct control control;

static bool open_control(void)
{
	struct umbra_err err;
	pid_t owner;

	world = (struct world){ 0 };
	control_init(&control);
	return !control_open(&control, dir, "vm", verbs, &world, &owner, &err);
}

/* Until there is nothing left to do; a bound, lest a fault spins for ever. */
static bool serve(void)
{
	struct pollfd pfd = { .fd = control.epoll_fd, .events = POLLIN };
	unsigned int i;

	for (i = 0; i < 10000 && poll(&pfd, 1, 0) == 1; i++)
		control_serve(&control);
	return i < 10000;
}

static int dial(void)
{
	int fd = runtime_connect(dir, "vm", 0);

	if (fd >= 0)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static bool put(int fd, const char *text)
{
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* What the server has sent, as a string; "" when nothing, "END" when it has closed. */
static const char *get(int fd)
{
	static char buf[65536];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);

	if (!n)
		return "END";
	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

static bool got(int fd, const char *want)
{
	const char *text = get(fd);

	if (!strcmp(text, want))
		return true;
	printf("# got: %s\n# not: %s\n", text, want);
	return false;
}

/* ---- requests ---- */

#define REFUSAL(code, text) \
	"{\"version\":1,\"error\":{\"code\":\"" code "\",\"text\":\"" text "\"}}\n"

static const struct {
	const char *what, *request, *answer;
} requests[] = {
	{ "a verb", HELLO, HELLO_ANSWER },
	{ "members in another order, blanks",
	  " { \"verb\" : \"hello\" , \"version\" : 1 } \r\n", HELLO_ANSWER },
	{ "an id that is a number", "{\"version\":1,\"verb\":\"hello\",\"id\":7}\n",
	  "{\"version\":1,\"result\":{\"said\":\"hello\"},\"id\":7}\n" },
	{ "an id that is a string", "{\"version\":1,\"verb\":\"hello\",\"id\":\"a\"}\n",
	  "{\"version\":1,\"result\":{\"said\":\"hello\"},\"id\":\"a\"}\n" },
	{ "arguments", "{\"version\":1,\"verb\":\"echo\",\"args\":{\"a\":[1,null]}}\n",
	  "{\"version\":1,\"result\":{\"a\":[1,null]}}\n" },
	{ "a verb that fails", "{\"version\":1,\"verb\":\"never\",\"id\":1}\n",
	  "{\"version\":1,\"error\":{\"code\":\"failed\",\"text\":\"never\"},\"id\":1}\n" },
	{ "a verb that fails in the end", "{\"version\":1,\"verb\":\"late\"}\n",
	  REFUSAL("failed", "too late") },
	{ "a verb that does not exist", "{\"version\":1,\"verb\":\"fly\"}\n",
	  REFUSAL("unknown-verb", "this runner has no such verb") },
	{ "arguments for a verb without any", "{\"version\":1,\"verb\":\"hello\",\"args\":{}}\n",
	  REFUSAL("bad-args", "hello takes no arguments") },
	{ "another version", "{\"version\":2,\"verb\":\"hello\"}\n",
	  REFUSAL("bad-version", "only version 1 is spoken here") },
	{ "no version", "{\"verb\":\"hello\"}\n",
	  REFUSAL("bad-request", "\\\"version\\\" is missing, or no integer") },
	{ "a version that is a string", "{\"version\":\"1\",\"verb\":\"hello\"}\n",
	  REFUSAL("bad-request", "\\\"version\\\" is missing, or no integer") },
	{ "no verb", "{\"version\":1}\n",
	  REFUSAL("bad-request", "\\\"verb\\\" is missing, or no string") },
	{ "a verb that is a number", "{\"version\":1,\"verb\":1}\n",
	  REFUSAL("bad-request", "\\\"verb\\\" is missing, or no string") },
	{ "arguments that are an array", "{\"version\":1,\"verb\":\"echo\",\"args\":[]}\n",
	  REFUSAL("bad-request", "\\\"args\\\" is no object") },
	{ "an id that is an object", "{\"version\":1,\"verb\":\"hello\",\"id\":{}}\n",
	  REFUSAL("bad-request", "\\\"id\\\" is neither an integer nor a string") },
	{ "an unknown member", "{\"version\":1,\"verb\":\"hello\",\"force\":true}\n",
	  REFUSAL("bad-request", "a member that the protocol has not") },
	{ "an array", "[1]\n", REFUSAL("bad-request", "no JSON object") },
};

/* Refused, whatever the words. */
static const char *const no_json[] = {
	"\n", "{\n", "hello\n", "{}{}\n", "{\"version\":1,\"version\":1,\"verb\":\"hello\"}\n",
	"{\"version\":1,\"verb\":\"hel\\u0000lo\"}\n", "{\"version\":1,\"verb\":\"\xff\"}\n",
	"{\"version\":99999999999999999999,\"verb\":\"hello\"}\n",
};

static void test_requests(struct tap *tap)
{
	char deep[4000];
	int fd = dial();
	size_t i;

	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		tap_ok(tap, put(fd, requests[i].request) && serve() && got(fd, requests[i].answer),
		       "request: %s", requests[i].what);
	for (i = 0; i < sizeof(no_json) / sizeof(no_json[0]); i++)
		tap_ok(tap, put(fd, no_json[i]) && serve() && strstr(get(fd), "bad-request"),
		       "request: what is no JSON, %zu", i);
	memset(deep, '[', sizeof(deep));
	strcpy(deep + sizeof(deep) - 2, "\n");
	tap_ok(tap, put(fd, deep) && serve() && strstr(get(fd), "bad-request"),
	       "request: JSON 4000 deep");
	tap_ok(tap, put(fd, HELLO) && serve() && got(fd, HELLO_ANSWER),
	       "request: after all those, a good one");
	close(fd);
}

/* ---- connections ---- */

static void test_framing(struct tap *tap)
{
	char text[MESSAGE_REQUEST_MAX + 1];
	const char *at;
	int fd = dial();
	bool good = true;

	for (at = HELLO; *at; at++)
		good = good && serve() && got(fd, "") && send(fd, at, 1, MSG_NOSIGNAL) == 1;
	tap_ok(tap, good && serve() && got(fd, HELLO_ANSWER), "framing: a byte at a time");
	tap_ok(tap, put(fd, HELLO HELLO HELLO) && serve() &&
	       got(fd, HELLO_ANSWER HELLO_ANSWER HELLO_ANSWER), "framing: three in one");

	memset(text, ' ', sizeof(text));
	memcpy(text + MESSAGE_REQUEST_MAX - strlen(HELLO), HELLO, sizeof(HELLO));
	tap_ok(tap, put(fd, text) && serve() && got(fd, HELLO_ANSWER),
	       "framing: as long as a request may be");
	memset(text, 'x', MESSAGE_REQUEST_MAX);
	tap_ok(tap, put(fd, text) && serve() && strstr(get(fd), "longer than 4096") &&
	       got(fd, "END"), "framing: one byte longer is refused, and parted from");
	close(fd);

	fd = dial();
	tap_ok(tap, put(fd, HELLO HELLO) && !shutdown(fd, SHUT_WR) && serve() &&
	       got(fd, HELLO_ANSWER HELLO_ANSWER) && got(fd, "END"),
	       "framing: who will send no more gets the answers and the end");
	close(fd);
	fd = dial();
	tap_ok(tap, put(fd, "{\"version\":1") && !shutdown(fd, SHUT_WR) && serve() && got(fd, "END"),
	       "framing: half a request is none");
	close(fd);
}

static unsigned int connected(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < CONTROL_CLIENTS; i++)
		n += control.clients[i].fd >= 0;
	return n;
}

static void test_waiting(struct tap *tap)
{
	static const char wait[] = "{\"version\":1,\"verb\":\"wait\"}\n";
	int a = dial(), b = dial();

	tap_ok(tap, put(a, wait) && put(a, HELLO) && put(b, HELLO) && serve() && got(a, "") &&
	       got(b, HELLO_ANSWER), "waiting: one client waits, another is served");
	world.ready = true;
	control_wake(&control);
	tap_ok(tap, serve() && got(a, HELLO_ANSWER HELLO_ANSWER),
	       "waiting: the answer comes, and then that of what came meanwhile");
	world.ready = false;
	tap_ok(tap, put(a, wait) && !shutdown(a, SHUT_WR) && serve() && got(a, ""),
	       "waiting: who will send no more still waits");
	world.ready = true;
	control_wake(&control);
	tap_ok(tap, serve() && got(a, HELLO_ANSWER) && got(a, "END"), "waiting: and is answered");
	world.ready = false;
	put(b, wait);
	serve();
	close(b);
	tap_ok(tap, serve() && world.begun == 3 && !connected(), "waiting: who leaves is forgotten");
	control_wake(&control);
	close(a);
}

/* Asks for much and fetches nothing: the server must neither wait nor store it all. */
static void test_slow_reader(struct tap *tap)
{
	static const char ask[] = "{\"version\":1,\"verb\":\"big\"}\n";
	const size_t size = 200000;
	size_t sent = 0, fetched = 0, answers = 0, left, quiet;
	int slow = dial(), other = dial();
	char *buf = malloc(65536);
	ssize_t n;

	world.big = malloc(size);
	memset(world.big, 'x', size - 1);
	world.big[size - 1] = '\0';
	while (sent < 1000000 && send(slow, ask, strlen(ask), MSG_NOSIGNAL) == (ssize_t)strlen(ask)) {
		sent++;
		if (sent % 64 == 0 && !serve())
			break;
	}
	tap_ok(tap, sent < 1000000 && serve() && put(other, HELLO) && serve() &&
	       got(other, HELLO_ANSWER),
	       "slow reader: its requests pile up with itself, others are served");
	left = sent * (size + strlen("{\"version\":1,\"result\":{\"big\":\"\"}}\n") - 1);
	for (quiet = 0; fetched < left && quiet < 1000; ) {
		serve();
		n = recv(slow, buf, 65536, 0);
		quiet = n > 0 ? 0 : quiet + 1;
		for (; n > 0; n--, fetched++)
			answers += buf[n - 1] == '\n';
	}
	tap_ok(tap, fetched == left && answers == sent,
	       "slow reader: all %zu answers come when it reads", sent);
	put(slow, ask);
	serve();
	close(slow);
	tap_ok(tap, serve() && connected() == 1, "slow reader: who leaves in mid-answer is forgotten");
	close(other);
	serve();
	free(world.big);
	free(buf);
}

static void test_crowd(struct tap *tap)
{
	int fds[CONTROL_CLIENTS + 1];
	unsigned int i;
	bool good = true;

	for (i = 0; i < CONTROL_CLIENTS; i++) {
		fds[i] = dial();
		good = good && fds[i] >= 0 && serve();
	}
	good = good && connected() == CONTROL_CLIENTS && put(fds[0], HELLO) && serve();
	fds[i] = dial();
	tap_ok(tap, good && put(fds[i], HELLO) && serve() && got(fds[i], HELLO_ANSWER),
	       "crowd: one more than there is room for is served");
	tap_ok(tap, got(fds[1], "END") && got(fds[0], HELLO_ANSWER) && got(fds[0], ""),
	       "crowd: the one that was silent longest has made room");
	for (i = 0; i <= CONTROL_CLIENTS; i++)
		close(fds[i]);
	tap_ok(tap, serve() && !connected(), "crowd: all leave");
}

/* One read's worth of requests at once: it gets one answer each time it is its turn. */
static void test_greedy(struct tap *tap)
{
	const size_t many = MESSAGE_REQUEST_MAX / strlen(HELLO);
	int greedy = dial(), other = dial();
	size_t i, turn, answers = 0;
	const char *at;

	serve();
	for (i = 0; i < many; i++)
		put(greedy, HELLO);
	put(other, HELLO);
	control_serve(&control);
	tap_ok(tap, got(other, HELLO_ANSWER) && got(greedy, HELLO_ANSWER),
	       "greedy: who sends many requests at once gets one answer, and then it is another's turn");
	/* It has to fetch some before there is room for more. */
	for (turn = 0; turn < many; turn++) {
		serve();
		for (at = get(greedy); (at = strchr(at, '\n')); at++)
			answers++;
	}
	tap_ok(tap, answers == many - 1, "greedy: and the others in the end");
	close(greedy);
	close(other);
	serve();
}

/* Connections that nobody has taken yet, until there is no room for one more. */
static unsigned int fill_backlog(int *fds, unsigned int max)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	unsigned int n;

	strcpy(addr.sun_path, control.listener.path);
	for (n = 0; n < max; n++) {
		fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (!connect(fds[n], (struct sockaddr *)&addr, sizeof(addr)))
			continue;
		close(fds[n]);
		break;
	}
	return n;
}

static void test_backlog(struct tap *tap)
{
	struct timespec start, end;
	struct umbra_err err;
	unsigned int i, n;
	int fds[64], ret;
	json_t *result;

	n = fill_backlog(fds, 64);
	clock_gettime(CLOCK_MONOTONIC, &start);
	ret = client_ask(dir, "vm", "hello", NULL, 1, NULL, &result, &err);
	clock_gettime(CLOCK_MONOTONIC, &end);
	tap_ok(tap, n && n < 64 && ret == -ETIMEDOUT && strstr(err.text, "does not answer") &&
	       (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 >= 1000,
	       "backlog: where it is full a client waits as long as it was told");
	control_serve(&control);
	tap_ok(tap, connected() == 8, "backlog: eight are taken at once");
	put(fds[0], HELLO);
	control_serve(&control);
	tap_ok(tap, connected() == CONTROL_CLIENTS && got(fds[0], HELLO_ANSWER),
	       "backlog: and the first is served before the last is taken");
	for (i = 0; i < n; i++)
		close(fds[i]);
	tap_ok(tap, serve() && !connected(), "backlog: all leave");
}

static void test_noise(struct tap *tap)
{
	unsigned int seed = 1, i, round;
	char noise[512];
	bool good = true;

	for (round = 0; good && round < 300; round++) {
		static const char alphabet[] = "{}[]\":,\\ntrue1e-.verbsion \n\n\xff\x80";
		int fd = dial();

		for (i = 0; i < sizeof(noise) - 1; i++)
			noise[i] = alphabet[(unsigned int)rand_r(&seed) % (sizeof(alphabet) - 1)];
		noise[i] = '\0';
		put(fd, noise);
		good = serve();
		put(fd, "\n" HELLO);
		good = good && serve() && strstr(get(fd), HELLO_ANSWER);
		close(fd);
		serve();
	}
	tap_ok(tap, good, "noise: 300 lines of it are refused one by one (seed 1)");
}

static void test_foreigner(struct tap *tap)
{
	int status = 0, fd, pair[2];
	pid_t pid;
	char byte;

	tap_ok(tap, control_peer_allowed(5, 5) && control_peer_allowed(0, 5) &&
	       !control_peer_allowed(6, 5) && !control_peer_allowed(5, 0), "peer: its user, and root");
	if (geteuid() || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
		tap_ok(tap, true, "peer: a foreigner is turned away # SKIP only root can become one");
		return;
	}
	/* As if the directory's and the file's rights had not kept it out. */
	chmod(dir, 0777);
	chmod(control.listener.path, 0777);
	pid = fork();
	if (!pid) {
		fd = setuid(NOBODY) ? -1 : dial();
		fcntl(fd, F_SETFL, 0);
		put(fd, HELLO);
		byte = fd >= 0;
		if (send(pair[1], &byte, 1, 0) != 1)
			_exit(2);
		_exit(recv(fd, &byte, 1, 0) > 0);
	}
	if (recv(pair[0], &byte, 1, 0) != 1)
		byte = 0;
	serve();
	waitpid(pid, &status, 0);
	chmod(dir, 0700);
	tap_ok(tap, byte && WIFEXITED(status) && !WEXITSTATUS(status),
	       "peer: a foreigner is turned away");
	close(pair[0]);
	close(pair[1]);
}

/* ---- names ---- */

/* What a killed runner leaves: a socket that nobody listens on. */
static void leave_stale(const char *name)
{
	struct runtime_socket s;
	struct umbra_err err;
	pid_t owner;

	if (!runtime_listen(&s, dir, name, &owner, &err))
		close(s.fd);
}

static void put_file(const char *name, bool there)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (there)
		close(open(path, O_CREAT | O_WRONLY, 0600));
	else
		unlink(path);
}

static bool names_are(const char *first, const char *second)
{
	struct umbra_err err;
	char **names;
	int count = runtime_names(dir, &names, &err);
	bool good = count == !!first + !!second;

	good = good && (!first || !strcmp(names[0], first)) &&
	       (!second || !strcmp(names[1], second));
	if (count >= 0)
		runtime_free_names(names, count);
	return good;
}

static void test_names(struct tap *tap)
{
	struct runtime_socket a, b;
	struct umbra_err err;
	struct stat st;
	pid_t owner;

	tap_ok(tap, names_are(NULL, NULL), "names: a directory that is not there is empty");
	tap_ok(tap, !runtime_listen(&b, dir, "b", &owner, &err) && !stat(dir, &st) &&
	       (st.st_mode & 07777) == 0700 && !lstat(b.path, &st) && (st.st_mode & 07777) == 0600,
	       "names: made for its user alone");
	tap_ok(tap, runtime_listen(&a, dir, "b", &owner, &err) == -EEXIST && owner == getpid(),
	       "names: one that is taken, and by whom");
	runtime_listen(&a, dir, "a", &owner, &err);
	leave_stale("stale");
	put_file("a file.sock", true);
	put_file("file", true);
	tap_ok(tap, names_are("a", "b") && runtime_connect(dir, "stale", 0) == -ENOENT,
	       "names: sorted, without the dead and without what is none");
	leave_stale("stale");
	runtime_close(&a);
	tap_ok(tap, !runtime_listen(&a, dir, "stale", &owner, &err) && names_are("b", "stale"),
	       "names: a dead runner's is taken over");
	unlink(a.path);
	put_file("stale.sock", true);
	runtime_close(&a);
	tap_ok(tap, !lstat(a.path, &st), "names: what has taken our place is not removed");
	tap_ok(tap, runtime_listen(&a, dir, "stale", &owner, &err) == -EEXIST && !owner &&
	       !lstat(a.path, &st), "names: nor a file that is no socket");
	put_file("stale.sock", false);
	runtime_close(&b);
	runtime_close(&b);
	tap_ok(tap, names_are(NULL, NULL), "names: all are gone");
	put_file("a file.sock", false);
	put_file("file", false);
	chmod(dir, 0777);
	tap_ok(tap, runtime_listen(&a, dir, "a", &owner, &err) == -EPERM && strstr(err.text, dir),
	       "names: not where others can write");
	chmod(dir, 0700);
}

static void test_dir(struct tap *tap)
{
	char buf[RUNTIME_PATH_MAX], path[200];
	struct runtime_socket s;
	struct umbra_err err;
	pid_t owner;

	memset(path, 'x', sizeof(path));
	memcpy(path, "/tmp", 4);
	path[sizeof(path) - 1] = '\0';
	tap_ok(tap, runtime_listen(&s, path, "a", &owner, &err) == -ENAMETOOLONG &&
	       runtime_connect(path, "a", 0) == -ENOENT, "dir: too long for a socket");
	if (geteuid() == 0) {
		tap_ok(tap, !runtime_dir(buf, &err) && !strcmp(buf, "/run/umbra"), "dir: root's");
		return;
	}
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	tap_ok(tap, !runtime_dir(buf, &err) && !strcmp(buf, "/run/user/7/umbra"), "dir: a user's");
	setenv("XDG_RUNTIME_DIR", path, 1);
	tap_ok(tap, runtime_dir(buf, &err) == -ENAMETOOLONG, "dir: a user's, too long");
	unsetenv("XDG_RUNTIME_DIR");
	tap_ok(tap, runtime_dir(buf, &err) == -ENOENT, "dir: a user's, not told");
}

static const struct {
	const char *what, *text;
	int ret;
} answers[] = {
	{ "a result", "{\"version\":1,\"result\":{}}", 0 },
	{ "a refusal", "{\"version\":1,\"error\":{\"code\":\"failed\",\"text\":\"no\"}}",
	  -EREMOTEIO },
	{ "a refusal of arguments",
	  "{\"version\":1,\"error\":{\"code\":\"bad-args\",\"text\":\"no\"}}", -EINVAL },
	{ "a refusal without a code", "{\"version\":1,\"error\":{\"text\":\"no\"}}", -EPROTO },
	{ "another version", "{\"version\":2,\"result\":{}}", -EPROTO },
	{ "a result that is no object", "{\"version\":1,\"result\":1}", -EPROTO },
	{ "an error without words", "{\"version\":1,\"error\":{}}", -EPROTO },
	{ "nothing of use", "{\"version\":1}", -EPROTO },
	{ "no JSON", "what?", -EPROTO },
};

static void test_answers(struct tap *tap)
{
	struct umbra_err err;
	json_t *result;
	size_t i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		int ret = message_read_answer(answers[i].text, strlen(answers[i].text), &result,
					      &err);

		tap_ok(tap, ret == answers[i].ret && !ret == !!result, "answer: %s",
		       answers[i].what);
		json_decref(result);
	}
}

/* The client's side waits for its answer, and so has a process of its own. */
static void test_client(struct tap *tap)
{
	struct pollfd pfd = { .fd = control.epoll_fd, .events = POLLIN };
	struct umbra_err err;
	json_t *result;
	int status, ret;
	pid_t pid = fork();

	if (!pid) {
		ret = client_ask(dir, "vm", "echo", json_pack("{s:i}", "a", 1), 60, NULL, &result,
				 &err);
		if (ret || json_integer_value(json_object_get(result, "a")) != 1)
			_exit(1);
		ret = client_ask(dir, "vm", "fly", NULL, 60, NULL, &result, &err);
		_exit(ret != -EREMOTEIO || !strstr(err.text, "no such verb"));
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		if (poll(&pfd, 1, 100) == 1)
			control_serve(&control);
	}
	tap_ok(tap, WIFEXITED(status) && !WEXITSTATUS(status), "client: a result, and a refusal");
	tap_ok(tap, client_ask(dir, "none", "echo", NULL, 60, NULL, &result, &err) == -ENOENT,
	       "client: no such VM");
	serve();
}

int main(void)
{
	struct tap tap = { 0 };
	char base[] = "/tmp/umbra-control.XXXXXX";

	if (!mkdtemp(base))
		return 1;
	chmod(base, 0755);
	snprintf(dir, sizeof(dir), "%s/umbra", base);
	test_names(&tap);
	test_dir(&tap);
	test_answers(&tap);
	tap_ok(&tap, open_control(), "the control opens");
	test_requests(&tap);
	test_framing(&tap);
	test_waiting(&tap);
	test_slow_reader(&tap);
	test_crowd(&tap);
	test_greedy(&tap);
	test_backlog(&tap);
	test_noise(&tap);
	test_client(&tap);
	test_foreigner(&tap);
	control_close(&control);
	control_close(&control);
	tap_ok(&tap, runtime_connect(dir, "vm", 0) == -ENOENT && !rmdir(dir) && !rmdir(base),
	       "nothing is left behind");
	return tap_done(&tap);
}
