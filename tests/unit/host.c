/*
 * The host of plugins: whatever the plugin does, each request ends once, by
 * the decision that was made or without one in time; and the host goes on.
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/host.h"
#include "util/err.h"
#include "util/times.h"

#define ID	"00000000000000000000000000000000000000000000000000000000000000aa"
#define LINE	"{\"id\":\"" ID "\",\"pubkey\":\"" ID "\",\"created_at\":5," \
	"\"kind\":1,\"tags\":[],\"content\":\"\",\"sig\":\"" ID ID "\"}"

#define MANY	5000

/* One request of many, and what came of all. */
struct one {
	struct nr_asked	 asked;
	char		 line[sizeof(LINE)];
	int		 ends;
	uint64_t	 at;		/* how many had ended before */
};

static struct one one[MANY];
static atomic_uint_fast64_t ended, decided[3], without[3];
static char last_msg[NR_DECISION_MSG];
static atomic_uint words, troubles;
static char last_trouble[512];

static void
done(struct nr_asked *a, enum nr_host_end end, const struct nr_decision *d)
{
	struct one *o = (struct one *)a;

	o->ends++;
	if (end == NR_HOST_DECIDED) {
		atomic_fetch_add(&decided[d->action], 1);
		strcpy(last_msg, d->msg);
	} else
		atomic_fetch_add(&without[end], 1);
	o->at = atomic_fetch_add(&ended, 1);
}

static void
say(void *ctx, enum nr_host_news what, const char *text)
{
	(void)ctx;
	if (getenv("NR_VERBOSE") != NULL)
		fprintf(stderr, "# %d %s\n", (int)what, text);
	if (what == NR_HOST_STDERR)
		atomic_fetch_add(&words, 1);
	if (what == NR_HOST_TROUBLE) {
		snprintf(last_trouble, sizeof(last_trouble), "%s", text);
		atomic_fetch_add(&troubles, 1);
	}
}

/* A command; %P in it is the plugin of the tests. */
static const char *
command(const char *text)
{
	static char out[2][600];
	static int which;
	const char *build = getenv("NR_BUILD"), *p = strstr(text, "%P");

	which = !which;
	if (p == NULL)
		snprintf(out[which], sizeof(out[which]), "%s", text);
	else
		snprintf(out[which], sizeof(out[which]),
		    "%.*s%s/tests/tools/plugin%s", (int)(p - text), text,
		    build != NULL ? build : "build", p + 2);
	return out[which];
}

static struct nr_host_options
options(const char *text)
{
	struct nr_host_options o = {
		.command = command(text), .timeout = 10000, .queue = MANY,
		.lane = MANY, .bytes = 100 << 20, .say = say
	};

	return o;
}

static struct nr_host *
host_with(const struct nr_host_options *o)
{
	struct nr_host *h;
	int i;

	for (i = 0; i < 3; i++) {
		atomic_store(&decided[i], 0);
		atomic_store(&without[i], 0);
	}
	atomic_store(&ended, 0);
	atomic_store(&words, 0);
	atomic_store(&troubles, 0);
	memset(one, 0, sizeof(one));
	assert_int_equal(nr_host_new(&h, o), NR_OK);
	return h;
}

static struct nr_host *
host(const char *text)
{
	struct nr_host_options o = options(text);

	return host_with(&o);
}

/* The i-th request; its id is made of n. */
static int
ask_as(struct nr_host *h, unsigned i, unsigned n, uint64_t key)
{
	struct nr_request *q = &one[i].asked.request;
	char hex[9];

	assert_in_range(i, 0, MANY - 1);
	memcpy(one[i].line, LINE, sizeof(LINE));
	snprintf(hex, sizeof(hex), "%08x", n);
	memcpy(one[i].line + 7 + 56, hex, 8);
	memset(&one[i].asked, 0, sizeof(one[i].asked));
	q->type = NR_ASK_NEW;
	q->event = (struct nr_view){ one[i].line, sizeof(LINE) - 1 };
	assert_true(nr_event_view(&q->ev, q->event.p, q->event.len));
	q->source = NR_FROM_IP4;
	q->source_info = (struct nr_view){ "127.0.0.1", 9 };
	one[i].asked.key = key;
	one[i].asked.done = done;
	return nr_host_ask(h, &one[i].asked);
}

static void
ask(struct nr_host *h, unsigned from, unsigned to)
{
	for (; from < to; from++)
		assert_int_equal(ask_as(h, from, from, 1), NR_OK);
}

