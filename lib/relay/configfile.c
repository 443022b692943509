/*
 * The configuration file: libconfuse has the syntax, config.c the keys.
 */
#include "relay/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <confuse.h>

#include "util/err.h"

/* libconfuse has no room for a caller's own pointer. */
struct reading {
	struct nr_relay_config	*config;
	nr_complaint_fn		*complain;
	void			*ctx;
	int			 rc;
};

static _Thread_local struct reading *now;

static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char what[256], text[512];

	vsnprintf(what, sizeof(what), fmt, ap);
	snprintf(text, sizeof(text), "%s: line %d: %s", cfg->filename,
	    cfg->line, what);
	now->complain(now->ctx, text);
	if (now->rc == NR_OK)
		now->rc = NR_EINVAL;
}

/*
 * A value has been read.  libconfuse calls this for a list that grows, and
 * again at its end: so it is always set as a whole.
 */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = "", *why = NULL;
	unsigned i;
	int rc = NR_OK;

	nr_relay_config_override(now->config);
	for (i = 0; rc == NR_OK && why == NULL && i < cfg_opt_size(opt);
	    i++) {
		value = cfg_opt_getnstr(opt, i);
		if (value == NULL)
			value = "";
		rc = nr_relay_config_set(now->config, opt->name, value,
		    &why);
	}
	if (rc != NR_OK)
		now->rc = rc;
	else if (why != NULL)
		cfg_error(cfg, "%s: %s: %s", opt->name, value, why);
	return rc != NR_OK || why != NULL ? -1 : 0;
}

static int
read_file(const char *path, cfg_opt_t *opts)
{
	const char *key;
	cfg_t *cfg;
	int list, parsed;
	size_t i;

	if ((cfg = cfg_init(opts, CFGF_NONE)) == NULL)
		return ENOMEM;
	cfg_set_error_function(cfg, on_error);
	for (i = 0; (key = nr_relay_config_key(i, &list)) != NULL; i++)
		cfg_set_validate_func(cfg, key, on_value);
	errno = 0;
	parsed = cfg_parse(cfg, path);
	if (parsed == CFG_FILE_ERROR)
		now->rc = errno != 0 ? errno : EIO;
	else if (parsed != CFG_SUCCESS && now->rc == NR_OK)
		now->rc = NR_EINVAL;
	cfg_free(cfg);
	return now->rc;
}

int
nr_relay_config_file(struct nr_relay_config *c, const char *path,
    nr_complaint_fn *complain, void *ctx)
{
	struct reading r = { c, complain, ctx, NR_OK };
	cfg_opt_t *opts, one_of[] = {
		CFG_STR("", NULL, CFGF_NODEFAULT),
		CFG_STR_LIST("", NULL, CFGF_NODEFAULT),
		CFG_FUNC("include", &cfg_include),
		CFG_END()
	};
	struct stat st;
	const char *key;
	int list, rc;
	size_t n = 0;

	if (access(path, R_OK) != 0)
		return errno;
	/* The reader would end the program. */
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return EISDIR;
	while (nr_relay_config_key(n, &list) != NULL)
		n++;
	if ((opts = calloc(n + 2, sizeof(*opts))) == NULL)
		return ENOMEM;
	for (n = 0; (key = nr_relay_config_key(n, &list)) != NULL; n++) {
		opts[n] = one_of[list];
		opts[n].name = key;
	}
	opts[n] = one_of[2];
	opts[n + 1] = one_of[3];
	now = &r;
	rc = read_file(path, opts);
	now = NULL;
	free(opts);
	return rc;
}
