/*
 * sort.h - the orders in which a filter's lists are kept.  Internal to
 * lib/filter.
 */
#ifndef NR_FILTER_SORT_H
#define NR_FILTER_SORT_H

#include <stddef.h>

int	nr_key_cmp(const void *a, const void *b);	/* 32 bytes */
int	nr_kind_cmp(const void *a, const void *b);	/* uint16_t */
int	nr_view_cmp(const void *a, const void *b);	/* struct nr_view */

/* Sort n elements and drop repetitions; returns how many are left. */
size_t	nr_sort_unique(void *p, size_t n, size_t size,
	    int (*cmp)(const void *, const void *));

#endif