/* Wait for so many to have ended. */
static void
until_ended(uint64_t n)
{
	int64_t give_up = nr_now_ms() + 30000;

	while (atomic_load(&ended) < n && nr_now_ms() < give_up)
		nr_sleep_ms(2);
	assert_true(atomic_load(&ended) == n);
}

#define UNTIL(cond) do {						\
	int64_t give_up_at = nr_now_ms() + 30000;			\
	while (!(cond) && nr_now_ms() < give_up_at)			\
		nr_sleep_ms(5);						\
	assert_true(cond);						\
} while (0)

static void
each_once(unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		assert_int_equal(one[i].ends, 1);
}

static struct nr_host_figures
figures(struct nr_host *h)
{
	struct nr_host_figures f;

	nr_host_figures(h, &f);
	return f;
}

static void
test_plain(void **state)
{
	struct nr_host *h = host("%P parity");

	(void)state;
	ask(h, 0, MANY);
	until_ended(MANY);
	each_once(MANY);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), MANY / 2);
	assert_int_equal(atomic_load(&decided[NR_REJECT]), MANY / 2);
	assert_int_equal(figures(h).decided[NR_ACCEPT], MANY / 2);
	assert_int_equal(figures(h).strays, 0);
	nr_host_free(h);
}

static void
test_hello(void **state)
{
	static const char *const with[] = {
		"%P -h -m 'no \\\"1\\\"' reject", "%P -h -b 50 -m no shadow"
	};
	struct nr_host *h;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		h = host(with[i]);
		ask(h, 0, MANY);
		until_ended(MANY);
		each_once(MANY);
		assert_int_equal(atomic_load(&decided[NR_REJECT + i]), MANY);
		nr_host_free(h);
	}
	assert_string_equal(last_msg, "no");
}

/* What strfry's users write. */
static void
test_scripts(void **state)
{
	struct nr_host *h = host("while read -r line; do id=${line#*'\"id\":\"'};"
	    " echo \"{\\\"id\\\":\\\"${id%%\\\"*}\\\",\\\"action\\\":"
	    "\\\"accept\\\"}\"; done");

	(void)state;
	ask(h, 0, 200);
	until_ended(200);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 200);
	nr_host_free(h);
}

static void
test_same_id(void **state)
{
	struct nr_host *h = host("%P accept");
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++)
		assert_int_equal(ask_as(h, i, i / 10, i), NR_OK);
	until_ended(1000);
	each_once(1000);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 1000);
	nr_host_free(h);
}

static void
test_silent(void **state)
{
	struct nr_host_options o = options("%P -n 10 silent");
	struct nr_host *h;

	(void)state;
	o.timeout = 300;
	h = host_with(&o);
	ask(h, 0, 9);
	until_ended(9);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 9);
	ask(h, 9, 20);
	until_ended(20);
	each_once(20);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 9);
	assert_int_equal(atomic_load(&without[NR_HOST_LATE]), 11);
	/* It hangs, so there is another one. */
	UNTIL(figures(h).restarts == 1 && figures(h).running);
	assert_non_null(strstr(last_trouble, "does not answer"));
	ask(h, 20, 25);
	until_ended(25);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 14);
	nr_host_free(h);
}

/* One that forgets some is slow, but not dead. */
static void
test_forgets(void **state)
{
	struct nr_host_options o = options("%P drop");
	struct nr_host *h;

	(void)state;
	o.timeout = 500;
	h = host_with(&o);
	ask(h, 0, 40);
	until_ended(40);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 20);
	assert_int_equal(atomic_load(&without[NR_HOST_LATE]), 20);
	nr_host_free(h);
}

static void
test_dies(void **state)
{
	struct nr_host *h = host("%P -n 500 die");

	(void)state;
	ask(h, 0, 2000);
	until_ended(2000);
	each_once(2000);
	assert_in_range(atomic_load(&without[NR_HOST_FAILED]), 1, 64 * 4);
	assert_in_range(atomic_load(&decided[NR_ACCEPT]), 1000, 1999);
	assert_in_range(figures(h).restarts, 1, 5);
	assert_non_null(strstr(last_trouble, "has ended with status 7"));
	nr_host_free(h);
	/* At once, always: nobody waits longer than the deadline. */
	h = host("exit 3");
	UNTIL(figures(h).restarts >= 2);
	ask(h, 0, 10);
	nr_host_free(h);
	each_once(10);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 0);
}

