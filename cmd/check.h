/*
 * check.h - nr-bench check: what its files know of each other.
 *
 *	bench_check.c	options, the order of things, reports
 *	check_text.c	verdicts, and what is told of what a relay says
 *	check_link.c	connections, and what a relay may never say on one
 *	check_made.c	events of ours, until they are deleted
 *	check_ask.c	questions and their answers
 *	check_*.c	statements, by what they are about
 *
 * A statement is a function that asks and compares, one thing after the
 * other: whoever waits runs the loop.  It has passed unless it said
 * something else, and the first word counts.  Functions that return int
 * return 1 to go on; 0 where the verdict has been given and the statement
 * is to return.
 *
 * Filters and tags are written with names for what is made anew in each
 * run; check_fill() has them.
 */
#ifndef NR_CMD_CHECK_H
#define NR_CMD_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "bench/nip11.h"
#include "client/info.h"
#include "client/peer.h"
#include "event/event.h"
#include "event/sign.h"
#include "filter/filter.h"
#include "signals.h"
#include "util/buf.h"
#include "util/view.h"
#include "wire/answer.h"

#define CHECK_TEXT	400	/* bytes of what was expected, or seen */
#define CHECK_KEYS	4	/* the author, others, a stranger */
#define CHECK_LINKS	3	/* the first, a second, one that is new */
#define CHECK_HAY	12	/* events that filters are tried on */
#define CHECK_MADE	1024	/* events of ours in a run */
#define CHECK_GOT	1024	/* events of an answer that are looked at */
#define CHECK_MSGS	8192	/* messages on a link in a statement */
#define CHECK_BYTES	((size_t)16 * 1024 * 1024)	/* and their bytes */
#define CHECK_SUBS	512	/* subscriptions on a link */
#define CHECK_FILTERS	4	/* of a subscription that are known */
#define CHECK_SUBID	80
#define CHECK_WORK	18	/* bits that we are willing to give */
#define CHECK_PATIENCE	3	/* full waits in vain, of a sort, in a row */
#define CHECK_IN_VAIN	12	/* and in a run */
#define CHECK_NIPS	128	/* numbers of an information document */
#define CHECK_LETTERS	256	/* NIPs named by two hexadecimal digits */

enum check_result { CHECK_PASS, CHECK_FAIL, CHECK_SKIP };

/* A message of the relay. */
struct check_msg {
	struct nr_answer	 a;
	char			 subid[CHECK_SUBID];	/* where it fits */
	const char		*why;	/* it is none, and why */
	int			 taken;
	int			 is_event;	/* of EVENT: it can be read */
	enum nr_verdict		 verdict;	/* of EVENT */
	struct nr_event		 ev;	/* borrows from line */
	char			*line;	/* normal; after text */
	size_t			 line_len;
	size_t			 len;
	char			 text[];
};

/* A subscription that was asked for. */
struct check_sub {
	char			 id[CHECK_SUBID];	/* normal text */
	struct nr_filter	 filter[CHECK_FILTERS];
	unsigned		 nfilters;
	int			 known;		/* its filters can be told */
	int			 closed;	/* by either */
	int			 refused;	/* by the relay */
	int			 eose;
	unsigned char		(*got)[32];	/* before EOSE */
	size_t			 ngot;
};

/* What is waited for. */
enum check_sort {
	CHECK_OF_OPEN,		/* a connection */
	CHECK_OF_REQ,
	CHECK_OF_EVENT,		/* OK */
	CHECK_OF_COUNT,
	CHECK_OF_NEG,
	CHECK_OF_LIVE,		/* an event of a subscription */
	CHECK_OF_AUTH,		/* a challenge */
	CHECK_OF_PROOF,		/* OK to what answers it */
	CHECK_SORTS
};

struct check;

struct check_link {
	struct check		*check;
	struct nr_peer		*peer;
	int			 open, over;	/* over: it was closed */
	int			 met;		/* it has been open */
	struct nr_fault		 fault;
	struct check_msg	**in;
	size_t			 n, cap, bytes;
	struct check_sub	*sub;
	unsigned		 nsubs;
	char			 challenge[1024];
	size_t			 challenge_len;
	unsigned		 proved;	/* bits of keys */
};

