/*
 * Bech32 (BIP-173) and the TLV lists that NIP-19 puts into it.
 */
#include "event/nip19.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#define TEXT_MAX	5000	/* as the NIP advises */

static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static int
charset_value(char c)
{
	const char *p = c == '\0' ? NULL : strchr(charset, c);

	return p == NULL ? -1 : (int)(p - charset);
}

static uint32_t
checksum_step(uint32_t sum, unsigned value)
{
	static const uint32_t generator[5] = {
		0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3
	};
	uint32_t top = sum >> 25;
	int i;

	sum = (sum & 0x1ffffff) << 5 ^ value;
	for (i = 0; i < 5; i++)
		if (top >> i & 1)
			sum ^= generator[i];
	return sum;
}

/*
 * Decode bech32: the length of the prefix before the 1, and the bytes
 * behind it.  Returns 0 where text is not valid.
 */
static int
bech32(const char *text, size_t *prefix, unsigned char *out, size_t *outlen)
{
	size_t len = strlen(text), i, n = 0;
	const char *sep = strrchr(text, '1');
	uint32_t sum = 1, bits = 0;
	unsigned nbits = 0;
	int v;

	if (sep == NULL || sep == text || len > TEXT_MAX ||
	    strlen(sep + 1) < 6)
		return 0;
	*prefix = (size_t)(sep - text);
	for (i = 0; i < *prefix; i++) {
		if (text[i] < 33 || text[i] > 126 ||
		    isupper((unsigned char)text[i]))
			return 0;
		sum = checksum_step(sum, (unsigned)text[i] >> 5);
	}
	sum = checksum_step(sum, 0);
	for (i = 0; i < *prefix; i++)
		sum = checksum_step(sum, (unsigned)text[i] & 31);
	for (i = *prefix + 1; i < len; i++) {
		if ((v = charset_value(text[i])) < 0)
			return 0;
		sum = checksum_step(sum, (unsigned)v);
		if (i >= len - 6)
			continue;
		bits = (bits << 5 | (unsigned)v) & 0xfff;
		nbits += 5;
		if (nbits >= 8) {
			nbits -= 8;
			out[n++] = (unsigned char)(bits >> nbits);
		}
	}
	if (sum != 1 || nbits >= 5 || (bits & ((1u << nbits) - 1)) != 0)
		return 0;
	*outlen = n;
	return 1;
}

/* One part of a TLV list; returns 0 where it makes the whole invalid. */
static int
take_part(struct nr_nip19 *out, int *special, unsigned type,
    const unsigned char *v, size_t n)
{
	switch (type) {
	case 0:
		if (*special)
			return 1;
		*special = 1;
		if (out->type == NR_NIP19_NADDR) {
			memcpy(out->d, v, n);
			out->d[n] = '\0';
			out->dlen = n;
			return 1;
		}
		if (n == 32)
			memcpy(out->key, v, 32);
		return n == 32;
	case 2:
		if (n != 32)
			return 0;
		memcpy(out->author, v, 32);
		out->has_author = 1;
		return 1;
	case 3:
		if (n != 4 || v[0] != 0 || v[1] != 0)
			return 0;
		out->kind = (unsigned)v[2] << 8 | v[3];
		out->has_kind = 1;
		return 1;
	}
	return 1;
}

static int
tlv(struct nr_nip19 *out, const unsigned char *p, size_t len)
{
	int special = 0;
	size_t n;

	while (len >= 2) {
		n = p[1];
		if (len < 2 + n || !take_part(out, &special, p[0], p + 2, n))
			return 0;
		p += 2 + n;
		len -= 2 + n;
	}
	if (len != 0 || !special)
		return 0;
	return out->type != NR_NIP19_NADDR ||
	    (out->has_author && out->has_kind);
}

int
nr_nip19_decode(struct nr_nip19 *out, const char *text)
{
	static const char *const name[] = {
		[NR_NIP19_NPUB] = "npub", [NR_NIP19_NOTE] = "note",
		[NR_NIP19_NPROFILE] = "nprofile", [NR_NIP19_NEVENT] = "nevent",
		[NR_NIP19_NADDR] = "naddr", [NR_NIP19_NSEC] = "nsec",
	};
	unsigned char data[TEXT_MAX];
	size_t prefix, n, i;

	memset(out, 0, sizeof(*out));
	if (!bech32(text, &prefix, data, &n))
		return 0;
	for (i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		if (strlen(name[i]) == prefix &&
		    memcmp(name[i], text, prefix) == 0)
			break;
	if (i == sizeof(name) / sizeof(name[0]))
		return 0;
	out->type = (enum nr_nip19_type)i;
	if (out->type == NR_NIP19_NPUB || out->type == NR_NIP19_NOTE) {
		if (n == 32)
			memcpy(out->key, data, 32);
		return n == 32;
	}
	if (out->type == NR_NIP19_NSEC) {
		explicit_bzero(data, sizeof(data));
		return 1;
	}
	return tlv(out, data, n);
}

int
nr_nip19_nsec(unsigned char secret[32], const char *text)
{
	unsigned char data[TEXT_MAX];
	size_t prefix, n;
	int yes;

	yes = bech32(text, &prefix, data, &n) && prefix == 4 &&
	    memcmp(text, "nsec", 4) == 0 && n == 32;
	if (yes)
		memcpy(secret, data, 32);
	explicit_bzero(data, sizeof(data));
	return yes;
}

void
nr_nip19_npub(char out[NR_NPUB_SIZE], const unsigned char key[32])
{
	static const unsigned char prefix[] = {
		3, 3, 3, 3, 0, 'n' & 31, 'p' & 31, 'u' & 31, 'b' & 31
	};
	unsigned char bytes[34] = { 0 };	/* zeros behind the key */
	uint32_t sum = 1;
	unsigned i, at, v;
	char *p = out + 5;

	memcpy(bytes, key, 32);
	memcpy(out, "npub1", 5);
	for (i = 0; i < sizeof(prefix); i++)
		sum = checksum_step(sum, prefix[i]);
	for (at = 0; at < 256; at += 5) {
		v = (unsigned)bytes[at / 8] << 8 | bytes[at / 8 + 1];
		v = v >> (11 - at % 8) & 31;
		sum = checksum_step(sum, v);
		*p++ = charset[v];
	}
	for (i = 0; i < 6; i++)
		sum = checksum_step(sum, 0);
	sum ^= 1;
	for (i = 0; i < 6; i++)
		*p++ = charset[sum >> 5 * (5 - i) & 31];
	*p = '\0';
}