static void
test_liars(void **state)
{
	static const char *const how[] = { "lie", "garble" };
	struct nr_host_options o;
	struct nr_host *h;
	char text[40];
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "%%P %s", how[i]);
		o = options(text);
		o.timeout = 1000;
		h = host_with(&o);
		ask(h, 0, 300);
		until_ended(300);
		each_once(300);
		assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 0);
		assert_true(figures(h).strays > 0);
		nr_host_free(h);
	}
	/* Talking beside the point is borne, where it is no more than that. */
	h = host("%P stray");
	ask(h, 0, 1000);
	until_ended(1000);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 1000);
	assert_int_equal(figures(h).strays, 1000);
	nr_host_free(h);
	h = host("%P -h twice");
	ask(h, 0, 90);
	until_ended(90);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 90);
	UNTIL(figures(h).strays == 90);
	each_once(90);
	nr_host_free(h);
}

/* Each of them is ended, and what it was asked with it. */
static void
test_floods(void **state)
{
	static const struct {
		const char	*command, *why;
	} bad[] = {
		{ "exec yes", "talks nonsense" },
		{ "exec yes ''", "talks nonsense" },
		{ "exec yes '[]'", "talks nonsense" },
		{ "exec tr '\\0' x </dev/zero", "without an end" },
		{ "echo '{\"type\":\"hello\",\"version\":1,\"batch\":1000}';"
		    "exec tr '\\0' '[' </dev/zero", "without an end" },
		{ "exec >&-; cat >/dev/null", "has closed its" },
		{ "exec <&-; sleep 1000", "has closed its" },
		{ "exit 0", "status 0" },
		{ "kill -9 $$", "signal 9" },
		{ "/no/such/plugin 2>/dev/null", "status 127" }
	};
	struct nr_host_options o;
	struct nr_host *h;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		o = options(bad[i].command);
		o.timeout = 3000;
		h = host_with(&o);
		ask(h, 0, 20);
		until_ended(20);
		each_once(20);
		assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 0);
		UNTIL(atomic_load(&troubles) > 0);
		nr_host_stop(h);
		if (strstr(last_trouble, bad[i].why) == NULL)
			fail_msg("%s: %s", bad[i].command, last_trouble);
		nr_host_free(h);
	}
}

static void
test_half_a_line(void **state)
{
	struct nr_host_options o = options("printf '{\"id\":'; "
	    "exec sleep 1000");
	struct nr_host *h;

	(void)state;
	o.timeout = 300;
	h = host_with(&o);
	ask(h, 0, 2);
	until_ended(2);
	assert_int_equal(atomic_load(&without[NR_HOST_LATE]), 2);
	nr_host_free(h);
}

/* Who asks for much waits for himself. */
static void
test_fair(void **state)
{
	struct nr_host *h = host("%P -t 2 accept");
	unsigned i;

	(void)state;
	ask(h, 0, 3000);
	for (i = 3000; i < 3010; i++)
		assert_int_equal(ask_as(h, i, i, 2), NR_OK);
	until_ended(3010);
	for (i = 3000; i < 3010; i++)
		assert_in_range(one[i].at, 0, 2000);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 3010);
	nr_host_free(h);
}

static void
test_bounds(void **state)
{
	struct nr_host_options o = options("%P silent");
	struct nr_host *h;
	unsigned i, taken = 0;

	(void)state;
	o.queue = 100;
	o.lane = 0;
	h = host_with(&o);
	for (i = 0; i < 500; i++)
		taken += ask_as(h, i, i, 1) == NR_OK;
	/* A quarter waits, and a window is asked. */
	assert_in_range(taken, 25, 26 + 64);
	assert_int_equal(ask_as(h, 500, 500, 2), NR_OK);
	assert_int_equal(figures(h).refused, 500 - taken);
	nr_host_free(h);
	assert_int_equal(atomic_load(&ended), taken + 1);
	o.queue = 1000;
	o.lane = 1000;
	o.bytes = 10 * sizeof(LINE);
	o.command = command("%P silent");
	h = host_with(&o);
	for (i = 0, taken = 0; i < 500; i++)
		taken += ask_as(h, i, i, 1) == NR_OK;
	assert_in_range(taken, 10, 10 + 64);
	nr_host_free(h);
}

