/*
 * view.h - borrowed bytes, with no terminator.  Each function that hands
 * one out says how long it stays valid.
 */
#ifndef NR_UTIL_VIEW_H
#define NR_UTIL_VIEW_H

#include <stddef.h>
#include <string.h>

struct nr_view {
	const char	*p;
	size_t		 len;
};

static inline int
nr_view_is(struct nr_view v, const char *s)
{
	return v.len == strlen(s) && memcmp(v.p, s, v.len) == 0;
}

#endif
