/*
 * nr-bench probe: how relays are, many at a time, once or for ever.  This
 * file has the options and the rounds; bench_probe_relay.c what is asked of
 * one relay.
 */
#include "bench_probe.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "bench.h"
#include "event/event.h"
#include "keyopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/lines.h"
#include "util/times.h"

#define JOBS_MAX	1000
#define LOOKUPS_MAX	256	/* names at a time; each has a thread */
#define FDS_PER_JOB	6	/* two connections, old ones that close */
#define FDS_MORE	64

static void
must(int rc, const char *what)
{
	if (rc != NR_OK)
		nr_die(rc, "%s", what);
}

/* ---- rounds */

static void
launch(struct probe *p)
{
	while (p->running < (unsigned)p->jobs && p->next < p->relays.n) {
		p->running++;
		probe_relay_start(p, &p->relays.url[p->next++]);
	}
}

static int
round_status(const struct probe *p)
{
	if (p->healthy + p->degraded == 0)
		return NR_EX_ENV;
	return p->degraded + p->dead > 0 ? NR_EX_NO : NR_EX_OK;
}

/* A tenth is chance, so that monitors do not come all at once. */
static int64_t
until_next(struct probe *p)
{
	int64_t tenth = p->every_ms / 10;
	int64_t at = p->began + p->every_ms - tenth +
	    (int64_t)nr_rng_below(&p->rng, (uint64_t)(2 * tenth + 1));

	return at - nr_now_ms();
}

/* How a round went; which one, where there are several. */
static void
tell_round(struct probe *p)
{
	char which[32] = "";

	if (nr_quiet)
		return;
	if (p->every_ms != 0)
		snprintf(which, sizeof(which), "round %" PRIu64 ": ",
		    p->round);
	snprintf(p->told, sizeof(p->told), "%s%" PRIu64 " healthy, %" PRIu64
	    " degraded, %" PRIu64 " dead", which, p->healthy, p->degraded,
	    p->dead);
	nr_say("%s", p->told);
}

static void
round_over(struct probe *p)
{
	p->status = round_status(p);
	tell_round(p);
	if (p->every_ms == 0)
		nr_net_stop(p->net);
	else
		nr_timer_set(p->timer, until_next(p));
}

/* Operands, and what the file has now; where it is wrong, as before. */
static void
read_relays(struct probe *p)
{
	struct nr_relays now = { NULL, 0 };
	struct nr_bad_line bad;
	int rc;

	nr_relays_copy(&now, &p->given);
	rc = nr_relays_try_file(&now, p->file, &bad);
	if (rc == NR_OK && now.n > 0) {
		nr_relays_free(&p->relays);
		p->relays = now;
		return;
	}
	if (rc == NR_OK)
		nr_warn("%s: no relay: going on with the last list", p->file);
	else if (rc == NR_EINVAL)
		nr_warn("%s: line %" PRIu64 ": not the URL of a relay: %s: "
		    "going on with the last list", p->file, bad.no, bad.text);
	else
		nr_warn("%s: %s: going on with the last list", p->file,
		    nr_strerror(rc));
	nr_relays_free(&now);
}

static void
begin_round(void *ctx)
{
	struct probe *p = ctx;

	/* stdin can be read once, and the file has just been. */
	if (p->round++ > 0 && p->file != NULL && strcmp(p->file, "-") != 0)
		read_relays(p);
	p->began = nr_now_ms();
	p->next = 0;
	p->healthy = p->degraded = p->dead = 0;
	launch(p);
}

void
probe_ended(struct probe *p)
{
	p->running--;
	launch(p);
	if (p->running == 0)
		round_over(p);
}

/* ---- the run */

static void
on_signal(void *ctx, unsigned events)
{
	struct probe *p = ctx;

	(void)events;
	if (nr_signals_take(&p->signals) != 0)
		nr_net_stop(p->net);
}

