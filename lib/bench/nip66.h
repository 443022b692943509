/*
 * nip66.h - drafts of what a monitor of relays publishes (NIP-66): kind
 * 30166, a relay as it was found, and kind 10166, the monitor itself.
 *
 * A draft has no pubkey, id and signature yet.  Where the NIP's text and its
 * example differ, DEVIATIONS.md has what is written here.
 */
#ifndef NR_BENCH_NIP66_H
#define NR_BENCH_NIP66_H

#include <stddef.h>
#include <stdint.h>

#include "bench/nip11.h"
#include "util/buf.h"
#include "util/view.h"
#include "wire/url.h"

/* What was found about a kind or a NIP. */
struct nr_nip66_found {
	unsigned	number;
	int		yes;
};

/* 1, 0, or -1 where it is not known; times -1 where there is none. */
struct nr_nip66 {
	const struct nr_url	*url;
	int64_t			 time;		/* Unix seconds */
	int64_t			 open_ms, read_ms, write_ms;
	int			 auth, writes, pow, payment;
	const struct nr_nip11	*info;		/* NULL: none was had */
	struct nr_view		 document;	/* JSON on one line, with it */
	/* By trying: goes before what the document says. */
	const struct nr_nip66_found *nip;
	size_t			 nnips;
	const struct nr_nip66_found *kind;
	size_t			 nkinds;
};

#define NR_NIP66_URL	1400	/* room for a URL */

/*
 * The URL, normalised as RFC 3986 has it in section 6: beyond what
 * nr_url_parse() does, dots in the path go, and of what is escaped that
 * which need not be.
 */
void	nr_nip66_url(char out[NR_NIP66_URL], const struct nr_url *u);

/* "clearnet", "tor", "i2p" or "loki", by the host's name. */
const char *nr_nip66_network(const char *host);

/* Append the draft, without LF.  Returns 0 or ENOMEM. */
int	nr_nip66_relay(struct nr_buf *b, const struct nr_nip66 *r);

struct nr_nip66_check {
	const char	*name;		/* of c: "open" */
	int64_t		 timeout_ms;	/* 0: none to be told */
};

/* frequency  in seconds; check ends with a name of NULL */
int	nr_nip66_monitor(struct nr_buf *b, int64_t time, int64_t frequency,
	    const struct nr_nip66_check *check);

#endif
