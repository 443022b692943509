/*
 * Feed files to a fuzz target, in place of libFuzzer.
 *
 *	replay [-m mutations] [-s seed] file|directory ...
 *
 * Each file is given as it is and then, with -m, that many times with a
 * few bytes changed, cut out, repeated or taken from another file.  The
 * last line on stdout says how many inputs that was.
 */
#include <dirent.h>
#include <err.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "util/rng.h"


struct file {
	char		*name;
	unsigned char	*p;
	size_t		 len;
};

static struct file *file;
static size_t nfiles, capfiles;

/* What to name when a target gives up. */
static const char *current = "";
static size_t mutation;

static void
on_abort(int sig)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "input: %s, mutation %zu\n",
	    current, mutation);

	if (write(STDERR_FILENO, text, (size_t)n) < 0)
		_exit(99);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void
add_file(const char *name)
{
	struct file *f;
	FILE *fp;
	long len;

	if (nfiles == capfiles) {
		capfiles = capfiles * 2 + 64;
		file = realloc(file, capfiles * sizeof(*file));
		if (file == NULL)
			err(3, NULL);
	}
	f = &file[nfiles++];
	if ((fp = fopen(name, "rb")) == NULL ||
	    fseek(fp, 0, SEEK_END) != 0 || (len = ftell(fp)) < 0 ||
	    fseek(fp, 0, SEEK_SET) != 0)
		err(3, "%s", name);
	f->len = (size_t)len;
	f->name = strdup(name);
	f->p = malloc(f->len + 1);
	if (f->name == NULL || f->p == NULL ||
	    fread(f->p, 1, f->len, fp) != f->len)
		err(3, "%s", name);
	fclose(fp);
}

static void
add(const char *path)
{
	struct dirent **e;
	char name[4096];
	struct stat s;
	int i, n;

	if (stat(path, &s) != 0)
		err(3, "%s", path);
	if (!S_ISDIR(s.st_mode)) {
		add_file(path);
		return;
	}
	if ((n = scandir(path, &e, NULL, alphasort)) < 0)
		err(3, "%s", path);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s/%s", path, e[i]->d_name);
		if (stat(name, &s) == 0 && S_ISREG(s.st_mode))
			add_file(name);
		free(e[i]);
	}
	free(e);
}

/* One change of b, which has room for twice its bytes. */
static size_t
mutate(struct nr_rng *r, unsigned char *b, size_t len)
{
	static const char bytes[] = "\"\\{}[],:0129eE+-u \n\t\x80\xff\xed";
	const struct file *other = &file[nr_rng_below(r, nfiles)];
	size_t at = len > 0 ? nr_rng_below(r, len) : 0, n, from;

	n = 1 + nr_rng_below(r, nr_rng_below(r, 8) == 0 ? 200 : 6);
	switch (nr_rng_below(r, 5)) {
	case 0:		/* another byte */
		if (len > 0)
			b[at] = (unsigned char)bytes[nr_rng_below(r,
			    sizeof(bytes) - 1)];
		return len;
	case 1:		/* a bit */
		if (len > 0)
			b[at] ^= (unsigned char)(1u << nr_rng_below(r, 8));
		return len;
	case 2:		/* cut out */
		if (n > len - at)
			n = len - at;
		memmove(b + at, b + at + n, len - at - n);
		return len - n;
	case 3:		/* repeat */
		if (n > len - at)
			n = len - at;
		memmove(b + at + n, b + at, len - at);
		return len + n;
	default:	/* from elsewhere */
		if (other->len == 0)
			return len;
		from = nr_rng_below(r, other->len);
		if (n > other->len - from)
			n = other->len - from;
		memmove(b + at + n, b + at, len - at);
		memcpy(b + at, other->p + from, n);
		return len + n;
	}
}

static void
run_mutated(const struct file *f, struct nr_rng *r)
{
	size_t len = f->len, times = 1 + nr_rng_below(r, 4);
	unsigned char *b = malloc(len + 1024);

	if (b == NULL)
		err(3, NULL);
	memcpy(b, f->p, len);
	while (times-- > 0)
		len = mutate(r, b, len);
	(void)LLVMFuzzerTestOneInput(b, len);
	free(b);
}

int
main(int argc, char *argv[])
{
	struct nr_rng r = { 1 };
	size_t i, m, mutations = 0;
	int ch;

	while ((ch = getopt(argc, argv, "m:s:")) != -1)
		switch (ch) {
		case 'm':
			mutations = strtoul(optarg, NULL, 10);
			break;
		case 's':
			r.state = strtoull(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	for (; optind < argc; optind++)
		add(argv[optind]);
	signal(SIGABRT, on_abort);
	signal(SIGSEGV, on_abort);
	for (i = 0; i < nfiles; i++) {
		current = file[i].name;
		mutation = 0;
		(void)LLVMFuzzerTestOneInput(file[i].p, file[i].len);
		for (m = 0; m < mutations; m++) {
			mutation = m + 1;
			run_mutated(&file[i], &r);
		}
	}
	printf("%zu inputs from %zu files\n", nfiles * (mutations + 1),
	    nfiles);
	return 0;
}
