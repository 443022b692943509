/*
 * filter.h - NIP-01 filters: read, match, write.
 *
 * A filter owns its memory; start from {0} or a successful parse, end with
 * nr_filter_free().  Lists are sorted and free of repetitions.  An empty
 * list, unlike one that is absent, matches nothing.
 */
#ifndef NR_FILTER_FILTER_H
#define NR_FILTER_FILTER_H

#include <stddef.h>
#include <stdint.h>

#include "event/event.h"
#include "filter/keys.h"
#include "util/buf.h"
#include "util/json.h"
#include "util/view.h"

/* Bits of nr_filter.has. */
#define NR_FILTER_IDS		1u
#define NR_FILTER_AUTHORS	2u
#define NR_FILTER_KINDS		4u
#define NR_FILTER_SINCE		8u
#define NR_FILTER_UNTIL		16u
#define NR_FILTER_LIMIT		32u

/*
 * One condition on tags: some tag of this letter has one of the values.
 * Values are normal text (see event/tags.h).
 */
struct nr_filter_tag {
	char		 letter;
	struct nr_view	*v;
	size_t		 n;
	char		*text;		/* what v points into */
};

struct nr_filter {
	unsigned		 has;
	struct nr_keys		 ids;
	struct nr_keys		 authors;
	uint16_t		*kinds;
	size_t			 nkinds;
	struct nr_filter_tag	*tags;	/* all must hold, as given */
	size_t			 ntags;
	int64_t			 since;	/* inclusive, like until */
	int64_t			 until;
	uint64_t		 limit;
	uint64_t		 ties;	/* more, with the last one's time */
};

struct nr_filter_limits {
	size_t	values;		/* in one list */
};

extern const struct nr_filter_limits nr_filter_limits_none;

/*
 * Read the filter at j->p, strictly, and leave j->p behind it.
 *
 * why	    NULL where it is a filter; else why it is refused, with the
 *	    prefix that NIP-01 wants ("invalid: ..." or "unsupported: ..."),
 *	    and out holds nothing.  j->p is then near the place.
 * Returns  0 or ENOMEM.
 */
int	nr_filter_read(struct nr_filter *out, struct nr_json *j,
	    const struct nr_filter_limits *limits, const char **why);

/* The same for a text that holds a filter and nothing else. */
int	nr_filter_parse(struct nr_filter *out, const char *json, size_t len,
	    const struct nr_filter_limits *limits, const char **why);

void	nr_filter_free(struct nr_filter *f);

/* Does a normal event match?  The limit plays no part. */
int	nr_filter_match(const struct nr_filter *f, const struct nr_event *ev);

/* Can nothing at all match, by the filter's own contradictions? */
int	nr_filter_void(const struct nr_filter *f);

/*
 * Let f match only what more matches as well; the limit becomes the
 * smaller one.  Returns 0 or ENOMEM, after which f must be freed.
 */
int	nr_filter_narrow(struct nr_filter *f, const struct nr_filter *more);

/* Write f as JSON.  Returns 0 or ENOMEM. */
int	nr_filter_format(struct nr_buf *b, const struct nr_filter *f);


#endif
