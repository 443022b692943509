/*
 * Reading a rule: what it does, and on what conditions.
 */
#include "policy/parse.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"
#include "util/number.h"
#include "util/sha256.h"

#define COMMANDS_MAX	8	/* that one rule asks at once */
#define WEIGHT_MAX	1000000

static const char *const ask_name[] = {
	[NR_ASK_NEW] = "write", [NR_ASK_REQ] = "read",
	[NR_ASK_CONNECT] = "connect"
};
#define ASK(a)		NR_ASK_BIT(a)
#define ANY_ASK		(ASK(NR_ASK_NEW) | ASK(NR_ASK_REQ) | ASK(NR_ASK_CONNECT))
#define READ_OR_WRITE	(ASK(NR_ASK_NEW) | ASK(NR_ASK_REQ))
#define WRITE		ASK(NR_ASK_NEW)

/* ---- numbers ----------------------------------------------------------------- */

enum unit { UNIT_NONE, UNIT_SIZE, UNIT_TIME, UNIT_PERCENT };

static const struct quantity {
	const char		*name;
	enum nr_quantity	 what;
	enum unit		 unit;
	unsigned		 asks;
	int			 order;
} quantities[] = {
	{ "size", NR_OF_SIZE, UNIT_SIZE, WRITE, 0 },
	{ "content", NR_OF_CONTENT, UNIT_SIZE, WRITE, 0 },
	{ "plain", NR_OF_PLAIN, UNIT_SIZE, WRITE, 0 },
	{ "tags", NR_OF_TAGS, UNIT_NONE, WRITE, 0 },
	{ "links", NR_OF_LINKS, UNIT_NONE, WRITE, 0 },
	{ "mentions", NR_OF_MENTIONS, UNIT_NONE, WRITE, 0 },
	{ "hashtags", NR_OF_HASHTAGS, UNIT_NONE, WRITE, 0 },
	{ "caps", NR_OF_CAPS, UNIT_PERCENT, WRITE, 0 },
	{ "duplicates", NR_OF_DUPLICATES, UNIT_NONE, WRITE, 1 },
	{ "pow", NR_OF_POW, UNIT_NONE, WRITE, 0 },
	{ "age", NR_OF_AGE, UNIT_TIME, WRITE, 0 },
	{ "future", NR_OF_FUTURE, UNIT_TIME, WRITE, 0 },
	{ "expires", NR_OF_EXPIRES, UNIT_TIME, WRITE, 0 },
	{ "score", NR_OF_SCORE, UNIT_NONE, ANY_ASK, 0 },
	{ "filters", NR_OF_FILTERS, UNIT_NONE, ASK(NR_ASK_REQ), 0 }
};

