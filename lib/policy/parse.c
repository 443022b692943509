/*
 * Reading a rules file.
 *
 * A line at a time: `set`, `include`, `table`, or a rule.  After something
 * wrong the next line is read, so that all that is wrong is told at once.
 */
#include "policy/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"
#include "util/number.h"
#include "util/sha256.h"
#include "util/times.h"

#define FILE_MAX_BYTES	((size_t)4 << 20)
#define INCLUDE_DEPTH	8
#define WRONG_MAX	20

/* ---- saying what is wrong -------------------------------------------------- */

void
nr_parse_wrong(struct nr_parser *p, const struct nr_token *at,
    const char *fmt, ...)
{
	char text[300];
	va_list ap;

	if (p->failed_line)
		return;		/* one a line */
	p->failed_line = 1;
	if (p->wrong++ >= WRONG_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->calls->wrong(p->calls->ctx, p->path, at == NULL ? 0 : at->line,
	    at == NULL ? 0 : at->column, text);
}

void
nr_parse_memory(struct nr_parser *p)
{
	p->rc = ENOMEM;
	p->failed_line = 1;
}

/* ---- tokens ------------------------------------------------------------------ */

void
nr_parse_next(struct nr_parser *p)
{
	p->before = (size_t)(p->lexer.p - p->lexer.begin);
	nr_lexer_next(&p->lexer, &p->t);
	if (p->t.type == NR_TOKEN_BAD)
		nr_parse_wrong(p, &p->t, "%.*s", (int)p->t.text.len,
		    p->t.text.p);
}

int
nr_parse_is(const struct nr_parser *p, const char *word)
{
	return p->t.type == NR_TOKEN_WORD && nr_view_is(p->t.text, word);
}

/* Pass over a word if it is this one. */
int
nr_parse_take(struct nr_parser *p, const char *word)
{
	if (!nr_parse_is(p, word))
		return 0;
	nr_parse_next(p);
	return 1;
}

int
nr_parse_at_end(const struct nr_parser *p)
{
	return p->t.type == NR_TOKEN_LINE || p->t.type == NR_TOKEN_END;
}

/* What stands here, for messages. */
const char *
nr_parse_here(const struct nr_parser *p, char out[64])
{
	if (nr_parse_at_end(p))
		return "the end of the line";
	snprintf(out, 64, "\"%.*s\"", p->t.text.len > 50 ? 50 :
	    (int)p->t.text.len, p->t.text.p);
	return out;
}

/* A copy of the word or string here, which is passed over; or NULL. */
char *
nr_parse_text(struct nr_parser *p, const char *what)
{
	char here[64], *s;

	if (p->t.type != NR_TOKEN_WORD && p->t.type != NR_TOKEN_STRING) {
		nr_parse_wrong(p, &p->t, "%s is missing before %s", what,
		    nr_parse_here(p, here));
		return NULL;
	}
	if (memchr(p->t.text.p, '\0', p->t.text.len) != NULL) {
		nr_parse_wrong(p, &p->t, "a NUL in %s", what);
		return NULL;
	}
	if ((s = strndup(p->t.text.p, p->t.text.len)) == NULL)
		nr_parse_memory(p);
	nr_parse_next(p);
	return s;
}

/* The message that a rule may have. */
char *
nr_parse_message(struct nr_parser *p)
{
	if (p->t.type != NR_TOKEN_STRING)
		return NULL;
	if (p->t.text.len >= NR_DECISION_MSG) {
		nr_parse_wrong(p, &p->t, "a message of more than %d bytes",
		    NR_DECISION_MSG - 1);
		return NULL;
	}
	return nr_parse_text(p, "the message");
}

/* A path, as the file that names it would find it. */
char *
nr_parse_path(struct nr_parser *p, const char *what)
{
	char *name = nr_parse_text(p, what), *out = NULL;
	const char *slash = strrchr(p->path, '/');
	int dir = slash == NULL ? 0 : (int)(slash - p->path) + 1;

	if (name == NULL)
		return NULL;
	if (*name == '\0')
		nr_parse_wrong(p, &p->t, "an empty path");
	else if (*name == '/')
		return name;
	else if (asprintf(&out, "%.*s%s", dir, p->path, name) < 0)
		nr_parse_memory(p);
	free(name);
	return out;
}

int
nr_parse_grow(struct nr_parser *p, void *list, size_t n, size_t size)
{
	void **at = list, *more;

	if ((n & (n - 1)) != 0)
		return 1;
	if ((more = realloc(*at, (n == 0 ? 1 : 2 * n) * size)) == NULL) {
		nr_parse_memory(p);
		return 0;
	}
	*at = more;
	return 1;
}

/* ---- tables -------------------------------------------------------------------- */

static struct nr_table *
find_table(const struct nr_parser *p, struct nr_view name)
{
	size_t i;

	for (i = 0; i < p->r->ntables; i++)
		if (p->r->table[i]->name != NULL &&
		    nr_view_is(name, p->r->table[i]->name))
			return p->r->table[i];
	return NULL;
}

/* The rules own it from the start. */
static struct nr_table *
new_table(struct nr_parser *p, enum nr_table_type type, const char *name)
{
	struct nr_table *t;

	if (!nr_parse_grow(p, &p->r->table, p->r->ntables,
	    sizeof(struct nr_table *)))
		return NULL;
	if (nr_table_new(&t, type, name) != NR_OK) {
		nr_parse_memory(p);
		return NULL;
	}
	p->r->table[p->r->ntables++] = t;
	return t;
}

static void
add_item(struct nr_parser *p, struct nr_table *t)
{
	static const char *const one[NR_TABLE_NTYPES] = {
		[NR_TABLE_KEYS] = "a key (64 hexadecimal digits, npub, note)",
		[NR_TABLE_KINDS] = ("a kind (5, 5-7, regular, replaceable, "
		    "ephemeral, addressable, confidential)"),
		[NR_TABLE_NETWORKS] = "a network (10.0.0.0/8, 2001:db8::/32)",
		[NR_TABLE_WORDS] = "a word or phrase",
		[NR_TABLE_VALUES] = "a value"
	};
	struct nr_token at = p->t;
	char here[64], *item;
	int rc;

	nr_parse_here(p, here);
	if ((item = nr_parse_text(p, one[t->type])) == NULL)
		return;
	if ((rc = nr_table_add(t, item)) == ENOMEM)
		nr_parse_memory(p);
	else if (rc != NR_OK)
		nr_parse_wrong(p, &at, "%s is not %s", here, one[t->type]);
	free(item);
}

static void
add_braces(struct nr_parser *p, struct nr_table *t)
{
	struct nr_token open = p->t;

	nr_parse_next(p);
	while (!p->failed_line && p->t.type != NR_TOKEN_CLOSE) {
		if (p->t.type == NR_TOKEN_END)
			nr_parse_wrong(p, &open, "{ without }");
		else
			add_item(p, t);
	}
	if (!p->failed_line)
		nr_parse_next(p);
}

static void
seal(struct nr_parser *p, struct nr_table *t)
{
	int rc = p->failed_line ? NR_OK : nr_table_seal(t);

	if (rc == ENOMEM)
		nr_parse_memory(p);
	else if (rc != NR_OK)
		nr_parse_wrong(p, &p->t, "so many %s: %s",
		    nr_table_type_name(t->type), nr_strerror(rc));
}

/* A named table, { items }, or one item. */
struct nr_table *
nr_parse_set(struct nr_parser *p, enum nr_table_type type)
{
	struct nr_table *t;

	if (p->t.type == NR_TOKEN_TABLE) {
		t = find_table(p, p->t.text);
		if (t == NULL)
			nr_parse_wrong(p, &p->t, "no table <%.*s> above",
			    (int)p->t.text.len, p->t.text.p);
		else if (t->type != type)
			nr_parse_wrong(p, &p->t, "<%s> is a table of %s, not "
			    "of %s", t->name, nr_table_type_name(t->type),
			    nr_table_type_name(type));
		nr_parse_next(p);
		return p->failed_line ? NULL : t;
	}
	if ((t = new_table(p, type, NULL)) == NULL)
		return NULL;
	if (p->t.type == NR_TOKEN_OPEN)
		add_braces(p, t);
	else
		add_item(p, t);
	seal(p, t);
	return p->failed_line ? NULL : t;
}

/* Of a table that tag values are compared with, whatever its type. */
struct nr_table *
nr_parse_tag_set(struct nr_parser *p)
{
	struct nr_table *t;

	if (p->t.type == NR_TOKEN_TABLE &&
	    (t = find_table(p, p->t.text)) != NULL &&
	    (t->type == NR_TABLE_KEYS || t->type == NR_TABLE_WORDS)) {
		nr_parse_next(p);
		return t;
	}
	return nr_parse_set(p, NR_TABLE_VALUES);
}

static int
type_of(const struct nr_parser *p, enum nr_table_type *out)
{
	unsigned i;

	for (i = 0; i < NR_TABLE_NTYPES; i++)
		if (nr_parse_is(p, nr_table_type_name(i))) {
			*out = i;
			return 1;
		}
	return 0;
}

static void
add_file(struct nr_parser *p, struct nr_table *t)
{
	struct nr_token at;
	uint64_t lineno;
	char *path;
	int rc;

	nr_parse_next(p);
	at = p->t;
	if ((path = nr_parse_path(p, "the file's name")) == NULL)
		return;
	rc = nr_table_add_file(t, path, &lineno);
	if (rc == ENOMEM)
		nr_parse_memory(p);
	else if (rc == NR_EINVAL)
		nr_parse_wrong(p, &at, "%s:%llu: not one of %s", path,
		    (unsigned long long)lineno, nr_table_type_name(t->type));
	else if (rc != NR_OK)
		nr_parse_wrong(p, &at, "%s: %s", path, nr_strerror(rc));
	free(path);
}

/* table <name> TYPE [file "path"] [{ ... }] ... */
static void
read_table(struct nr_parser *p)
{
	enum nr_table_type type;
	struct nr_table *t;
	char here[64], *name;

	if (p->t.type != NR_TOKEN_TABLE) {
		nr_parse_wrong(p, &p->t, "table <name> is missing before %s",
		    nr_parse_here(p, here));
		return;
	}
	if (find_table(p, p->t.text) != NULL) {
		nr_parse_wrong(p, &p->t, "there is a table <%.*s> already",
		    (int)p->t.text.len, p->t.text.p);
		return;
	}
	if ((name = strndup(p->t.text.p, p->t.text.len)) == NULL) {
		nr_parse_memory(p);
		return;
	}
	nr_parse_next(p);
	if (!type_of(p, &type))
		nr_parse_wrong(p, &p->t, "keys, kinds, networks, words or "
		    "values is missing before %s", nr_parse_here(p, here));
	else if ((t = new_table(p, type, name)) != NULL) {
		nr_parse_next(p);
		while (!p->failed_line && !nr_parse_at_end(p)) {
			if (nr_parse_is(p, "file"))
				add_file(p, t);
			else if (p->t.type == NR_TOKEN_OPEN)
				add_braces(p, t);
			else
				nr_parse_wrong(p, &p->t, "file \"path\" or "
				    "{ items } is missing before %s",
				    nr_parse_here(p, here));
		}
		seal(p, t);
	}
	free(name);
}

/* ---- settings ---------------------------------------------------------------------- */

int64_t
nr_parse_duration(struct nr_parser *p)
{
	struct nr_token at = p->t;
	char *text = nr_parse_text(p, "a time (90s, 15m, 2h, 3d, 1w)");
	int64_t ms = 0;

	if (text != NULL && !nr_duration_parse(&ms, text))
		nr_parse_wrong(p, &at, "\"%s\" is not a time (90s, 15m, 2h, "
		    "3d, 1w)", text);
	free(text);
	return ms;
}

static uint64_t
read_size(struct nr_parser *p)
{
	struct nr_token at = p->t;
	char *text = nr_parse_text(p, "a size (64K, 16M, 1G)");
	const char *s = text;
	uint64_t n = 0;

	if (text != NULL && (nr_number_read(&s, "KMG", &n) != 1 ||
	    *s != '\0' || n > INT64_MAX))
		nr_parse_wrong(p, &at, "\"%s\" is not a size (64K, 16M, 1G)",
		    text);
	free(text);
	return n;
}

static void
set_default(struct nr_parser *p)
{
	struct nr_rules *r = p->r;
	char here[64];

	if (nr_parse_take(p, "accept")) {
		r->otherwise = NR_ACCEPT;
		return;
	}
	if (nr_parse_take(p, "shadow"))
		r->otherwise = NR_SHADOW_REJECT;
	else if (nr_parse_take(p, "reject"))
		r->otherwise = NR_REJECT;
	else {
		nr_parse_wrong(p, &p->t, "accept, reject or shadow is missing "
		    "before %s", nr_parse_here(p, here));
		return;
	}
	free(r->otherwise_msg);
	r->otherwise_msg = nr_parse_message(p);
}

#define STATE_MIN	((uint64_t)64 << 10)
#define STATE_MAX	((uint64_t)16 << 30)

static void
set_state(struct nr_parser *p)
{
	struct nr_token at = p->t;
	struct nr_rules *r = p->r;

	free(r->state_path);
	r->state_path = nr_parse_path(p, "the file's name");
	if (p->failed_line || nr_parse_at_end(p))
		return;
	r->state_size = read_size(p);
	if (r->state_size < STATE_MIN || r->state_size > STATE_MAX)
		nr_parse_wrong(p, &at, "state takes from 64K to 16G");
}

static void
read_setting(struct nr_parser *p)
{
	struct nr_token at = p->t;
	char here[64];

	if (nr_parse_take(p, "default"))
		set_default(p);
	else if (nr_parse_take(p, "state"))
		set_state(p);
	else if (nr_parse_take(p, "hold-max"))
		p->r->hold_max = (int64_t)read_size(p);
	else if (nr_parse_take(p, "timeout")) {
		p->r->timeout = nr_parse_duration(p);
		if (!p->failed_line && (p->r->timeout < 10 ||
		    p->r->timeout > 600000))
			nr_parse_wrong(p, &at, "timeout takes from 10ms to "
			    "10m");
	} else
		nr_parse_wrong(p, &p->t, "no setting: %s (default, hold-max, "
		    "state, timeout)", nr_parse_here(p, here));
}

/* ---- a file ------------------------------------------------------------------------- */

static void read_rules(struct nr_parser *p);

static int
read_all(int fd, struct nr_buf *b)
{
	ssize_t n;

	for (;;) {
		if (nr_buf_reserve(b, 65536) != NR_OK)
			return ENOMEM;
		if ((n = read(fd, b->p + b->len, 65536)) == 0)
			return NR_OK;
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0)
			b->len += (size_t)n;
		if (b->len > FILE_MAX_BYTES)
			return EFBIG;
	}
}

