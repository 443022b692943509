/*
 * internal.h - what reading rules and asking them share.
 */
#ifndef NR_POLICY_INTERNAL_H
#define NR_POLICY_INTERNAL_H

#include <sys/stat.h>

#include "policy/jq.h"
#include "policy/rules.h"
#include "policy/table.h"
#include "util/rate.h"

enum nr_verb {
	NR_VERB_ACCEPT,
	NR_VERB_REJECT,
	NR_VERB_SHADOW,
	NR_VERB_LIMIT,
	NR_VERB_SCORE,
	NR_VERB_LOG,
	NR_VERB_HOLD,
	NR_VERB_LEARN,
	NR_VERB_EXEC
};

enum nr_test {
	NR_TEST_ALL,
	NR_TEST_KIND,
	NR_TEST_AUTHOR,
	NR_TEST_ID,
	NR_TEST_AUTH,		/* one of the keys is in the table */
	NR_TEST_AUTH_ANY,
	NR_TEST_AUTH_AUTHOR,
	NR_TEST_TAG,		/* with a table: its value is there */
	NR_TEST_IP,
	NR_TEST_SOURCE,
	NR_TEST_VERB,
	NR_TEST_PROTECTED,
	NR_TEST_NSEC,
	NR_TEST_OPEN,
	NR_TEST_TEXT,
	NR_TEST_FILTER,
	NR_TEST_JQ,
	NR_TEST_NEW,
	NR_TEST_NUMBER
};

/* What can be compared with a number. */
enum nr_quantity {
	NR_OF_SIZE,
	NR_OF_CONTENT,
	NR_OF_PLAIN,
	NR_OF_TAGS,		/* all, or those of a name */
	NR_OF_LINKS,
	NR_OF_MENTIONS,
	NR_OF_HASHTAGS,
	NR_OF_CAPS,
	NR_OF_DUPLICATES,
	NR_OF_POW,
	NR_OF_AGE,
	NR_OF_FUTURE,
	NR_OF_EXPIRES,
	NR_OF_SCORE,
	NR_OF_FILTERS,
	NR_OF_NQUANTITIES
};

enum nr_compare { NR_LT, NR_LE, NR_GT, NR_GE, NR_EQ, NR_NE };

struct nr_cond {
	enum nr_test		 test;
	int			 negate;
	struct nr_table		*table;
	char			*name;		/* of a tag */
	struct nr_filter	*filter;
	size_t			 jq;		/* number of the expression */
	unsigned		 sources;	/* a bit each */
	enum nr_quantity	 quantity;
	enum nr_compare		 compare;
	int64_t			 number;	/* or a time for NEW, seconds */
	int64_t			 within;	/* of duplicates, seconds */
	int			 order;		/* it counts, or depends on it */
};

/* What a rate is counted by; bits. */
#define NR_BY_IP	1u
#define NR_BY_NET	2u
#define NR_BY_AUTHOR	4u
#define NR_BY_AUTH	8u
#define NR_BY_KIND	16u

struct nr_rule {
	enum nr_verb	 verb;
	unsigned	 asks;		/* a bit for each enum nr_ask */
	size_t		 index;
	struct nr_cond	*cond;
	size_t		 nconds;
	int		 order;		/* it acts in order */
	char		*message;	/* NULL: none was given */
	char		*label;
	struct nr_rate	 rate;
	unsigned	 by;
	unsigned char	 salt[8];	/* what parts it from other limits */
	int64_t		 weight;
	char		*path;		/* hold */
	struct nr_table	*table;		/* learn */
	int		 learn_tags;	/* the p tags, not the author */
	size_t		*command;	/* exec: by number */
	size_t		 ncommands;
	int64_t		 timeout;	/* ms */
	char		*place, *text;
};

struct nr_rules_file {
	char		*path;
	struct stat	 st;
};

/* A state, as long as rules use it. */
struct nr_kept_state {
	struct nr_state	*state;
	char		*path;		/* NULL: in memory */
	uint64_t	 size;
	unsigned	 refs;		/* atomic */
};

struct nr_rules {
	struct nr_rule	*rule;
	size_t		 nrules;
	struct nr_table	**table;
	size_t		 ntables;
	char		**jq;
	size_t		 njq;
	char		**command;
	size_t		 ncommands;
	struct nr_rules_file *file;
	size_t		 nfiles;
	enum nr_action	 otherwise;	/* set default */
	char		*otherwise_msg;
	int64_t		 hold_max;	/* bytes of a file */
	int64_t		 timeout;	/* of exec, ms */
	char		*state_path;
	uint64_t	 state_size;
	int		 learns_authors;
	struct nr_kept_state *kept;
	struct nr_state	*state;		/* of that */
	struct nr_rules_calls calls;
};

struct nr_rules_thread {
	const struct nr_rules	*rules;
	struct nr_jq		**jq;
	struct nr_jq_doc	*doc;	/* of the request in hand */
	const void		*doc_of;
	struct nr_rule_figures	*figures;
	struct nr_buf		 text;
};

#endif
