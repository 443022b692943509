/*
 * The rules file: whatever it says is read or told what is wrong with it,
 * with a place in it; what is read decides about events, reads and
 * connections, the same in one go as with a stop before what needs order.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#include "bench/gen.h"
#include "policy/rules.h"

#define SAMPLES	24

static struct nr_buf text[SAMPLES];
static struct nr_request sample[SAMPLES + 2];
static int fd;
static char dir[] = "/tmp/nr-fuzz.XXXXXX", path[64];
static unsigned told;

static void
clean_up(void)
{
	unlink(path);
	rmdir(dir);
}

static void
make_samples(void)
{
	struct nr_gen_options o = { .model = NR_GEN_NETWORK, .seed = 7,
	    .count = SAMPLES, .authors = 5, .since = 1, .until = 1000 };
	static const unsigned char key[1][32] = { { 1 } };
	static const char filters[] =
	    "[{\"kinds\":[1],\"#t\":[\"x\"]},{\"limit\":1}]";
	struct nr_gen *g;
	unsigned author, i;

	MUST(nr_gen_new(&g, &o) == 0);
	for (i = 0; i < SAMPLES; i++) {
		struct nr_buf *b = &text[i];
		struct nr_request *rq = &sample[i];

		MUST(nr_gen_next(g, b, &author) == 0);
		rq->event = (struct nr_view){ b->p, b->len - 1 };
		MUST(nr_event_view(&rq->ev, b->p, b->len - 1));
		rq->ev.flags |= NR_EVENT_NORMAL;
	}
	nr_gen_free(g);
	sample[SAMPLES].type = NR_ASK_REQ;
	sample[SAMPLES].filters = (struct nr_view){ filters,
	    sizeof(filters) - 1 };
	sample[SAMPLES].verb = (struct nr_view){ "REQ", 3 };
	sample[SAMPLES + 1].type = NR_ASK_CONNECT;
	for (i = 0; i < SAMPLES + 2; i++) {
		sample[i].received = 500;
		sample[i].iplen = 4;
		sample[i].nauthed = i % 2;
		sample[i].authed = key;
	}
	/* In a directory where nothing else can be named. */
	MUST(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/rules", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	atexit(clean_up);
}

static void
wrong(void *ctx, const char *file, unsigned line, unsigned column,
    const char *what)
{
	(void)ctx;
	MUST(*file != '\0' && *what != '\0');
	MUST((line == 0) == (column == 0));
	told++;
}

static void
decide(const struct nr_rules *r, const struct nr_request *rq, int stop,
    struct nr_eval *e)
{
	struct nr_rules_thread *t;
	enum nr_step step;

	MUST(nr_rules_thread_new(&t, r) == 0);
	nr_eval_begin(e, r, rq, 500000000000);
	step = nr_eval_run(e, t, NR_EVAL_DRY | (stop ? 0 : NR_EVAL_ORDER));
	while (step != NR_STEP_DECIDED)
		step = step == NR_STEP_ORDER ?
		    nr_eval_run(e, t, NR_EVAL_DRY | NR_EVAL_ORDER) :
		    nr_eval_answer(e, t, NR_EVAL_DRY | NR_EVAL_ORDER,
		    NR_ACCEPT, "", 0);
	nr_eval_end(e);
	nr_rules_thread_free(t);
}

static int
has(const uint8_t *data, size_t size, const char *word)
{
	return memmem(data, size, word, strlen(word)) != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct nr_rules_calls calls = { wrong, NULL, NULL };
	struct nr_rules *r;
	struct nr_eval one, two;
	size_t i;
	int rc, counts;

	if (fd == 0)
		make_samples();
	/* Large tables of state, and jq, take long to make. */
	if (has(data, size, "state") || (has(data, size, "jq") && size % 16))
		return 0;
	MUST(ftruncate(fd, 0) == 0);
	MUST(pwrite(fd, data, size, 0) == (ssize_t)size);
	told = 0;
	rc = nr_rules_read(&r, path, NULL, 1, &calls);
	MUST(rc == 0 ? told == 0 : told > 0);
	if (rc != 0)
		return 0;
	counts = has(data, size, "limit") || has(data, size, "duplicates");
	for (i = 0; i < SAMPLES + 2; i++) {
		decide(r, &sample[i], 0, &one);
		decide(r, &sample[i], 1, &two);
		MUST(counts || (one.action == two.action &&
		    one.decided == two.decided && one.score == two.score));
	}
	nr_rules_free(r);
	return 0;
}