static int
load(struct nr_parser *p, const char *path, struct nr_buf *b)
{
	struct nr_rules_file *f;
	int fd, rc;

	if (!nr_parse_grow(p, &p->r->file, p->r->nfiles, sizeof(*f)))
		return ENOMEM;
	f = &p->r->file[p->r->nfiles];
	memset(f, 0, sizeof(*f));
	if ((f->path = strdup(path)) == NULL)
		return ENOMEM;
	p->r->nfiles++;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno;
	rc = fstat(fd, &f->st) != 0 ? errno : read_all(fd, b);
	close(fd);
	return rc;
}

static void
read_include(struct nr_parser *p)
{
	struct nr_parser inner;
	struct nr_buf b = { 0 };
	struct nr_token at = p->t;
	char *path;
	int rc;

	if ((path = nr_parse_path(p, "the file's name")) == NULL)
		return;
	if (p->depth == INCLUDE_DEPTH)
		nr_parse_wrong(p, &at, "more than %d files, one in another",
		    INCLUDE_DEPTH);
	else if ((rc = load(p, path, &b)) == ENOMEM)
		nr_parse_memory(p);
	else if (rc != NR_OK)
		nr_parse_wrong(p, &at, "%s: %s", path, nr_strerror(rc));
	else {
		inner = *p;
		inner.path = path;
		inner.depth++;
		nr_lexer_init(&inner.lexer, b.p, b.len);
		read_rules(&inner);
		p->wrong = inner.wrong;
		p->rc = inner.rc;
	}
	nr_buf_free(&b);
	free(path);
}

