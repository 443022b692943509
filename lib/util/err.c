/*
 * The texts for the library's return codes.
 */
#include "util/err.h"

#include <string.h>

const char *
nr_strerror(int rc)
{
	if (rc > 0)
		return strerror(rc);
	switch ((enum nr_rc)rc) {
	case NR_OK:
		return "success";
	case NR_EOF:
		return "end of input";
	case NR_ETOOLONG:
		return "line too long";
	case NR_ECORRUPT:
		return "stored data is damaged";
	case NR_EVERSION:
		return "store is of an unknown version";
	case NR_EBUSY:
		return "store is busy";
	case NR_EGONE:
		return "store was replaced while in use";
	case NR_ESYNC:
		return "an earlier sync failed, no more writes";
	case NR_EFULL:
		return "too little space is left: a store keeps some free";
	case NR_ETRUNCATED:
		return "compressed input ends too early";
	case NR_EZSTD:
		return "compressed input is damaged";
	case NR_EREMOTE:
		return "network and FUSE file systems are refused";
	case NR_EINDEX:
		return "the index failed";
	case NR_EINVAL:
		return "invalid argument";
	case NR_ETIMEOUT:
		return "timed out";
	case NR_ENOSTORE:
		return "there is no store in this directory";
	case NR_ESTALE:
		return "the log has been compacted meanwhile: try again";
	case NR_EKEY:
		return "no secret key (64 lower-case hex digits, nsec)";
	case NR_EKEYTYPE:
		return "neither a file nor a pipe";
	case NR_EKEYOWNER:
		return "a key file must belong to you or to root";
	case NR_EKEYMODE:
		return "a key file must be closed to group and others "
		    "(chmod 600)";
	}
	return "unknown error";
}
