/*
 * jqwords.h - which words an expression of jq must not use.  Internal to
 * lib/policy.
 */
#ifndef NR_POLICY_JQWORDS_H
#define NR_POLICY_JQWORDS_H

#include <stddef.h>

/*
 * Returns 1, or 0 and in why where and what, where text is empty, too long,
 * or uses what reads or writes anything but its input.
 */
int	nr_jqwords_allowed(const char *text, char *why, size_t whylen);

#endif
