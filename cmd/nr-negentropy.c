/*
 * nr-negentropy: bring a store (or a file) and a peer together by set
 * reconciliation: a relay, another store, or a command that leads to one.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/auth.h"
#include "filteropt.h"
#include "keyopt.h"
#include "negentropy.h"
#include "relayopt.h"
#include "signals.h"
#include "storeopt.h"
#include "sync/intake.h"
#include "sync/sync.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

static const char usage[] =
    "usage: nr-negentropy [-nPq] [-a author] [-d value] [-e id] [-i id]\n"
    "    [-k kind] [-l limit] [-p author] [-s since] [-t letter=value]\n"
    "    [-u until] [-K file] [--key-fd fd] [-S dir] [--file file]\n"
    "    [--records file] [--down] [--up] [--both] [--dry-run] [--ids]\n"
    "    [--follow] [--exec command] [--stdio] [--ca-file file]\n"
    "    [--frame-size bytes] [--no-live] [--policy-down command]\n"
    "    [--policy-up command] [--private] [--protected]\n"
    "    [--timeout time] [--tries number] [peer] [filter ...]\n"
    NR_FILTER_HELP;

enum {
	OPT_BOTH = NR_OPT_FIRST, OPT_CA_FILE, OPT_DOWN, OPT_DRY_RUN,
	OPT_EXEC, OPT_FILE, OPT_FOLLOW, OPT_FRAME, OPT_IDS, OPT_NO_LIVE,
	OPT_POLICY_DOWN, OPT_POLICY_UP, OPT_PRIVATE, OPT_PROTECTED, OPT_RECORDS, OPT_STDIO, OPT_TIMEOUT,
	OPT_TRIES, OPT_UP
};

struct run {
	struct nr_sync_options	 o;
	struct nr_peer_options	 po;
	struct nr_intake_options io;
	struct nr_filter_args	 filter_args;
	struct nr_filter	*filters;
	struct nr_key_args	 key_args;
	struct nr_key		*key;
	struct nr_signer	 signer;
	const char		*dir, *file, *records_file, *exec, *ca_file;
	const char		*peer, *policy_down, *policy_up;
	char			*argv[6];
	struct nr_url		 url;
	int			 stdio, ids, progress;
	unsigned		 directions;

	struct nr_net		*net;
	struct nr_exec		*x;
	struct nr_store		*st;
	struct nr_records	*records;
	struct nr_intake	*intake;
	struct nr_strainer	*down, *up;	/* what they pass through */
	int			 over;		/* the syncer has ended */
	int			 hopeless;	/* no use to start the peer */
	int			 up_told, up_ended;
	uint64_t		 nonsense;	/* that they wrote */
	uint64_t		 given_down, given_up;	/* lines, to them */
	uint64_t		 passed_down, passed_up;	/* from them */
	int			 broken;	/* one has failed */
	unsigned		 told, told_up;
	struct nr_syncer	*syncer;
	struct nr_timer		*flush;		/* what was gathered; progress */
	struct nr_watch		*bell, *signals;
	int			 bell_fd;
	struct nr_signals	 caught;
	struct nr_meter		 meter;
	struct nr_sync_figures	 figures;
	enum nr_sync_status	 status;
	int			 rc;
	int64_t			 begun;
};

#define FLUSH_MS	20
#define TOLD_MAX	20	/* events that are named, in each direction */

static void
need(int rc, const char *what)
{
	if (rc != NR_OK)
		nr_die(rc, "%s", what);
}

/* ---- what the syncer asks ------------------------------------------------------- */

static int
on_side(void *ctx, size_t filter, struct nr_side **out)
{
	return nr_records_side(((struct run *)ctx)->records, filter, out);
}

static int
on_find(void *ctx, struct nr_view *line, const unsigned char id[32])
{
	return nr_records_find(((struct run *)ctx)->records, line, id);
}

static int
take_in(struct run *run, struct nr_view line)
{
	int rc = nr_intake_failed(run->intake);

	return rc != NR_OK ? rc : nr_intake_add(run->intake, line);
}

/* A command takes nothing more, whether it ends or not. */
static int
closed(struct run *run, const char *command)
{
	if (!run->broken)
		nr_warn("%s: it does not read what it is given", command);
	run->broken = 1;
	return EPIPE;
}

