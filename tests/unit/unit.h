/*
 * unit.h - what the unit tests share: cmocka's includes in their order,
 * and TAP on stdout.
 */
#ifndef NR_TESTS_UNIT_H
#define NR_TESTS_UNIT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#define NR_RUN(tests) \
	(cmocka_set_message_output(CM_OUTPUT_TAP), \
	cmocka_run_group_tests((tests), NULL, NULL))

#endif
