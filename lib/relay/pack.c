/*
 * permessage-deflate (RFC 7692) with nothing kept from one message to the
 * next, on either side.  libwebsockets negotiates and inflates what comes;
 * what goes out is written in frames of our own, see nr_pack().
 */
#include "relay/internal.h"

#include <string.h>

/* Options of libwebsockets' extension, by number. */
enum { SERVER_NO_CONTEXT = 0, RX_BUFFER_BITS = 4 };

static const char answer[] =
    "\r\nSec-WebSocket-Extensions: permessage-deflate";
static const char terms[] =
    "; server_no_context_takeover; client_no_context_takeover\r\n";

static void
set(struct lws_context *lws, const struct lws_extension *ext,
    struct lws *wsi, void *user, int option, const char *value)
{
	struct lws_ext_option_arg arg = {
		.option_index = option, .start = value,
		.len = value != NULL ? (int)strlen(value) : 0
	};

	(void)lws_extension_callback_pm_deflate(lws, ext, wsi,
	    LWS_EXT_CB_OPTION_SET, user, &arg, 0);
}

static int
extension(struct lws_context *lws, const struct lws_extension *ext,
    struct lws *wsi, enum lws_extension_callback_reasons reason, void *user,
    void *in, size_t len)
{
	int rc;

	/* What the client asks for is granted anyway, or is no matter. */
	if (reason == LWS_EXT_CB_OPTION_SET)
		return 1;
	rc = lws_extension_callback_pm_deflate(lws, ext, wsi, reason, user,
	    in, len);
	if (reason == LWS_EXT_CB_CONSTRUCT && rc == 0) {
		/* By this it frees its window after each message. */
		set(lws, ext, wsi, *(void **)user, SERVER_NO_CONTEXT, NULL);
		set(lws, ext, wsi, *(void **)user, RX_BUFFER_BITS, "12");
	}
	return rc;
}

const struct lws_extension nr_pack_extension[] = {
	{ "permessage-deflate", extension, NULL },
	{ NULL, NULL, NULL }
};

int
nr_pack_wanted(const struct nr_relay *r, struct lws *wsi)
{
	const char *name = nr_pack_extension[0].name, *first;
	char offer[256];

	if (!r->config->deflate || lws_hdr_copy(wsi, offer, sizeof(offer),
	    WSI_TOKEN_EXTENSIONS) <= 0)
		return 0;
	/*
	 * A window that we do not have cannot be promised; and having taken
	 * an offer, libwebsockets ends where another one follows.
	 */
	first = strstr(offer, name);
	return strstr(offer, "server_max_window_bits") == NULL &&
	    first != NULL && strstr(first + strlen(name), name) == NULL;
}

/*
 * libwebsockets says yes with what the client asked for; we say on which
 * terms, at the end of the same header, which is the last so far.
 */
int
nr_pack_agree(struct lws_process_html_args *args)
{
	const size_t n = strlen(answer);
	char *p = args->p;

	if (args->max_len < (int)sizeof(terms) ||
	    memcmp(p - n - 2, answer, n) != 0 || memcmp(p - 2, "\r\n", 2) != 0)
		return 0;
	memcpy(p - 2, terms, strlen(terms));
	args->p = p - 2 + strlen(terms);
	return 1;
}