static int
on_take(void *ctx, struct nr_view line)
{
	struct run *run = ctx;
	int rc;

	if (run->down == NULL)
		return take_in(run, line);
	rc = nr_strainer_add(run->down, line);
	run->given_down += rc == NR_OK;
	return rc == EPIPE ? closed(run, run->policy_down) : rc;
}

static int
on_taken(void *ctx)
{
	struct run *run = ctx;

	if (run->down != NULL && !nr_strainer_idle(run->down))
		return 0;
	nr_intake_flush(run->intake);
	return nr_intake_idle(run->intake);
}

/* ---- commands that events pass through ---------------------------------------------- */

/* What it writes may be another's: it is read and verified as all else. */
static int
passed_down(void *ctx, struct nr_view line)
{
	struct run *run = ctx;
	struct nr_buf b = { 0 };
	struct nr_event ev;
	size_t pos;
	int rc;

	if (nr_event_read(&ev, line.p, line.len, &nr_event_limits_pipe,
	    &pos) != NR_VALID) {
		run->nonsense++;
		return NR_OK;
	}
	if ((rc = nr_buf_reserve(&b, NR_EVENT_LINE_MAX(line.len))) == NR_OK) {
		b.len = nr_event_normalise(&ev, b.p);
		rc = take_in(run, (struct nr_view){ b.p, b.len });
	}
	nr_buf_free(&b);
	if (rc != NR_OK && rc != EAGAIN)
		nr_die(rc, "%s", run->policy_down);
	run->passed_down += rc == NR_OK;
	return rc;
}

static int
passed_up(void *ctx, struct nr_view line)
{
	struct run *run = ctx;
	int rc = nr_syncer_send(run->syncer, line);

	if (rc == EINVAL) {
		run->nonsense++;
		return NR_OK;
	}
	if (rc != NR_OK && rc != EAGAIN)
		nr_die(rc, "%s", run->policy_up);
	run->passed_up += rc == NR_OK;
	return rc;
}

static void
strainer_room(void *ctx)
{
	struct run *run = ctx;

	if (!run->over)
		nr_syncer_room(run->syncer);
}

/*
 * One that ends before it was told to has failed: nothing passes then.  1 is
 * what filters end with that have held something back.
 */
static void
policy_ended(struct run *run, const char *command, int status, int told)
{
	if (run->broken || (status <= 1 && told))
		return;
	nr_warn("%s: ended with status %d", command, status);
	run->broken = 1;
	nr_syncer_stop(run->syncer);
}

static void
down_ended(void *ctx, int status)
{
	struct run *run = ctx;

	policy_ended(run, run->policy_down, status, run->over);
	if (run->over)
		nr_net_stop(run->net);
}

static void
up_ended(void *ctx, int status)
{
	struct run *run = ctx;

	policy_ended(run, run->policy_up, status, run->up_told || run->over);
	run->up_ended = 1;
	if (!run->over)
		nr_syncer_room(run->syncer);
}

static int
on_offer(void *ctx, struct nr_view line)
{
	struct run *run = ctx;
	const struct nr_strainer_calls calls = {
		passed_up, strainer_room, up_ended, run
	};
	int rc;

	/* After a lost connection, perhaps once more. */
	if (run->up_told && run->up_ended) {
		nr_strainer_free(run->up);
		run->up = nr_strainer_new(run->net, run->policy_up, &calls);
		run->up_told = run->up_ended = 0;
	}
	rc = run->up_told ? EAGAIN : nr_strainer_add(run->up, line);
	run->given_up += rc == NR_OK;
	return rc == EPIPE ? closed(run, run->policy_up) : rc;
}

static int
on_offered(void *ctx)
{
	struct run *run = ctx;

	if (!run->up_told)
		nr_strainer_finish(run->up);
	run->up_told = 1;
	return run->up_ended;
}

static void
on_upload_room(void *ctx)
{
	struct run *run = ctx;

	if (run->up != NULL)
		nr_strainer_go_on(run->up);
}

static void
make_strainers(struct run *run)
{
	const struct nr_strainer_calls down = {
		passed_down, strainer_room, down_ended, run
	}, up = { passed_up, strainer_room, up_ended, run };

	if (run->policy_down != NULL)
		run->down = nr_strainer_new(run->net, run->policy_down, &down);
	if (run->policy_up == NULL)
		return;
	run->up = nr_strainer_new(run->net, run->policy_up, &up);
	run->o.offer = on_offer;
	run->o.offered = on_offered;
	run->o.room = on_upload_room;
}

