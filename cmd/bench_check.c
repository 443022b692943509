/*
 * nr-bench check: does a relay do what the NIPs say?  Statements are tried
 * one after the other; what they cost is theirs alone, a relay that hangs,
 * closes or talks nonsense fails the statement and is met anew.
 */
#include "bench.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "check.h"
#include "event/verify.h"
#include "keyopt.h"
#include "relayopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

/* In this order: what only reads, what publishes, what takes away. */
static const struct check_statement *const all[] = {
	check_info_list, check_form_list, check_filter_list,
	check_shown_list,
	check_more_list, check_search_list, check_sync_list,
	check_limits_list, check_write_list, check_odd_list,
	check_live_list, check_auth_list, check_delete_list,
	check_last_list
};

#define NLISTS	(sizeof(all) / sizeof(all[0]))

static const char *const word[] = {
	[CHECK_PASS] = "ok", [CHECK_FAIL] = "fail", [CHECK_SKIP] = "skip"
};

struct tally {
	unsigned	n[3];		/* by result */
};

/* ---- reports */

static void
add_member(struct nr_buf *b, const char *name, const char *text)
{
	check_need(nr_buf_addf(b, ",\"%s\":", name));
	check_need(nr_buf_addjson(b, text, strlen(text)));
}

static void
report_json(struct check *c, const struct check_statement *s, int64_t ms)
{
	struct nr_buf b = { 0 };

	check_need(nr_buf_addf(&b, "{\"nip\":%u", s->nip));
	add_member(&b, "statement", s->id);
	add_member(&b, "text", s->text);
	add_member(&b, "result", word[c->result]);
	add_member(&b, "expected", c->expected);
	add_member(&b, "seen", c->seen);
	check_need(nr_buf_addf(&b, ",\"ms\":%lld}\n", (long long)ms));
	nr_out(b.p, b.len);
	nr_buf_free(&b);
}

static void
report_tap(struct check *c, const struct check_statement *s, unsigned n)
{
	struct nr_buf b = { 0 };

	check_need(nr_buf_addf(&b, "%s %u - NIP-%02u: %s (%s)%s%s\n",
	    c->result == CHECK_FAIL ? "not ok" : "ok", n, s->nip, s->text,
	    s->id, c->result == CHECK_SKIP ? " # SKIP " : "",
	    c->result == CHECK_SKIP ? c->seen : ""));
	if (c->result == CHECK_FAIL)
		check_need(nr_buf_addf(&b, "# expected %s\n# seen %s\n",
		    c->expected[0] != '\0' ? c->expected : s->text,
		    c->seen));
	nr_out(b.p, b.len);
	nr_buf_free(&b);
}

static void
report(struct check *c, const struct check_statement *s, struct tally *t)
{
	unsigned n = ++t->n[c->result];

	n = t->n[0] + t->n[1] + t->n[2];
	if (c->json)
		report_json(c, s, nr_now_ms() - c->start);
	else
		report_tap(c, s, n);
	nr_out_flush();
}

/* There is no relay to say anything of. */
static int
report_nobody(struct check *c)
{
	if (!c->json) {
		nr_outs("Bail out! ");
		nr_outs(c->seen);
		nr_outs("\n");
	}
	nr_warn("check: %s: %s", c->operand, c->seen);
	return NR_EX_ENV;
}

/* Nobody has said what became of it. */
static int
is_unknown(const struct check_made *m)
{
	return m->ev.kind != NR_KIND_AUTH && m->sent && !m->accepted &&
	    !m->refused;
}

/* Events without an OK, and the first statements that they belong to. */
static void
report_unknown(const struct check *c, unsigned n)
{
	char names[CHECK_TEXT] = "";
	const char *last = "";
	size_t i, len = 0, named = 0;

	for (i = 0; i < c->nmade && named < 5; i++)
		if (is_unknown(c->made[i]) &&
		    strcmp(last, c->made[i]->by) != 0) {
			last = c->made[i]->by;
			len += (size_t)snprintf(names + len,
			    sizeof(names) - len, "%s%s", len > 0 ? ", " : "",
			    named < 4 ? last : "...");
			named++;
		}
	nr_warn("check: %u event%s no OK: the relay may have %s (%s)", n,
	    n == 1 ? " got" : "s got", n == 1 ? "it" : "them", names);
}

