// How matrices lie in device memory. place() brings any stored matrix into one of few forms, so
// that kernels know only these:
//
//   payload  packed_bits 0: F32, F16, BF16, I8 or F8E4M3 elements
//            packed_bits 4: codes q + 8, element i in bits [4i, 4i + 4) of the row
//   row      row_stride bytes, a multiple of 64: padding is zero bytes. Matrices begin at
//            multiples of 256 bytes. Elements beyond `columns` meet activations that are zero.
//   words    In rows of 1-byte and packed elements each 64-byte segment holds 16 words w[0..15] of
//            the stored order turned as a 4 x 4 matrix: word 4 t + j lies where 4 j + t was. Lane t
//            of a quad reads 16 bytes at once, words t, 4 + t, 8 + t, 12 + t of the stored order,
//            and its j-th word stands beside the j-th words of its three neighbours:
//
//                lane t  | word 0   1      2      3          columns of all four words j:
//                   0    |   w0     w4     w8     w12        int8: 16 j .. 16 j + 15
//                   1    |   w1     w5     w9     w13        int4: 32 j .. 32 j + 31
//                   2    |   w2     w6     w10    w14        so they share a scale wherever groups
//                   3    |   w3     w7     w11    w15        are multiples of 16 (int4: 32)
//
//   scales   [rows, columns / group] F32, F16 or BF16, rows of their own also where the file has
//            one for all; group is a multiple of 16 (packed: 32), or all columns. None with F32,
//            F16 and BF16; 1 where a file has none for I8, F8E4M3 or packed elements.
//   zeros    [rows, columns / group], or null. After scales and after zeros: 32 bytes of zero.
//   index    2:4 matrices stay 2:4, but for F32 and for groups that are no multiple of 32, which
//            become dense. Rows have columns / 2 elements then. mma.m16n8k32 takes 32 columns, of
//            which lane t of a quad has 8 t .. 8 t + 7, two quadruples, 4 kept elements: these
//            fours are turned instead of words. A segment has B = 2 (16-bit floats), 4 (1 byte) or
//            8 (int4) times 32 columns: four 4 b + t of the stored order lies where B t + b was,
//            so that a lane reads its fours of all B at once. Of integers each word has its even
//            elements first, then the odd ones: decoding pairs elements of its two halves.
//            For each 16 rows (tiles, one after the other) and each 64 bytes of them 32 words for
//            each unit of 64 columns, all units' words of a lane together: word 4 g + t has the
//            positions of the quadruples that begin at columns 32 (t / 2) + 4 (t % 2) + 8 i, i from
//            0 to 3, a nibble each as in WeightView, of row g in its low half and of row g + 8 in
//            its high half. That is how mma.m16n8k32 wants the metadata of its lanes, for the
//            first 32 columns with selector 0, for the second with 1; beyond the matrix: 4.
//
//   stored as                              placed as
//   F32 F16 BF16                           the same
//   I8, packed 8 or fewer bits, F8E4M3     I8 (packed 4: packed 4), F8E4M3, where groups allow it
//   Q8_0, Q5_0, IQ4_NL                     I8, group 32, F16 scales: the same values
//   Q4_0                                   packed 4, group 32, F16 scales: the same values
//   IQ4_XS, MXFP4                          I8, group 32, F32 scales: the same values
//   Q6_K                                   I8, group 16, F32 scales d * scale: the same values
//   other blocks                           F16: rounded to 11 bits; F32 where beyond its range
//   the rest                               F32, decoded by the host
#pragma once

#include <memory>

#include "kernels/cuda/block_range.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/staging.h"

namespace hone::cuda {

// Device memory that a loader takes, beside what it places.
inline size_t loader_bytes(const DeviceInfo& device) { return kFeedPieces * device.load_piece; }

// Brings matrices to the device. Closed once all are there: the threads and the memory of their way
// are needed no more.
class Loader {
 public:
  explicit Loader(const DeviceInfo& device)
      : piece_bytes_(static_cast<int64_t>(device.load_piece)) {}
  // Bytes that place() will take on the device.
  size_t placed_bytes(const WeightView& host);
  // The view that place() will return, of no memory.
  WeightView placed_view(const WeightView& host);
  // Brings a matrix to `memory`, device memory of placed_bytes(host), 256-byte aligned, and returns
  // its view there, for what is given to the stream from then on.
  WeightView place(simt::Stream stream, const WeightView& host, std::byte* memory);

 private:
  int64_t piece_bytes_;
  ThreadPool pool_{default_threads()};
  BlockRange range_{pool_};
  std::unique_ptr<Feed> feed_ = open_feed();
};

}  // namespace hone::cuda