static void
on_lacks(void *ctx, int here, const unsigned char id[32])
{
	char line[72];

	(void)ctx;
	memcpy(line, here ? "need " : "have ", 5);
	nr_hex_encode(line + 5, id, 32);
	line[69] = '\n';
	nr_out(line, 70);
}

static void
on_refused(void *ctx, const unsigned char id[32], const char *text)
{
	struct run *run = ctx;
	char hex[65] = "";

	nr_hex_encode(hex, id, 32);
	if (run->told_up++ < TOLD_MAX)
		nr_warn("not accepted: %s: %s", hex, text);
}

static void
on_say(void *ctx, const char *text)
{
	nr_warn("%s: %s", ((struct run *)ctx)->peer, text);
}

static void
on_end(void *ctx, enum nr_sync_status status, const char *text, int rc)
{
	struct run *run = ctx;

	run->status = run->hopeless ? NR_SYNC_LOST : status;
	run->rc = rc;
	if (status != NR_SYNC_DONE && status != NR_SYNC_STOPPED &&
	    !run->broken)
		nr_warn("%s: %s%s", run->peer, text,
		    nr_key_hint(run->key, text));
	run->over = 1;
	/* What has come down passes through, first. */
	if (run->down != NULL && !run->broken)
		nr_strainer_finish(run->down);
	else
		nr_net_stop(run->net);
}

/* ---- events that have come ---------------------------------------------------------- */

/* Without a store they go to stdout; in a thread of the intake. */
static int
print_event(void *ctx, struct nr_view line)
{
	(void)ctx;
	nr_out(line.p, line.len);
	nr_out("\n", 1);
	nr_out_flush();
	return NR_OK;
}

/* The first ones; the summary has their number. */
static void
reject(void *ctx, struct nr_view line, const char *why)
{
	struct run *run = ctx;
	const char *id = nr_event_peek_id(line.p, line.len);

	if (run->told++ < TOLD_MAX)
		nr_warn("not taken: %.64s: %s", id != NULL ? id : "", why);
}

static void
on_wake(void *ctx)
{
	struct run *run = ctx;

	if (run->down != NULL)
		nr_strainer_go_on(run->down);
	if (!run->over)
		nr_syncer_room(run->syncer);
}

static void
on_flush(void *ctx)
{
	struct run *run = ctx;
	struct nr_sync_figures f;

	nr_intake_flush(run->intake);
	nr_syncer_figures(run->syncer, &f);
	nr_meter_step(&run->meter, f.received + f.up.accepted, 0);
	nr_timer_set(run->flush, FLUSH_MS);
}

static void
on_bell(void *ctx, unsigned events)
{
	struct run *run = ctx;

	(void)events;
	nr_store_bell_read(run->bell_fd);
	nr_syncer_stored(run->syncer);
}

/* The first one ends it in order, the second at once. */
static void
on_signal(void *ctx, unsigned events)
{
	struct run *run = ctx;
	int again = run->caught.last != 0;

	(void)events;
	if (nr_signals_take(&run->caught) == 0)
		return;
	if (again)
		nr_net_stop(run->net);
	nr_syncer_stop(run->syncer);
}

/* ---- the end ---------------------------------------------------------------------------- */

static void
add(struct nr_buf *b, const char *name, uint64_t v)
{
	need(nr_buf_addf(b, ",\"%s\":%" PRIu64, name, v), "summary");
}

/* What a policy was given and did not write. */
static void
add_held(struct nr_buf *b, const char *name, uint64_t given, uint64_t passed)
{
	add(b, name, given > passed ? given - passed : 0);
}

static void
add_down(struct nr_buf *b, const struct run *run,
    const struct nr_intake_figures *in)
{
	static const char *const name[NR_PUT_NRESULTS] = {
		"stored", "duplicate", "replaced", "deleted", "expired",
		"ephemeral"
	};
	const struct nr_sync_figures *f = &run->figures;
	size_t i;

	add(b, "received", f->received);
	if (run->st == NULL)
		add(b, "written", in->taken);
	for (i = 0; run->st != NULL && i < NR_PUT_NRESULTS; i++)
		add(b, name[i], in->result[i]);
	add(b, "missing", f->missing);
	add(b, "invalid", in->invalid + f->malformed + run->nonsense);
	add(b, "unasked", f->unasked);
	add_held(b, "held_down", run->given_down, run->passed_down);
}