/* None fails, whatever is going on. */
static void
test_replace(void **state)
{
	struct nr_host *h = host("%P -t 1 accept");
	struct nr_host_options o;
	unsigned i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		assert_int_equal(ask_as(h, i, i, i % 7), NR_OK);
		if (i % 100 == 0)
			nr_sleep_ms(20);
		if (i % 1000 == 500) {
			o = options(i % 2000 == 500 ? "%P -h -m new reject" :
			    "%P -t 1 -m old shadow");
			assert_int_equal(nr_host_replace(h, &o), NR_OK);
		}
	}
	until_ended(MANY);
	each_once(MANY);
	assert_int_equal(atomic_load(&without[NR_HOST_LATE]) +
	    atomic_load(&without[NR_HOST_FAILED]), 0);
	assert_true(atomic_load(&decided[NR_ACCEPT]) > 0);
	assert_true(atomic_load(&decided[NR_REJECT]) > 0);
	/* One that does not run does not take over. */
	o = options("exit 1");
	assert_int_equal(nr_host_replace(h, &o), NR_OK);
	UNTIL(atomic_load(&troubles) >= 2);
	ask(h, 0, 100);
	until_ended(MANY + 100);
	assert_int_equal(atomic_load(&without[NR_HOST_LATE]) +
	    atomic_load(&without[NR_HOST_FAILED]), 0);
	/* None at all. */
	o = options("x");
	o.command = NULL;
	for (i = 0; i < 100; i++)
		assert_int_equal(ask_as(h, i, i, 1), NR_OK);
	assert_int_equal(nr_host_replace(h, &o), NR_OK);
	assert_int_equal(ask_as(h, 100, 100, 1), EAGAIN);
	until_ended(MANY + 200);
	assert_int_equal(atomic_load(&without[NR_HOST_LATE]) +
	    atomic_load(&without[NR_HOST_FAILED]), 0);
	UNTIL(!figures(h).running);
	nr_host_free(h);
}

/* Reads and connections: only who can answer them, or is said to. */
static void
test_asks(void **state)
{
	struct nr_host_options o = options("%P -h reject");
	struct nr_host *h;
	struct nr_request *q = &one[0].asked.request;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		o.command = command(i == 0 ? "%P -h reject" : "%P reject");
		o.asks = i == 2 ? NR_ASK_BIT(NR_ASK_REQ) : 0;
		h = host_with(&o);
		nr_sleep_ms(i == 0 ? 300 : 0);	/* for its hello */
		one[0].asked.done = done;
		q->type = NR_ASK_REQ;
		q->filters = (struct nr_view){ "[{}]", 4 };
		q->verb = (struct nr_view){ "REQ", 3 };
		assert_int_equal(nr_host_ask(h, &one[0].asked), NR_OK);
		until_ended(1);
		assert_int_equal(atomic_load(&decided[NR_REJECT]), i != 1);
		assert_int_equal(atomic_load(&without[NR_HOST_FAILED]),
		    i == 1);
		nr_host_free(h);
	}
}

static long
number_in(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%ld", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/* Those who do not want to end, and their children, do. */
static void
test_ends(void **state)
{
	char path[] = "/tmp/nr-host.XXXXXX", text[300];
	int fd = mkstemp(path);
	struct nr_host *h;
	long pid;

	(void)state;
	assert_true(fd >= 0);
	snprintf(text, sizeof(text), "trap '' TERM; (trap '' TERM; sleep 1000)"
	    " & echo $! >%s; echo one >&2; printf 'two\\033\\n' >&2; "
	    "wait; sleep 1000", path);
	h = host(text);
	UNTIL((pid = number_in(path)) > 0);
	assert_int_equal(kill((pid_t)pid, 0), 0);
	ask(h, 0, 10);
	nr_host_stop(h);
	each_once(10);
	assert_int_equal(atomic_load(&without[NR_HOST_FAILED]), 10);
	assert_int_equal(ask_as(h, 10, 10, 1), EAGAIN);
	assert_int_equal(atomic_load(&words), 2);
	nr_host_free(h);
	/* It may be a zombie that nobody has asked for yet. */
	snprintf(text, sizeof(text), "! grep -q '^State:.[^Z]' /proc/%ld/status"
	    " 2>/dev/null", pid);
	UNTIL(system(text) == 0);
	close(fd);
	unlink(path);
}

static void
test_words_are_bounded(void **state)
{
	struct nr_host *h = host("yes >&2 & exec %P accept");

	(void)state;
	ask(h, 0, 1000);
	until_ended(1000);
	assert_int_equal(atomic_load(&decided[NR_ACCEPT]), 1000);
	UNTIL(atomic_load(&words) >= 50);
	assert_in_range(atomic_load(&words), 50, 150);
	nr_host_free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_same_id),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_forgets),
		cmocka_unit_test(test_dies),
		cmocka_unit_test(test_liars),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_half_a_line),
		cmocka_unit_test(test_fair),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_asks),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_words_are_bounded)
	};

	return NR_RUN(tests);
}
