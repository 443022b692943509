/*
 * bench_probe.h - what the files of nr-bench probe share: one run, and one
 * relay that is being probed.
 */
#ifndef NR_CMD_BENCH_PROBE_H
#define NR_CMD_BENCH_PROBE_H

#include <stdint.h>

#include "bench/nip11.h"
#include "client/auth.h"
#include "client/info.h"
#include "client/net.h"
#include "client/peer.h"
#include "event/sign.h"
#include "event/verify.h"
#include "relayopt.h"
#include "signals.h"
#include "util/rng.h"

#define PROBE_TEXT	NR_FAULT_TEXT
#define PROBE_KINDS	64	/* that may be tried */
#define PROBE_INFO_MAX	65536	/* bytes of a document */

/* What is timed, in the order in which it comes. */
enum probe_phase {
	PROBE_DNS,
	PROBE_CONNECT,
	PROBE_TLS,
	PROBE_UPGRADE,
	PROBE_OPEN,		/* all of the four */
	PROBE_INFO,
	PROBE_AUTH,		/* from open to a challenge */
	PROBE_FIRST,		/* from REQ to the first event */
	PROBE_EOSE,
	PROBE_PING,
	PROBE_COUNT,
	PROBE_NEGENTROPY,
	PROBE_WRITE,		/* from EVENT to its OK */
	PROBE_DELIVERY,		/* from EVENT to another subscription */
	PROBE_PHASES
};

extern const char *const probe_phase_name[PROBE_PHASES];

/* What is done, one after the other. */
enum probe_step {
	STEP_OPEN,
	STEP_INFO,
	STEP_READ,
	STEP_PING,
	STEP_COUNT,
	STEP_NEGENTROPY,
	STEP_LISTEN,		/* the subscription for what is written */
	STEP_WRITE,
	STEP_KINDS,
	STEP_END
};

enum probe_status {
	PROBE_HEALTHY,
	PROBE_DEGRADED,
	PROBE_DEAD
};

/* What a relay does that it should not; bits. */
enum probe_flaw {
	PROBE_MALFORMED	= 1 << 0,
	PROBE_TOO_MANY	= 1 << 1,	/* events, beyond the limit */
	PROBE_UNASKED	= 1 << 2,	/* an event that was not asked for */
	PROBE_INVALID	= 1 << 3,	/* an event with a wrong signature */
	PROBE_NO_PONG	= 1 << 4,
	PROBE_NO_COUNT	= 1 << 5,	/* though it names NIP-45 */
	PROBE_NO_NEG	= 1 << 6,	/* though it names NIP-77 */
	PROBE_NO_AUTH	= 1 << 7,	/* wants it, sends no challenge */
	PROBE_LOST	= 1 << 8,	/* what it accepted is not delivered */
	PROBE_FLAWS	= 9
};

/* An answer to an event that was written. */
struct probe_answer {
	unsigned	kind;
	int		accepted;	/* -1: no answer */
	int64_t		ns;
	char		class[16];	/* of a refusal: "pow", "blocked" */
	char		text[PROBE_TEXT];
};

struct probe {
	/* What is asked for. */
	int		 jobs;
	int64_t		 timeout_ms, every_ms;
	int		 nip66, monitor, write;
	const char	*ca_file, *file, *event_file;
	unsigned	 kind[PROBE_KINDS];
	size_t		 nkinds;
	struct nr_signer signer;	/* key: NULL, a throw-away, or -K's */
	int		 own_key;	/* it is -K's */
	struct nr_buf	 event;		/* the one given, a normal line */
	struct nr_verifier *verifier;
	/* What is being done. */
	struct nr_net	*net;
	struct nr_relays given, relays;	/* operands; with those of the file */
	size_t		 next;		/* of the relays, to be begun */
	unsigned	 running;
	struct probe_relay *first;	/* of those */
	uint64_t	 round;
	int64_t		 began;		/* this round; ms */
	struct nr_timer	*timer;		/* for the next round */
	struct nr_signals signals;
	struct nr_rng	 rng;
	/* This round, and the last whole one. */
	uint64_t	 healthy, degraded, dead;
	char		 told[128];	/* the last whole round, in words */
	int		 status;	/* -1: no round is over */
};

/* One relay in one round. */
struct probe_relay {
	struct probe	*probe;
	struct probe_relay *before, *after;	/* of those that run */
	struct nr_url	 url;
	enum probe_step	 step;
	int64_t		 time;		/* Unix seconds */
	int64_t		 began;		/* ns */
	int64_t		 opened;	/* ns; 0: it has not */
	int64_t		 sent;		/* ns: what this step waits for */
	int64_t		 deadline;	/* ms, of all */
	struct nr_timer	*clock;		/* of the step */
	struct nr_peer	*peer;
	struct nr_info	*info;
	int		 done;		/* told, and leaving */
	int		 heard;		/* a relay's message came */

	int64_t		 ns[PROBE_PHASES];	/* -1: none */
	/* The failure that came first. */
	int		 failed;
	enum probe_phase failed_in;
	char		 class[16];
	char		 text[PROBE_TEXT];
	unsigned	 flaws;

	struct nr_buf	 document;	/* as it came; empty: none */
	struct nr_info_head head;
	struct nr_fault	 no_info;	/* why there is none */

	unsigned	 events;	/* for the REQ */
	int		 auth_wanted;	/* it said so */
	int		 read_auth;	/* to the REQ */
	int		 auth_asked;	/* we have begun to prove */
	int		 proof;		/* 1 accepted, -1 refused */
	/* 1: it has it, 0: not, -1: not known */
	int		 counts, reconciles;
	int		 read_refused;
	int		 tried_write;
	int		 listening;	/* for what is written */
	struct probe_answer write;
	struct nr_buf	 event;		/* the one in flight, a line */
	unsigned char	 id[32];
	struct nr_buf	 stored;		/* ids to be deleted again */
	struct probe_answer *kind;	/* nkinds of the probe */
	size_t		 nkinds;	/* answered, or given up */
};

/* ---- bench_probe_relay.c */

/* Begin; probe_ended() is called when all has been told of it. */
void	probe_relay_start(struct probe *p, const struct nr_url *url);

/* Give up, without a word, and without probe_ended(). */
void	probe_relay_free(struct probe_relay *r);

/* ---- bench_probe_write.c */

/* Make the event of this kind that is to be written: r->event, r->id. */
void	probe_make_event(struct probe_relay *r, unsigned kind, int ephemeral);

/* Is it r->id's? */
int	probe_is_ours(const struct probe_relay *r, struct nr_view event);

/* What an OK says of a->kind. */
void	probe_take_ok(struct probe_answer *a, const struct nr_answer *ok,
	    int64_t ns);

/* The request that deletes what was stored, or nothing; to r->event. */
void	probe_make_deletion(struct probe_relay *r);

/* The kind of our ephemeral events. */
#define PROBE_KIND	20066

/* The word before the colon of a refusal, as a class: "pow", "auth". */
void	probe_class(char out[16], struct nr_view text);

/* Which kinds are accepted, as far as it can be told; see the page. */
int	probe_kind_verdict(const struct probe_relay *r,
	    const struct probe_answer *a);

/* ---- bench_probe_report.c */

enum probe_status probe_judge(const struct probe_relay *r,
	    const struct nr_nip11 *info);

/* Write what was found to stdout, and count it. */
void	probe_report(struct probe_relay *r);
void	probe_announce(const struct probe *p);

/* ---- bench_probe.c */

void	probe_ended(struct probe *p);

#endif
