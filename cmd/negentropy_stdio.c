/*
 * A store, served on stdin and stdout: a relay that listens at a socket of
 * our own, and two threads that carry bytes.
 */
#include "negentropy.h"

#include <errno.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/relay.h"
#include "scratch.h"
#include "tool.h"
#include "util/err.h"

struct carrier {
	int	from, to;
	int	shut;		/* to is a socket: say that nothing follows */
};

static int
write_all(int fd, const char *p, size_t n)
{
	ssize_t did;

	while (n > 0) {
		did = write(fd, p, n);
		if (did < 0 && errno != EINTR)
			return -1;
		if (did > 0) {
			p += did;
			n -= (size_t)did;
		}
	}
	return 0;
}

static void *
carry(void *arg)
{
	static const size_t size = 64 * 1024;
	struct carrier *c = arg;
	char *buf = malloc(size);
	ssize_t n = 0;

	while (buf != NULL) {
		n = read(c->from, buf, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || write_all(c->to, buf, (size_t)n) != 0)
			break;
	}
	if (c->shut)
		(void)shutdown(c->to, SHUT_WR);
	free(buf);
	return NULL;
}

static void
log_line(enum nr_log_level level, const char *event, const char *text,
    const char *fields)
{
	(void)event;
	(void)fields;
	if (level <= NR_LOG_WARN)
		nr_warn("%s", text);
}

static void
set(struct nr_relay_config *c, const char *key, const char *value)
{
	const char *why = NULL;
	int rc = nr_relay_config_set(c, key, value, &why);

	if (rc != NR_OK)
		nr_die(rc, "%s: %s", key, why != NULL ? why : value);
}

/* Events of any time and size: what programs in pipes take. */
static void
configure(struct nr_relay_config *c, const char *path)
{
	static const struct {
		const char	*key, *value;
	} keys[] = {
		{ "max_message", "4M" }, { "close_message", "16M" },
		{ "max_event", "1M" }, { "max_event_tags", "1000000" },
		{ "max_content", "1M" }, { "max_tag_value", "1M" },
		{ "max_future", "1000000000" }, { "max_limit", "1000000" },
		{ "max_sync", "100000000" }, { "sync_memory", "8G" },
		{ "sync_seconds", "3600" }, { "deflate", "0" },
		{ "slow_query_ms", "0" }, { "compact_dead", "0" },
		{ "scrub_seconds", "0" }
	};
	char listen[128];
	size_t i;
	int rc;

	if ((rc = nr_relay_config_init(c)) != NR_OK)
		nr_die(rc, "configuration");
	c->trusts = 1;
	snprintf(listen, sizeof(listen), "unix:%s", path);
	set(c, "listen", listen);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		set(c, keys[i].key, keys[i].value);
}

struct link {
	struct nr_relay	*relay;
	struct carrier	 in, out;
};

/* When the relay has said its last word, so has this program. */
static void *
carry_both(void *arg)
{
	struct link *l = arg;
	pthread_t reader;

	if (pthread_create(&reader, NULL, carry, &l->in) == 0) {
		(void)carry(&l->out);
		/* It may be waiting for input that will not come. */
		(void)pthread_detach(reader);
	}
	nr_relay_stop(l->relay);
	return NULL;
}

int
nr_stdio_serve(struct nr_store *st)
{
	struct nr_given none = { .n = 0 };
	struct nr_relay_config config;
	static struct link l;	/* the reader may outlive us */
	static struct nr_scratch where;
	pthread_t carrier;
	int fd, rc;

	(void)signal(SIGPIPE, SIG_IGN);
	lws_set_log_level(LLL_ERR, NULL);
	nr_scratch_make(&where);
	configure(&config, where.path);
	if ((rc = nr_relay_new(&l.relay, &config, st, &none, log_line)) !=
	    NR_OK)
		nr_die(rc, "%s", where.path);
	rc = nr_scratch_connect(&where, &fd);
	nr_scratch_remove(&where);
	if (rc != NR_OK)
		nr_die(rc, "%s", where.path);
	l.in = (struct carrier){ STDIN_FILENO, fd, 1 };
	l.out = (struct carrier){ fd, STDOUT_FILENO, 0 };
	if ((rc = pthread_create(&carrier, NULL, carry_both, &l)) != 0)
		nr_die(rc, "stdio");
	rc = nr_relay_run(l.relay);
	(void)shutdown(fd, SHUT_RDWR);
	(void)pthread_join(carrier, NULL);
	nr_relay_free(l.relay);
	nr_relay_config_free(&config);
	return nr_exit_status(rc);
}
