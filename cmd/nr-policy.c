/*
 * nr-policy: a file of rules says which events are accepted: as a filter
 * for pipes, or as the plugin of a relay.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/nip19.h"
#include "policy.h"
#include "policy/protocol.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/pool.h"
#include "util/times.h"
#include "wire/ip.h"

static const char usage[] =
    "usage: nr-policy -f rules [-q] [-j threads] [-m bytes] [-r file]\n"
    "    [--auth key] [--clock created_at] [--dry-run | --explain]\n"
    "    [--from address] [--source source] [file ...]\n"
    "       nr-policy -f rules --plugin\n"
    "       nr-policy -f rules -T\n";

enum {
	OPT_AUTH = NR_OPT_FIRST, OPT_CLOCK, OPT_DRY, OPT_EXPLAIN, OPT_FROM,
	OPT_PLUGIN, OPT_SOURCE
};

static void
wrong(void *ctx, const char *file, unsigned line, unsigned column,
    const char *text)
{
	(void)ctx;
	if (line == 0)
		nr_say("%s: %s", file, text);
	else
		nr_say("%s:%u:%u: %s", file, line, column, text);
}

static void
note(void *ctx, const struct nr_rule *rule, const struct nr_request *rq)
{
	const char *msg = nr_rule_message(rule);
	char id[66] = "";

	(void)ctx;
	if (rq->type == NR_ASK_NEW) {
		id[0] = ' ';
		nr_hex_encode(id + 1, rq->ev.id, 32);
		id[65] = '\0';
	}
	nr_say("%s: %s%s%s%.*s", nr_rule_place(rule), msg != NULL ? msg :
	    "log", id, rq->source_info.len > 0 ? " from " : "",
	    (int)rq->source_info.len, rq->source_info.len > 0 ?
	    rq->source_info.p : "");
}

const struct nr_rules_calls nr_policy_calls = { wrong, note, NULL };

struct nr_rules *
nr_policy_load(const struct nr_policy_options *o)
{
	struct nr_rules *r;
	int rc;

	rc = nr_rules_read(&r, o->path, NULL, o->dry, &nr_policy_calls);
	if (rc == NR_EINVAL)
		exit(NR_EX_USAGE);
	if (rc != NR_OK)
		nr_die(rc, "%s", o->path);
	return r;
}

#define TROUBLE_MS	5000	/* between two words about it */

void
nr_policy_trouble(const struct nr_eval *e)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int64_t last;
	static uint64_t n;
	int64_t now = nr_now_ms();

	pthread_mutex_lock(&lock);
	n++;
	if (last == 0 || now - last >= TROUBLE_MS) {
		nr_say("%s: %s (%" PRIu64 " time%s so far)",
		    nr_rule_place(e->decided), e->msg, n, n == 1 ? "" : "s");
		last = now;
	}
	pthread_mutex_unlock(&lock);
}

static void
check_file(struct nr_policy_options *o)
{
	struct nr_rules *r;
	size_t n;

	o->dry = 1;
	r = nr_policy_load(o);
	n = nr_rules_count(r);
	nr_warn("%s: %zu rule%s, in order", o->path, n, n == 1 ? "" : "s");
	nr_rules_free(r);
}

static void
add_auth(struct nr_policy_options *o, const char *text)
{
	struct nr_nip19 n;
	unsigned char *to;

	if (o->nauthed == NR_REQUEST_KEYS)
		nr_bad_usage("more than %d times --auth", NR_REQUEST_KEYS);
	if (o->authed == NULL && (o->authed = calloc(NR_REQUEST_KEYS,
	    sizeof(o->authed[0]))) == NULL)
		nr_die(ENOMEM, "keys");
	to = o->authed[o->nauthed++];
	if (strlen(text) == 64 && nr_hex_decode(to, text, 32))
		return;
	if (!nr_nip19_decode(&n, text) || (n.type != NR_NIP19_NPUB &&
	    n.type != NR_NIP19_NPROFILE))
		nr_bad_usage("--auth: no public key: %s", text);
	memcpy(to, n.key, 32);
}