/* An event of ours. */
struct check_made {
	unsigned		 key;
	const char		*by;		/* the statement that made it */
	int			 sent, accepted, refused;
	int			 there;		/* it came when asked for */
	int			 kept;		/* ephemeral, and there yet */
	char			*line;
	size_t			 len;
	struct nr_event		 ev;		/* borrows from line */
};

/* What must not be seen on any link at any time. */
enum check_fault {
	CHECK_NONSENSE,		/* no message, or a verb that is none */
	CHECK_OK_FORM,
	CHECK_OK_UNASKED,
	CHECK_CLOSED_FORM,
	CHECK_NO_SUB,		/* of a subscription that is none */
	CHECK_EOSE_TWICE,
	CHECK_EVENT_INVALID,
	CHECK_UNMATCHED,	/* no filter asks for it */
	CHECK_TWICE,		/* in the stored events of one subscription */
	CHECK_AUTH_EVENT,	/* kind 22242 */
	CHECK_FAULTS
};

struct check_statement {
	unsigned	 nip;
	const char	*id;		/* stable */
	const char	*text;
	unsigned	 flags;
	void		(*run)(struct check *c,
			    const struct check_statement *s);
	const char	*filters;	/* of run, if it takes any */
	int		 arg;		/* the same */
};

/* Flags of a statement. */
#define CHECK_WRITE	1u	/* publishes */
#define CHECK_HAYSTACK	2u	/* needs events that are there */
#define CHECK_ALWAYS	4u	/* whether NIP-11 names the NIP or not */
#define CHECK_LAST	8u	/* about all that was seen: at the end */
#define CHECK_SHOWN	16u	/* where nothing is published, only */

struct check {
	/* Options. */
	const char		*operand;
	struct nr_url		 url;
	const char		*ca_file;
	struct nr_signals	 signals;
	unsigned char		 nip[CHECK_NIPS];	/* by --nip */
	unsigned char		 letters[CHECK_LETTERS];	/* those as C7 */
	int			 some_nips, write, json;
	int64_t			 timeout;
	struct nr_key		*own_key;		/* -K, for AUTH */

	struct nr_net		*net;
	struct nr_timer		*clock;
	struct nr_watch		*signal_watch;
	struct nr_verifier	*verifier;
	struct nr_key		*key[CHECK_KEYS];
	char			 tag[40];	/* marks the run */
	int64_t			 began;		/* Unix seconds */
	struct check_link	 link[CHECK_LINKS];
	unsigned		 subs;		/* for names */

	/* The information document. */
	struct nr_buf		 doc;
	struct nr_info_head	 head;
	char			 doc_fault[CHECK_TEXT];
	struct nr_nip11		 info;		/* borrows from doc */
	unsigned char		 named[CHECK_NIPS];

	/* Events that the relay has: ours, or what it showed. */
	const struct nr_event	*hay[CHECK_HAY];
	size_t			 nhay;
	char			*shown[CHECK_HAY];	/* lines */
	struct nr_event		 shown_ev[CHECK_HAY];
	enum check_result	 hay_result;
	char			 no_hay[CHECK_TEXT];	/* why there are none */
	unsigned		 kind[2];	/* regular ones it takes */
	unsigned		 work;	/* bits of it that it wants */
	struct check_made	*made[CHECK_MADE];
	size_t			 nmade;
	unsigned		 passing;	/* ephemeral, and kept */
	int			 beyond;	/* subscriptions: see there */
	unsigned		 left;		/* could not be removed */
	unsigned		 requests;	/* to delete, that stay */

	/* The statement at hand. */
	const struct check_statement *now;
	int64_t			 start, deadline;
	enum check_result	 result;
	char			 expected[CHECK_TEXT], seen[CHECK_TEXT];
	int			 brief;		/* it was not waited for long */

	unsigned		 in_vain[CHECK_SORTS];	/* full waits in a row */
	unsigned		 in_vain_all[CHECK_SORTS];	/* of the run */
	int			 told[CHECK_SORTS];	/* that patience ended */
	char			 fault[CHECK_FAULTS][CHECK_TEXT];
	uint64_t		 checked[CHECK_FAULTS];
};

/* ---- verdicts (check_text.c); texts become printable and are cut */

/*
 * Write len bytes of text, or as many characters of it as there is room
 * for, to out: what is no UTF-8 becomes U+FFFD, control characters become
 * \u001b and the like.  What is printable stays as it is.  Returns out.
 */
char	*check_printable(char *out, size_t size, const char *text, size_t len);

