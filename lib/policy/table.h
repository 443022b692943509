/*
 * table.h - what a rule compares with: keys, kinds, networks, words or
 * other values; named, from files, or written into the rule.
 *
 * Read by many threads at once; only nr_table_learn() adds to one that is
 * in use.
 */
#ifndef NR_POLICY_TABLE_H
#define NR_POLICY_TABLE_H

#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>

#include "filter/keys.h"
#include "policy/words.h"
#include "util/buf.h"
#include "util/idset.h"
#include "util/view.h"
#include "wire/ip.h"

enum nr_table_type {
	NR_TABLE_KEYS,		/* public keys or ids */
	NR_TABLE_KINDS,
	NR_TABLE_NETWORKS,
	NR_TABLE_WORDS,		/* to be found in text */
	NR_TABLE_VALUES,	/* to be equal to */
	NR_TABLE_NTYPES
};

struct nr_table_file {
	char		*path;
	struct stat	 st;	/* as it was read */
};

struct nr_table {
	enum nr_table_type	 type;
	char			*name;	/* NULL: written into a rule */
	struct nr_buf		 gathered;	/* keys; ends of values */
	struct nr_keys		 keys;
	uint32_t		*prefix;	/* where keys of each begin */
	unsigned char		*kinds;		/* a bit each */
	struct nr_network	*networks;
	size_t			 nnetworks;
	struct nr_words		*words;
	struct nr_buf		 text;		/* of values, each with a NUL */
	const char		**value;	/* sorted */
	size_t			 nvalues;
	struct nr_table_file	*file;
	size_t			 nfiles;
	/* What was learnt since the files were read. */
	pthread_rwlock_t	 lock;
	struct nr_idset		*learnt;
	int			 has_learnt;
};

/* Of more, since the files were read, the oldest wait for the next reading. */
#define NR_TABLE_LEARNT_MAX	((size_t)1 << 20)

const char *nr_table_type_name(enum nr_table_type type);

/* Returns 0 or ENOMEM.  name is copied, and may be NULL. */
int	nr_table_new(struct nr_table **out, enum nr_table_type type,
	    const char *name);
void	nr_table_free(struct nr_table *t);	/* NULL is allowed */

/*
 * Add what stands in the rules file, a NUL behind it.
 * Returns  0, ENOMEM, or NR_EINVAL where it is none of the table's type.
 */
int	nr_table_add(struct nr_table *t, const char *item);

/*
 * Add a file's lines, but what follows a #.
 * lineno   of the line that is wrong, with NR_EINVAL
 */
int	nr_table_add_file(struct nr_table *t, const char *path,
	    uint64_t *lineno);

/* All is added: make it ready.  Returns 0, ENOMEM, or EFBIG. */
int	nr_table_seal(struct nr_table *t);

int	nr_table_has_key(struct nr_table *t, const unsigned char key[32]);
int	nr_table_has_kind(const struct nr_table *t, unsigned kind);
int	nr_table_has_ip(const struct nr_table *t, const struct nr_ip *a);
int	nr_table_has_value(const struct nr_table *t, struct nr_view plain);

/*
 * Add a key for good: it is appended to the table's first file.
 * Returns  0 or errno.
 */
int	nr_table_learn(struct nr_table *t, const unsigned char key[32]);

/*
 * What has changed in its files since they were read, but by learning: 0, or
 * a number that stands for it.
 */
uint64_t nr_table_changes(struct nr_table *t);

/* The same for one file, as it was when st was taken. */
uint64_t nr_file_changes(const char *path, const struct stat *st);

/*
 * Append to a file that is open with O_APPEND, all of it or nothing.
 * Returns  0 or errno.
 */
int	nr_file_append(int fd, const char *p, size_t len);

#endif
