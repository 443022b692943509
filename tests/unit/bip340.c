/*
 * Signature verification against the test vectors of BIP-340 whose
 * message has 32 bytes, as an event's id has.
 */
#include "unit.h"

#include "event/verify.h"
#include "util/hex.h"

#define P1 "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659"
#define M1 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89"
#define S1 "69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b"
#define R1 "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769"

static const struct {
	const char *pubkey, *msg, *r, *s;
	enum nr_verdict want;
} vector[] = {
	{ "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
	  "0000000000000000000000000000000000000000000000000000000000000000",
	  "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215",
	  "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0",
	  NR_VALID },
	{ P1, M1,
	  "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de3341",
	  "8906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a",
	  NR_VALID },
	{ "dd308afec5777e13121fa72b9cc1b7cc0139715309b086c960e18fd969774eb8",
	  "7e2d58d8b3bcdf1abadec7829054f90dda9805aab56c77333024b9d0a508b75c",
	  "5831aaeed7b44bb74e5eab94ba9d4294c49bcf2a60728d8b4c200f50dd313c1b",
	  "ab745879a5ad954a72c45a91c3a51d3c7adea98d82f8481e0e1e03674a6f3fb7",
	  NR_VALID },
	{ "25d1dff95105f5253c4022f628a996ad3a0d95fbf21d468a1b33f8c160d8f517",
	  "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	  "7eb0509757e246f19449885651611cb965ecc1a187dd51b64fda1edc9637d5ec",
	  "97582b9cb13db3933705b32ba982af5af25fd78881ebb32771fc5922efc66ea3",
	  NR_VALID },
	{ "d69c3509bb99e412e68b0fe8544e72837dfa30746d8be2aa65975f29d22dc7b9",
	  "4df3c3f68fcc83b27e9d42c90431a72499f17875c81a599b566c9889b9696703",
	  "00000000000000000000003b78ce563f89a0ed9414f5aa28ad0d96d6795f9c63",
	  "76afb1548af603b3eb45c9f8207dee1060cb71c04e80f593060b07d28308d7f4",
	  NR_VALID },
	/* The public key is not on the curve. */
	{ "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34",
	  M1, R1, S1, NR_BAD_PUBKEY },
	/* R has an odd y. */
	{ P1, M1,
	  "fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a1460297556",
	  "3cc27944640ac607cd107ae10923d9ef7a73c643e166be5ebeafa34b1ac553e2",
	  NR_BAD_SIG },
	/* The message is negated. */
	{ P1, M1,
	  "1fa62e331edbc21c394792d2ab1100a7b432b013df3f6ff4f99fcb33e0e1515f",
	  "28890b3edb6e7189b630448b515ce4f8622a954cfe545735aaea5134fccdb2bd",
	  NR_BAD_SIG },
	/* s is negated. */
	{ P1, M1, R1,
	  "961764b3aa9b2ffcb6ef947b6887a226e8d7c93e00c5ed0c1834ff0d0c2e6da6",
	  NR_BAD_SIG },
	/* sG - eP is infinite, with r 0 and 1. */
	{ P1, M1,
	  "0000000000000000000000000000000000000000000000000000000000000000",
	  "123dda8328af9c23a94c1feecfd123ba4fb73476f0d594dcb65c6425bd186051",
	  NR_BAD_SIG },
	{ P1, M1,
	  "0000000000000000000000000000000000000000000000000000000000000001",
	  "7615fbaf5ae28864013c099742deadb4dba87f11ac6754f93780d5a1837cf197",
	  NR_BAD_SIG },
	/* r is no x coordinate; r is the field size. */
	{ P1, M1,
	  "4a298dacae57395a15d0795ddbfd1dcb564da82b0f269bc70a74f8220429ba1d",
	  S1, NR_BAD_SIG },
	{ P1, M1,
	  "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
	  S1, NR_BAD_SIG },
	/* s is the curve order. */
	{ P1, M1, R1,
	  "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
	  NR_BAD_SIG },
	/* The public key exceeds the field size. */
	{ "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30",
	  M1, R1, S1, NR_BAD_PUBKEY },
};

static void
test_vectors(void **state)
{
	unsigned char pubkey[32], msg[32], sig[64];
	struct nr_verifier *v;
	size_t i, round;

	(void)state;
	assert_int_equal(nr_verifier_new(&v), 0);
	/* Twice, so that cached keys are used too. */
	for (round = 0; round < 2; round++)
		for (i = 0; i < sizeof(vector) / sizeof(vector[0]); i++) {
			assert_true(nr_hex_decode(pubkey, vector[i].pubkey, 32));
			assert_true(nr_hex_decode(msg, vector[i].msg, 32));
			assert_true(nr_hex_decode(sig, vector[i].r, 32));
			assert_true(nr_hex_decode(sig + 32, vector[i].s, 32));
			assert_int_equal(nr_verify_signature(v, pubkey, msg,
			    sig), vector[i].want);
		}
	nr_verifier_free(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
	};

	return NR_RUN(tests);
}
