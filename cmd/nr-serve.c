/*
 * nr-serve: the relay.  In the foreground, its log on stderr.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "notify.h"
#include "relay/relay.h"
#include "servelog.h"
#include "storeopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/times.h"

static const char usage[] =
    "usage: nr-serve [-PqT] [-c file] [-S dir] [--force]\n"
    "           [--listen addr:port] ... [--ready-fd n] [--segment bytes]\n"
    "           [--set key=value] ...\n";

#define LWS_LINES	20	/* of libwebsockets in */
#define LWS_PERIOD_MS	60000

static atomic_int serving;

static void
log_line(enum nr_log_level level, const char *text)
{
	nr_servelog(level, "serve", text, NULL);
}

/*
 * What libwebsockets has to say; lines come with their LF.  Clients can
 * make it talk, and call that errors, so there is a bound and one level,
 * the lowest: what is wrong with us is told by us.  Only the socket thread
 * is here.
 */
static void
lws_line(int level, const char *line)
{
	static int64_t since;
	static unsigned said;
	char text[256];

	if (!atomic_load(&serving))
		return;		/* what keeps us from it, we say */
	if (nr_now_ms() - since >= LWS_PERIOD_MS) {
		since = nr_now_ms();
		said = 0;
	}
	if (++said > LWS_LINES)
		return;
	if (said == LWS_LINES)
		line = "libwebsockets has more to say, left out for a while";
	snprintf(text, sizeof(text), "%.*s",
	    (int)strcspn(line, "\r\n"), line);
	(void)level;
	nr_servelog(NR_LOG_DEBUG, "libwebsockets", text, NULL);
}

