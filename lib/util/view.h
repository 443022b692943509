/*
 * view.h - borrowed bytes, with no terminator.  Each function that hands
 * one out says how long it stays valid.
 */
#ifndef NR_UTIL_VIEW_H
#define NR_UTIL_VIEW_H

#include <stddef.h>

struct nr_view {
	const char	*p;
	size_t		 len;
};

#endif
