// The C side of TensorIO: checksums with run-time CPU dispatch, a guard against files that shrink
// while they are mapped, and the block transpose. Everything here takes sizes that the Swift side
// has already checked.
#ifndef BERTCONV_CTENSORIO_H
#define BERTCONV_CTENSORIO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// CRC32C (Castagnoli, reflected polynomial 0x82F63B78, as in RFC 3720), continued from `crc`;
// 0 starts a new one. Uses the CPU's CRC instruction where there is one.
uint32_t bertconv_crc32c_extend(uint32_t crc, const void *data, size_t length);

// The table-driven version of the same, kept as the fast one's test.
uint32_t bertconv_crc32c_extend_plain(uint32_t crc, const void *data, size_t length);

// The checksum of A followed by B, from the checksums of both and the length of B in bytes.
uint32_t bertconv_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);

// CRC-32 of zip and gzip (reflected polynomial 0xEDB88320), continued from `crc`; 0 starts a new one. Uses the CPU's
// carry-less multiplication or CRC instruction where there is one.
uint32_t bertconv_crc32_extend(uint32_t crc, const void *data, size_t length);

// The table-driven version of the same, kept as the fast one's test.
uint32_t bertconv_crc32_extend_plain(uint32_t crc, const void *data, size_t length);

// What this was compiled with, in the compiler's own words.
const char *bertconv_compiler(void);

// Registers a mapped range. A SIGBUS inside it (the file became shorter than the mapping) then maps
// zeros over the rest of the range and marks the slot instead of killing the process.
// Returns the slot, or -1 when all slots are taken.
int bertconv_map_guard_add(const void *start, size_t length);
// 1 when a page of the slot's range was lost.
int bertconv_map_guard_was_hit(int slot);
void bertconv_map_guard_remove(int slot);

// Writes the transpose of the row-major `rows` x `columns` matrix at `source` to `target`. The strides are the elements
// from one row to the next, in either; `element_size` is 1, 2, 4, 8 or 16 bytes.
void bertconv_transpose(const void *source, size_t source_stride, void *target, size_t target_stride, size_t rows,
                        size_t columns, size_t element_size);

// 1 when both ranges hold the same bytes.
int bertconv_equal(const void *a, const void *b, size_t length);

// 1 when the bytes of `part` occur in `text`. Either may be empty.
int bertconv_contains(const void *text, size_t text_length, const void *part, size_t part_length);

// Reverses the bytes of `count` elements of `element_size` (2, 4 or 8) bytes while copying them.
void bertconv_swap_bytes(const void *source, void *target, size_t count, size_t element_size);

// Adds the number of NaN and of infinite values among `count` little-endian floats, which need no alignment.
enum { BERTCONV_F16_VALUES, BERTCONV_BF16_VALUES, BERTCONV_F32_VALUES, BERTCONV_F64_VALUES };
void bertconv_count_special(const void *data, size_t count, int kind, uint64_t *nan, uint64_t *infinite);

// What values are like. Start with low = INFINITY, high = -INFINITY and zeros elsewhere.
typedef struct {
  uint64_t finite, zeros, nan, infinite;
  // Of the finite values: their sum, the squares of their distances from their mean, their range.
  double sum, squares;
  float low, high;
} bertconv_float_summary;

// Adds `count` little-endian floats of kind F16, BF16 or F32, which need no alignment, to a summary.
void bertconv_summarize_floats(const void *data, size_t count, int kind, bertconv_float_summary *summary);

// Adds to `counts` how many of such values fall into each of `bins` (1 to BERTCONV_MAX_BINS): value v into the whole part of
// (v * factor - low) * bins_per_unit, one beyond the last bin into the last one. NaN and what is out of range count nowhere.
enum { BERTCONV_MAX_BINS = 255 };
void bertconv_count_bins(const void *data, size_t count, int kind, double factor, double low, double bins_per_unit,
                         size_t bins, uint64_t *counts);

// How many processors the process may run on.
int bertconv_processor_count(void);

// 1 when this many bytes of address space could be had at this moment.
int bertconv_can_map(size_t bytes);

// The bytes of memory that the machine has, or that the limits of the process leave it (`ulimit -v`, `ulimit -d`).
uint64_t bertconv_memory_size(void);

// 1 where the process has such a limit.
int bertconv_memory_is_limited(void);

// How many threads can run at once, the calling one included: at most `wanted`, fewer where the limits of processes or of
// memory do not allow that (`ulimit -u`). Starts them and ends them again.
int bertconv_startable_threads(int wanted);

// The arguments of the process, as the C library has them: without /proc Swift does not see any. 0 and NULL where the C
// library does not give them.
int bertconv_argument_count(void);
const char *bertconv_argument(int index);

// Starts to write a range of a file to its disk without waiting for it, where the system can do that.
void bertconv_start_writing(int descriptor, int64_t offset, int64_t length);

// Files to remove when SIGINT, SIGTERM, SIGHUP or SIGQUIT ends the process.
void bertconv_temporary_add(const char *path);
void bertconv_temporary_remove(const char *path);

// For a lock whose waiting the thread sanitizer does not see: a number for it, and that it was taken or is given back.
int32_t bertconv_lock_number(void);
void bertconv_lock_taken(int32_t number);
void bertconv_lock_released(int32_t number);

#ifdef __cplusplus
}
#endif

#endif
