/*
 * config.h - what an operator can set about a relay.  nr-serve.conf(5)
 * lists the keys.
 */
#ifndef NR_RELAY_CONFIG_H
#define NR_RELAY_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "filter/keys.h"
#include "relay/endpoint.h"
#include "util/rate.h"
#include "wire/ip.h"

#define NR_LISTEN_MAX	16
#define NR_URL_MAX	16
#define NR_PRIVATE_MAX	64
#define NR_PROXIES_MAX	64

/* Whom the relay serves. */
enum nr_access_rule {
	NR_ACCESS_OPEN,
	NR_ACCESS_AUTH,		/* who has authenticated */
	NR_ACCESS_MEMBERS	/* as one of the members */
};

struct nr_tls;

struct nr_relay_config {
	/* For NIP-11; NULL is left out of the document. */
	char		*name;
	char		*description;
	char		*contact;
	char		*pubkey;
	char		*icon;
	char		*banner;
	char		*self;
	char		*terms_of_service;
	char		*posting_policy;
	char		*privacy_policy;
	char		*nip11;		/* a JSON object to merge */

	char		*listen[NR_LISTEN_MAX];	/* see endpoint.h */
	unsigned	 nlisten;
	char		*metrics;	/* ADDR:PORT, or NULL */

	char		*tls_certificate;	/* files, or NULL */
	char		*tls_key;
	struct nr_tls	*tls;		/* what they hold */

	/* Who may tell for whom a connection is. */
	struct nr_network proxies[NR_PROXIES_MAX];
	unsigned	 nproxies;
	int		 unix_proxies;	/* whoever connects to a Unix socket */

	/* What clients may call this relay; without any: by address. */
	char		*url[NR_URL_MAX];
	unsigned	 nurl;

	enum nr_access_rule read;
	enum nr_access_rule write;
	char		*members;	/* a file of public keys */
	struct nr_keys	 member_keys;	/* what it holds */
	/* Kinds that only their author and recipients may read. */
	uint16_t	 private_kinds[NR_PRIVATE_MAX];
	unsigned	 nprivate_kinds;

	/*
	 * No key: whoever can connect is the operator, who may read and
	 * write everything.
	 */
	int		 trusts;

	/* A command that decides, see policy.h; NULL: none. */
	char		*policy;
	unsigned	 policy_asks;	/* NR_ASK_BIT()s */
	uint64_t	 policy_timeout;	/* seconds */
	uint64_t	 policy_queue;	/* events, or requests, that wait */

	int		 log_level;	/* enum nr_log_level */
	int		 log_json;

	uint64_t	 min_pow;	/* bits, of every event (NIP-13) */

	/* Limits, inclusive; sizes in bytes. */
	uint64_t	 max_connections;
	uint64_t	 max_message;
	uint64_t	 close_message;	/* a longer one ends the connection */
	uint64_t	 max_bad_messages;
	uint64_t	 max_event;
	uint64_t	 max_event_tags;
	uint64_t	 max_subscriptions;
	uint64_t	 max_filters;
	uint64_t	 max_filter_values;
	uint64_t	 max_values;	/* of all subscriptions together */
	uint64_t	 max_limit;
	uint64_t	 default_limit;
	uint64_t	 max_count;	/* events that a COUNT counts */
	uint64_t	 max_sync;	/* records of a NEG-OPEN; 0: no NIP-77 */
	uint64_t	 sync_memory;	/* bytes of records, of all */
	uint64_t	 sync_seconds;	/* between two messages */
	uint64_t	 max_future;	/* seconds that created_at may be ahead */
	uint64_t	 max_age;	/* seconds that it may be ago; 0: any */
	uint64_t	 max_content;	/* characters */
	uint64_t	 max_tag_value;	/* bytes of a string in a tag */
	uint64_t	 max_queries;	/* of all connections, unfinished */

	/* How much in a time; see limits.h. */
	struct nr_rate	 connect_rate, ip_connect_rate, key_connect_rate;
	struct nr_rate	 message_rate, byte_rate;	/* of a connection */
	struct nr_rate	 event_rate, event_byte_rate;	/* of all */
	struct nr_rate	 ip_event_rate, key_event_rate;
	struct nr_rate	 ip_query_rate;		/* units of nr_query_next() */
	struct nr_rate	 ip_auth_failures, ip_refusals, ip_closes;
	uint64_t	 ip_connections, key_connections;	/* 0: any */
	uint64_t	 limit_local;	/* 1: the operator's, too */
	uint64_t	 slow_ms;	/* a wait that is not refused */
	uint64_t	 ban_seconds;	/* 0: nobody is banned */

	uint64_t	 deflate;	/* 1: compressed where a client can */

	/* Output waiting for one connection: queries pause, it is closed. */
	uint64_t	 output_pause;
	uint64_t	 output_close;
	/* Events of all connections on their way into the store. */
	uint64_t	 input_pause;

	uint64_t	 handshake_seconds;	/* for a request to be complete */
	uint64_t	 ping_seconds;
	uint64_t	 drain_seconds;
	uint64_t	 upgrade_seconds;	/* of leaving to another */
	uint64_t	 slow_query_ms;	/* that long is logged, 0: none */
	uint64_t	 compact_dead;	/* percent of a segment, 0: never */
	uint64_t	 compact_rate;	/* bytes read a second */
	uint64_t	 scrub_seconds;	/* until deleted is overwritten, 0: never */
	uint64_t	 verify_threads;	/* 0: one a core */
	uint64_t	 query_threads;		/* 0: one a core */

	unsigned	 level;		/* of the source, for lists */
	unsigned	 listen_level, proxies_level, url_level;
	char		 text[80];	/* of a reason that is made up */
};

/* Returns 0 or ENOMEM. */
int	nr_relay_config_init(struct nr_relay_config *c);
void	nr_relay_config_free(struct nr_relay_config *c);

/*
 * Set one key from text.
 * why      NULL, or what is wrong with the key or value, until the next
 *	    call
 * Returns  0 or ENOMEM.
 */
int	nr_relay_config_set(struct nr_relay_config *c, const char *key,
	    const char *value, const char **why);

/*
 * From now on values are from a source that goes before those so far: the
 * first value of a list replaces what it had.
 */
void	nr_relay_config_override(struct nr_relay_config *c);

/* The i-th key, from 0; NULL behind the last. */
const char *nr_relay_config_key(size_t i, int *is_list);

/* Called with one line for each thing that is wrong. */
typedef void	nr_complaint_fn(void *ctx, const char *text);

/*
 * Set what a file says.
 * Returns  0, NR_EINVAL after complaints, ENOMEM, or why the file cannot
 *	    be read.
 */
int	nr_relay_config_file(struct nr_relay_config *c, const char *path,
	    nr_complaint_fn *complain, void *ctx);

/*
 * Read the files that are named, and find the policy's command.
 * Returns  0, NR_EINVAL after complaints, or ENOMEM.
 */
int	nr_relay_config_load(struct nr_relay_config *c,
	    nr_complaint_fn *complain, void *ctx);

/*
 * Let next keep what was has in keys that only a start can change;
 * complain about those that differ.
 */
void	nr_relay_config_keep(struct nr_relay_config *next,
	    struct nr_relay_config *was, nr_complaint_fn *complain,
	    void *ctx);

/* Does it listen with TLS anywhere? */
int	nr_relay_config_has_tls(const struct nr_relay_config *c);

/* What is wrong with the settings together; NULL where nothing is. */
const char *nr_relay_config_check(const struct nr_relay_config *c);

#endif