static void
start(struct probe *p)
{
	const char *why = NULL;
	int rc;

	nr_need_descriptors(FDS_PER_JOB * (uint64_t)p->jobs + FDS_MORE, "-j %d",
	    p->jobs);
	rc = nr_net_new(&p->net, p->ca_file, 2 * (unsigned)p->jobs, &why);
	if (why != NULL)
		nr_bad_usage("%s: %s", p->ca_file, why);
	must(rc, "network");
	/* A name that takes long must not cost other relays their time. */
	nr_net_lookups(p->net, p->jobs < LOOKUPS_MAX ? (unsigned)p->jobs :
	    LOOKUPS_MAX);
	must(nr_timer_new(&p->timer, p->net, begin_round, p), "network");
	if (getrandom(&p->rng.state, sizeof(p->rng.state), 0) < 0)
		nr_die(errno, "random");
	nr_timer_set(p->timer, 0);
}

/* A signal is how rounds that go on for ever end; else it cuts one short. */
static int
run(struct probe *p)
{
	static const int ends[] = { SIGINT, SIGTERM, 0 };
	struct nr_watch *signals;

	nr_signals_catch(&p->signals, ends);
	start(p);
	must(nr_watch_new(&signals, p->net, p->signals.fd, NR_WATCH_IN,
	    on_signal, p), "network");
	if (p->monitor)
		probe_announce(p);
	must(nr_net_run(p->net), "network");
	while (p->first != NULL)
		probe_relay_free(p->first);
	nr_watch_free(signals);
	nr_timer_free(p->timer);
	nr_net_free(p->net);
	close(p->signals.fd);
	nr_out_close();
	if (p->signals.last != 0 && p->told[0] != '\0')
		nr_say("ended; the last whole round was %s", p->told);
	if (p->signals.last != 0 && (p->every_ms == 0 || p->status < 0))
		nr_signals_die(&p->signals);
	return p->status;
}

/* ---- what is written */

static void
throw_away_key(struct nr_key **out)
{
	unsigned char secret[32];
	int rc;

	do {
		if (getrandom(secret, sizeof(secret), 0) !=
		    (ssize_t)sizeof(secret))
			nr_die(errno, "random");
	} while ((rc = nr_key_new(out, secret)) == NR_EKEY);
	explicit_bzero(secret, sizeof(secret));
	must(rc, "key");
}

/* Would an event of this kind undo what the key's owner has published? */
static int
is_harmful(unsigned kind)
{
	return nr_kind_replaceable(kind) || kind == NR_KIND_VANISH;
}

static void
check_kinds(const struct probe *p)
{
	size_t i;

	for (i = 0; i < p->nkinds; i++)
		if (p->own_key && is_harmful(p->kind[i]))
			nr_bad_usage("--kinds: kind %u would %s what "
			    "the key has published: go without the key",
			    p->kind[i], p->kind[i] == NR_KIND_VANISH ?
			    "erase" : "replace");
}

static void
parse_kinds(struct probe *p, const char *list)
{
	char text[16];
	size_t n;

	do {
		n = strcspn(list, ",");
		if (n >= sizeof(text))
			nr_bad_usage("--kinds: not a kind: %s", list);
		memcpy(text, list, n);
		text[n] = '\0';
		if (p->nkinds == PROBE_KINDS)
			nr_bad_usage("--kinds: more than %d", PROBE_KINDS);
		p->kind[p->nkinds++] = (unsigned)nr_number(text, "--kinds", 0,
		    65535);
		list += n;
	} while (*list++ == ',');
}

/* A request to vanish undoes all others: it comes last. */
static void
put_vanish_last(struct probe *p)
{
	size_t i, n = 0;

	for (i = 0; i < p->nkinds; i++)
		if (p->kind[i] != NR_KIND_VANISH)
			p->kind[n++] = p->kind[i];
	while (n < p->nkinds)
		p->kind[n++] = NR_KIND_VANISH;
}

/* The one event of a file, valid, as a normal line. */
static void
read_event(struct probe *p, const char *path)
{
	struct nr_event ev;
	struct nr_lines in;
	const char *line;
	size_t len, pos;
	int fd;

	must(nr_open_input(&fd, path), path);
	must(nr_lines_init(&in, fd, NR_EVENT_MAX, 0), path);
	if (nr_lines_next(&in, &line, &len) != NR_OK || nr_event_read(&ev,
	    line, len, &nr_event_limits_pipe, &pos) != NR_VALID)
		nr_bad_usage("%s: the first line is no event", path);
	must(nr_buf_reserve(&p->event, NR_EVENT_LINE_MAX(len)), path);
	p->event.len = nr_event_normalise(&ev, p->event.p);
	if (nr_verify_event(p->verifier, &ev, NR_TRUST_NOTHING) != NR_VALID)
		nr_bad_usage("%s: the event's id or signature is wrong", path);
	nr_lines_free(&in);
	if (fd != STDIN_FILENO)
		close(fd);
}

