/*
 * Mining: each thread tries every n-th nonce.  What stands before the
 * nonce in the hashed text is hashed once.
 */
#include "event/pow.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/tags.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/sha256.h"
#include "util/times.h"

#define DIGITS	20	/* of a nonce, at most */
#define STRIDE	4096	/* nonces between looks at clock and others */
#define TELL_MS	200	/* between reports of progress */

unsigned
nr_pow_bits(const unsigned char id[32])
{
	unsigned i, n;

	for (i = 0; i < 32 && id[i] == 0; i++)
		;
	if (i == 32)
		return 256;
	for (n = 0; !(id[i] & 0x80u >> n); n++)
		;
	return 8 * i + n;
}

/* What the threads of one search share. */
struct search {
	const struct nr_pow_options *o;
	struct nr_event		*ev;
	struct nr_view		 before;	/* [...["nonce"," */
	struct nr_buf		 after;		/* ","20"]],"content"] */
	atomic_int		 over;		/* found, failed or too late */
	_Atomic uint64_t	 tried;
	pthread_mutex_t		 lock;		/* for what follows */
	pthread_cond_t		 ended;
	unsigned		 running;
	int			 rc;		/* NR_ETIMEOUT: nothing yet */
	uint64_t		 nonce;
	int64_t			 created_at;
};

struct miner {
	struct search		*s;
	unsigned		 index;
	pthread_t		 thread;
	struct nr_sha256	*base, *hash;	/* up to the nonce; of one id */
	int64_t			 created_at;
	uint64_t		 nonce;		/* to be tried next */
};

static int
start_text(struct miner *m)
{
	const struct nr_event *ev = m->s->ev;
	struct nr_buf head = { 0 };
	char hex[65] = "";
	int rc;

	nr_hex_encode(hex, ev->pubkey, 32);
	rc = nr_buf_addf(&head, "[0,\"%s\",%" PRId64 ",%u,", hex,
	    m->created_at, ev->kind);
	if (rc == NR_OK) {
		nr_sha256_start(m->base);
		nr_sha256_add(m->base, head.p, head.len);
		nr_sha256_add(m->base, m->s->before.p, m->s->before.len);
	}
	nr_buf_free(&head);
	return rc;
}

/* The clock has gone on: another text, and all nonces are new again. */
static int
follow_clock(struct miner *m)
{
	int64_t now = time(NULL);

	if (!m->s->o->now || now == m->created_at)
		return NR_OK;
	m->created_at = now;
	m->nonce = m->index;
	return start_text(m);
}

static int
try_nonce(struct miner *m, unsigned *bits)
{
	unsigned char id[32];
	char digit[DIGITS];
	size_t at = DIGITS;
	uint64_t n = m->nonce;
	int rc;

	do
		digit[--at] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	if ((rc = nr_sha256_copy(m->hash, m->base)) != NR_OK)
		return rc;
	nr_sha256_add(m->hash, digit + at, DIGITS - at);
	nr_sha256_add(m->hash, m->s->after.p, m->s->after.len);
	nr_sha256_end(m->hash, id);
	*bits = nr_pow_bits(id);
	return NR_OK;
}

/* Some nonces; returns NR_ETIMEOUT where none of them was one. */
static int
try_some(struct miner *m)
{
	unsigned i, bits;
	int rc;

	if ((rc = follow_clock(m)) != NR_OK)
		return rc;
	for (i = 0; i < STRIDE; i++) {
		if ((rc = try_nonce(m, &bits)) != NR_OK)
			return rc;
		if (bits >= m->s->o->bits)
			return NR_OK;
		m->nonce += m->s->o->threads;
	}
	atomic_fetch_add(&m->s->tried, STRIDE);
	return NR_ETIMEOUT;
}

/* The first that found or failed decides. */
static void
settle(struct miner *m, int rc)
{
	struct search *s = m->s;

	pthread_mutex_lock(&s->lock);
	if (rc != NR_ETIMEOUT && s->rc == NR_ETIMEOUT) {
		s->rc = rc;
		s->nonce = m->nonce;
		s->created_at = m->created_at;
	}
	atomic_store(&s->over, 1);
	s->running--;
	pthread_cond_signal(&s->ended);
	pthread_mutex_unlock(&s->lock);
}

