/*
 * bench_load.h - load on a relay: what the modes share.
 *
 * Every connection is a lane with a role, on which requests are in flight.
 * In a closed loop a request follows the answer to another; with a rate,
 * requests are due at times of their own, and their latency counts from
 * then, whether the relay (or a full lane) let them be sent then or not.
 */
#ifndef NR_CMD_BENCH_LOAD_H
#define NR_CMD_BENCH_LOAD_H

#include <stdint.h>

#include "bench/hist.h"
#include "bench/mix.h"
#include "bench/peers.h"
#include "event/sign.h"
#include "event/verify.h"
#include "filter/filter.h"

#define NR_IN_FLIGHT_MAX	256
#define NR_LOAD_MODES	"publish, query, count, fanout, connect, mixed, " \
	"slow, pages or negentropy"

enum nr_load_role {
	NR_ROLE_PUBLISH,
	NR_ROLE_QUERY,
	NR_ROLE_LISTEN,		/* subscribed to everything */
	NR_ROLE_CONNECT,
	NR_ROLE_SLOW,
	NR_ROLES
};

/* What queries are. */
enum nr_load_ask {
	NR_ASK_REQ, NR_ASK_COUNT,
	NR_ASK_NEG,		/* open a reconciliation (NIP-77) */
	NR_ASK_PAGE		/* a REQ for what is older than the last one */
};

enum nr_load_error {
	NR_LOAD_INVALID, NR_LOAD_BLOCKED, NR_LOAD_RESTRICTED,
	NR_LOAD_RATE_LIMITED, NR_LOAD_POW, NR_LOAD_AUTH, NR_LOAD_ERROR,
	NR_LOAD_MUTE, NR_LOAD_DUPLICATE, NR_LOAD_REPLACED, NR_LOAD_DELETED,
	NR_LOAD_UNSUPPORTED,
	NR_LOAD_OTHER,		/* of a refusal's words */
	NR_LOAD_CLOSED,		/* requests lost with a connection */
	NR_LOAD_TIMEOUT,
	NR_LOAD_NERRORS
};

/* A request that was sent and not yet answered. */
struct nr_flight {
	int		 used;
	int		 late;		/* no longer, and was not answered */
	const char	*id;		/* publishing: 64 digits of the file */
	unsigned	 filter;	/* querying */
	unsigned	 serial;	/* that its subscription has */
	uint64_t	 got;		/* events so far */
	uint64_t	 sum;		/* of their ids */
	int64_t		 due, sent;	/* ns */
};

/* Which of the last events that were published a subscriber has. */
#define NR_WINDOW	4096
struct nr_load_window {
	uint64_t	 top;		/* the newest it has, from 1 */
	uint64_t	 bit[NR_WINDOW / 64];
};

struct nr_lane {
	enum nr_load_role role;
	unsigned	 n;		/* in flight */
	int64_t		 since;		/* ns: connecting, or asked for */
	int		 subscribed;
	int		 known;		/* it has authenticated */
	unsigned	 proving;	/* AUTHs without an answer */
	struct nr_flight *flight;	/* in_flight of them, or NULL */
	struct nr_load_window *heard;	/* listening, or NULL */
};

/* A query whose events are looked at one by one. */
struct nr_load_check {
	const struct nr_flight *flight;	/* NULL: none */
	struct nr_filter filter;
	int64_t		 last;		/* created_at */
	uint64_t	*ids;		/* a table of those that came */
};

struct nr_load_page {
	double		 ms;
	uint64_t	 passed;	/* events before it */
};

/* Reading backwards, page by page. */
struct nr_load_pages {
	int64_t		 until, oldest;	/* created_at */
	struct nr_load_page *page;	/* those that brought something */
	size_t		 n, cap;
	uint64_t	 passed;
	int		 whole;		/* the last one was empty */
};

/* What a process on this machine has taken. */
struct nr_load_relay {
	uint64_t	 memory;	/* bytes, anonymous; 0: not known */
	double		 cpu;		/* seconds */
};

/* What one role has to tell. */
struct nr_load_part {
	struct nr_hist	*hist;		/* of what was not refused */
	uint64_t	 done;
};

struct nr_load {
	/* What was asked for. */
	const char	*url, *mode, *file, *ca_file;
	const char	*filter;	/* instead of those of a mix */
	int		 packed, authed;
	enum nr_load_ask ask;
	unsigned	 connections, in_flight, filters, group, stalled, page;
	long		 pid;			/* of the relay, or 0 */
	uint64_t	 seed, most, drip;
	double		 rate, seconds, warm_up, timeout;

	const char	*data, *end, *next, *last;	/* of the file */
	unsigned	 slice, slices;		/* the part of it to publish */
	int		 shares;		/* the file is another's, too */
	int64_t		 now;			/* ns, of this turn */
	struct nr_key	*key;
	struct nr_verifier *hasher;
	unsigned	 known_as;		/* connections that are */
	struct nr_peers	*peers;
	struct nr_bench_fault fault;
	struct nr_lane	*lane;
	struct nr_mix	*mix;
	struct nr_load_check check;
	struct nr_load_pages pages;
	unsigned char	(*author)[32];		/* fan-out by groups, sorted */
	size_t		 nauthors;

	int64_t		 start, from, stop, finished;	/* ns */
	uint64_t	 sent, answered, scheduled;
	unsigned	 turn;			/* whose request is next */
	int		 warm;			/* past the warm-up, */
	int64_t		 counted;		/* since then, ns */
	double		 cpu_began, wait_began;	/* seconds, then */
	int		 stuck;		/* one is due, and no lane is free */
	int		 ending;

