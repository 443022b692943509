/*
 * Tables of keys, kinds, networks, words and values.
 */
#include "policy/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/event.h"
#include "event/nip19.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/lines.h"
#include "util/rng.h"

#define PREFIX_BITS	16
#define KINDS		65536
#define LINE_MAX_BYTES	4096

const char *
nr_table_type_name(enum nr_table_type type)
{
	static const char *const name[NR_TABLE_NTYPES] = {
		[NR_TABLE_KEYS] = "keys", [NR_TABLE_KINDS] = "kinds",
		[NR_TABLE_NETWORKS] = "networks", [NR_TABLE_WORDS] = "words",
		[NR_TABLE_VALUES] = "values"
	};

	return name[type];
}

int
nr_table_new(struct nr_table **out, enum nr_table_type type,
    const char *name)
{
	struct nr_table *t;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		return ENOMEM;
	t->type = type;
	pthread_rwlock_init(&t->lock, NULL);
	if ((name != NULL && (t->name = strdup(name)) == NULL) ||
	    (type == NR_TABLE_KINDS &&
	    (t->kinds = calloc(1, KINDS / 8)) == NULL) ||
	    (type == NR_TABLE_WORDS && nr_words_new(&t->words) != NR_OK)) {
		nr_table_free(t);
		return ENOMEM;
	}
	*out = t;
	return NR_OK;
}

void
nr_table_free(struct nr_table *t)
{
	size_t i;

	if (t == NULL)
		return;
	for (i = 0; i < t->nfiles; i++)
		free(t->file[i].path);
	free(t->file);
	free(t->name);
	nr_buf_free(&t->gathered);
	nr_keys_free(&t->keys);
	free(t->prefix);
	free(t->kinds);
	free(t->networks);
	nr_words_free(t->words);
	nr_buf_free(&t->text);
	free(t->value);
	nr_idset_free(t->learnt);
	pthread_rwlock_destroy(&t->lock);
	free(t);
}

/* ---- adding ---------------------------------------------------------------- */

static int
add_key(struct nr_table *t, const char *item)
{
	unsigned char key[32];
	struct nr_nip19 n;

	if (strlen(item) == 64 && nr_hex_decode(key, item, 32))
		return nr_buf_add(&t->gathered, key, 32);
	if (!nr_nip19_decode(&n, item) || (n.type != NR_NIP19_NPUB &&
	    n.type != NR_NIP19_NPROFILE && n.type != NR_NIP19_NOTE &&
	    n.type != NR_NIP19_NEVENT))
		return NR_EINVAL;
	return nr_buf_add(&t->gathered, n.key, 32);
}

static int
read_kind(const char **p, unsigned *out)
{
	unsigned n = 0;

	if (**p < '0' || **p > '9')
		return 0;
	for (; **p >= '0' && **p <= '9'; ++*p)
		if ((n = n * 10 + (unsigned)(**p - '0')) >= KINDS)
			return 0;
	*out = n;
	return 1;
}

static int
is_regular(unsigned kind)
{
	return !nr_kind_replaceable(kind) && !nr_kind_ephemeral(kind) &&
	    !nr_kind_addressable(kind);
}

static int
is_confidential(unsigned kind)
{
	return nr_kind_confidential(kind);
}

/* The words for NIP-01's ranges, and for what only its parties may read. */
static int
add_class(struct nr_table *t, const char *item)
{
	static const struct {
		const char *name;
		int (*is)(unsigned kind);
	} class[] = {
		{ "regular", is_regular },
		{ "replaceable", nr_kind_replaceable },
		{ "ephemeral", nr_kind_ephemeral },
		{ "addressable", nr_kind_addressable },
		{ "confidential", is_confidential }
	};
	unsigned k;
	size_t i;

	for (i = 0; i < sizeof(class) / sizeof(class[0]); i++) {
		if (strcmp(item, class[i].name) != 0)
			continue;
		for (k = 0; k < KINDS; k++)
			if (class[i].is(k))
				t->kinds[k / 8] |= (unsigned char)(1u << k % 8);
		return NR_OK;
	}
	return NR_EINVAL;
}

/* A number, a range, or a word. */
static int
add_kind(struct nr_table *t, const char *item)
{
	const char *p = item;
	unsigned from, to;

	if (!read_kind(&p, &from))
		return add_class(t, item);
	to = from;
	if (*p == '-') {
		p++;
		if (!read_kind(&p, &to))
			return NR_EINVAL;
	}
	if (*p != '\0' || to < from)
		return NR_EINVAL;
	for (; from <= to; from++)
		t->kinds[from / 8] |= (unsigned char)(1u << from % 8);
	return NR_OK;
}

static int
add_network(struct nr_table *t, const char *item)
{
	struct nr_network n, *more;

	if (!nr_network_parse(&n, item))
		return NR_EINVAL;
	if ((t->nnetworks & (t->nnetworks - 1)) == 0) {
		more = realloc(t->networks, sizeof(n) *
		    (t->nnetworks == 0 ? 1 : 2 * t->nnetworks));
		if (more == NULL)
			return ENOMEM;
		t->networks = more;
	}
	t->networks[t->nnetworks++] = n;
	return NR_OK;
}

