/*
 * plugin - a policy plugin, good or not.
 *
 *	plugin [-b batch] [-h] [-m msg] [-n events] [-p file] [-t ms] HOW
 *
 * HOW is accept, reject, shadow, parity (accepts events whose id is even),
 * silent, lie (another id), twice, garble (an action that there is not),
 * stray (an answer that nobody asked for, before each), drop (answers each
 * other one), or die (at the n-th request).
 *	-h	say hello first, in batches of -b
 *	-m	the message of each answer
 *	-n	what HOW says is done from the n-th request on; accept before
 *	-p	add the process number to a file
 *	-t	wait so long before each block of answers
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/protocol.h"
#include "util/err.h"
#include "util/lines.h"
#include "util/times.h"

static const char *how = "accept", *msg = "";
static uint64_t after, asked;
static struct nr_buf out;

static int
is(const char *name)
{
	return strcmp(how, name) == 0 && asked >= after;
}

static void
flush(void)
{
	size_t at = 0;
	ssize_t n;

	for (; at < out.len; at += (size_t)n)
		if ((n = write(STDOUT_FILENO, out.p + at, out.len - at)) <= 0)
			exit(1);
	out.len = 0;
}

static void
add(const struct nr_decision *d)
{
	if (nr_decision_write(&out, d) != NR_OK ||
	    nr_buf_adds(&out, "\n") != NR_OK)
		exit(1);
}

static void
answer(const struct nr_request *q)
{
	struct nr_decision d = {
		.seq = q->seq, .has_seq = q->has_seq,
		.has_id = q->type == NR_ASK_NEW
	};
	size_t before;

	asked++;
	memcpy(d.id, q->ev.id, 32);
	snprintf(d.msg, sizeof(d.msg), "%s", msg);
	if (is("die")) {
		flush();
		exit(7);
	}
	if (is("silent") || (is("drop") && asked % 2))
		return;
	d.action = is("reject") ? NR_REJECT : is("shadow") ?
	    NR_SHADOW_REJECT : is("parity") && d.id[31] % 2 ? NR_REJECT :
	    NR_ACCEPT;
	if (is("lie") || is("stray")) {
		d.id[0] ^= 1;
		d.seq += 1000000;
		add(&d);
		d.id[0] ^= 1;
		d.seq -= 1000000;
	}
	if (is("garble")) {
		before = out.len;
		add(&d);
		memcpy(memmem(out.p + before, out.len - before, "accept", 6),
		    "perhap", 6);
		return;
	}
	if (!is("lie"))
		add(&d);
	if (is("twice"))
		add(&d);
}

static void
serve(long wait)
{
	struct nr_request_reader r = { .where = 0 };
	struct nr_block b = { .first = 0 };
	struct nr_request q;
	struct nr_lines in;
	struct nr_view line;
	const char *why;
	size_t at;

	if (nr_lines_init(&in, STDIN_FILENO, 16 << 20, 1) != NR_OK)
		exit(1);
	while (nr_lines_block(&in, &b) == NR_OK) {
		if (wait > 0)
			nr_sleep_ms(wait);
		for (at = 0; nr_block_line(&b, &at, &line); ) {
			nr_request_line(&r, line.p, line.len);
			while (nr_request_next(&r, &q, &why) == 1)
				answer(&q);
		}
		flush();
	}
	nr_block_free(&b);
	nr_lines_free(&in);
	nr_request_reader_free(&r);
	nr_buf_free(&out);
}

int
main(int argc, char *argv[])
{
	struct nr_hello hello = { 1, (1u << NR_ASKS) - 1, 1 };
	int ch, greets = 0;
	long wait = 0;
	FILE *f;

	while ((ch = getopt(argc, argv, "b:hm:n:p:t:")) != -1)
		switch (ch) {
		case 'b':
			hello.batch = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'h':
			greets = 1;
			break;
		case 'm':
			msg = optarg;
			break;
		case 'n':
			after = strtoul(optarg, NULL, 10);
			break;
		case 'p':
			if ((f = fopen(optarg, "a")) == NULL)
				return 1;
			fprintf(f, "%ld\n", (long)getpid());
			fclose(f);
			break;
		case 't':
			wait = strtol(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	if (optind < argc)
		how = argv[optind];
	if (greets && (nr_hello_write(&out, &hello) != NR_OK ||
	    nr_buf_adds(&out, "\n") != NR_OK))
		return 1;
	flush();
	serve(wait);
	return 0;
}
