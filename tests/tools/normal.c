/*
 * normal: what the event reader makes of each text, for comparison with
 * another reader.  Texts come as their length in decimal, an LF, and that
 * many bytes.  For each, stdout gets "+" and the normal line, or "-" and
 * the verdict's name.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "event/event.h"

static void
answer(const char *json, size_t len)
{
	struct nr_event ev;
	enum nr_verdict v;
	size_t pos;
	char *line;

	v = nr_event_read(&ev, json, len, &nr_event_limits_pipe, &pos);
	if (v != NR_VALID) {
		printf("-%s\n", nr_verdict_name(v));
		return;
	}
	if ((line = malloc(NR_EVENT_LINE_MAX(len))) == NULL)
		err(3, NULL);
	printf("+%.*s\n", (int)nr_event_normalise(&ev, line), line);
	free(line);
}

int
main(void)
{
	size_t len;
	char *json;

	while (scanf("%zu", &len) == 1) {
		if (getchar() != '\n')
			errx(2, "no LF behind a length");
		if ((json = malloc(len + 1)) == NULL)
			err(3, NULL);
		if (fread(json, 1, len, stdin) != len)
			errx(2, "the input ends too early");
		answer(json, len);
		free(json);
	}
	return ferror(stdin) || fflush(stdout) != 0 ? 3 : 0;
}