static void *
mine(void *arg)
{
	struct miner *m = arg;
	int64_t end = nr_now_ms() + m->s->o->timeout;
	int rc = NR_OK;

	if (nr_sha256_new(&m->base) != NR_OK ||
	    nr_sha256_new(&m->hash) != NR_OK)
		rc = ENOMEM;
	m->nonce = m->index;
	m->created_at = m->s->ev->created_at;
	if (rc == NR_OK)
		rc = start_text(m);
	if (rc == NR_OK)
		do
			rc = try_some(m);
		while (rc == NR_ETIMEOUT && !atomic_load(&m->s->over) &&
		    nr_now_ms() < end);
	settle(m, rc);
	nr_sha256_free(m->base);
	nr_sha256_free(m->hash);
	return NULL;
}

/* Wait for the threads, with a word now and then. */
static void
watch(struct search *s)
{
	struct timespec until;

	pthread_mutex_lock(&s->lock);
	while (s->running > 0) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += TELL_MS * 1000000L;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		(void)pthread_cond_timedwait(&s->ended, &s->lock, &until);
		if (s->o->progress != NULL)
			s->o->progress(s->o->ctx, atomic_load(&s->tried));
	}
	pthread_mutex_unlock(&s->lock);
}

static int
search(struct search *s)
{
	struct miner *m = calloc(s->o->threads, sizeof(*m));
	unsigned i, n;
	int rc = NR_OK;

	if (m == NULL)
		return ENOMEM;
	s->rc = NR_ETIMEOUT;
	for (n = 0; n < s->o->threads; n++) {
		m[n].s = s;
		m[n].index = n;
		pthread_mutex_lock(&s->lock);
		rc = pthread_create(&m[n].thread, NULL, mine, &m[n]);
		s->running += rc == 0;
		pthread_mutex_unlock(&s->lock);
		if (rc != 0)
			break;
	}
	if (rc != 0)
		atomic_store(&s->over, 1);
	watch(s);
	for (i = 0; i < n; i++)
		pthread_join(m[i].thread, NULL);
	free(m);
	return rc != 0 ? rc : s->rc;
}

/* The tags but for nonces, up to the text of the new nonce. */
static int
copy_tags(struct nr_buf *b, const struct nr_event *ev)
{
	const char *start;
	struct nr_tags it;
	struct nr_tag tag;
	int rc = nr_buf_adds(b, "[");

	nr_tags_start(&it, ev->tags);
	for (start = it.p; rc == NR_OK && nr_tags_next(&it, &tag);
	    start = it.p) {
		if (nr_tag_is(&tag, "nonce"))
			continue;
		start += *start == ',';
		rc = nr_buf_add(b, start, (size_t)(it.p - start));
		if (rc == NR_OK)
			rc = nr_buf_adds(b, ",");
	}
	return rc == NR_OK ? nr_buf_adds(b, "[\"nonce\",\"") : rc;
}

static int
make_after(struct search *s)
{
	struct nr_view content = s->ev->content;
	int rc = nr_buf_addf(&s->after, "\",\"%u\"]],\"", s->o->bits);

	if (rc == NR_OK)
		rc = nr_buf_add(&s->after, content.p, content.len);
	return rc == NR_OK ? nr_buf_adds(&s->after, "\"]") : rc;
}

int
nr_pow_mine(struct nr_event *ev, struct nr_buf *tags,
    const struct nr_pow_options *o)
{
	struct search s = { .o = o, .ev = ev };
	size_t start = tags->len;
	int rc;

	if ((rc = copy_tags(tags, ev)) == NR_OK)
		rc = make_after(&s);
	if (rc == NR_OK) {
		s.before = (struct nr_view){ tags->p + start,
		    tags->len - start };
		pthread_mutex_init(&s.lock, NULL);
		pthread_cond_init(&s.ended, NULL);
		rc = search(&s);
		pthread_cond_destroy(&s.ended);
		pthread_mutex_destroy(&s.lock);
	}
	if (rc == NR_OK)
		rc = nr_buf_addf(tags, "%" PRIu64 "\",\"%u\"]]", s.nonce,
		    o->bits);
	if (rc == NR_OK) {
		ev->created_at = s.created_at;
		ev->tags = (struct nr_view){ tags->p + start,
		    tags->len - start };
	}
	nr_buf_free(&s.after);
	return rc;
}