/* What is left of our doing, for people. */
static void
report_rest(struct check *c)
{
	size_t i;
	unsigned accepted = 0, unknown = 0;

	for (i = 0; i < c->nmade; i++) {
		accepted += c->made[i]->accepted &&
		    c->made[i]->ev.kind != NR_KIND_AUTH;
		unknown += is_unknown(c->made[i]);
	}
	if (c->passing > 0)
		nr_warn("check: the relay kept %u ephemeral event%s of ours; "
		    "it was asked to delete %s", c->passing, NR_S(c->passing),
		    c->passing == 1 ? "it" : "them");
	if (unknown > 0)
		report_unknown(c, unknown);
	if (accepted + unknown + c->passing > 0)
		nr_warn("check: %u event%s accepted; %u request%s to delete "
		    "or to vanish %s, %u other event%s could not be removed "
		    "(tag t \"%s\")", accepted, accepted == 1 ? " was" :
		    "s were", c->requests, NR_S(c->requests), c->requests ==
		    1 ? "stays" : "stay", c->left, NR_S(c->left), c->tag);
}

/* ---- one after the other */

static void
begin(struct check *c, const struct check_statement *s)
{
	c->now = s;
	c->result = CHECK_PASS;
	c->expected[0] = c->seen[0] = '\0';
	c->brief = 0;
	c->start = nr_now_ms();
	c->deadline = c->start + c->timeout;
}

/* Is it tried at all?  If not, the reason is given. */
static int
is_tried(struct check *c, const struct check_statement *s, int *has_hay)
{
	static const struct check_statement setup = {
		.id = "preparation", .text = "preparation"
	};

	if (s->nip != 1 && !(s->flags & CHECK_ALWAYS) && !c->named[s->nip] &&
	    !c->nip[s->nip])
		return check_skip(c, "not supported (NIP-11 does not name "
		    "%u)", s->nip);
	if (s->flags & CHECK_WRITE && !c->write)
		return check_skip(c, "publishes: only with --write");
	if (s->flags & CHECK_SHOWN && c->write)
		return check_skip(c, "with --write others say so");
	if (s->flags & (CHECK_HAYSTACK | CHECK_WRITE) && !*has_hay) {
		*has_hay = 1;
		begin(c, &setup);
		check_hay(c);
		begin(c, s);
	}
	if (s->flags & CHECK_HAYSTACK && c->nhay == 0)
		return check_skip(c, "%s", c->no_hay);
	return 1;
}

/* What a link has been through must not bear on the next statement. */
static void
settle(struct check *c)
{
	unsigned i;

	for (i = 0; i < CHECK_LINKS; i++)
		if (c->result == CHECK_FAIL || c->brief)
			check_drop(&c->link[i]);
		else
			check_settle(&c->link[i]);
	check_drop(&c->link[CHECK_LINKS - 1]);
}

static void
run_list(struct check *c, const struct check_statement *s, struct tally *t,
    int *has_hay)
{
	for (; s->id != NULL && c->signals.last == 0; s++) {
		if (c->some_nips && !c->nip[s->nip])
			continue;
		begin(c, s);
		if (is_tried(c, s, has_hay))
			s->run(c, s);
		/* What was broken off says nothing of the relay. */
		if (c->signals.last == 0)
			report(c, s, t);
		settle(c);
	}
}

static const char *
summary(const struct tally *t, char out[128])
{
	unsigned n = t->n[CHECK_PASS] + t->n[CHECK_FAIL] + t->n[CHECK_SKIP];

	snprintf(out, 128, "%u statement%s: %u ok, %u skipped, %u failed", n,
	    NR_S(n), t->n[CHECK_PASS], t->n[CHECK_SKIP], t->n[CHECK_FAIL]);
	return out;
}

/* The end of TAP's lines. */
static void
report_plan(struct check *c, const struct tally *t)
{
	char plan[192], text[128];

	(void)summary(t, text);
	if (c->signals.last != 0)
		snprintf(plan, sizeof(plan), "# %s\nBail out! signal %d\n",
		    text, c->signals.last);
	else
		snprintf(plan, sizeof(plan), "# %s\n1..%u\n", text,
		    t->n[CHECK_PASS] + t->n[CHECK_FAIL] + t->n[CHECK_SKIP]);
	nr_outs(plan);
	nr_out_flush();
}

