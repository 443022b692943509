/*
 * protocol.h - the lines that a policy plugin reads and writes: strfry's
 * protocol, and the superset of it that nr-policy(7) defines.
 *
 * A line holds one JSON object or, where a hello has allowed it, an array
 * of some.  Members that are not known are passed over.  What is read
 * borrows from the line and from the reader.  Writers append to a buffer,
 * without a newline, and return 0 or ENOMEM.
 */
#ifndef NR_POLICY_PROTOCOL_H
#define NR_POLICY_PROTOCOL_H

#include <stddef.h>

#include "policy/request.h"
#include "util/buf.h"
#include "util/json.h"

/* The highest version that this library speaks, and who says so. */
#define NR_POLICY_VERSION	1
#define NR_POLICY_VARIABLE	"NR_POLICY_HOST"

#define NR_REQUEST_KEYS		16	/* of a request; more are left out */
#define NR_POLICY_BATCH_MAX	1000	/* requests on a line */

/* A batch ends with the request that makes it longer than this. */
#define NR_POLICY_BATCH_BYTES	((size_t)64 * 1024)

/* ---- the plugin's hello ----------------------------------------------- */

struct nr_hello {
	unsigned	version;	/* 1 to NR_POLICY_VERSION */
	unsigned	asks;		/* NR_ASK_BIT()s; NEW always */
	unsigned	batch;		/* requests on a line: 1 to the most */
};

/*
 * Returns  1; 0 where the line is no hello; -1 where it is one that cannot
 *	    be meant.
 */
int	nr_hello_read(struct nr_hello *out, const char *line, size_t len);
int	nr_hello_write(struct nr_buf *b, const struct nr_hello *h);

/* ---- requests ---------------------------------------------------------- */

/* superset  with what a plugin of strfry's does not know */
int	nr_request_write(struct nr_buf *b, const struct nr_request *q,
	    int superset);

/* Start from {0}, and free what it holds in the end. */
struct nr_request_reader {
	struct nr_json	 j;
	int		 where;		/* in the line */
	struct nr_buf	 text;		/* what could not be borrowed */
	unsigned char	 keys[NR_REQUEST_KEYS][32];
};

/* Begin with a line, which must stay. */
void	nr_request_line(struct nr_request_reader *r, const char *line,
	    size_t len);

/*
 * The next request of the line; valid until the next call.  Events are
 * read strictly; their ids and signatures are not checked.
 * why	    set where the text is wrong
 * Returns  1; 0 at the end; -1 where there is no request that makes sense:
 *	    others may follow.  *out then has type, seq and has_seq where
 *	    they could be read, and of an event its id in ev.id, with event
 *	    not empty, so that it can be answered.
 */
int	nr_request_next(struct nr_request_reader *r, struct nr_request *out,
	    const char **why);
void	nr_request_reader_free(struct nr_request_reader *r);

/* ---- answers ------------------------------------------------------------ */

/* One word: accept, reject, shadowReject. */
const char *nr_action_name(enum nr_action action);

int	nr_decision_write(struct nr_buf *b, const struct nr_decision *d);

struct nr_decision_reader {
	struct nr_json	 j;
	int		 where;
};

void	nr_decision_line(struct nr_decision_reader *r, const char *line,
	    size_t len);

/*
 * The next answer of the line.
 * Returns  1; 0 at the end; -1 where it makes no sense: *out then has seq
 *	    and id, and whether they are there.  Others may follow.
 */
int	nr_decision_next(struct nr_decision_reader *r,
	    struct nr_decision *out);

#endif
