/* SPDX-License-Identifier: Apache-2.0 */
/* The Python side: SivKey, the hash, and which path serves. Only `bytes` are taken: they do not change while read. */
#include "module.h"

#ifndef E4_MODULE
#define E4_MODULE _fast
#endif
#if E4_KECCAK_ROUNDS == 24
#define HASH_NAME "sha3_256"
#else
#define HASH_NAME "sha3_256_r10"
#endif
#define TEXT(name) #name
#define NAME(name) TEXT(name)
#define JOIN(a, b) a##b
#define INIT(name) JOIN(PyInit_, name)

/* From here on other threads run meanwhile. Below, giving up the GIL costs more than it gives: about 25 us of work. */
enum { ALONE_LEN = 32768 };

struct text {
    const uint8_t *data;
    size_t len;
};

struct siv_object {
    PyObject_HEAD
    struct e4_siv_key key;
};

static bool read_bytes(PyObject *object, struct text *text)
{
    char *data;
    Py_ssize_t len;
    if (PyBytes_AsStringAndSize(object, &data, &len) < 0) return false;
    *text = (struct text){(const uint8_t *)data, (size_t)len};
    return true;
}

/* The nonce is not looked at: SIV needs none, and AeadKey has one. */
static bool read_call(PyObject *const *args, Py_ssize_t count, struct text *text, struct text *ad)
{
    if (count != 3) {
        PyErr_Format(PyExc_TypeError, "takes 3 arguments (nonce, text, associated data), not %zd", count);
        return false;
    }
    return read_bytes(args[1], text) && read_bytes(args[2], ad);
}

static PyObject *new_bytes(size_t len, uint8_t **data)
{
    *data = NULL;
    if (len > PY_SSIZE_T_MAX) return PyErr_NoMemory();
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
    if (bytes) *data = (uint8_t *)PyBytes_AsString(bytes);
    return bytes;
}

static PyObject *siv_seal(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    const struct e4_siv_key *key = &((struct siv_object *)self)->key;
    struct text plain, ad;
    uint8_t *out;
    if (!read_call(args, count, &plain, &ad)) return NULL;
    PyObject *sealed = new_bytes(plain.len + E4_TAG_LEN, &out);
    if (!sealed) return NULL;
    if (plain.len + ad.len < ALONE_LEN) {
        e4_siv_seal(key, ad.data, ad.len, plain.data, plain.len, out);
        return sealed;
    }
    Py_BEGIN_ALLOW_THREADS
    e4_siv_seal(key, ad.data, ad.len, plain.data, plain.len, out);
    Py_END_ALLOW_THREADS
    return sealed;
}

static PyObject *refuse(PyObject *self)
{
    struct e4_state *state = PyType_GetModuleState(Py_TYPE(self));
    if (state) PyErr_SetNone(state->authentication_failed);
    return NULL;
}

static PyObject *siv_open(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    const struct e4_siv_key *key = &((struct siv_object *)self)->key;
    struct text sealed, ad;
    uint8_t *out;
    bool authentic;
    if (!read_call(args, count, &sealed, &ad)) return NULL;
    if (sealed.len < E4_TAG_LEN) return refuse(self);
    size_t len = sealed.len - E4_TAG_LEN;
    PyObject *plain = new_bytes(len, &out);
    if (!plain) return NULL;
    if (len + ad.len < ALONE_LEN) {
        authentic = e4_siv_open(key, ad.data, ad.len, sealed.data, len, out);
    } else {
        Py_BEGIN_ALLOW_THREADS
        authentic = e4_siv_open(key, ad.data, ad.len, sealed.data, len, out);
        Py_END_ALLOW_THREADS
    }
    if (authentic) return plain;
    Py_DECREF(plain);
    return refuse(self);
}

static PyObject *siv_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    struct e4_state *state = PyType_GetModuleState(type);
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *raw;
    struct text text;
    if (!state) return NULL;
    if (keywords && PyDict_Size(keywords)) {
        PyErr_SetString(PyExc_TypeError, "SivKey() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:SivKey", &raw) || !read_bytes(raw, &text)) return NULL;
    if (text.len != E4_SIV_KEY_LEN) {
        PyErr_Format(PyExc_ValueError, "the key is %d bytes long, not %zu", E4_SIV_KEY_LEN, text.len);
        return NULL;
    }
    PyObject *self = allocate(type, 0);
    if (self) e4_siv_init(&((struct siv_object *)self)->key, state->path, text.data);
    return self;
}

static void siv_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    struct siv_object *siv = (struct siv_object *)self;
    e4_wipe(&siv->key, sizeof siv->key);
    release(self);
    Py_DECREF(type);
}

static PyObject *siv_path(PyObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(((struct siv_object *)self)->key.path->name);
}