static void
add_up(struct nr_buf *b, const struct run *run)
{
	const struct nr_sync_figures *f = &run->figures;

	add(b, "sent", f->up.sent);
	add(b, "accepted", f->up.accepted);
	add(b, "gone", f->gone + f->up.gone);
	add(b, "refused", f->up.refused);
	add(b, "unanswered", f->up.unanswered);
	add(b, "private", f->kept_private);
	add(b, "protected", f->kept_protected);
	add_held(b, "held_up", run->given_up, run->passed_up);
}

/* To stdout, unless events or ids went there. */
static void
summary(struct run *run, const struct nr_intake_figures *in)
{
	static const char *const name[] = {
		[NR_SYNC_DONE] = "done", [NR_SYNC_REFUSED] = "refused",
		[NR_SYNC_LIES] = "lies", [NR_SYNC_LOST] = "lost",
		[NR_SYNC_FAILED] = "failed", [NR_SYNC_STOPPED] = "stopped"
	};
	const struct nr_sync_figures *f = &run->figures;
	struct nr_buf b = { 0 };

	need(nr_buf_addf(&b, "{\"status\":\"%s\"", name[run->status]),
	    "summary");
	add(&b, "have", f->have);
	add(&b, "need", f->need);
	if (run->directions & NR_SYNC_DOWN && !run->o.dry_run)
		add_down(&b, run, in);
	if (run->directions & NR_SYNC_UP && !run->o.dry_run)
		add_up(&b, run);
	add(&b, "rounds", f->talk.rounds);
	add(&b, "bytes_up", f->talk.bytes_up);
	add(&b, "bytes_down", f->talk.bytes_down);
	add(&b, "splits", f->splits);
	add(&b, "pages", f->pages);
	add(&b, "connections", f->connections);
	need(nr_buf_addf(&b, ",\"seconds\":%.3f}\n",
	    (double)(nr_now_ms() - run->begun) / 1000), "summary");
	if (run->ids || (run->st == NULL && !run->o.dry_run &&
	    run->directions & NR_SYNC_DOWN)) {
		if (!nr_quiet)
			(void)!write(STDERR_FILENO, b.p, b.len);
	} else
		nr_out(b.p, b.len);
	nr_buf_free(&b);
}

static int
status_of(const struct run *run, const struct nr_intake_figures *in)
{
	const struct nr_sync_figures *f = &run->figures;

	switch (run->status) {
	case NR_SYNC_FAILED:
		return nr_exit_status(run->rc);
	case NR_SYNC_LOST:
		return NR_EX_ENV;
	case NR_SYNC_REFUSED:
	case NR_SYNC_LIES:
		return NR_EX_NO;
	case NR_SYNC_DONE:
	case NR_SYNC_STOPPED:
		break;
	}
	if (run->o.dry_run)
		return f->have + f->need > 0 ? NR_EX_NO : NR_EX_OK;
	return f->missing + f->malformed + f->partial + run->nonsense + f->unasked + in->invalid +
	    f->up.refused + f->up.unanswered + (run->records != NULL ?
	    nr_records_invalid(run->records) : 0) > 0 ? NR_EX_NO : NR_EX_OK;
}

/* ---- the beginning -------------------------------------------------------------------------- */

/* A store's directory, or a relay. */
static int
is_directory(const char *peer)
{
	if (*peer == '.' || *peer == '/')
		return 1;
	if (strstr(peer, "://") != NULL || !nr_is_directory(peer))
		return 0;
	if (strchr(peer, '/') == NULL)
		nr_bad_usage("%s: a directory; ./%s is meant, or wss://%s?",
		    peer, peer, peer);
	return 1;
}

static char *
own_path(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		nr_die(errno, "/proc/self/exe");
	path[n] = '\0';
	return path;
}

static char *
mutable(const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		nr_die(ENOMEM, "arguments");
	return copy;
}

/* A store is made only where it is to be filled. */
static void
need_peer(const struct run *run)
{
	char log[4096];

	(void)snprintf(log, sizeof(log), "%s/log", run->peer);
	if ((run->o.dry_run || !(run->directions & NR_SYNC_UP)) &&
	    access(log, F_OK) != 0)
		nr_die(errno, "%s", run->peer);
}