static int
read_compare(struct nr_parser *p, enum nr_compare *out)
{
	static const char *const name[] = { [NR_LT] = "<", [NR_LE] = "<=",
	    [NR_GT] = ">", [NR_GE] = ">=", [NR_EQ] = "=", [NR_NE] = "!=" };
	char here[64];
	unsigned i;

	for (i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		if (p->t.type == NR_TOKEN_COMPARE &&
		    nr_view_is(p->t.text, name[i])) {
			*out = i;
			nr_parse_next(p);
			return 1;
		}
	nr_parse_wrong(p, &p->t, "< <= > >= = or != is missing before %s",
	    nr_parse_here(p, here));
	return 0;
}

/* A number in its unit: bytes or characters, seconds, percent. */
static int64_t
read_amount(struct nr_parser *p, enum unit unit)
{
	static const char *const wanted[] = { "a number", "a number (64, 64K)",
	    "a time (90s, 15m, 2h, 3d, 1w)", "a percentage (80%)" };
	struct nr_token at = p->t;
	char *text;
	const char *s;
	int64_t out = 0;
	uint64_t n;
	int minus, ok;

	if (unit == UNIT_TIME)
		return nr_parse_duration(p) / 1000;
	if ((s = text = nr_parse_text(p, wanted[unit])) == NULL)
		return 0;
	minus = *s == '-';
	s += minus;
	ok = nr_number_read(&s, unit == UNIT_SIZE ? "KMG" : "", &n) == 1 &&
	    n <= INT64_MAX;
	if (ok && unit == UNIT_PERCENT && *s == '%')
		s++;
	if (!ok || *s != '\0')
		nr_parse_wrong(p, &at, "\"%s\" is not %s", text, wanted[unit]);
	else
		out = minus ? -(int64_t)n : (int64_t)n;
	free(text);
	return out;
}

static void
read_quantity(struct nr_parser *p, struct nr_cond *c, const struct quantity *q)
{
	c->test = NR_TEST_NUMBER;
	c->quantity = q->what;
	c->order = q->order;
	if (q->what == NR_OF_TAGS && p->t.type != NR_TOKEN_COMPARE)
		c->name = nr_parse_text(p, "a tag's name, or a comparison,");
	if (p->failed_line || !read_compare(p, &c->compare))
		return;
	c->number = read_amount(p, q->unit);
	c->within = 3600;
	if (q->what == NR_OF_DUPLICATES && !p->failed_line &&
	    nr_parse_take(p, "within"))
		c->within = nr_parse_duration(p) / 1000;
}

/* ---- conditions of their own shape ----------------------------------------------- */

static void
read_table_of(struct nr_parser *p, struct nr_cond *c, enum nr_table_type type)
{
	c->table = nr_parse_set(p, type);
}

static void
read_auth(struct nr_parser *p, struct nr_cond *c)
{
	if (nr_parse_take(p, "any"))
		c->test = NR_TEST_AUTH_ANY;
	else if (nr_parse_take(p, "author"))
		c->test = NR_TEST_AUTH_AUTHOR;
	else
		read_table_of(p, c, NR_TABLE_KEYS);
}

/* tag NAME, or tag NAME VALUES. */
static void
read_tag(struct nr_parser *p, struct nr_cond *c)
{
	if ((c->name = nr_parse_text(p, "a tag's name")) == NULL)
		return;
	if (p->t.type == NR_TOKEN_STRING || p->t.type == NR_TOKEN_TABLE ||
	    p->t.type == NR_TOKEN_OPEN)
		c->table = nr_parse_tag_set(p);
}

static const char *const source_name[] = {
	[NR_FROM_IP4] = "ip4", [NR_FROM_IP6] = "ip6",
	[NR_FROM_IMPORT] = "import", [NR_FROM_STREAM] = "stream",
	[NR_FROM_SYNC] = "sync", [NR_FROM_STORED] = "stored",
	[NR_FROM_UNKNOWN] = "unknown"
};

enum nr_source
nr_rules_source(struct nr_view name)
{
	unsigned i;

	for (i = 0; i < NR_SOURCES; i++)
		if (nr_view_is(name, source_name[i]))
			break;
	return i;
}

static void
read_source(struct nr_parser *p, struct nr_cond *c)
{
	int braces = p->t.type == NR_TOKEN_OPEN;
	char here[64];
	unsigned i;

	if (braces)
		nr_parse_next(p);
	do {
		i = p->t.type == NR_TOKEN_WORD ?
		    nr_rules_source(p->t.text) : NR_SOURCES;
		if (i == NR_SOURCES) {
			nr_parse_wrong(p, &p->t, "no source: %s (ip4, ip6, "
			    "import, stream, sync, stored, unknown)",
			    nr_parse_here(p, here));
			return;
		}
		c->sources |= 1u << i;
		nr_parse_next(p);
	} while (braces && !p->failed_line && p->t.type != NR_TOKEN_CLOSE);
	if (braces && !p->failed_line)
		nr_parse_next(p);
}

static void
read_filter(struct nr_parser *p, struct nr_cond *c)
{
	struct nr_token at = p->t;
	const char *why = NULL;
	char *text;

	if ((text = nr_parse_text(p, "a filter")) == NULL)
		return;
	if ((c->filter = calloc(1, sizeof(*c->filter))) == NULL ||
	    nr_filter_parse(c->filter, text, strlen(text),
	    &nr_filter_limits_none, &why) != NR_OK)
		nr_parse_memory(p);
	else if (why != NULL)
		nr_parse_wrong(p, &at, "the filter: %s", why);
	free(text);
}

/* The expression is compiled once to see that it can be. */
static void
read_jq(struct nr_parser *p, struct nr_cond *c)
{
	struct nr_token at = p->t;
	struct nr_jq *jq;
	char why[200], *text;
	int rc;

	if (!nr_parse_grow(p, &p->r->jq, p->r->njq, sizeof(char *)) ||
	    (text = nr_parse_text(p, "an expression")) == NULL)
		return;
	if ((rc = nr_jq_new(&jq, text, why, sizeof(why))) == NR_OK) {
		nr_jq_free(jq);
		c->jq = p->r->njq;
		p->r->jq[p->r->njq++] = text;
		return;
	}
	if (rc == ENOMEM)
		nr_parse_memory(p);
	else
		nr_parse_wrong(p, &at, "jq: %s", why);
	free(text);
}

/* new, or new TIME: first seen less than that ago. */
static void
read_new(struct nr_parser *p, struct nr_cond *c)
{
	p->r->learns_authors = 1;
	c->order = 1;
	if (p->t.type == NR_TOKEN_WORD && p->t.text.len > 0 &&
	    *p->t.text.p >= '0' && *p->t.text.p <= '9')
		c->number = nr_parse_duration(p) / 1000;
}

static void
read_keys(struct nr_parser *p, struct nr_cond *c)
{
	read_table_of(p, c, NR_TABLE_KEYS);
}

static void
read_kinds(struct nr_parser *p, struct nr_cond *c)
{
	read_table_of(p, c, NR_TABLE_KINDS);
}

static void
read_networks(struct nr_parser *p, struct nr_cond *c)
{
	read_table_of(p, c, NR_TABLE_NETWORKS);
}

static void
read_words(struct nr_parser *p, struct nr_cond *c)
{
	read_table_of(p, c, NR_TABLE_WORDS);
}

static void
read_values(struct nr_parser *p, struct nr_cond *c)
{
	read_table_of(p, c, NR_TABLE_VALUES);
}

static const struct condition {
	const char	*name;
	enum nr_test	 test;
	unsigned	 asks;
	void		(*read)(struct nr_parser *p, struct nr_cond *c);
} conditions[] = {
	{ "all", NR_TEST_ALL, ANY_ASK, NULL },
	{ "kind", NR_TEST_KIND, READ_OR_WRITE, read_kinds },
	{ "author", NR_TEST_AUTHOR, READ_OR_WRITE, read_keys },
	{ "id", NR_TEST_ID, READ_OR_WRITE, read_keys },
	{ "auth", NR_TEST_AUTH, READ_OR_WRITE, read_auth },
	{ "tag", NR_TEST_TAG, READ_OR_WRITE, read_tag },
	{ "ip", NR_TEST_IP, ANY_ASK, read_networks },
	{ "source", NR_TEST_SOURCE, ANY_ASK, read_source },
	{ "verb", NR_TEST_VERB, ASK(NR_ASK_REQ), read_values },
	{ "protected", NR_TEST_PROTECTED, WRITE, NULL },
	{ "nsec", NR_TEST_NSEC, WRITE, NULL },
	{ "open", NR_TEST_OPEN, ASK(NR_ASK_REQ), NULL },
	{ "text", NR_TEST_TEXT, WRITE, read_words },
	{ "filter", NR_TEST_FILTER, WRITE, read_filter },
	{ "jq", NR_TEST_JQ, READ_OR_WRITE, read_jq },
	{ "new", NR_TEST_NEW, WRITE, read_new }
};
#define NCONDITIONS	(sizeof(conditions) / sizeof(conditions[0]))
#define NQUANTITIES	(sizeof(quantities) / sizeof(quantities[0]))

static const struct condition *
find_condition(const struct nr_parser *p)
{
	size_t i;

	for (i = 0; i < NCONDITIONS; i++)
		if (nr_parse_is(p, conditions[i].name))
			return &conditions[i];
	return NULL;
}

static const struct quantity *
find_quantity(const struct nr_parser *p)
{
	size_t i;

	for (i = 0; i < NQUANTITIES; i++)
		if (nr_parse_is(p, quantities[i].name))
			return &quantities[i];
	return NULL;
}

/* Can every request that the rule is for be asked this? */
static void
check_asks(struct nr_parser *p, const struct nr_rule *rule,
    const struct nr_token *at, const char *name, unsigned asks)
{
	unsigned i;

	for (i = 0; i < NR_ASKS; i++)
		if (rule->asks & ~asks & ASK(i)) {
			nr_parse_wrong(p, at, "%s says nothing of a %s", name,
			    ask_name[i]);
			return;
		}
}

static void
read_condition(struct nr_parser *p, struct nr_rule *rule)
{
	const struct condition *c;
	const struct quantity *q;
	struct nr_cond *out;
	struct nr_token at;
	char here[64];
	int negate;

	if (!nr_parse_grow(p, &rule->cond, rule->nconds, sizeof(*out)))
		return;
	out = &rule->cond[rule->nconds++];
	memset(out, 0, sizeof(*out));
	negate = nr_parse_take(p, "not");
	at = p->t;
	if ((c = find_condition(p)) != NULL) {
		out->test = c->test;
		check_asks(p, rule, &at, c->name, c->asks);
		nr_parse_next(p);
		if (c->read != NULL && !p->failed_line)
			c->read(p, out);
	} else if ((q = find_quantity(p)) != NULL) {
		check_asks(p, rule, &at, q->name, q->asks);
		nr_parse_next(p);
		if (!p->failed_line)
			read_quantity(p, out, q);
	} else
		nr_parse_wrong(p, &p->t, "no condition: %s",
		    nr_parse_here(p, here));
	out->negate = negate;
}

/* ---- what a rule does ---------------------------------------------------------------- */

static void
read_limit(struct nr_parser *p, struct nr_rule *rule)
{
	static const struct {
		const char *name;
		unsigned by, asks;
	} keys[] = { { "ip", NR_BY_IP, ANY_ASK }, { "net", NR_BY_NET, ANY_ASK },
	    { "author", NR_BY_AUTHOR, WRITE }, { "auth", NR_BY_AUTH,
	    READ_OR_WRITE }, { "kind", NR_BY_KIND, WRITE } };
	struct nr_token at = p->t;
	char here[64], *text, *burst = NULL, *both = NULL;
	size_t i;

	text = nr_parse_text(p, "a rate (20/min)");
	if (text != NULL && nr_parse_take(p, "burst"))
		burst = nr_parse_text(p, "a number");
	if (!p->failed_line && asprintf(&both, "%s%s%s", text, burst == NULL ?
	    "" : " burst ", burst == NULL ? "" : burst) < 0)
		nr_parse_memory(p);
	if (!p->failed_line && (!nr_rate_parse(&rule->rate, both) ||
	    rule->rate.count == 0))
		nr_parse_wrong(p, &at, "\"%s\" is not a rate (20/s, 100/10min, "
		    "5/h burst 10)", both);
	free(both);
	free(burst);
	free(text);
	if (p->failed_line || !nr_parse_take(p, "by"))
		return;
	do {
		for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			if (nr_parse_is(p, keys[i].name))
				break;
		if (i == sizeof(keys) / sizeof(keys[0])) {
			nr_parse_wrong(p, &p->t, "ip, net, author, auth or "
			    "kind is missing before %s",
			    nr_parse_here(p, here));
			return;
		}
		check_asks(p, rule, &p->t, keys[i].name, keys[i].asks);
		rule->by |= keys[i].by;
		nr_parse_next(p);
	} while (!p->failed_line && nr_parse_take(p, "and"));
}

static void
read_score(struct nr_parser *p, struct nr_rule *rule)
{
	struct nr_token at = p->t;

	rule->weight = read_amount(p, UNIT_NONE);
	if (!p->failed_line && (rule->weight == 0 ||
	    rule->weight > WEIGHT_MAX || rule->weight < -WEIGHT_MAX))
		nr_parse_wrong(p, &at, "score takes from 1 to %d, or less than "
		    "0", WEIGHT_MAX);
}

/* A file that is to be written to is in a folder that is there. */
static void
check_folder(struct nr_parser *p, const struct nr_token *at, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL ? strdup(".") :
	    strndup(path, (size_t)(slash - path) + 1);

	if (folder == NULL)
		nr_parse_memory(p);
	else if (access(folder, W_OK | X_OK) != 0)
		nr_parse_wrong(p, at, "%s: %s", path, nr_strerror(errno));
	free(folder);
}

static void
read_hold(struct nr_parser *p, struct nr_rule *rule)
{
	struct nr_token at = p->t;

	check_asks(p, rule, &at, "hold", WRITE);
	rule->path = nr_parse_path(p, "the file's name");
	if (rule->path != NULL)
		check_folder(p, &at, rule->path);
}

/* learn author <table>, learn tags <table> */
static void
read_learn(struct nr_parser *p, struct nr_rule *rule)
{
	struct nr_token at = p->t;
	char here[64];

	check_asks(p, rule, &at, "learn", WRITE);
	if (nr_parse_take(p, "tags"))
		rule->learn_tags = 1;
	else if (!nr_parse_take(p, "author")) {
		nr_parse_wrong(p, &p->t, "author or tags is missing before %s",
		    nr_parse_here(p, here));
		return;
	}
	at = p->t;
	if (at.type != NR_TOKEN_TABLE) {
		nr_parse_wrong(p, &at, "a table is missing before %s",
		    nr_parse_here(p, here));
		return;
	}
	rule->table = nr_parse_set(p, NR_TABLE_KEYS);
	if (rule->table != NULL && rule->table->nfiles == 0)
		nr_parse_wrong(p, &at, "<%s> has no file to learn into",
		    rule->table->name);
}

/* The same command is one process, whatever rules name it. */
static void
add_command(struct nr_parser *p, struct nr_rule *rule)
{
	struct nr_rules *r = p->r;
	char *text;
	size_t i;

	if (p->t.type != NR_TOKEN_STRING) {
		nr_parse_wrong(p, &p->t, "exec takes \"a command\"");
		return;
	}
	if (rule->ncommands == COMMANDS_MAX) {
		nr_parse_wrong(p, &p->t, "more than %d commands", COMMANDS_MAX);
		return;
	}
	if (!nr_parse_grow(p, &r->command, r->ncommands, sizeof(char *)) ||
	    !nr_parse_grow(p, &rule->command, rule->ncommands,
	    sizeof(size_t)) || (text = nr_parse_text(p, "a command")) == NULL)
		return;
	for (i = 0; i < r->ncommands; i++)
		if (strcmp(r->command[i], text) == 0)
			break;
	rule->command[rule->ncommands++] = i;
	if (i < r->ncommands)
		free(text);
	else
		r->command[r->ncommands++] = text;
}

static void
read_exec(struct nr_parser *p, struct nr_rule *rule)
{
	struct nr_token at;

	rule->timeout = p->r->timeout;
	if (p->t.type == NR_TOKEN_OPEN) {
		nr_parse_next(p);
		while (!p->failed_line && p->t.type != NR_TOKEN_CLOSE)
			add_command(p, rule);
		if (!p->failed_line)
			nr_parse_next(p);
	} else
		add_command(p, rule);
	if (p->failed_line || !nr_parse_take(p, "timeout"))
		return;
	at = p->t;
	rule->timeout = nr_parse_duration(p);
	if (!p->failed_line && (rule->timeout < 10 || rule->timeout > 600000))
		nr_parse_wrong(p, &at, "timeout takes from 10ms to 10m");
}

static const struct action {
	const char	*name;
	enum nr_verb	 verb;
	int		 order;		/* it counts, writes or asks */
	int		 message;	/* it may have one */
	void		(*read)(struct nr_parser *p, struct nr_rule *rule);
} actions[] = {
	{ "accept", NR_VERB_ACCEPT, 0, 0, NULL },
	{ "reject", NR_VERB_REJECT, 0, 1, NULL },
	{ "shadow", NR_VERB_SHADOW, 0, 0, NULL },
	{ "limit", NR_VERB_LIMIT, 1, 1, read_limit },
	{ "score", NR_VERB_SCORE, 0, 0, read_score },
	{ "log", NR_VERB_LOG, 1, 1, NULL },
	{ "hold", NR_VERB_HOLD, 1, 1, read_hold },
	{ "learn", NR_VERB_LEARN, 1, 0, read_learn },
	{ "exec", NR_VERB_EXEC, 1, 0, read_exec }
};

static const struct action *
find_action(struct nr_parser *p)
{
	char here[64];
	size_t i;

	for (i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (nr_parse_is(p, actions[i].name))
			return &actions[i];
	nr_parse_wrong(p, &p->t, "no action: %s (accept, reject, shadow, "
	    "limit, score, log, hold, learn, exec; or set, table, include)",
	    nr_parse_here(p, here));
	return NULL;
}

/* on write, on read, on connect, on any; without it, write. */
static void
read_asks(struct nr_parser *p, struct nr_rule *rule)
{
	char here[64];
	unsigned i;

	rule->asks = WRITE;
	if (!nr_parse_take(p, "on"))
		return;
	if (nr_parse_take(p, "any")) {
		rule->asks = ANY_ASK;
		return;
	}
	for (i = 0; i < NR_ASKS; i++)
		if (nr_parse_take(p, ask_name[i])) {
			rule->asks = ASK(i);
			return;
		}
	nr_parse_wrong(p, &p->t, "write, read, connect or any is missing "
	    "before %s", nr_parse_here(p, here));
}

/* ---- a rule ------------------------------------------------------------------------------ */

/* As it was written, each stretch of white space as one space. */
static char *
text_of(const struct nr_parser *p, size_t from, size_t to)
{
	const char *s = p->lexer.begin;
	char *out = malloc(to - from + 1);
	size_t n = 0;

	if (out == NULL)
		return NULL;
	for (; from < to; from++) {
		if (memchr(" \t\r\n\\", s[from], 5) == NULL ||
		    (s[from] == '\\' && s[from + 1] != '\n'))
			out[n++] = s[from];
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	out[n] = '\0';
	return out;
}

/*
 * Two limits that say the same share their counts, wherever they stand;
 * so the others of a file may change.
 */
static void
salt_limit(struct nr_parser *p, struct nr_rule *rule)
{
	const char *by = rule->label != NULL ? rule->label : rule->text;
	unsigned char digest[32];
	struct nr_sha256 *h;

	if (nr_sha256_new(&h) != NR_OK) {
		nr_parse_memory(p);
		return;
	}
	nr_sha256_start(h);
	nr_sha256_add(h, by, strlen(by));
	nr_sha256_end(h, digest);
	nr_sha256_free(h);
	memcpy(rule->salt, digest, sizeof(rule->salt));
}

static void
finish_rule(struct nr_parser *p, struct nr_rule *rule, unsigned line,
    size_t from)
{
	size_t i;

	rule->text = text_of(p, from, p->before);
	if (asprintf(&rule->place, "%s:%u", p->path, line) < 0)
		rule->place = NULL;
	if (rule->text == NULL || rule->place == NULL) {
		nr_parse_memory(p);
		return;
	}
	if (rule->verb == NR_VERB_LIMIT)
		salt_limit(p, rule);
	for (i = 0; i < rule->nconds; i++)
		if (rule->cond[i].order)
			rule->order = 1;
}

static void
read_parts(struct nr_parser *p, struct nr_rule *rule,
    const struct action *a)
{
	int conds = 0;

	if (a->read != NULL)
		a->read(p, rule);
	while (!p->failed_line && !nr_parse_at_end(p)) {
		if (a->message && rule->message == NULL && conds == 0 &&
		    p->t.type == NR_TOKEN_STRING)
			rule->message = nr_parse_message(p);
		else if (nr_parse_take(p, "label")) {
			free(rule->label);
			rule->label = nr_parse_text(p, "a name");
		} else {
			read_condition(p, rule);
			conds = 1;
		}
	}
}

void
nr_parse_rule(struct nr_parser *p)
{
	unsigned line = p->t.line;
	size_t from = p->t.at;
	const struct action *a;
	struct nr_rule *rule;

	if ((a = find_action(p)) == NULL ||
	    !nr_parse_grow(p, &p->r->rule, p->r->nrules, sizeof(*rule)))
		return;
	rule = &p->r->rule[p->r->nrules];
	memset(rule, 0, sizeof(*rule));
	rule->index = p->r->nrules++;
	rule->verb = a->verb;
	rule->order = a->order;
	nr_parse_next(p);
	if (!p->failed_line)
		read_asks(p, rule);
	if (!p->failed_line)
		read_parts(p, rule, a);
	if (!p->failed_line)
		finish_rule(p, rule, line, from);
}
