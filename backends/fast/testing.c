/* SPDX-License-Identifier: Apache-2.0 */
/* What only the builds for tests have: every path of this CPU can be chosen. */
#include "module.h"

static PyObject *paths(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(nothing))
{
    PyObject *names = PyList_New(0);
    for (const struct e4_aes_path *const *path = e4_aes_paths; names && *path; path++) {
        if (!(*path)->usable()) continue;
        PyObject *name = PyUnicode_FromString((*path)->name);
        if (!name || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyObject *use(PyObject *module, PyObject *name)
{
    struct e4_state *state = PyModule_GetState(module);
    for (const struct e4_aes_path *const *path = e4_aes_paths; *path; path++) {
        if (PyUnicode_CompareWithASCIIString(name, (*path)->name) != 0 || !(*path)->usable()) continue;
        state->path = *path;
        Py_RETURN_NONE;
    }
    return PyErr_Format(PyExc_ValueError, "this CPU has no path %R", name);
}

static PyMethodDef functions[] = {
    {"paths", paths, METH_NOARGS, PyDoc_STR("paths($module, /)\n--\n\nThe paths that this CPU can take, best first.")},
    {"use", use, METH_O, PyDoc_STR("use($module, name, /)\n--\n\nKeys made from now on take this path.")},
    {NULL, NULL, 0, NULL},
};

int e4_add_testing(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
