/*
 * policy.h - a policy plugin is asked who may write, read and connect.
 * Internal to lib/relay.
 *
 * Where the configuration has one, nothing that it is to decide happens
 * without it: what cannot be asked, or is not decided in time, is refused.
 * The functions that look at the configuration are for those who may.
 */
#ifndef NR_RELAY_POLICY_H
#define NR_RELAY_POLICY_H

#include "policy/host.h"
#include "util/view.h"

struct nr_conn;
struct nr_policy;
struct nr_relay;
struct nr_sub;

/* What a client is told where there is no decision. */
extern const char nr_policy_failed[];

int	nr_policy_new(struct nr_policy **out, struct nr_relay *r);

/* The configuration is another one: so is the plugin, or it is anew. */
void	nr_policy_reload(struct nr_relay *r);

/* Nothing is decided from now on; what was asked has failed. */
void	nr_policy_stop(struct nr_policy *p);	/* NULL is allowed, */
void	nr_policy_free(struct nr_policy *p);	/* here too */

/* Is it to be asked? */
int	nr_policy_asks(const struct nr_relay *r, enum nr_ask what);

/* Events of one connection that may be on their way to it. */
size_t	nr_policy_share(const struct nr_relay *r);

/*
 * Ask for a connection: what is told of all clients is filled in.  It may
 * wait until nr_policy_go().
 * Returns  as nr_host_ask().
 */
int	nr_policy_ask(struct nr_conn *c, struct nr_asked *a);
void	nr_policy_go(struct nr_relay *r);

/* A decision has come, or none. */
void	nr_policy_count(struct nr_relay *r, const struct nr_asked *a);

#define NR_POLICY_WHY	(NR_DECISION_MSG + 16)

/* What a client is told about a rejection, in NIP-01's form. */
const char *nr_policy_why(char out[NR_POLICY_WHY], const char *msg);

/*
 * Ask whether a REQ, COUNT or NEG-OPEN may be answered, or whether a client
 * may stay; nr_session_decided() or nr_relay_admit() is called then.  The
 * socket thread's.
 * filters  an array in JSON
 * Returns  0, EAGAIN or ENOMEM.
 */
int	nr_policy_ask_read(struct nr_sub *s, struct nr_view verb,
	    struct nr_view filters);
int	nr_policy_ask_connect(struct nr_conn *c);

/* Go on with what was decided of these; the socket thread's. */
void	nr_policy_serve(struct nr_relay *r);

struct nr_host_figures;
void	nr_policy_figures(const struct nr_relay *r,
	    struct nr_host_figures *out);

#endif