/* All but filters has been taken: filters are what is left. */
static void
check_operands(const struct run *run, char *const *operand)
{
	for (; *operand != NULL; operand++) {
		if ((*operand)[strspn(*operand, " \t\n")] == '{')
			continue;
		if (run->exec != NULL)
			nr_bad_usage("--exec takes the peer's place, and this "
			    "is no filter: %s", *operand);
		nr_bad_usage("one peer only, and this is no filter: %s",
		    *operand);
	}
}

/* What to connect to. */
static void
choose_peer(struct run *run)
{
	static const char nowhere[] = "ws://localhost/";

	if (run->exec != NULL) {
		run->peer = run->exec;
		run->argv[0] = mutable("/bin/sh");
		run->argv[1] = mutable("-c");
		run->argv[2] = mutable(run->exec);
	} else if (is_directory(run->peer)) {
		need_peer(run);
		run->argv[0] = mutable(own_path());
		run->argv[1] = mutable("-S");
		run->argv[2] = mutable(run->peer);
		run->argv[3] = mutable("--stdio");
	} else {
		nr_relay_operand(&run->url, run->peer);
		return;
	}
	(void)nr_url_parse(&run->url, nowhere, sizeof(nowhere) - 1);
}

/* Our side: a store, which is made where it is to be filled, or a file. */
static void
open_side(struct run *run)
{
	const char *path = run->file != NULL ? run->file : run->records_file;

	if (path == NULL) {
		run->st = nr_store_need(nr_store_name(run->dir),
		    run->directions & NR_SYNC_DOWN && !run->o.dry_run ?
		    NR_STORE_CREATE : 0, 0, run->progress);
		return;
	}
	run->records = nr_records_new(path, run->file != NULL,
	    run->directions & NR_SYNC_UP && !run->o.dry_run, run->filters,
	    run->o.nfilters);
}

/*
 * Not found, not to be run, wrongly used, a store that is damaged: another
 * attempt ends as this one.  So does a store that was never to be had.
 */
static int
peer_ended(void *ctx, int status)
{
	struct run *run = ctx;
	struct nr_sync_figures f;

	nr_syncer_figures(run->syncer, &f);
	if (status != 126 && status != 127 && status != NR_EX_USAGE &&
	    status != NR_EX_CORRUPT &&
	    !(status == NR_EX_ENV && f.connections == 0))
		return 0;
	nr_warn("%s: ended with status %d", run->peer, status);
	run->hopeless = 1;
	nr_syncer_stop(run->syncer);
	return 1;
}

static void
make_net(struct run *run)
{
	const char *why = NULL;
	int rc;

	rc = nr_net_new(&run->net, run->ca_file, 2, &why);
	if (rc == NR_EINVAL)
		nr_bad_usage("%s: %s", run->ca_file, why);
	need(rc, "network");
	if (run->argv[0] != NULL) {
		run->x = nr_exec_new(run->net, run->argv, peer_ended, run);
		run->po.unix_path = nr_exec_path(run->x);
	}
	if (run->key != NULL) {
		run->signer.key = run->key;
		need(nr_verifier_new(&run->signer.hasher), "key");
		run->po.sign = nr_signer_auth;
		run->po.sign_ctx = &run->signer;
		run->po.auth = NR_AUTH_FIRST;
	}
}

static void
make_syncer(struct run *run)
{
	run->io.st = run->st;
	run->io.take = print_event;
	run->io.refuse = reject;
	run->io.ctx = run;
	need(nr_intake_new(&run->intake, run->net, &run->io), "intake");
	run->o.directions = run->directions;
	run->o.filters = run->filters;
	run->o.st = run->st;
	run->o.side = on_side;
	run->o.find = on_find;
	run->o.take = on_take;
	run->o.taken = on_taken;
	run->o.lacks = run->ids ? on_lacks : NULL;
	run->o.refused = on_refused;
	run->o.say = on_say;
	run->o.end = on_end;
	run->o.ctx = run;
	make_strainers(run);
	need(nr_syncer_new(&run->syncer, run->net, &run->url, &run->po,
	    &run->o), "network");
}

