/*
 * info.h - what a relay says of itself (NIP-11).
 */
#ifndef NR_CLIENT_INFO_H
#define NR_CLIENT_INFO_H

#include <stddef.h>
#include <stdint.h>

#include "client/peer.h"

#define NR_INFO_MAX	((size_t)1024 * 1024)	/* bytes of a document */

struct nr_info;

/* What the answer's head says, for who wants to know. */
struct nr_info_head {
	unsigned	status;		/* HTTP's; 0: there was no answer */
	int		cors_origin;	/* Access-Control-Allow-Origin */
	int		cors_headers, cors_methods;	/* are there */
	char		type[64];	/* Content-Type */
};

/*
 * Ask for the document, once, within so many milliseconds.
 * done	    called once: text is the body that came with status 200, not
 *	    looked at; NULL where there is none, and why then says so.
 *	    Both are borrowed for the time of the call.
 */
int	nr_info_new(struct nr_info **out, struct nr_net *n,
	    const struct nr_url *url, int64_t ms,
	    void (*done)(void *ctx, const char *text, size_t len,
	    const struct nr_fault *why), void *ctx);

/*
 * The same with another Accept line: a constant text.
 */
int	nr_info_new_as(struct nr_info **out, struct nr_net *n,
	    const struct nr_url *url, const char *accept, int64_t ms,
	    void (*done)(void *ctx, const char *text, size_t len,
	    const struct nr_fault *why), void *ctx);

/* A document of more bytes is too long; NR_INFO_MAX otherwise. */
void	nr_info_limit(struct nr_info *i, size_t bytes);

/* In done(), borrowed until i is freed. */
const struct nr_info_head *nr_info_head(const struct nr_info *i);

/* Also before done() has been called.  NULL is allowed. */
void	nr_info_free(struct nr_info *i);

#endif
