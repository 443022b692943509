/*
 * html.h - text of others in a page of ours.
 */
#ifndef NR_UTIL_HTML_H
#define NR_UTIL_HTML_H

#include <stddef.h>

#include "util/buf.h"

/*
 * Add s as HTML text, which may also stand between double quotes as the
 * value of an attribute: whatever bytes it holds, it cannot end either.
 * Bytes that are no UTF-8, and control characters but line feed and tab,
 * become U+FFFD.  Returns 0 or ENOMEM.
 */
int	nr_html_add(struct nr_buf *b, const char *s, size_t n);

/* As text, with each stretch between empty lines as a paragraph. */
int	nr_html_paragraphs(struct nr_buf *b, const char *s, size_t n);

/*
 * Add a link to s that shows s, where it is an http, https, mailto or
 * nostr URL; else it is text.
 */
int	nr_html_link(struct nr_buf *b, const char *s, size_t n);

#endif
