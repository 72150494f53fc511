/* SPDX-License-Identifier: Apache-2.0 */
#ifndef E4_MODULE_H
#define E4_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "e4fast.h"

struct e4_state {
    const struct e4_aes_path *path; /* for keys made from now on */
    PyObject *authentication_failed;
    PyObject *key_type;
};

#ifdef E4_FAST_TESTING
/* Lets tests choose the path. Returns 0, or -1 with an exception set. */
int e4_add_testing(PyObject *module);
#endif

#endif
