// oneDNN's functions, found at run time, and all that its major versions do differently in them. For onednn.c alone.
//
// In version 2 a memory descriptor is a structure and a product is described in two steps; in version 3 a descriptor is a
// handle that has to be destroyed, the step is one, and eltwise has no scale. What else version 3 changed is of no
// concern here: 8-bit products are plain sums of 32 bits, without scales and zero points; each product has a scratchpad of
// the library's own, as before; f32 stays f32. A layout that is chosen for one number of rows serves all others in both.

#ifndef BERTCONV_LIBRARY_H
#define BERTCONV_LIBRARY_H

#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#if DNNL_VERSION_MAJOR == 2
#define FUNCTIONS_OF_VERSION(_)                                                                               \
  _(dnnl_memory_desc_init_by_tag)                                                                             \
  _(dnnl_memory_desc_init_by_strides)                                                                         \
  _(dnnl_matmul_desc_init)                                                                                    \
  _(dnnl_primitive_desc_create)
#else
#define FUNCTIONS_OF_VERSION(_)                                                                               \
  _(dnnl_memory_desc_create_with_tag)                                                                         \
  _(dnnl_memory_desc_create_with_strides)                                                                     \
  _(dnnl_memory_desc_clone)                                                                                   \
  _(dnnl_memory_desc_equal)                                                                                   \
  _(dnnl_memory_desc_destroy)                                                                                 \
  _(dnnl_matmul_primitive_desc_create)
#endif

// The functions that are used, by the types of their declarations.
#define FUNCTIONS(_)                                                                                          \
  FUNCTIONS_OF_VERSION(_)                                                                                     \
  _(dnnl_version)                                                                                             \
  _(dnnl_set_verbose)                                                                                         \
  _(dnnl_set_jit_dump)                                                                                        \
  _(dnnl_set_default_fpmath_mode)                                                                             \
  _(dnnl_get_effective_cpu_isa)                                                                               \
  _(dnnl_engine_create)                                                                                       \
  _(dnnl_stream_create)                                                                                       \
  _(dnnl_stream_destroy)                                                                                      \
  _(dnnl_memory_desc_get_size)                                                                                \
  _(dnnl_memory_create)                                                                                       \
  _(dnnl_memory_destroy)                                                                                      \
  _(dnnl_memory_set_data_handle)                                                                              \
  _(dnnl_primitive_desc_destroy)                                                                              \
  _(dnnl_primitive_desc_query_md)                                                                             \
  _(dnnl_reorder_primitive_desc_create)                                                                       \
  _(dnnl_primitive_create)                                                                                    \
  _(dnnl_primitive_destroy)                                                                                   \
  _(dnnl_primitive_execute)                                                                                   \
  _(dnnl_primitive_attr_create)                                                                               \
  _(dnnl_primitive_attr_destroy)                                                                              \
  _(dnnl_primitive_attr_set_post_ops)                                                                         \
  _(dnnl_post_ops_create)                                                                                     \
  _(dnnl_post_ops_destroy)                                                                                    \
  _(dnnl_post_ops_append_eltwise)

static struct {
  int state;  // 0 not tried, 1 there, -1 not there
#define MEMBER(name) __typeof__(&name) name;
  FUNCTIONS(MEMBER)
#undef MEMBER
  void (*gomp_parallel)(void (*)(void *), void *, unsigned, unsigned);
  int (*thread_number)(void);
  int (*thread_count)(void);
  int (*is_in_parallel)(void);
  void (*set_threads)(int);
  int (*max_threads)(void);
  void (*set_dynamic)(int);
  void (*set_active_levels)(int);
  int usual_threads;  // those that the environment sets, or one for each processor
  dnnl_engine_t engine;
  char version[32];
} library;

// MARK: Memory descriptors and products
//
// A dnnl_memory_desc_t of zeros is none; one that was made or copied is released. Functions take a desc_view of it.

#if DNNL_VERSION_MAJOR == 2

enum { IGNORES_STRIDE_OF_COLUMN = 0 };

typedef const dnnl_memory_desc_t *desc_view;

static desc_view view(const dnnl_memory_desc_t *desc) { return desc; }

static dnnl_status_t make_by_tag(
    dnnl_memory_desc_t *desc, const dnnl_dims_t shape, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  return library.dnnl_memory_desc_init_by_tag(desc, 2, shape, type, tag);
}

static dnnl_status_t make_by_strides(
    dnnl_memory_desc_t *desc, const dnnl_dims_t shape, dnnl_data_type_t type, const dnnl_dims_t strides) {
  return library.dnnl_memory_desc_init_by_strides(desc, 2, shape, type, strides);
}

static dnnl_status_t copy_desc(dnnl_memory_desc_t *desc, desc_view other) {
  *desc = *other;
  return dnnl_success;
}

static int is_same_desc(desc_view a, desc_view b) { return memcmp(a, b, sizeof *a) == 0; }

static void release(dnnl_memory_desc_t *desc) { (void)desc; }

static dnnl_status_t describe_matmul(
    dnnl_primitive_desc_t *result, desc_view x, desc_view weights, desc_view bias, desc_view y,
    const_dnnl_primitive_attr_t attributes) {
  dnnl_matmul_desc_t product;
  dnnl_status_t status = library.dnnl_matmul_desc_init(&product, x, weights, bias, y);
  if (!status) status = library.dnnl_primitive_desc_create(result, &product, attributes, library.engine, NULL);
  return status;
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t operations, dnnl_alg_kind_t kind) {
  return library.dnnl_post_ops_append_eltwise(operations, 1, kind, 0, 0);
}

#else

// Version 3.7 writes a result of one column as if its rows were adjacent, whatever the descriptor contains; 3.2 does not.
enum { IGNORES_STRIDE_OF_COLUMN = 1 };

typedef const_dnnl_memory_desc_t desc_view;

static desc_view view(const dnnl_memory_desc_t *desc) { return *desc; }

static dnnl_status_t make_by_tag(
    dnnl_memory_desc_t *desc, const dnnl_dims_t shape, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  return library.dnnl_memory_desc_create_with_tag(desc, 2, shape, type, tag);
}

static dnnl_status_t make_by_strides(
    dnnl_memory_desc_t *desc, const dnnl_dims_t shape, dnnl_data_type_t type, const dnnl_dims_t strides) {
  return library.dnnl_memory_desc_create_with_strides(desc, 2, shape, type, strides);
}

static dnnl_status_t copy_desc(dnnl_memory_desc_t *desc, desc_view other) {
  return library.dnnl_memory_desc_clone(desc, other);
}

static int is_same_desc(desc_view a, desc_view b) { return library.dnnl_memory_desc_equal(a, b); }

static void release(dnnl_memory_desc_t *desc) {
  if (*desc) library.dnnl_memory_desc_destroy(*desc);
  *desc = NULL;
}

static dnnl_status_t describe_matmul(
    dnnl_primitive_desc_t *result, desc_view x, desc_view weights, desc_view bias, desc_view y,
    const_dnnl_primitive_attr_t attributes) {
  return library.dnnl_matmul_primitive_desc_create(result, library.engine, x, weights, bias, y, attributes);
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t operations, dnnl_alg_kind_t kind) {
  return library.dnnl_post_ops_append_eltwise(operations, kind, 0, 0);
}

#endif

#endif
