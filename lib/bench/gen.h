/*
 * gen.h - deterministic events for tests and benchmarks.
 *
 * The same options give the same events, byte for byte, on every machine.
 * Model "network" has the shares of kinds, sizes and references that the
 * public network shows; model "churn" is hard on a store: many versions
 * of the same replaceable events, deletions before and after what they
 * delete, expiry, equal times and strange tags.  nr-bench(1) has the
 * shares.
 */
#ifndef NR_BENCH_GEN_H
#define NR_BENCH_GEN_H

#include <stdint.h>

#include "util/buf.h"

#define NR_GEN_VERSION	2	/* changes with every change of the output */

enum nr_gen_model {
	NR_GEN_NETWORK,
	NR_GEN_CHURN
};

struct nr_gen_options {
	enum nr_gen_model model;
	uint64_t	  seed;
	uint64_t	  count;	/* events, spread evenly over the time */
	unsigned	  authors;
	int64_t		  since, until;	/* created_at, inclusive */
};

struct nr_gen;

/* Returns 0 or ENOMEM. */
int	nr_gen_new(struct nr_gen **out, const struct nr_gen_options *o);
void	nr_gen_free(struct nr_gen *g);		/* NULL is allowed */

/*
 * Write the next event as one normal line with its LF to *line, complete
 * but for the signature: nr_gen_sign() adds that, on any thread.
 * author   which key signs it
 * Returns  0, NR_EOF after the last, or ENOMEM.
 */
int	nr_gen_next(struct nr_gen *g, struct nr_buf *line, unsigned *author);

/*
 * SHA-256 over the ids of all events so far, in their order.  May be
 * called at any time.
 */
int	nr_gen_fingerprint(const struct nr_gen *g, unsigned char out[32]);

/*
 * Sign a line that nr_gen_next() wrote, in place.  Any number of threads
 * may do so at once.
 */
void	nr_gen_sign(const struct nr_gen *g, char *line, size_t len,
	    unsigned author);

/* Models by name; returns 0 where there is none of that name. */
int	nr_gen_model_named(enum nr_gen_model *out, const char *name);

#endif
