/*
 * req.h - what the files of nr-req share: one run, and a relay in it.
 */
#ifndef NR_CMD_REQ_H
#define NR_CMD_REQ_H

#include <stdint.h>

#include "client/auth.h"
#include "client/fetch.h"
#include "client/info.h"
#include "client/net.h"
#include "client/peer.h"
#include "filter/filter.h"
#include "filter/hll.h"
#include "relayopt.h"
#include "sieve.h"
#include "signals.h"

struct req;

/* How a relay did, from good to bad. */
enum req_status {
	REQ_OK,
	REQ_PARTIAL,		/* it answered, but something may be missing */
	REQ_REFUSED,
	REQ_FAILED		/* no answer */
};

/* One filter at one relay. */
struct req_want {
	struct req_relay	*relay;
	const struct nr_filter	*filter;
	struct nr_fetch		*live, *stored, *gap;
	int			 begun;		/* what is stored */
	int			 missed;	/* something, perhaps, */
	int64_t			 missed_since;	/* until it is live again */
	int64_t			 gap_since;
	int			 more;		/* after this gap, another: */
	int64_t			 more_since;
};

struct req_relay {
	struct req		*req;
	unsigned		 index;
	struct nr_url		 url;
	struct nr_peer		*peer;
	struct nr_fetcher	*fetcher;
	struct nr_info		*info;
	struct req_want		*want;		/* one a filter */
	unsigned		 open;		/* fetches without an end */
	int			 done;		/* there is no more to come */
	int			 answered;	/* at least once, in any way */
	enum req_status		 status;
	enum nr_fault_class	 fault;
	char			 text[NR_FAULT_TEXT];	/* why */
	struct nr_fault		 last;		/* since it was live */
	int			 proof;		/* 1 accepted, -1 refused */
	unsigned		 notices;
	uint64_t		 events, unasked, malformed;
	int64_t			 newest;	/* created_at that was seen */
	int64_t			 ms;		/* until it was done */
	struct nr_timer		*timer;		/* COUNT's answer is due */
	int			 has_count, approximate, has_hll;
	uint64_t		 count;
	unsigned char		 hll[NR_HLL_REGISTERS];
	struct nr_buf		 document;	/* NIP-11 */
};

enum req_mode {
	REQ_FETCH,
	REQ_COUNT,
	REQ_INFO
};

struct req {
	enum req_mode		 mode;
	int			 stream, paginate, trust, ids;
	uint64_t		 total;
	int64_t			 timeout_ms, connect_ms, max_ms, overlap;
	unsigned		 tries;
	const char		*ca_file, *report;
	struct nr_signer	 signer;
	struct nr_relays	 relays;
	struct nr_filter	*filters;
	size_t			 nfilters;
	struct nr_net		*net;
	struct nr_sieve		*sieve;
	struct req_relay	*relay;
	unsigned		 nrelays, left;	/* not done */
	struct nr_timer		*push;		/* of what the sieve has */
	int			 pushing;
	struct nr_timer		*resume;	/* reading, when paused */
	int			 paused;
	struct nr_timer		*limit;		/* of the whole */
	int			 stopping;	/* 1: politely, 2: at once */
	struct nr_signals	 signals;
	int64_t			 began;
};

/* Begin; what is wrong is in r->status and r->text. */
void	req_relay_start(struct req_relay *r);

/* No more is wanted of it; why: it has not given all, or NULL. */
void	req_relay_stop(struct req_relay *r, const char *why);
void	req_relay_free(struct req_relay *r);

/* A relay is done; the last one ends the loop. */
void	req_done(struct req_relay *r);

/* An event came, or was refused. */
void	req_event(struct req_relay *r, const struct nr_event *ev,
	    struct nr_view line);

/* ---- req_report.c */

/* Lines on stderr, and the report in its file. */
void	req_summary(const struct req *q);
/* What --count and --info print. */
void	req_print_count(const struct req *q);
void	req_print_info(const struct req *q);

/* The status that the program ends with. */
int	req_exit_status(const struct req *q);

#endif
