/*
 * stream.h - one range of an index, read in order.  Internal to lib/store.
 *
 * A stream remembers the last key that it read rather than keeping a
 * cursor, so thousands of them need little memory and survive the end of a
 * snapshot.
 */
#ifndef NR_STORE_STREAM_H
#define NR_STORE_STREAM_H

#include "filter/filter.h"
#include "store/query.h"
#include "store/snap.h"
#include "store/young.h"

/* What an index entry says about an event. */
struct nr_entry {
	int64_t		created_at;
	uint64_t	number;
	uint32_t	id4;		/* the id's first bytes */
	uint32_t	author4;	/* the author's last, 0: not known */
	unsigned	kind;		/* UINT_MAX: not known */
};

struct nr_stream {
	enum nr_table	 table;		/* NR_T_ID: entries are all there */
	unsigned char	 prefix[10];
	unsigned char	 plen;
	unsigned char	 started;
	unsigned char	 done;		/* nothing is left in the index */
	unsigned char	 keylen;
	unsigned char	 key[NR_TIME_MAX + 32 + 10];	/* last one read */
	unsigned	 want;		/* entries to read at once */
	unsigned	 at, n, cap;
	struct nr_entry	*entry;
	/* Of a run in memory instead: what is not read yet. */
	struct nr_span	 span;
	uint64_t	 from;		/* lower numbers are in the index */
};

/* What all streams of one filter share. */
struct nr_range {
	const struct nr_filter	*f;
	int			 reverse;
	int64_t			 since, until;
	uint32_t		*author4;	/* sorted, of the filter */
	size_t			 nauthor4;
};

int	nr_range_init(struct nr_range *r, const struct nr_filter *f,
	    int reverse);
void	nr_range_free(struct nr_range *r);

/*
 * Read on until there are entries or the end is reached, or the budget is
 * used up: then s->at == s->n and !s->done.
 */
int	nr_stream_fill(struct nr_stream *s, struct nr_snap *sn,
	    const struct nr_range *r, struct nr_query_cost *cost,
	    int64_t *budget);

void	nr_stream_free(struct nr_stream *s);

/* What of a stream's range is in a run; lo == hi where nothing is. */
struct nr_span nr_stream_span(const struct nr_stream *s,
	    const struct nr_run *run, const struct nr_range *r);

/* What a probe has seen. */
struct nr_probe {
	unsigned	n;	/* entries looked at */
	double		rate;	/* entries a second where there are more */
	int		more;	/* than were looked at */
};

/*
 * Look at the first entries of the stream within the range, in the index
 * and in each of the set's runs, at most max there.  Leaves the stream as
 * it was.
 */
int	nr_stream_probe(struct nr_stream *s, struct nr_snap *sn,
	    const struct nr_young *young, const struct nr_range *r,
	    unsigned max, struct nr_probe *out);

#endif