static void
read_line(struct nr_parser *p)
{
	char here[64];

	if (nr_parse_take(p, "set"))
		read_setting(p);
	else if (nr_parse_take(p, "table"))
		read_table(p);
	else if (nr_parse_take(p, "include"))
		read_include(p);
	else
		nr_parse_rule(p);
	if (!p->failed_line && !nr_parse_at_end(p))
		nr_parse_wrong(p, &p->t, "%s stands behind the end",
		    nr_parse_here(p, here));
}

static void
read_rules(struct nr_parser *p)
{
	for (;;) {
		p->failed_line = 0;
		nr_parse_next(p);
		if (p->t.type == NR_TOKEN_END || p->rc != NR_OK)
			break;
		if (p->t.type == NR_TOKEN_LINE)
			continue;
		if (!p->failed_line)
			read_line(p);
		if (p->t.type == NR_TOKEN_END)
			break;
		if (p->failed_line && p->t.type != NR_TOKEN_LINE)
			nr_lexer_skip_line(&p->lexer);
	}
	nr_lexer_free(&p->lexer);
}

/*
 * What an event teaches holds from the next one on: a condition on a table
 * that learns has to be asked in order.
 */
static void
mark_learning(struct nr_rules *r)
{
	size_t i, k, c;

	for (i = 0; i < r->nrules; i++)
		for (k = 0; r->rule[i].verb == NR_VERB_LEARN &&
		    k < r->nrules; k++)
			for (c = 0; c < r->rule[k].nconds; c++)
				if (r->rule[k].cond[c].table ==
				    r->rule[i].table)
					r->rule[k].cond[c].order =
					    r->rule[k].order = 1;
}