static int
add_value(struct nr_table *t, const char *item)
{
	t->nvalues++;
	return nr_buf_add(&t->text, item, strlen(item) + 1);
}

int
nr_table_add(struct nr_table *t, const char *item)
{
	switch (t->type) {
	case NR_TABLE_KEYS:
		return add_key(t, item);
	case NR_TABLE_KINDS:
		return add_kind(t, item);
	case NR_TABLE_NETWORKS:
		return add_network(t, item);
	case NR_TABLE_WORDS:
		return nr_words_add(t->words, item, strlen(item), 1);
	case NR_TABLE_VALUES:
		return add_value(t, item);
	default:
		return NR_EINVAL;
	}
}

/* ---- files ------------------------------------------------------------------ */

static int
remember_file(struct nr_table *t, const char *path)
{
	struct nr_table_file *more;

	more = realloc(t->file, (t->nfiles + 1) * sizeof(*more));
	if (more == NULL)
		return ENOMEM;
	t->file = more;
	memset(&more[t->nfiles], 0, sizeof(*more));
	if ((more[t->nfiles].path = strdup(path)) == NULL)
		return ENOMEM;
	t->nfiles++;
	return NR_OK;
}

/* A line's item with a NUL; NULL where there is one in it. */
static const char *
line_text(char out[LINE_MAX_BYTES + 1], const char *line, size_t len)
{
	struct nr_view v = nr_line_item(line, len);

	memcpy(out, v.p, v.len);
	out[v.len] = '\0';
	return memchr(out, '\0', v.len) == NULL ? out : NULL;
}

static int
add_lines(struct nr_table *t, struct nr_lines *in)
{
	char text[LINE_MAX_BYTES + 1];
	const char *line, *item;
	size_t len;
	int rc;

	while ((rc = nr_lines_next(in, &line, &len)) == NR_OK) {
		if ((item = line_text(text, line, len)) == NULL)
			return NR_EINVAL;
		if (*item != '\0' && (rc = nr_table_add(t, item)) != NR_OK)
			return rc;
	}
	return rc == NR_EOF ? NR_OK : rc == NR_ETOOLONG ? NR_EINVAL : rc;
}

int
nr_table_add_file(struct nr_table *t, const char *path, uint64_t *lineno)
{
	struct nr_lines in;
	int fd, rc;

	*lineno = 0;
	if ((rc = remember_file(t, path)) != NR_OK)
		return rc;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno;
	rc = fstat(fd, &t->file[t->nfiles - 1].st) == 0 ? NR_OK : errno;
	if (t->type == NR_TABLE_WORDS) {
		close(fd);
		return rc != NR_OK ? rc :
		    nr_words_load(t->words, path, 1, lineno);
	}
	if (rc == NR_OK)
		rc = nr_lines_init(&in, fd, LINE_MAX_BYTES, 0);
	if (rc == NR_OK) {
		rc = add_lines(t, &in);
		*lineno = in.lineno;
		nr_lines_free(&in);
	}
	close(fd);
	return rc;
}