/* As many descriptors as we may have. */
static void
raise_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return;
	if (l.rlim_cur < 65536 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max < 65536 ? l.rlim_max : 65536;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* ---- the configuration ------------------------------------------------------ */

/* Where it comes from: what is further down goes before what is above. */
struct option_value {
	const char	*text;		/* key=value; of --listen, the value */
	int		 listen;
};

struct sources {
	const char	*file;
	struct option_value *set;
	size_t		 nset;
	int		 reload;	/* the relay runs */
	struct nr_given	 given;		/* by systemd */
	char		*given_at[NR_LISTEN_MAX];	/* where they are */
	unsigned	 ngiven;
};

static void
complain(void *ctx, const char *text)
{
	const struct sources *s = ctx;

	if (s->reload)
		nr_servelog(NR_LOG_ERROR, "configuration", text, NULL);
	else
		nr_say("%s", text);
}

/* Returns 0 or ENOMEM; *good is cleared after a complaint. */
static int
set_key(struct nr_relay_config *c, struct sources *s, const char *where,
    const char *key, const char *value, int *good)
{
	const char *why;
	char text[512];
	int rc;

	rc = nr_relay_config_set(c, key, value, &why);
	if (rc != NR_OK || why == NULL)
		return rc;
	snprintf(text, sizeof(text), "%s%s: %.300s: %s", where, key, value,
	    why);
	complain(s, text);
	*good = 0;
	return NR_OK;
}

/* NR_SERVE_MAX_LIMIT for max_limit. */
static const char *
from_environment(const char *key)
{
	char name[80];
	size_t n;

	n = (size_t)snprintf(name, sizeof(name), "NR_SERVE_%s", key);
	for (; n > 9; n--)
		name[n - 1] = (char)toupper((unsigned char)name[n - 1]);
	return getenv(name);
}

/* A list has spaces between its values. */
static int
set_list(struct nr_relay_config *c, struct sources *s, const char *key,
    const char *value, int *good)
{
	char word[512];
	int rc = NR_OK;
	size_t n;

	while (rc == NR_OK && (value += strspn(value, " "), *value != '\0')) {
		n = strcspn(value, " ");
		snprintf(word, sizeof(word), "%.*s", (int)n, value);
		rc = set_key(c, s, "environment: ", key, word, good);
		value += n;
	}
	return rc;
}

static int
is_key(const char *name)
{
	const char *key;
	int list;
	size_t i;

	for (i = 0; (key = nr_relay_config_key(i, &list)) != NULL; i++)
		if (strcmp(key, name) == 0)
			return 1;
	return 0;
}

static int
set_option(struct nr_relay_config *c, struct sources *s,
    const struct option_value *o, int *good)
{
	size_t n = strcspn(o->text, "=");
	char name[80], text[512];

	if (o->listen)
		return set_key(c, s, "", "listen", o->text, good);
	if (o->text[n] == '\0' || n >= sizeof(name)) {
		snprintf(text, sizeof(text), "--set %.300s: not key=value",
		    o->text);
		complain(s, text);
		*good = 0;
		return NR_OK;
	}
	snprintf(name, sizeof(name), "%.*s", (int)n, o->text);
	if (!is_key(name)) {
		snprintf(text, sizeof(text), "--set %.300s: there is no key "
		    "%s, see nr-serve.conf(5)", o->text, name);
		complain(s, text);
		*good = 0;
		return NR_OK;
	}
	return set_key(c, s, "", name, o->text + n + 1, good);
}

static int
set_all(struct nr_relay_config *c, struct sources *s, int *good)
{
	const char *key, *value;
	int list, listens, rc = NR_OK;
	size_t i;

	nr_relay_config_override(c);
	if (s->file != NULL) {
		rc = nr_relay_config_file(c, s->file, complain, s);
		if (rc == NR_EINVAL)
			*good = 0;
		else if (rc != NR_OK)
			nr_say("%s: %s", s->file, nr_strerror(rc));
		if (rc != NR_OK)
			return rc;
	}
	nr_relay_config_override(c);
	for (i = 0; rc == NR_OK &&
	    (key = nr_relay_config_key(i, &list)) != NULL; i++)
		if ((value = from_environment(key)) != NULL)
			rc = list ? set_list(c, s, key, value, good) :
			    set_key(c, s, "environment: ", key, value, good);
	nr_relay_config_override(c);
	for (i = 0; rc == NR_OK && i < s->nset; i++)
		rc = set_option(c, s, &s->set[i], good);
	nr_relay_config_override(c);
	listens = c->nlisten > 0;
	for (i = 0; rc == NR_OK && !listens && i < s->ngiven; i++)
		rc = set_key(c, s, "", "listen", s->given_at[i], good);
	if (rc == NR_OK && c->nlisten == 0)
		rc = set_key(c, s, "", "listen", "127.0.0.1:7777", good);
	return rc;
}

/*
 * The configuration as its sources have it.
 * Returns  0; NR_EINVAL after complaints; ENOMEM, or why the file cannot be
 *	    read.
 */
static int
configure(struct nr_relay_config **out, struct sources *s)
{
	struct nr_relay_config *c;
	const char *why;
	int rc, good = 1;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return ENOMEM;
	if ((rc = nr_relay_config_init(c)) == NR_OK)
		rc = set_all(c, s, &good);
	if (rc == NR_OK && (why = nr_relay_config_check(c)) != NULL) {
		complain(s, why);
		good = 0;
	}
	if (rc == NR_OK)
		rc = nr_relay_config_load(c, complain, s);
	if (rc == NR_OK && !good)
		rc = NR_EINVAL;
	if (rc == NR_OK) {
		*out = c;
		return NR_OK;
	}
	nr_relay_config_free(c);
	free(c);
	return rc;
}

/* Sockets of systemd are where it listens, unless it is told otherwise. */
static void
take_sockets(struct sources *s)
{
	char where[NR_ENDPOINT_TEXT];
	unsigned i;

	nr_notify_sockets(&s->given);
	for (i = 0; i < s->given.n && s->ngiven < NR_LISTEN_MAX; i++) {
		if (!nr_endpoint_write(s->given.fd[i], where))
			continue;
		s->given_at[s->ngiven] = strdup(where);
		if (s->given_at[s->ngiven] == NULL)
			nr_die(ENOMEM, "sockets");
		s->ngiven++;
	}
}

static void
drop_sources(struct sources *s)
{
	while (s->ngiven > 0)
		free(s->given_at[--s->ngiven]);
	free(s->set);
}

static void
drop(struct nr_relay_config *c)
{
	nr_relay_config_free(c);
	free(c);
}

/* ---- signals ------------------------------------------------------------------ */

struct signals {
	struct nr_relay		*relay;
	struct sources		*sources;
	struct nr_relay_config	**config;	/* in use */
	sigset_t		 set;
	uint64_t		 watchdog_ms;	/* 0: nobody watches */
	atomic_int		 ended;		/* set before SIGUSR2 */
};

static void
reload(struct signals *s)
{
	struct nr_relay_config *next, *old;

	nr_notify_reloading();
	if (configure(&next, s->sources) != NR_OK) {
		log_line(NR_LOG_ERROR, "the configuration stays as it was");
		nr_notify("READY=1");
		return;
	}
	old = nr_relay_reload(s->relay, next);
	if (old != next)
		*s->config = next;
	drop(old);
	nr_servelog_set((*s->config)->log_level, (*s->config)->log_json);
	log_line(NR_LOG_INFO, "the configuration is loaded");
	nr_notify("READY=1");
}

/*
 * Wait for a signal.  Where systemd watches, it hears from us twice in the
 * time that it allows, as long as the relay goes round.
 * Returns  -1 where there was none.
 */
static int
next_signal(struct signals *s)
{
	struct timespec t;
	int sig;

	if (s->watchdog_ms == 0)
		return sigwait(&s->set, &sig) == 0 ? sig : -1;
	t.tv_sec = (time_t)(s->watchdog_ms / 2000);
	t.tv_nsec = (long)(s->watchdog_ms / 2 % 1000) * 1000000;
	sig = sigtimedwait(&s->set, NULL, &t);
	if (sig < 0 && nr_relay_alive(s->relay))
		nr_notify("WATCHDOG=1");
	return sig;
}

/* Signals come to a thread of their own, as ordinary events. */
static void *
wait_signals(void *arg)
{
	struct signals *s = arg;
	int sig;

	for (;;) {
		if ((sig = next_signal(s)) < 0)
			continue;
		if (sig == SIGUSR2) {
			if (atomic_load(&s->ended))
				return NULL;
			continue;	/* somebody else's means nothing */
		}
		if (sig == SIGHUP) {
			reload(s);
			continue;
		}
		if (sig == SIGUSR1) {
			nr_relay_leave(s->relay);
			continue;
		}
		nr_notify("STOPPING=1");
		log_line(NR_LOG_INFO, "stopping");
		nr_relay_stop(s->relay);
	}
}

static void
say_ready(const struct nr_relay_config *c, const struct nr_relay *r,
    int ready_fd)
{
	char text[200], where[NR_WHERE_MAX];
	unsigned i;

	for (i = 0; i < c->nlisten + (c->metrics != NULL); i++) {
		nr_relay_where(r, i, where);
		snprintf(text, sizeof(text), "%s %s",
		    i < c->nlisten ? "serving" : "metrics at", where);
		log_line(NR_LOG_INFO, text);
	}
	nr_notify_ready();
	if (ready_fd >= 0) {
		(void)!write(ready_fd, "\n", 1);
		close(ready_fd);
	}
}

static int
serve(struct nr_relay_config **c, struct sources *sources,
    struct nr_store *st, int ready_fd)
{
	struct signals s;
	struct nr_relay *r;
	pthread_t thread;
	int rc;

	/* Before any thread: they all inherit the mask. */
	sigemptyset(&s.set);
	sigaddset(&s.set, SIGHUP);
	sigaddset(&s.set, SIGINT);
	sigaddset(&s.set, SIGTERM);
	sigaddset(&s.set, SIGUSR1);
	sigaddset(&s.set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &s.set, NULL);
	signal(SIGPIPE, SIG_IGN);
	nr_servelog_set((*c)->log_level, (*c)->log_json);
	if ((rc = nr_relay_new(&r, *c, st, &sources->given, nr_servelog)) !=
	    NR_OK)
		return rc;
	atomic_store(&serving, 1);
	s.relay = r;
	s.config = c;
	s.sources = sources;
	sources->reload = 1;
	s.watchdog_ms = nr_notify_watchdog();
	atomic_init(&s.ended, 0);
	say_ready(*c, r, ready_fd);
	if ((rc = pthread_create(&thread, NULL, wait_signals, &s)) != 0)
		nr_die(rc, "threads");
	rc = nr_relay_run(r);
	atomic_store(&s.ended, 1);
	pthread_kill(thread, SIGUSR2);
	pthread_join(thread, NULL);
	log_line(NR_LOG_INFO, "stopped");
	nr_relay_free(r);
	return rc;
}

int
main(int argc, char *argv[])
{
	enum { FORCE = NR_OPT_FIRST, LISTEN, READY_FD, SEGMENT, SET };
	static const struct option longopts[] = {
		{ "check-config", no_argument, NULL, 'T' },
		{ "config", required_argument, NULL, 'c' },
		{ "force", no_argument, NULL, FORCE },
		{ "listen", required_argument, NULL, LISTEN },
		{ "progress", no_argument, NULL, 'P' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "ready-fd", required_argument, NULL, READY_FD },
		{ "segment", required_argument, NULL, SEGMENT },
		{ "set", required_argument, NULL, SET },
		{ "store", required_argument, NULL, 'S' },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct sources sources = { .file = NULL };
	struct nr_relay_config *config = NULL;
	unsigned flags = NR_STORE_CREATE;
	int ch, progress = 0, ready_fd = -1, test = 0, rc;
	const char *dir = NULL;
	struct nr_store *st;
	size_t segment = 0;

	nr_tool_init(argv[0], usage);
	lws_set_log_level(LLL_ERR | LLL_WARN, lws_line);
	sources.set = calloc((size_t)argc, sizeof(*sources.set));
	if (sources.set == NULL)
		nr_die(ENOMEM, "configuration");
	while ((ch = getopt_long(argc, argv, "c:PqS:T", longopts, NULL)) != -1)
		switch (ch) {
		case FORCE:
			flags |= NR_STORE_FORCE;
			break;
		case LISTEN:
			sources.set[sources.nset].listen = 1;
			sources.set[sources.nset++].text = optarg;
			break;
		case READY_FD:
			ready_fd = (int)nr_number(optarg, "--ready-fd", 0,
			    1024);
			if (fcntl(ready_fd, F_GETFD) < 0)
				nr_bad_usage("--ready-fd %d: %s", ready_fd,
				    nr_strerror(errno));
			break;
		case SEGMENT:
			segment = nr_size(optarg, "--segment", 4096,
			    (uint64_t)1 << 30);
			break;
		case SET:
			sources.set[sources.nset++].text = optarg;
			break;
		case 'P':
			progress = 1;
			break;
		case 'S':
			dir = optarg;
			break;
		case 'T':
			test = 1;
			break;
		case 'c':
			sources.file = optarg;
			break;
		case 'q':
			nr_quiet = 1;
			break;
		default:
			nr_common_option(ch);
		}
	if (optind != argc)
		nr_bad_usage("not expected: %s", argv[optind]);
	take_sockets(&sources);
	if ((rc = configure(&config, &sources)) == ENOMEM)
		nr_die(rc, "configuration");
	if (rc != NR_OK)
		exit(NR_EX_USAGE);
	if (test) {
		drop(config);
		drop_sources(&sources);
		return NR_EX_OK;
	}
	raise_limits();
	dir = nr_store_name(dir);
	st = nr_store_need(dir, flags, segment, progress);
	rc = serve(&config, &sources, st, ready_fd);
	nr_store_close(st);
	drop(config);
	drop_sources(&sources);
	return nr_exit_status(rc);
}