	/* What came of it, since `from'. */
	struct nr_load_part part[NR_ROLES];
	struct nr_load_part alone;	/* slow: before the slow ones came */
	double		 alone_seconds;
	uint64_t	 accepted, known, fresh, refused, events, wrong, late;
	uint64_t	 found;		/* events that answers had or counted */
	uint64_t	 missing;	/* asked for by id, and not there */
	uint64_t	 error[NR_LOAD_NERRORS];
	unsigned	 lost;			/* connections */
	unsigned	 in_vain;	/* tries in a row to make one */
	double		 cpu, waited, relay_cpu;
	struct nr_load_relay before, begun, after;	/* the relay's */
	int		 cut_short;
	char		 first_refusal[200], first_wrong[200], first_notice[200];

	struct nr_buf	 tight;			/* a message without spaces */
	uint64_t	*ids;			/* fan-out: id to time due */
	int64_t		*times;
	uint64_t	*numbers;		/* in the order of publishing */
	uint64_t	 nnumbers;
	size_t		 nids;
};

/* A kind of load. */
struct nr_load_mode {
	const char	*name;
	enum nr_load_role main;
	const char	*what;		/* what is counted */
	int		 file;		/* it needs one, or a filter */
	int		 rate;		/* it may have one */
	void		(*run)(struct nr_load *l);
};

/* ---- bench_load.c: the loop ---------------------------------------------- */

void	nr_load_need(int rc, const char *what);
void	*nr_load_memory(size_t n, size_t size);

/* Is a request that was due then counted? */
int	nr_load_counts(const struct nr_load *l, int64_t due);
/* It was answered now. */
void	nr_load_done(struct nr_load *l, enum nr_load_role role, int64_t due);
/* It was answered, and how fast does not matter. */
void	nr_load_answered(struct nr_load *l, enum nr_load_role role);
void	nr_load_refusal(struct nr_load *l, const char *text, size_t len);
void	nr_load_wrong(struct nr_load *l, const char *what);

/* May another request be sent in all? */
int	nr_load_more(const struct nr_load *l);

/* Is anybody there?  Ends the program where not. */
void	nr_load_reach(const struct nr_load *like, const char *url);

/* Begin n connections; then wait until all are open, and known. */
void	nr_load_open(struct nr_load *l, unsigned n);
/* The relay cannot be reached: say why, and end with status 3. */
_Noreturn void	nr_load_unreachable(const struct nr_load *l);
void	nr_load_connect(struct nr_load *l, unsigned n);
void	nr_load_roles(struct nr_load *l, unsigned from, unsigned n,
	    enum nr_load_role role);

/*
 * Send and take answers until all is over.
 * tick     called ten times a second, or NULL
 */
void	nr_load_loop(struct nr_load *l, void (*tick)(struct nr_load *l));
/* Its parts, for a load that goes its own way. */
void	nr_load_begin(struct nr_load *l);
void	nr_load_end_warm_up(struct nr_load *l);
void	nr_load_cpu(struct nr_load *l);

/* Deliveries that there must be, of what was accepted so far. */
uint64_t	nr_load_expected(const struct nr_load *l);
/* From the warm-up's end to the last answer that counts. */
double	nr_load_seconds(const struct nr_load *l);

/* ---- bench_file.c -------------------------------------------------------- */

/* Open the file of events, or end the program; then take its slice. */
void	nr_load_open_file(struct nr_load *l);
void	nr_load_slice(struct nr_load *l);
void	nr_load_close_file(struct nr_load *l);

/* ---- bench_requests.c: what is sent and what it is answered with --------- */


/* The file's first authors, one for each group of subscribers. */
void	nr_load_find_authors(struct nr_load *l);

/*
 * Send the lane's next request; returns 0 where it has none, or there is no
 * place for it.
 * due	    0: now
 */
int	nr_load_send(struct nr_load *l, struct nr_bench_peer *p, int64_t due);
void	nr_load_text(struct nr_bench_peer *p, const char *text, size_t len);
/* What is in flight there, and was sent before, is lost for this reason. */
void	nr_load_drop(struct nr_load *l, struct nr_bench_peer *p,
	    int64_t before, enum nr_load_error why);
void	nr_load_listen(struct nr_load *l, struct nr_bench_peer *p);
void	nr_load_free(struct nr_load *l);

/* ---- bench_modes.c ------------------------------------------------------- */

/* Ends the program where there is none of that name. */
const struct nr_load_mode *nr_load_mode(const char *name);

/* ---- as a whole ---------------------------------------------------------- */

/*
 * Read options, and the mode behind them; optind is left at the first URL.
 * rounds   of a comparison; NULL: there are none
 */
void	nr_load_options(struct nr_load *l, int argc, char *argv[],
	    unsigned *rounds);
/* A URL that somebody has written, with its scheme; the caller frees it. */
char	*nr_load_url(const char *text);
/* Run it; l then says what came of it.  Returns the exit status. */
int	nr_load_run(struct nr_load *l);
/* Write what came of it as a line of JSON; round 0: there are none. */
void	nr_load_report(struct nr_load *l, unsigned round);
double	nr_load_per_second(const struct nr_load *l);
/* Was it this side that could do no more? */
int	nr_load_bound(const struct nr_load *l);
/* The part that the mode is about. */
const struct nr_load_part *nr_load_main(const struct nr_load *l);

#endif
