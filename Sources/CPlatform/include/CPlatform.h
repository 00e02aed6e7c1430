/// What Swift on Linux cannot reach by itself: system calls that Glibc's module leaves out, and processor instructions
/// chosen at run time. Functions that can fail return 0 or a count, or a negated errno.
#ifndef VHDTOOLS_CPLATFORM_H
#define VHDTOOLS_CPLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, reflected, initial and final XOR all ones). `crc` is 0 for the first piece, else the result of
/// the piece before.
uint32_t vt_crc32c(uint32_t crc, const void *bytes, size_t count);

/// For tests: the ways of computing it that this processor has, by number, the portable one first and the one that
/// `vt_crc32c` takes last. The name is NULL past the last.
const char *vt_crc32c_method(size_t method);
uint32_t vt_crc32c_with(size_t method, uint32_t crc, const void *bytes, size_t count);

/// Sum of all bytes as unsigned values, modulo 2^32.
uint32_t vt_byte_sum(const void *bytes, size_t count);

/// For tests: the same without instructions chosen at run time.
uint32_t vt_byte_sum_portable(const void *bytes, size_t count);

/// Begins to bring memory that is written soon to this processor, and returns at once. Changes nothing.
void vt_fetch_for_writing(const void *bytes, size_t count);

/// Whether every byte is zero; true for no bytes. Stops early.
bool vt_is_zero(const void *bytes, size_t count);

/// FICLONERANGE. 0 or -errno.
int vt_clone_range(int target, uint64_t target_offset, int source, uint64_t source_offset, uint64_t count);

/// copy_file_range. Bytes copied or -errno.
int64_t vt_copy_range(int target, uint64_t target_offset, int source, uint64_t source_offset, uint64_t count);

/// Bytes that a pipe can hold, or -errno.
int64_t vt_pipe_size(int pipe);

/// sendfile from a position of `source` to the current position of `target`. Bytes sent or -errno.
int64_t vt_send_file(int target, int source, uint64_t source_offset, uint64_t count);

/// Deallocates a range; the file keeps its size and reads as zeros there. 0 or -errno.
int vt_punch_hole(int file, uint64_t offset, uint64_t count);

/// Makes a range read as zeros, allocated or not, without changing the file's size. 0 or -errno.
int vt_zero_range(int file, uint64_t offset, uint64_t count);

/// Reserves space for a range without changing the file's size. 0 or -errno.
int vt_preallocate(int file, uint64_t offset, uint64_t count);

/// Offset of the first data, or of the first hole, at or after `offset`; -ENXIO past the last; -errno.
int64_t vt_seek_data(int file, uint64_t offset);
int64_t vt_seek_hole(int file, uint64_t offset);

/// An exclusive lock on the whole file, owned by the open file description (OFD), so that it goes with the last close of
/// the descriptor and excludes other threads' descriptors and qemu's byte locks alike. 0, or -EAGAIN when somebody else
/// holds one, or -errno.
int vt_lock_exclusive(int file);

/// Keeps writers away from a file that is open for reading, in a way that several readers can at once: `vt_lock_exclusive`
/// fails meanwhile, and qemu opens the file for reading only. 0, or -EAGAIN when a writer has the file, be it one of ours
/// or qemu, or -errno.
int vt_lock_shared(int file);

/// Gives these locks back. Closing the descriptor is not enough where another thread is starting a program: until the new
/// process has replaced itself, it holds a copy of the descriptor, and the lock with it. 0 or -errno.
int vt_unlock(int file);

/// Atomically renames without replacing (RENAME_NOREPLACE). 0 or -errno.
int vt_rename_new(const char *from, const char *to);

/// A new file in a folder, without a name: it goes when its descriptor does, however the process ends. A descriptor for
/// reading and writing, or -errno where the file system has no such files.
int vt_open_unnamed(const char *folder, unsigned permissions);

/// Whether `vt_give_name` can work: it needs /proc.
bool vt_can_be_named(int file);

/// Gives a file without a name one that must be free. 0 or -errno.
int vt_give_name(int file, const char *path);

/// Starts a command by /bin/sh, without input. `output` becomes a pipe with what it prints. Its process, or -errno.
int vt_spawn_shell(const char *command, int *output);

/// Waits for a process that was started here: its exit code, 128 and more for a signal, or -errno.
int vt_wait_for(int child);

/// Whether a child has ended; it is still to be waited for.
bool vt_has_ended(int child);

/// Processors that this process may run on, or -errno where there are more than can be told.
int vt_usable_processor_count(void);

/// Switches a terminal's echo off, until `vt_show_input`; it comes back also where SIGINT, SIGTERM, SIGHUP or SIGQUIT ends the
/// process, and stopping it is left for later. One terminal at a time. Gives 0 or a negative errno.
int vt_hide_input(int descriptor);
void vt_show_input(void);

#endif