/* ---- the whole ------------------------------------------------------------------------ */

static void
free_rule(struct nr_rule *rule)
{
	size_t i;

	for (i = 0; i < rule->nconds; i++) {
		free(rule->cond[i].name);
		if (rule->cond[i].filter != NULL)
			nr_filter_free(rule->cond[i].filter);
		free(rule->cond[i].filter);
	}
	free(rule->cond);
	free(rule->message);
	free(rule->label);
	free(rule->path);
	free(rule->command);
	free(rule->place);
	free(rule->text);
}

static void
unref_state(struct nr_kept_state *k)
{
	if (k == NULL || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	nr_state_close(k->state);
	free(k->path);
	free(k);
}

void
nr_rules_free(struct nr_rules *r)
{
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < r->nrules; i++)
		free_rule(&r->rule[i]);
	free(r->rule);
	for (i = 0; i < r->ntables; i++)
		nr_table_free(r->table[i]);
	free(r->table);
	for (i = 0; i < r->njq; i++)
		free(r->jq[i]);
	free(r->jq);
	for (i = 0; i < r->ncommands; i++)
		free(r->command[i]);
	free(r->command);
	for (i = 0; i < r->nfiles; i++)
		free(r->file[i].path);
	free(r->file);
	free(r->otherwise_msg);
	free(r->state_path);
	unref_state(r->kept);
	free(r);
}