static PyMethodDef siv_methods[] = {
    {"seal", (PyCFunction)(void (*)(void))siv_seal, METH_FASTCALL,
     PyDoc_STR("seal($self, nonce, plaintext, associated_data, /)\n--\n\n"
               "Tag (16 B) | ciphertext. The nonce is ignored: SIV needs none (RFC 5297 section 2.6).")},
    {"open", (PyCFunction)(void (*)(void))siv_open, METH_FASTCALL,
     PyDoc_STR("open($self, nonce, ciphertext, associated_data, /)\n--\n\n"
               "Plaintext of tag | ciphertext. Raises: AuthenticationFailed.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef siv_attributes[] = {
    {"path", siv_path, NULL, PyDoc_STR("Which code computes AES for this key."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot siv_slots[] = {
    {Py_tp_doc,
     (void *)PyDoc_STR("SivKey(raw, /)\n--\n\nAES-256-SIV, ready for use. raw: MAC key, then CTR key, 64 B.")},
    {Py_tp_new, (void *)siv_new},
    {Py_tp_dealloc, (void *)siv_dealloc},
    {Py_tp_methods, siv_methods},
    {Py_tp_getset, siv_attributes},
    {0, NULL},
};

static PyType_Spec siv_spec = {
    .name = "e4backends.fast." NAME(E4_MODULE) ".SivKey",
    .basicsize = sizeof(struct siv_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = siv_slots,
};

static PyObject *sha3_256(PyObject *Py_UNUSED(module), PyObject *data)
{
    struct text text;
    uint8_t *out;
    if (!read_bytes(data, &text)) return NULL;
    PyObject *digest = new_bytes(E4_SHA3_LEN, &out);
    if (!digest) return NULL;
    if (text.len < ALONE_LEN) {
        e4_sha3_256(text.data, text.len, out);
        return digest;
    }
    Py_BEGIN_ALLOW_THREADS
    e4_sha3_256(text.data, text.len, out);
    Py_END_ALLOW_THREADS
    return digest;
}

static PyObject *path(PyObject *module, PyObject *Py_UNUSED(nothing))
{
    return PyUnicode_FromString(((struct e4_state *)PyModule_GetState(module))->path->name);
}

static PyMethodDef functions[] = {
    {HASH_NAME, sha3_256, METH_O,
     PyDoc_STR(HASH_NAME "($module, data, /)\n--\n\n"
               "SHA3-256 (FIPS 202), 32 B, over the last KECCAK_ROUNDS rounds of Keccak-f[1600].")},
    {"path", path, METH_NOARGS,
     PyDoc_STR("path($module, /)\n--\n\n"
               "The code chosen for this CPU: vaes, aes-ni, armv8 or bitsliced (portable, constant time).")},
    {NULL, NULL, 0, NULL},
};

static PyObject *authentication_failed(void)
{
    PyObject *errors = PyImport_ImportModule("e4core.errors");
    if (!errors) return NULL;
    PyObject *leaf = PyObject_GetAttrString(errors, "AuthenticationFailed");
    Py_DECREF(errors);
    return leaf;
}

static int execute(PyObject *module)
{
    struct e4_state *state = PyModule_GetState(module);
    state->path = e4_aes_best();
    if (!(state->authentication_failed = authentication_failed())) return -1;
    if (!(state->key_type = PyType_FromModuleAndSpec(module, &siv_spec, NULL))) return -1;
    if (PyModule_AddType(module, (PyTypeObject *)state->key_type) < 0) return -1;
    if (PyModule_AddIntConstant(module, "AES_ROUNDS", E4_AES_ROUNDS) < 0) return -1;
    if (PyModule_AddIntConstant(module, "KECCAK_ROUNDS", E4_KECCAK_ROUNDS) < 0) return -1;
#ifdef E4_FAST_TESTING
    return e4_add_testing(module);
#else
    return 0;
#endif
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct e4_state *state = PyModule_GetState(module);
    if (!state) return 0;
    Py_VISIT(state->authentication_failed);
    Py_VISIT(state->key_type);
    return 0;
}

static int clear(PyObject *module)
{
    struct e4_state *state = PyModule_GetState(module);
    if (!state) return 0;
    Py_CLEAR(state->authentication_failed);
    Py_CLEAR(state->key_type);
    return 0;
}

static void release(void *module)
{
    clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = NAME(E4_MODULE),
    .m_doc = PyDoc_STR("AES-SIV and SHA3-256 with AES_ROUNDS and KECCAK_ROUNDS rounds."),
    .m_size = sizeof(struct e4_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC INIT(E4_MODULE)(void)
{
    return PyModuleDef_Init(&definition);
}
