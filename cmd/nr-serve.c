/*
 * nr-serve: the relay.  In the foreground, its log on stderr.
 */
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
#include <unistd.h>

#include <libwebsockets.h>

#include "relay/relay.h"
#include "storeopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/times.h"

static const char usage[] =
    "usage: nr-serve [-Pq] [-S dir] [--force] [--listen addr:port] ...\n"
    "           [--ready-fd n] [--segment bytes] [--set key=value] ...\n";

#define LWS_LINES	20	/* of libwebsockets in */
#define LWS_PERIOD_MS	60000

static atomic_int serving;

static void
log_line(enum nr_log_level level, const char *text)
{
	static const char *const name[] = { "error", "warning", "info" };

	if (level == NR_LOG_ERROR || !nr_quiet)
		nr_say("%s: %s", name[level], text);
}

/*
 * What libwebsockets has to say; lines come with their LF.  Clients can
 * make it talk, and call that errors, so there is a bound and one level:
 * what is wrong with us is told by us.  Only the socket thread is here.
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
	log_line(NR_LOG_WARN, text);
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

struct signals {
	struct nr_relay	*relay;
	sigset_t	 set;
	atomic_int	 ended;		/* set by main() before SIGUSR2 */
};

/* Signals come to a thread of their own, as ordinary events. */
static void *
wait_signals(void *arg)
{
	struct signals *s = arg;
	int sig;

	for (;;) {
		if (sigwait(&s->set, &sig) != 0)
			continue;
		if (sig == SIGUSR2) {
			if (atomic_load(&s->ended))
				return NULL;
			continue;	/* somebody else's means nothing */
		}
		if (sig == SIGHUP) {
			log_line(NR_LOG_INFO, "there is nothing to reload");
			continue;
		}
		log_line(NR_LOG_INFO, "stopping");
		nr_relay_stop(s->relay);
	}
}

static void
set_key(struct nr_relay_config *c, const char *key, const char *value)
{
	const char *why;
	int rc;

	if ((rc = nr_relay_config_set(c, key, value, &why)) != NR_OK)
		nr_die(rc, "%s", key);
	if (why != NULL)
		nr_bad_usage("%s: %s: %s", key, value, why);
}

static void
set_option(struct nr_relay_config *c, char *arg)
{
	char *equal = strchr(arg, '=');

	if (equal == NULL)
		nr_bad_usage("--set %s: not key=value", arg);
	*equal = '\0';
	set_key(c, arg, equal + 1);
	*equal = '=';
}

static void
say_ready(const struct nr_relay_config *c, const struct nr_relay *r,
    int ready_fd)
{
	unsigned i;
	char text[200];

	for (i = 0; i < c->nlisten; i++) {
		snprintf(text, sizeof(text), "serving ws://%.*s:%d",
		    (int)(strrchr(c->listen[i], ':') - c->listen[i]),
		    c->listen[i], nr_relay_port(r, i));
		log_line(NR_LOG_INFO, text);
	}
	if (ready_fd >= 0) {
		(void)!write(ready_fd, "\n", 1);
		close(ready_fd);
	}
}

static int
serve(struct nr_relay_config *c, struct nr_store *st, int ready_fd)
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
	sigaddset(&s.set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &s.set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if ((rc = nr_relay_new(&r, c, st, log_line)) != NR_OK)
		return rc;
	atomic_store(&serving, 1);
	s.relay = r;
	atomic_init(&s.ended, 0);
	if ((rc = pthread_create(&thread, NULL, wait_signals, &s)) != 0)
		nr_die(rc, "threads");
	say_ready(c, r, ready_fd);
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
	struct nr_relay_config config;
	unsigned flags = NR_STORE_CREATE;
	int ch, progress = 0, ready_fd = -1, rc;
	const char *dir = NULL, *why;
	struct nr_store *st;
	size_t segment = 0;

	nr_tool_init(argv[0], usage);
	lws_set_log_level(LLL_ERR | LLL_WARN, lws_line);
	if ((rc = nr_relay_config_init(&config)) != NR_OK)
		nr_die(rc, "configuration");
	while ((ch = getopt_long(argc, argv, "PqS:", longopts, NULL)) != -1)
		switch (ch) {
		case FORCE:
			flags |= NR_STORE_FORCE;
			break;
		case LISTEN:
			set_key(&config, "listen", optarg);
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
			set_option(&config, optarg);
			break;
		case 'P':
			progress = 1;
			break;
		case 'S':
			dir = optarg;
			break;
		case 'q':
			nr_quiet = 1;
			break;
		default:
			nr_common_option(ch);
		}
	if (optind != argc)
		nr_bad_usage("not expected: %s", argv[optind]);
	if (config.nlisten == 0)
		set_key(&config, "listen", "127.0.0.1:7777");
	if ((why = nr_relay_config_check(&config)) != NULL)
		nr_bad_usage("%s", why);
	raise_limits();
	dir = nr_store_name(dir);
	st = nr_store_need(dir, flags, segment, progress);
	rc = serve(&config, st, ready_fd);
	nr_store_close(st);
	nr_relay_config_free(&config);
	return nr_exit_status(rc);
}
