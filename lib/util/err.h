/*
 * err.h - return codes shared by the whole library.
 *
 * A function that can fail returns int: 0 is success, a value above 0 is
 * an errno, a value below 0 is one of the codes here.  Outputs are left
 * untouched on failure.  A verdict on somebody's input is never an error.
 */
#ifndef NR_UTIL_ERR_H
#define NR_UTIL_ERR_H

enum nr_rc {
	NR_OK		=  0,
	NR_EOF		= -1,	/* the input has ended */
	NR_ETOOLONG	= -2,	/* a line is longer than the limit */
	NR_ECORRUPT	= -3,	/* stored data is damaged */
	NR_EVERSION	= -4,	/* stored data is of an unknown version */
	NR_EBUSY	= -5,	/* somebody else holds what is needed */
	NR_EGONE	= -6,	/* what was opened has been replaced */
	NR_ESYNC	= -7,	/* an earlier sync failed: no more writes */
	NR_EFULL	= -8,	/* free space is below the floor */
	NR_ETRUNCATED	= -9,	/* compressed input ends too early */
	NR_EZSTD	= -10,	/* compressed input is damaged */
	NR_EREMOTE	= -11,	/* a file system that cannot be trusted */
	NR_EINDEX	= -12,	/* the index library failed */
	NR_EINVAL	= -13,	/* malformed text given by the user */
	NR_ETIMEOUT	= -14,	/* the deadline has passed */
	NR_ENOSTORE	= -15,	/* a directory without a store in it */
	NR_ESTALE	= -16,	/* what was read has moved: look again */
	NR_EKEY		= -17,	/* no secret key */
	NR_EKEYTYPE	= -18,	/* what a key must not be read from */
	NR_EKEYOWNER	= -19,	/* a key file that is somebody else's */
	NR_EKEYMODE	= -20	/* a key file that is open to others */
};

/*
 * What a code means, in lower case and without a full stop.
 * Returns a constant string or, for an errno, one that is valid until the
 * thread's next call.
 */
const char	*nr_strerror(int rc);

#endif