uint64_t
nr_rules_changes(const struct nr_rules *r)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < r->nfiles; i++)
		sum = sum * 31 + nr_file_changes(r->file[i].path,
		    &r->file[i].st);
	for (i = 0; i < r->ntables; i++)
		sum = sum * 31 + nr_table_changes(r->table[i]);
	return sum;
}

static int
is_same_state(const struct nr_kept_state *k, const char *path, uint64_t size)
{
	return k->size == size && (path == NULL ? k->path == NULL :
	    k->path != NULL && strcmp(k->path, path) == 0);
}

/* A file that is there but of another size forgets all it knew. */
static int
forgets(const char *path, uint64_t size)
{
	struct stat st;

	return path != NULL && stat(path, &st) == 0 && st.st_size > 0 &&
	    (uint64_t)st.st_size != size / 4096 * 4096;
}

static int
new_state(struct nr_parser *p, const char *path, int dry)
{
	int rc, forgotten = forgets(path, p->r->state_size);
	struct nr_kept_state *k;

	if ((k = calloc(1, sizeof(*k))) == NULL)
		return ENOMEM;
	k->refs = 1;
	k->size = p->r->state_size;
	if (path != NULL && (k->path = strdup(path)) == NULL)
		rc = ENOMEM;
	else
		rc = nr_state_open(&k->state, path, (size_t)k->size, dry,
		    NULL);
	p->r->kept = k;		/* freed with the rules */
	if (rc == NR_OK && forgotten)
		p->calls->wrong(p->calls->ctx, path, 0, 0, "is of another "
		    "size than before: what it knew is forgotten");
	if (rc == NR_OK || rc == ENOMEM)
		return rc;
	p->failed_line = 0;
	nr_parse_wrong(p, NULL, "%s: %s", path, rc == EEXIST ?
	    "is something else than the state of a policy" :
	    nr_strerror(rc));
	return NR_EINVAL;
}