static int
run(struct check *c)
{
	static const struct check_statement setup = {
		.id = "connection", .text = "connection"
	};
	struct tally t = { { 0 } };
	int has_hay = 0;
	char text[128];
	size_t i;

	begin(c, &setup);
	if (check_link(c, 0) == NULL)
		return report_nobody(c);
	check_info(c);
	for (i = 0; i < NLISTS; i++)
		run_list(c, all[i], &t, &has_hay);
	if (!c->json)
		report_plan(c, &t);
	begin(c, &setup);
	check_clean(c);
	report_rest(c);
	nr_warn("check: %s%s", summary(&t, text), c->signals.last != 0 ?
	    ", then broken off" : "");
	return t.n[CHECK_FAIL] > 0 ? NR_EX_NO : NR_EX_OK;
}

/* ---- beginning and end */

static void
on_clock(void *ctx)
{
	struct check *c = ctx;

	nr_net_stop(c->net);
}

/* The statement at hand is broken off; what was published goes yet. */
static void
on_signal(void *ctx, unsigned events)
{
	struct check *c = ctx;

	(void)events;
	if (nr_signals_take(&c->signals) == 0)
		return;
	c->deadline = 0;
	nr_net_stop(c->net);
}

static void
random_bytes(void *p, size_t n)
{
	if (getrandom(p, n, 0) != (ssize_t)n)
		nr_die(errno, "random numbers");
}

/* Keys that live as long as this process. */
static void
make_keys(struct check *c)
{
	unsigned char secret[32];
	unsigned i;
	int rc;

	for (i = 0; i < CHECK_KEYS; i++) {
		do {
			random_bytes(secret, sizeof(secret));
			rc = nr_key_new(&c->key[i], secret);
		} while (rc == NR_EKEY);
		check_need(rc);
	}
	explicit_bzero(secret, sizeof(secret));
}

static void
prepare(struct check *c)
{
	static const char prefix[] = "nr-check-";
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, 0 };
	unsigned char mark[8];
	const char *why = NULL;
	unsigned i;
	int rc;

	random_bytes(mark, sizeof(mark));
	memcpy(c->tag, prefix, sizeof(prefix) - 1);
	nr_hex_encode(c->tag + sizeof(prefix) - 1, mark, sizeof(mark));
	c->began = time(NULL);
	c->kind[0] = 8472;
	c->kind[1] = 8473;
	make_keys(c);
	nr_signals_catch(&c->signals, ends);
	check_need(nr_verifier_new(&c->verifier));
	rc = nr_net_new(&c->net, c->ca_file, 2 * CHECK_LINKS + 2, &why);
	if (rc != NR_OK && why != NULL)
		nr_bad_usage("%s: %s", c->ca_file, why);
	check_need(rc);
	check_need(nr_timer_new(&c->clock, c->net, on_clock, c));
	check_need(nr_watch_new(&c->signal_watch, c->net, c->signals.fd,
	    NR_WATCH_IN, on_signal, c));
	for (i = 0; i < CHECK_LINKS; i++)
		c->link[i].check = c;
}

static void
finish(struct check *c)
{
	unsigned i;

	for (i = 0; i < CHECK_LINKS; i++)
		check_drop(&c->link[i]);
	nr_timer_free(c->clock);
	nr_watch_free(c->signal_watch);
	nr_net_free(c->net);
	check_made_free(c);
	for (i = 0; i < CHECK_KEYS; i++)
		nr_key_free(c->key[i]);
	nr_key_free(c->own_key);
	nr_verifier_free(c->verifier);
	nr_buf_free(&c->doc);
}

static int
has_statements(unsigned nip)
{
	const struct check_statement *s;
	size_t i;

	for (i = 0; i < NLISTS; i++)
		for (s = all[i]; s->id != NULL; s++)
			if (s->nip == nip)
				return 1;
	return 0;
}

/* "NIP-09, NIP-C7": appended to b. */
static void
add_nip(struct nr_buf *b, const char *name)
{
	check_need(nr_buf_addf(b, "%sNIP-%s", b->len > 0 ? ", " : "", name));
}