static void
run_loop(struct run *run)
{
	run->begun = nr_now_ms();
	need(nr_timer_new(&run->flush, run->net, on_flush, run), "network");
	nr_timer_set(run->flush, FLUSH_MS);
	nr_net_on_wake(run->net, on_wake, run);
	need(nr_watch_new(&run->signals, run->net, run->caught.fd,
	    NR_WATCH_IN, on_signal, run), "signals");
	if (run->o.follow && run->directions & NR_SYNC_UP) {
		need(nr_store_bell_fd(run->st, &run->bell_fd), "store");
		need(nr_watch_new(&run->bell, run->net, run->bell_fd,
		    NR_WATCH_IN, on_bell, run), "store");
	}
	nr_meter_start(&run->meter, "events", 0, run->progress);
	need(nr_net_run(run->net), "network");
	nr_meter_end(&run->meter);
}

static int
finish(struct run *run)
{
	struct nr_intake_figures in;
	int status;

	nr_syncer_figures(run->syncer, &run->figures);
	nr_timer_free(run->flush);
	nr_watch_free(run->bell);
	nr_watch_free(run->signals);
	nr_strainer_free(run->down);
	nr_strainer_free(run->up);
	nr_syncer_free(run->syncer);
	/* What has come is stored, whatever the end was. */
	nr_intake_flush(run->intake);
	while (!nr_intake_idle(run->intake))
		nr_sleep_ms(1);
	if (run->rc == 0 && (run->rc = nr_intake_failed(run->intake)) == 0 &&
	    run->broken)
		run->rc = EPIPE;
	if (run->rc != 0)
		run->status = NR_SYNC_FAILED;
	nr_intake_figures(run->intake, &in);
	nr_intake_free(run->intake);
	summary(run, &in);
	status = status_of(run, &in);
	nr_out_close();
	nr_net_free(run->net);
	nr_exec_free(run->x);
	/* Nobody was reached: then there is no new store, either. */
	if (run->st != NULL && run->figures.connections == 0)
		nr_store_unmake(run->st);
	else
		nr_store_close(run->st);
	nr_records_free(run->records);
	nr_verifier_free(run->signer.hasher);
	nr_key_free(run->key);
	nr_filters_free(run->filters, run->o.nfilters);
	if (run->caught.last != 0)
		nr_signals_die(&run->caught);
	return status;
}

static void
option(struct run *run, int ch)
{
	switch (ch) {
	case OPT_BOTH:
		run->directions |= NR_SYNC_DOWN | NR_SYNC_UP;
		break;
	case OPT_CA_FILE:
		run->ca_file = optarg;
		break;
	case OPT_DOWN:
		run->directions |= NR_SYNC_DOWN;
		break;
	case OPT_DRY_RUN:
		run->o.dry_run = 1;
		break;
	case OPT_EXEC:
		run->exec = optarg;
		break;
	case OPT_FILE:
		run->file = optarg;
		break;
	case OPT_FOLLOW:
		run->o.follow = 1;
		break;
	case OPT_FRAME:
		run->o.frame_limit = nr_size(optarg, "--frame-size",
		    NR_NEG_FRAME_MIN, 16 << 20);
		break;
	case OPT_IDS:
		run->ids = 1;
		break;
	case OPT_NO_LIVE:
		run->io.put_flags |= NR_PUT_QUIET;
		break;
	case OPT_POLICY_DOWN:
		run->policy_down = optarg;
		break;
	case OPT_POLICY_UP:
		run->policy_up = optarg;
		break;
	case OPT_PRIVATE:
		run->o.send_private = 1;
		break;
	case OPT_PROTECTED:
		run->o.send_protected = 1;
		break;
	case OPT_RECORDS:
		run->records_file = optarg;
		break;
	case OPT_STDIO:
		run->stdio = 1;
		break;
	case OPT_TIMEOUT:
		run->o.answer_ms = run->po.connect_ms = nr_duration(optarg,
		    "--timeout", 1, NR_DAY_MS);
		break;
	case OPT_TRIES:
		run->po.tries = (unsigned)nr_number(optarg, "--tries", 0,
		    1000000);
		break;
	case OPT_UP:
		run->directions |= NR_SYNC_UP;
		break;
	case 'P':
		run->progress = 1;
		break;
	case 'S':
		run->dir = optarg;
		break;
	case 'n':
		run->io.trust = 1;
		break;
	case 'q':
		nr_quiet = 1;
		break;
	default:
		if (ch < 128 && ch != '?' && strchr(NR_FILTER_FLAGS, ch))
			nr_filter_option(&run->filter_args, ch, optarg);
		else if (!nr_key_option(&run->key_args, ch, optarg))
			nr_common_option(ch);
	}
}

