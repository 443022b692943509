/*
 * args.h - filters from a command line: JSON texts, flags, or both.
 *
 * Several JSON filters are alternatives.  Flags narrow each of them, or
 * make a filter of their own where there is no JSON.
 *
 *	-k kind  -a author  -i id  -t NAME=VALUE  -e -p -d VALUE (tags)
 *	-s since  -u until  -l limit
 *
 * Repeating a flag gives alternatives.  Ids and authors may be hex or
 * NIP-19; -i naddr... stands for the kind, author and d tag in it.
 */
#ifndef NR_FILTER_ARGS_H
#define NR_FILTER_ARGS_H

#include "filter/filter.h"

#define NR_FILTER_FLAGS	"a:d:e:i:k:l:p:s:t:u:"	/* for getopt() */

struct nr_filter_args {
	struct nr_filter	*json;		/* those given as JSON */
	size_t			 njson;
	struct nr_buf		 ids, authors, kinds;	/* "a","b", ... */
	struct nr_buf		 tag[128];	/* by letter, likewise */
	char			 order[52];	/* letters as first used */
	size_t			 norder;
	int64_t			 since, until;
	uint64_t		 limit;
	unsigned		 has;		/* SINCE, UNTIL, LIMIT */
	char			 whybuf[128];
};

/*
 * Each returns 0 and sets *why to NULL, or to what is wrong with the
 * argument (valid until the next call); or returns ENOMEM.
 * Start from {0}; end with nr_filter_args_free().
 */
int	nr_filter_args_json(struct nr_filter_args *a, const char *text,
	    const char **why);
int	nr_filter_args_flag(struct nr_filter_args *a, int flag,
	    const char *value, int64_t now, const char **why);

/*
 * The filters that were meant, at least one: {} where nothing was given.
 * They are the caller's, each and the array.
 */
int	nr_filter_args_finish(struct nr_filter_args *a,
	    struct nr_filter **out, size_t *n, const char **why);
void	nr_filter_args_free(struct nr_filter_args *a);

#endif