static int
open_state(struct nr_parser *p, const struct nr_rules *before, int dry)
{
	struct nr_rules *r = p->r;
	int rc = NR_OK;

	if (before != NULL && is_same_state(before->kept, r->state_path,
	    r->state_size)) {
		__atomic_add_fetch(&before->kept->refs, 1, __ATOMIC_RELAXED);
		r->kept = before->kept;
	} else
		rc = new_state(p, r->state_path, dry);
	r->state = r->kept == NULL ? NULL : r->kept->state;
	return rc;
}

int
nr_rules_read(struct nr_rules **out, const char *path,
    const struct nr_rules *before, int dry,
    const struct nr_rules_calls *calls)
{
	struct nr_parser p = { .calls = calls, .path = path };
	struct nr_buf b = { 0 };
	int rc;

	if ((p.r = calloc(1, sizeof(*p.r))) == NULL)
		return ENOMEM;
	p.r->calls = *calls;
	p.r->hold_max = (int64_t)100 << 20;
	p.r->timeout = 5000;
	p.r->state_size = (uint64_t)16 << 20;
	if ((rc = load(&p, path, &b)) == NR_OK) {
		nr_lexer_init(&p.lexer, b.p, b.len);
		read_rules(&p);
		rc = p.rc != NR_OK ? p.rc : p.wrong > 0 ? NR_EINVAL : NR_OK;
		mark_learning(p.r);
	} else if (rc != ENOMEM) {
		nr_parse_wrong(&p, NULL, "%s", nr_strerror(rc));
		rc = NR_EINVAL;
	}
	nr_buf_free(&b);
	if (rc == NR_OK)
		rc = open_state(&p, before, dry);
	if (rc != NR_OK) {
		nr_rules_free(p.r);
		return rc;
	}
	*out = p.r;
	return NR_OK;
}

/* ---- for reports ----------------------------------------------------------------------- */

size_t
nr_rules_count(const struct nr_rules *r)
{
	return r->nrules;
}

const struct nr_rule *
nr_rules_at(const struct nr_rules *r, size_t i)
{
	return &r->rule[i];
}

const char *
nr_rules_command(const struct nr_rules *r, size_t i)
{
	return r->command[i];
}

int
nr_rules_run(const struct nr_rules *r, const char *command, int64_t timeout)
{
	const struct nr_rule *rule;
	size_t i, k;

	for (i = 0; i < r->nrules; i++) {
		rule = &r->rule[i];
		for (k = 0; k < rule->ncommands; k++)
			if (rule->timeout == timeout &&
			    strcmp(r->command[rule->command[k]], command) == 0)
				return 1;
	}
	return 0;
}

const char *
nr_rule_place(const struct nr_rule *rule)
{
	return rule->label != NULL ? rule->label : rule->place;
}

const char *
nr_rule_text(const struct nr_rule *rule)
{
	return rule->text;
}

const char *
nr_rule_message(const struct nr_rule *rule)
{
	return rule->message;
}
