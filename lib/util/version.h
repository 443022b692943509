/*
 * version.h - who we are.
 */
#ifndef NR_UTIL_VERSION_H
#define NR_UTIL_VERSION_H

#define NR_VERSION	"0.1.0"

#endif