/*
 * What was asked for and is not there is told.  If that is all of it, there
 * is nothing that a status 0 could mean.
 */
static void
know_nips(struct check *c)
{
	struct nr_buf b = { 0 };
	unsigned i, some = 0;
	char name[8];

	for (i = 0; i < CHECK_NIPS; i++)
		if (c->nip[i] && has_statements(i)) {
			some = 1;
		} else if (c->nip[i]) {
			snprintf(name, sizeof(name), "%02u", i);
			add_nip(&b, name);
		}
	for (i = 0; i < CHECK_LETTERS; i++)
		if (c->letters[i]) {
			snprintf(name, sizeof(name), "%02X", i);
			add_nip(&b, name);
		}
	check_need(nr_buf_add(&b, "", 1));
	if (b.len > 1)
		nr_warn("check: no statements about %s", b.p);
	if (!some && !c->json) {
		nr_outs("1..0 # SKIP no statements about ");
		nr_outs(b.p);
		nr_outs("\n");
	}
	nr_buf_free(&b);
	if (some)
		return;
	nr_out_close();
	exit(NR_EX_USAGE);
}

/*
 * NIPs are numbers up to 99, and from then on two hexadecimal digits, of
 * which one at least is a letter.
 */
static void
take_nip(struct check *c, const char *name)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *high, *low;

	high = memchr(digits, toupper((unsigned char)name[0]), 16);
	low = memchr(digits, toupper((unsigned char)name[1]), 16);
	if (name[0] != '\0' && name[1] != '\0' && name[2] == '\0' &&
	    high != NULL && low != NULL &&
	    (high >= digits + 10 || low >= digits + 10))
		c->letters[(high - digits) * 16 + (low - digits)] = 1;
	else if (strlen(name) > 2 && strspn(name, digits) == strlen(name))
		nr_bad_usage("--nip: there is no NIP-%s", name);
	else
		c->nip[nr_number(name, "--nip", 1, 99)] = 1;
}

/* One, or several with commas. */
static void
take_nips(struct check *c, const char *arg)
{
	char one[8];
	size_t n;

	for (c->some_nips = 1; ; arg += n + 1) {
		n = strcspn(arg, ",");
		snprintf(one, sizeof(one), "%.*s", n < 7 ? (int)n : 7, arg);
		take_nip(c, one);
		if (arg[n] == '\0')
			return;
	}
}

int
nr_bench_check(int argc, char *argv[])
{
	enum { CA_FILE = NR_OPT_FIRST, JSON, NIP, TIMEOUT, WRITE };
	static const struct option longopts[] = {
		{ "ca-file", required_argument, NULL, CA_FILE },
		{ "json", no_argument, NULL, JSON },
		{ "nip", required_argument, NULL, NIP },
		{ "quiet", no_argument, NULL, 'q' },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "write", no_argument, NULL, WRITE },
		NR_LONG_KEY, NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct nr_key_args key = NR_KEY_ARGS;
	struct check *c = calloc(1, sizeof(*c));
	struct nr_signals signals;
	int ch, status;

	if (c == NULL)
		nr_die(ENOMEM, "check");
	c->timeout = 5000;
	while ((ch = getopt_long(argc, argv, "q" NR_KEY_FLAGS, longopts,
	    NULL)) != -1)
		switch (ch) {
		case CA_FILE:
			c->ca_file = optarg;
			break;
		case JSON:
			c->json = 1;
			break;
		case NIP:
			take_nips(c, optarg);
			break;
		case 'q':
			nr_quiet = 1;
			break;
		case TIMEOUT:
			c->timeout = nr_duration(optarg, "--timeout", 50,
			    600000);
			break;
		case WRITE:
			c->write = 1;
			break;
		default:
			if (!nr_key_option(&key, ch, optarg))
				nr_common_option(ch);
		}
	if (optind + 1 != argc)
		nr_usage();
	c->operand = argv[optind];
	nr_relay_operand(&c->url, c->operand);
	if (c->some_nips)
		know_nips(c);
	c->own_key = nr_key_load(&key);
	prepare(c);
	status = run(c);
	nr_out_close();
	finish(c);
	signals = c->signals;
	free(c);
	if (signals.last != 0)
		nr_signals_die(&signals);
	return status;
}