void	check_expect(struct check *c, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
void	check_saw(struct check *c, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* Each returns 0. */
int	check_fail(struct check *c, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
int	check_skip(struct check *c, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* What a message says, in few words. */
const char *check_show(const struct check_msg *m, char out[CHECK_TEXT]);
/* Our own failures: memory, mostly. */
void	check_need(int rc);

/* ---- connections (check_link.c) */

/*
 * Link i, open; it is made where it is not.  NULL: it cannot be, and the
 * statement has failed.
 */
struct check_link *check_link(struct check *c, unsigned i);
/* The last link, after it was closed: nobody has authenticated there. */
struct check_link *check_fresh(struct check *c);
void	check_drop(struct check_link *l);
/* Between statements: subscriptions end, messages go. */
void	check_settle(struct check_link *l);

/* Send it as it is.  Returns 0 where that cannot be: failed. */
int	check_say(struct check_link *l, const char *text, size_t len);
int	check_sayf(struct check_link *l, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/*
 * Say that a subscription of this name, in normal text, is asked for.
 * filters  with commas between them, NULL where nobody can tell
 */
struct check_sub *check_subscribe(struct check_link *l, const char *id,
	    const char *filters);
struct check_sub *check_sub_find(struct check_link *l, const char *id,
	    size_t len);

/*
 * Wait for a message that want() likes, and take it.
 * arg	    its
 * until    no longer than that (of nr_now_ms()); 0: the deadline
 * Returns  NULL where none came.
 */
struct check_msg *check_wait(struct check_link *l,
	    int (*want)(const struct check_msg *m, const void *arg),
	    const void *arg, int64_t until);
/*
 * The same for what must come.  Where things of this sort did not come
 * CHECK_PATIENCE times in a row, or CHECK_IN_VAIN times in a run, it is
 * waited for briefly.
 */
struct check_msg *check_await(struct check_link *l, enum check_sort sort,
	    int (*want)(const struct check_msg *m, const void *arg),
	    const void *arg);
/*
 * The verdict where that gave NULL: failed, or, as it was not waited for,
 * skipped.
 * what	    is missing: "no OK"
 * Returns  0
 */
int	check_missed(struct check_link *l, const char *what);
/* How long such a thing may take: a time of nr_now_ms(). */
int64_t	check_until(const struct check *c, enum check_sort sort);
/* It was waited for, until then, and came or did not. */
void	check_waited(struct check_link *l, enum check_sort sort, int came);
/* What is wrong where nothing came: silence, or a connection's end. */
const char *check_why(const struct check_link *l, char out[CHECK_TEXT]);
/* Run the loop until then. */
void	check_spin(struct check *c, int64_t until);
/* The time of a statement begins anew, unless a signal has ended it. */
void	check_extend(struct check *c);
/* The loop stops when this link says something. */
void	check_hear(struct check_link *l, struct check_msg *m);
/* check_fault.c: look at a message as every message is looked at. */
void	check_judge(struct check_link *l, struct check_msg *m);

/* ---- events of ours (check_made.c) */

/*
 * Append text with these put in:
 *	@T	the run's tag value
 *	@A @B @C @D	public keys, of key 0 to 3
 *	@i0 to @ib	id of an event of the hay
 *	@p0	    the first 32 digits of it
 *	@I0	    in upper case
 *	@a0 @k0 @t0  its author, kind, time; @k0 @K0: another kind
 *	@b0 @n0	    the second before it, the one after
 *	@x	    64 digits that nothing has
 *	@1 @2	    regular kinds
 * Returns what out holds, terminated.
 */
const char *check_fill(struct check *c, struct nr_buf *out,
	    const char *text);

/*
 * Make and sign an event.
 * key	    whose
 * at	    created_at
 * tags	    inside of the array, check_fill()ed, then the run's tag (and, but
 *	    for those that go by themselves, an end by NIP-40 where the relay
 *	    knows it); as it is where it begins with an exclamation mark
 * content  normal text, check_fill()ed
 */
struct check_made *check_make(struct check *c, unsigned key, unsigned kind,
	    int64_t at, const char *tags, const char *content);
/* One that is signed; line's memory is taken over. */
struct check_made *check_keep(struct check *c, unsigned key,
	    struct nr_buf *line);
struct check_made *check_made_find(struct check *c,
	    const unsigned char id[32]);
/* A digit of its line becomes another one. */
void	check_spoil(struct check_made *m, size_t at);
/* A filter for it alone. */
const char *check_by_id(const struct check_made *m, char out[128]);
/* Publish what filters are tried on, or take what the relay shows. */
void	check_hay(struct check *c);
/* Delete what was published. */
void	check_clean(struct check *c);
void	check_made_free(struct check *c);

/* ---- questions (check_ask.c) */

enum check_end { CHECK_EOSE, CHECK_CLOSED };

struct check_got {
	char			 id[CHECK_SUBID];
	const struct check_msg	*event[CHECK_GOT];
	size_t			 n;		/* may be more than are here */
	enum check_end		 end;
	const struct check_msg	*last;
};

/*
 * Subscribe, and take what comes up to EOSE or CLOSED; authenticate where
 * that is asked for.
 * id	    a name, or NULL: a new one
 */
int	check_query(struct check_link *l, const char *id, const char *filters,
	    struct check_got *g);
void	check_close(struct check_link *l, const char *id);
/* The same and CLOSE; CLOSED is a refusal: no statement can be made. */
int	check_read(struct check_link *l, const char *filters,
	    struct check_got *g);
/*
 * Are these the answer?
 * order    0: in any, 1: newest first, 2: exactly this one
 */
int	check_same(struct check *c, const struct nr_event *const *want,
	    size_t n, const struct check_got *g, int order);
/* check_read() and check_same(), with the events given. */
int	check_finds(struct check_link *l, const char *filters, size_t n, ...);
/*
 * What of the hay a relay must answer.
 * Returns  how many there are; -1 where the filters are not to be read.
 */
int	check_answer(struct check *c, const char *filters,
	    const struct nr_event *out[CHECK_HAY]);

/*
 * Publish.
 * Returns  the OK, or NULL: there was none, and the statement has failed.
 */
const struct check_msg *check_publish(struct check_link *l,
	    struct check_made *m);
/* It must be accepted; where the relay's policy is against it: skipped. */
int	check_store(struct check_link *l, struct check_made *m);
/* It must be refused by one of these words: "invalid pow", "" is any. */
int	check_refused(struct check_link *l, struct check_made *m,
	    const char *words);
/* Has everything that was said so far been heard?  No answer: failed. */
int	check_fence(struct check_link *l);

/*
 * Authenticate as a key.
 * Returns  1; 0 where it was refused or cannot be tried: skipped.
 */
int	check_prove(struct check_link *l, unsigned key);
/* An AUTH message as given; the OK to it, NULL: none, failed. */
const struct check_msg *check_auth(struct check_link *l, unsigned key,
	    unsigned kind, int64_t at, const char *relay,
	    const char *challenge);
/* Is there a challenge?  No: skipped. */
int	check_challenge(struct check_link *l);

int	check_is_ok(const struct check_msg *m, const void *id32);
int	check_is_live(const struct check_msg *m, const void *id32);
int	check_is_end(const struct check_msg *m, const void *subid);
int	check_is_count(const struct check_msg *m, const void *subid);
int	check_is_named(const struct check_msg *m, const void *subid);
/*
 * Does a refusal have to do with who we are or what the relay likes?  Then
 * the statement is skipped.
 */
int	check_is_policy(struct check *c, const struct check_msg *m);

/* COUNT must say so many (check_more.c); the message, or NULL: said so. */
const struct check_msg *check_counts(struct check_link *l,
	    const char *filters, uint64_t n);
/*
 * Reconcile with an empty set (check_sync.c): how many events the relay has
 * for the filters.  Returns 0 where that was not learnt.
 */
int	check_sync_count(struct check_link *l, const char *filters,
	    size_t *n);

/* ---- the information document (check_info.c) */

void	check_info(struct check *c);
/* Its number of this name in limitation; -1 where there is none. */
int64_t	check_limit(const struct check *c, const char *name);
int	check_limit_is(const struct check *c, const char *name, int value);
/* Would its limits cut an answer of n events? */
int	check_is_cut(const struct check *c, int n);

/* ---- statements */

extern const struct check_statement check_filter_list[], check_form_list[],
	    check_shown_list[],
	    check_info_list[], check_limits_list[], check_write_list[],
	    check_odd_list[], check_live_list[], check_delete_list[],
	    check_auth_list[],
	    check_more_list[], check_search_list[], check_sync_list[],
	    check_last_list[];

#endif