/* ---- the command line */

static void
check_options(const struct probe *p)
{
	if (!p->write && (p->nkinds > 0 || p->event_file != NULL))
		nr_bad_usage("--kinds and --event go with --write");
	if (p->monitor && (!p->nip66 || p->every_ms == 0))
		nr_bad_usage("--monitor goes with --nip66 and --every, "
		    "which is what it announces");
}

static void
prepare(struct probe *p, const struct nr_key_args *args, struct nr_key **key)
{
	if ((*key = nr_key_load(args)) != NULL)
		p->own_key = 1;
	else if (p->write)
		throw_away_key(key);
	check_kinds(p);
	put_vanish_last(p);
	p->signer.key = *key;
	must(nr_verifier_new(&p->verifier), "key");
	p->signer.hasher = p->verifier;
	if (p->event_file != NULL)
		read_event(p, p->event_file);
}

static void
find_relays(struct probe *p, char **operand)
{
	for (; *operand != NULL; operand++)
		nr_relays_add(&p->given, *operand);
	nr_relays_copy(&p->relays, &p->given);
	if (p->file != NULL)
		nr_relays_add_file(&p->relays, p->file);
	if (p->relays.n == 0)
		nr_bad_usage("no relay is given");
}

static void
release(struct probe *p, struct nr_key *key)
{
	nr_relays_free(&p->given);
	nr_relays_free(&p->relays);
	nr_buf_free(&p->event);
	nr_verifier_free(p->verifier);
	nr_key_free(key);
}

int
nr_bench_probe(int argc, char *argv[])
{
	enum { CA_FILE = NR_OPT_FIRST, EVENT, EVERY, KINDS, MONITOR, NIP66,
	    TIMEOUT, WRITE };
	static const struct option longopts[] = {
		{ "ca-file", required_argument, NULL, CA_FILE },
		{ "event", required_argument, NULL, EVENT },
		{ "every", required_argument, NULL, EVERY },
		{ "file", required_argument, NULL, 'f' },
		{ "jobs", required_argument, NULL, 'j' },
		NR_LONG_KEY,
		{ "kinds", required_argument, NULL, KINDS },
		{ "monitor", no_argument, NULL, MONITOR },
		{ "nip66", no_argument, NULL, NIP66 },
		{ "quiet", no_argument, NULL, 'q' },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "write", no_argument, NULL, WRITE },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct probe p = { .jobs = 100, .timeout_ms = 10000, .status = -1 };
	struct nr_key_args args = NR_KEY_ARGS;
	struct nr_key *key;
	int ch, status;

	while ((ch = getopt_long(argc, argv, NR_KEY_FLAGS "f:j:q", longopts,
	    NULL)) != -1)
		switch (ch) {
		case CA_FILE:
			p.ca_file = optarg;
			break;
		case EVENT:
			p.event_file = optarg;
			break;
		case EVERY:
			p.every_ms = nr_duration(optarg, "--every", 1000,
			    31 * NR_DAY_MS);
			break;
		case KINDS:
			parse_kinds(&p, optarg);
			break;
		case MONITOR:
			p.monitor = 1;
			break;
		case NIP66:
			p.nip66 = 1;
			break;
		case TIMEOUT:
			p.timeout_ms = nr_duration(optarg, "--timeout", 100,
			    600000);
			break;
		case WRITE:
			p.write = 1;
			break;
		case 'f':
			p.file = optarg;
			break;
		case 'j':
			p.jobs = (int)nr_number(optarg, "-j", 1, JOBS_MAX);
			break;
		case 'q':
			nr_quiet = 1;
			break;
		default:
			if (!nr_key_option(&args, ch, optarg))
				nr_common_option(ch);
		}
	check_options(&p);
	find_relays(&p, argv + optind);
	prepare(&p, &args, &key);
	status = run(&p);
	release(&p, key);
	return status;
}