/* What cannot be together. */
static void
check_options(const struct run *run)
{
	int file = run->file != NULL || run->records_file != NULL;

	if (run->file != NULL && run->records_file != NULL)
		nr_bad_usage("--file and --records: one of them");
	if (file && run->dir != NULL)
		nr_bad_usage("-S and a file: one of them");
	if (run->o.follow && (file || run->o.dry_run || run->ids))
		nr_bad_usage("--follow is for stores, and not to look only");
	if (run->policy_down != NULL && !(run->directions & NR_SYNC_DOWN))
		nr_bad_usage("--policy-down: nothing comes down");
	if (run->policy_up != NULL && !(run->directions & NR_SYNC_UP))
		nr_bad_usage("--policy-up: nothing goes up without --up or "
		    "--both");
	if (run->records_file != NULL && (run->directions & NR_SYNC_UP) &&
	    !run->o.dry_run && !run->ids)
		nr_bad_usage("--records: there are no events to send");
}

int
main(int argc, char *argv[])
{
	static const struct option longopts[] = {
		{ "both", no_argument, NULL, OPT_BOTH },
		{ "ca-file", required_argument, NULL, OPT_CA_FILE },
		{ "down", no_argument, NULL, OPT_DOWN },
		{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
		{ "exec", required_argument, NULL, OPT_EXEC },
		{ "file", required_argument, NULL, OPT_FILE },
		{ "follow", no_argument, NULL, OPT_FOLLOW },
		{ "frame-size", required_argument, NULL, OPT_FRAME },
		{ "ids", no_argument, NULL, OPT_IDS },
		{ "no-live", no_argument, NULL, OPT_NO_LIVE },
		{ "no-verify", no_argument, NULL, 'n' },
		{ "policy-down", required_argument, NULL, OPT_POLICY_DOWN },
		{ "policy-up", required_argument, NULL, OPT_POLICY_UP },
		{ "private", no_argument, NULL, OPT_PRIVATE },
		{ "progress", no_argument, NULL, 'P' },
		{ "protected", no_argument, NULL, OPT_PROTECTED },
		{ "quiet", no_argument, NULL, 'q' },
		{ "records", required_argument, NULL, OPT_RECORDS },
		{ "stdio", no_argument, NULL, OPT_STDIO },
		{ "store", required_argument, NULL, 'S' },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "tries", required_argument, NULL, OPT_TRIES },
		{ "up", no_argument, NULL, OPT_UP },
		NR_LONG_KEY, NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, 0 };
	static struct run run = { .key_args = NR_KEY_ARGS };
	int ch;

	nr_tool_init(argv[0], usage);
	nr_peer_options_init(&run.po);
	run.po.tries = UINT_MAX;
	run.po.wait_ms = 100;
	run.po.in_max = 16 << 20;
	run.o.frame_limit = 60000;
	run.o.answer_ms = 30000;
	while ((ch = getopt_long(argc, argv, NR_KEY_FLAGS NR_FILTER_FLAGS
	    "PS:nq", longopts, NULL)) != -1)
		option(&run, ch);
	if (run.stdio) {
		if (optind != argc)
			nr_bad_usage("not expected: %s", argv[optind]);
		run.st = nr_store_need(nr_store_name(run.dir),
		    NR_STORE_CREATE, 0, 0);
		ch = nr_stdio_serve(run.st);
		nr_store_close(run.st);
		return ch;
	}
	if (run.exec == NULL && optind == argc)
		nr_usage();
	if (run.exec == NULL)
		run.peer = argv[optind++];
	if (run.directions == 0)
		run.directions = NR_SYNC_DOWN;
	if (run.po.tries == UINT_MAX)
		run.po.tries = run.o.follow ? 0 : 5;
	run.o.dry_run |= run.ids;
	check_options(&run);
	check_operands(&run, argv + optind);
	run.filters = nr_filter_need(&run.filter_args, argv + optind,
	    argc - optind, &run.o.nfilters);
	choose_peer(&run);
	run.key = nr_key_load(&run.key_args);
	nr_signals_catch(&run.caught, ends);
	open_side(&run);
	make_net(&run);
	make_syncer(&run);
	run_loop(&run);
	return finish(&run);
}