static enum nr_source
source_of(const char *text)
{
	enum nr_source s = nr_rules_source((struct nr_view){ text,
	    strlen(text) });

	if (s < NR_FROM_UNKNOWN)
		return s;
	nr_bad_usage("--source: ip4, ip6, import, stream, sync or stored, "
	    "not %s", text);
}

/* An address, or a relay's URL, as plugins are told. */
static void
check_from(const struct nr_policy_options *o)
{
	struct nr_ip ip;

	if (o->from != NULL && strstr(o->from, "://") == NULL &&
	    !nr_ip_parse(&ip, o->from, strlen(o->from)))
		nr_bad_usage("--from: neither an address nor a URL: %s",
		    o->from);
}

int
main(int argc, char *argv[])
{
	static const struct option longopts[] = {
		{ "auth", required_argument, NULL, OPT_AUTH },
		{ "clock", required_argument, NULL, OPT_CLOCK },
		{ "dry-run", no_argument, NULL, OPT_DRY },
		{ "explain", no_argument, NULL, OPT_EXPLAIN },
		{ "from", required_argument, NULL, OPT_FROM },
		{ "jobs", required_argument, NULL, 'j' },
		{ "max-bytes", required_argument, NULL, 'm' },
		{ "plugin", no_argument, NULL, OPT_PLUGIN },
		{ "quiet", no_argument, NULL, 'q' },
		{ "rejects", required_argument, NULL, 'r' },
		{ "rules", required_argument, NULL, 'f' },
		{ "source", required_argument, NULL, OPT_SOURCE },
		{ "test", no_argument, NULL, 'T' },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct nr_policy_options o = {
		.limits = nr_event_limits_pipe, .source = NR_FROM_IMPORT
	};
	int ch, plugin = 0, test = 0, source = 0, dry = 0, status;

	nr_tool_init(argv[0], usage);
	o.threads = nr_pool_cores();
	while ((ch = getopt_long(argc, argv, "f:j:m:qr:T", longopts,
	    NULL)) != -1)
		switch (ch) {
		case 'f':
			o.path = optarg;
			break;
		case 'j':
			o.threads = (unsigned)nr_number(optarg, "-j", 1, 256);
			break;
		case 'm':
			o.limits.bytes = nr_size(optarg, "-m", 1, 1 << 30);
			break;
		case 'q':
			nr_quiet = 1;
			break;
		case 'r':
			o.rejects = optarg;
			break;
		case 'T':
			test = 1;
			break;
		case OPT_AUTH:
			add_auth(&o, optarg);
			break;
		case OPT_CLOCK:
			if (strcmp(optarg, "created_at") != 0)
				nr_bad_usage("--clock: created_at, not %s",
				    optarg);
			o.created_at = 1;
			break;
		case OPT_DRY:
			o.dry = dry = 1;
			break;
		case OPT_EXPLAIN:
			o.explain = o.dry = 1;
			break;
		case OPT_FROM:
			o.from = optarg;
			break;
		case OPT_PLUGIN:
			plugin = 1;
			break;
		case OPT_SOURCE:
			o.source = source_of(optarg);
			source = 1;
			break;
		default:
			nr_common_option(ch);
		}
	if (o.path == NULL)
		nr_bad_usage("which rules? -f");
	if (plugin && (test || o.dry || o.rejects != NULL || source ||
	    o.from != NULL || o.nauthed > 0 || o.created_at ||
	    optind < argc))
		nr_bad_usage("--plugin takes its requests from stdin, and "
		    "goes with -f and -q alone");
	if (test && optind < argc)
		nr_bad_usage("-T takes no events");
	if (dry && o.explain)
		nr_bad_usage("--dry-run or --explain");
	check_from(&o);
	if (test) {
		check_file(&o);
		return NR_EX_OK;
	}
	status = plugin ? nr_policy_plugin(&o) :
	    nr_policy_filter(&o, argv + optind, argc - optind);
	free(o.authed);
	return status;
}