static int
differs(const struct stat *a, const struct stat *b)
{
	return a->st_ino != b->st_ino || a->st_dev != b->st_dev ||
	    a->st_size != b->st_size ||
	    a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
	    a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

uint64_t
nr_file_changes(const char *path, const struct stat *st)
{
	struct nr_rng mix = { 0 };
	struct stat now;

	/* What is gone for a moment is about to be replaced. */
	if (stat(path, &now) != 0 || !differs(&now, st))
		return 0;
	mix.state = (uint64_t)now.st_ino ^ (uint64_t)now.st_size << 32;
	mix.state = nr_rng_next(&mix) ^ (uint64_t)now.st_mtim.tv_sec;
	mix.state = nr_rng_next(&mix) ^ (uint64_t)now.st_mtim.tv_nsec;
	return nr_rng_next(&mix) | 1;
}

uint64_t
nr_table_changes(struct nr_table *t)
{
	uint64_t sum = 0;
	size_t i;

	pthread_rwlock_rdlock(&t->lock);
	for (i = 0; i < t->nfiles; i++)
		sum = sum * 31 + nr_file_changes(t->file[i].path,
		    &t->file[i].st);
	pthread_rwlock_unlock(&t->lock);
	return sum;
}

/* ---- ready ------------------------------------------------------------------- */

static unsigned
prefix_of(const unsigned char *key)
{
	return (unsigned)key[0] << 8 | key[1];
}

/* Where the keys of each prefix begin: most hold only a few. */
static int
seal_keys(struct nr_table *t)
{
	size_t i = 0;
	unsigned p;

	nr_keys_take(&t->keys, t->gathered.p, t->gathered.len / 32);
	memset(&t->gathered, 0, sizeof(t->gathered));
	t->prefix = malloc(((1u << PREFIX_BITS) + 1) * sizeof(*t->prefix));
	if (t->prefix == NULL)
		return ENOMEM;
	for (p = 0; p <= 1u << PREFIX_BITS; p++) {
		while (i < t->keys.n && prefix_of(t->keys.v[i]) < p)
			i++;
		t->prefix[p] = (uint32_t)i;
	}
	return NR_OK;
}

static int
value_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
seal_values(struct nr_table *t)
{
	const char *p = t->text.p;
	size_t i;

	if (t->nvalues == 0)
		return NR_OK;
	if ((t->value = calloc(t->nvalues, sizeof(*t->value))) == NULL)
		return ENOMEM;
	for (i = 0; i < t->nvalues; i++, p += strlen(p) + 1)
		t->value[i] = p;
	qsort(t->value, t->nvalues, sizeof(*t->value), value_cmp);
	return NR_OK;
}

int
nr_table_seal(struct nr_table *t)
{
	switch (t->type) {
	case NR_TABLE_KEYS:
		return seal_keys(t);
	case NR_TABLE_VALUES:
		return seal_values(t);
	case NR_TABLE_WORDS:
		return nr_words_build(t->words);
	default:
		return NR_OK;
	}
}

/* ---- asking ------------------------------------------------------------------ */

static int
has_learnt(struct nr_table *t, const unsigned char key[32])
{
	int has;

	pthread_rwlock_rdlock(&t->lock);
	has = t->learnt != NULL && nr_idset_has(t->learnt, key);
	pthread_rwlock_unlock(&t->lock);
	return has;
}

int
nr_table_has_key(struct nr_table *t, const unsigned char key[32])
{
	unsigned p = prefix_of(key);
	struct nr_keys part = { t->keys.v, t->prefix[p + 1] - t->prefix[p] };

	if (part.n > 0)
		part.v += t->prefix[p];
	return nr_keys_has(&part, key) ||
	    (__atomic_load_n(&t->has_learnt, __ATOMIC_RELAXED) &&
	    has_learnt(t, key));
}

int
nr_table_has_kind(const struct nr_table *t, unsigned kind)
{
	return t->kinds[kind / 8] >> kind % 8 & 1;
}

int
nr_table_has_ip(const struct nr_table *t, const struct nr_ip *a)
{
	return nr_networks_have(t->networks, t->nnetworks, a);
}

static int
compare(struct nr_view v, const char *s)
{
	size_t len = strlen(s), n = v.len < len ? v.len : len;
	int cmp = n > 0 ? memcmp(v.p, s, n) : 0;

	return cmp != 0 ? cmp : v.len < len ? -1 : v.len > len;
}

int
nr_table_has_value(const struct nr_table *t, struct nr_view plain)
{
	size_t from = 0, to = t->nvalues, at;
	int cmp;

	while (from < to) {
		at = from + (to - from) / 2;
		if ((cmp = compare(plain, t->value[at])) == 0)
			return 1;
		if (cmp < 0)
			to = at;
		else
			from = at + 1;
	}
	return 0;
}

/* ---- learning ----------------------------------------------------------------- */

/* A last line may lack its end. */
static int
ends_well(int fd, const struct stat *st)
{
	char last;

	return st->st_size == 0 ||
	    (pread(fd, &last, 1, st->st_size - 1) == 1 && last == '\n');
}

int
nr_file_append(int fd, const char *p, size_t len)
{
	struct stat st;
	ssize_t n;
	off_t end;
	int rc;

	while ((n = write(fd, p, len)) < 0 && errno == EINTR)
		;
	if (n == (ssize_t)len)
		return NR_OK;
	rc = n < 0 ? errno : ENOSPC;
	/* No other line is to begin behind half of one. */
	if (n > 0 && (end = lseek(fd, 0, SEEK_CUR)) >= n &&
	    fstat(fd, &st) == 0 && st.st_size == end)
		(void)!ftruncate(fd, end - n);
	return rc;
}

static int
append_line(struct nr_table_file *f, const unsigned char key[32])
{
	char text[66], *line = text + 1;
	size_t len = 65;
	struct stat st;
	int fd, rc, changed;

	nr_hex_encode(line, key, 32);
	line[64] = '\n';
	fd = open(f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno;
	if (fstat(fd, &st) != 0) {
		rc = errno;
		close(fd);
		return rc;
	}
	changed = differs(&st, &f->st);
	if (!ends_well(fd, &st)) {
		*--line = '\n';
		len++;
	}
	rc = nr_file_append(fd, line, len);
	/* What only we have changed need not be read again. */
	if (rc == NR_OK && !changed)
		(void)fstat(fd, &f->st);
	close(fd);
	return rc;
}

int
nr_table_learn(struct nr_table *t, const unsigned char key[32])
{
	int added, rc = NR_OK;

	if (nr_table_has_key(t, key))
		return NR_OK;
	pthread_rwlock_wrlock(&t->lock);
	if (t->learnt == NULL)
		rc = nr_idset_new(&t->learnt, 2 * NR_TABLE_LEARNT_MAX);
	if (rc == NR_OK && t->nfiles > 0)
		rc = append_line(&t->file[0], key);
	if (rc == NR_OK)
		rc = nr_idset_add(t->learnt, key, &added);
	if (rc == NR_OK)
		__atomic_store_n(&t->has_learnt, 1, __ATOMIC_RELAXED);
	pthread_rwlock_unlock(&t->lock);
	return rc;
}
