/*
 * The events that some relay still has to answer, in the order of the
 * input.  Every relay has its own place in them; what all are done with
 * leaves at the head.
 */
#include "publish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

struct nr_pub_item *
nr_pub_at(const struct nr_pub *p, uint64_t seq)
{
	return &p->item[seq & (p->cap - 1)];
}

uint64_t
nr_pub_end(const struct nr_pub *p)
{
	return p->base + p->count;
}

static void
grow(struct nr_pub *p)
{
	size_t cap = p->cap == 0 ? 1024 : p->cap * 2;
	struct nr_pub_item *new = calloc(cap, sizeof(*new));
	uint64_t seq;

	if (new == NULL)
		nr_die(ENOMEM, "queue");
	for (seq = p->base; seq < nr_pub_end(p); seq++)
		new[seq & (cap - 1)] = *nr_pub_at(p, seq);
	free(p->item);
	p->item = new;
	p->cap = cap;
}

/* What an event costs, with its share of the block that it is in. */
static size_t
weight(const struct nr_pub_item *it)
{
	return sizeof(*it) + sizeof(struct nr_pub_line) + it->event.len;
}

static void
drop_head(struct nr_pub *p)
{
	struct nr_pub_item *it = nr_pub_at(p, p->base);

	p->enough += it->accepted >= it->need;
	p->bytes -= weight(it);
	nr_pub_batch_unref(it->batch);
	p->base++;
	p->count--;
}

static void
drop_done(struct nr_pub *p)
{
	while (p->count > 0 && nr_pub_at(p, p->base)->refs == 0)
		drop_head(p);
	/* Half empty, so that a batch is worth the waking. */
	if (p->blocked && p->bytes <= p->queue_max / 2)
		nr_net_wake(p->net);
}

void
nr_pub_release(struct nr_pub *p, uint64_t seq, int accepted)
{
	struct nr_pub_item *it = nr_pub_at(p, seq);

	it->accepted += accepted != 0;
	it->refs--;
	drop_done(p);
}

void
nr_pub_settle(struct nr_pub *p)
{
	const struct nr_pub_item *it;
	uint64_t seq;

	for (seq = p->base; seq < nr_pub_end(p); seq++) {
		it = nr_pub_at(p, seq);
		p->enough += it->accepted >= it->need;
	}
}

/* Relays that have not answered it in an earlier run want it. */
static void
add_event(struct nr_pub *p, struct nr_pub_batch *b, struct nr_pub_line *l,
    const struct nr_pub_place *before)
{
	uint64_t seq = nr_pub_end(p);
	unsigned i, wanted = 0, live = 0;
	struct nr_pub_item *it;

	for (i = 0; i < p->nrelays; i++)
		if (p->relay[i].start.line < p->here.line) {
			wanted++;
			live += !p->relay[i].over;
		}
	if (wanted == 0)
		return;
	if (p->count == p->cap)
		grow(p);
	it = nr_pub_at(p, seq);
	memset(it, 0, sizeof(*it));
	it->batch = b;
	b->refs++;
	it->event.p = (l->rewritten ? b->normal.p : b->block.text.p) + l->at;
	it->event.len = l->len;
	memcpy(it->id, l->id, sizeof(it->id));
	it->before = *before;
	it->line = p->here.line;
	it->need = wanted < p->min ? wanted : p->min;
	it->refs = live;
	p->bytes += weight(it);
	p->count++;
	p->events++;
	for (i = 0; i < p->nrelays; i++)
		if (p->relay[i].over && p->relay[i].start.line < it->line)
			nr_pub_relay_miss(&p->relay[i], seq);
}

/* May it go?  Counted where it may not. */
static int
leaves(struct nr_pub *p, const struct nr_pub_line *l)
{
	if (l->home == NR_HOME_AUTH)
		p->kept_auth++;
	else if (l->home == NR_HOME_PRIVATE && !p->send_private)
		p->kept_private++;
	else if (l->home == NR_HOME_PROTECTED && !p->send_protected)
		p->kept_protected++;
	else
		return 1;
	return 0;
}

/* Relays go on where they stopped, if this is the input that it was. */
static void
check_places(struct nr_pub *p)
{
	unsigned i;

	for (i = 0; i < p->nrelays; i++)
		if (p->relay[i].start.line == p->here.line &&
		    memcmp(p->relay[i].start.chain, p->here.chain, 32) != 0)
			nr_bad_usage("%s: up to line %" PRIu64 " this is not "
			    "the input that it was when --resume's file was "
			    "written", p->relay[i].name, p->here.line);
}

static void
add_line(struct nr_pub *p, struct nr_pub_batch *b, struct nr_pub_line *l)
{
	struct nr_pub_place before = p->here;

	nr_sha256_start(p->sha);
	nr_sha256_add(p->sha, before.chain, 32);
	nr_sha256_add(p->sha, l->digest, 32);
	nr_sha256_end(p->sha, p->here.chain);
	p->here.line++;
	check_places(p);
	if (l->blank || l->passed)
		return;
	if (l->verdict != NR_VALID) {
		p->invalid++;
		nr_reject(p->rejects, NULL, p->here.line, l->verdict, l->pos,
		    l->text.p, l->text.len);
	} else if (leaves(p, l))
		add_event(p, b, l, &before);
}

void
nr_pub_add(struct nr_pub *p, struct nr_pub_batch *b)
{
	size_t i;

	for (i = 0; i < b->nlines; i++)
		add_line(p, b, &b->line[i]);
	nr_pub_batch_unref(b);
	drop_done(p);
	for (i = 0; i < p->nrelays; i++)
		nr_pub_relay_go(&p->relay[i]);
}
