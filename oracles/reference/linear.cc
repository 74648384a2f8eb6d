#include "oracles/reference/linear.h"

#include <algorithm>

#include "engine/base/check.h"
#include "engine/base/parallel.h"
#include "engine/base/portable.h"

namespace assay {
namespace {

// Four rows at once: x is read once for them and the four sums hide each other's latency.
template <class W, class Real>
ASSAY_UNINSTRUMENTED inline __attribute__((always_inline)) void FourDots(Real* out, const W* w, std::int64_t stride,
                                                                         const Real* x, std::int64_t count) {
  const W *w0 = w, *w1 = w + stride, *w2 = w + 2 * stride, *w3 = w + 3 * stride;
  Real s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
  for (std::int64_t i = 0; i < count; ++i) {
    s0 += static_cast<Real>(w0[i]) * x[i];
    s1 += static_cast<Real>(w1[i]) * x[i];
    s2 += static_cast<Real>(w2[i]) * x[i];
    s3 += static_cast<Real>(w3[i]) * x[i];
  }
  out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;
}

template <class W, class Real>
ASSAY_UNINSTRUMENTED inline __attribute__((always_inline)) Real OneDot(const W* w, const Real* x, std::int64_t count) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<Real>(w[i]) * x[i];
  return sum;
}

template <class Real>
ASSAY_UNINSTRUMENTED inline __attribute__((always_inline)) void Rows(Real* out, const float* w, std::int64_t cols,
                                                                     const Real* x, std::int64_t begin,
                                                                     std::int64_t end) {
  std::int64_t row = begin;
  for (; row + 4 <= end; row += 4) FourDots(out + row, w + row * cols, cols, x, cols);
  for (; row < end; ++row) out[row] = OneDot(w + row * cols, x, cols);
}

// The same loops compiled twice, because a distributed binary may assume no more than SSE2 and the reference is bound
// by this loop. Picked by hand: ifunc-based target clones crash under the sanitizers.
template <class Real>
ASSAY_UNINSTRUMENTED void PlainRows(Real* out, const float* w, std::int64_t cols, const Real* x, std::int64_t begin,
                                    std::int64_t end) {
  Rows(out, w, cols, x, begin, end);
}

#if defined(__x86_64__)
template <class Real>
ASSAY_UNINSTRUMENTED __attribute__((target("avx2,fma"))) void WideRows(Real* out, const float* w, std::int64_t cols,
                                                                       const Real* x, std::int64_t begin,
                                                                       std::int64_t end) {
  Rows(out, w, cols, x, begin, end);
}
bool HasWide() {
  static const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return wide;
}
#else
template <class Real>
void WideRows(Real* out, const float* w, std::int64_t cols, const Real* x, std::int64_t begin, std::int64_t end) {
  Rows(out, w, cols, x, begin, end);
}
bool HasWide() { return false; }
#endif

}  // namespace

ASSAY_UNINSTRUMENTED double Dot(const double* a, const double* b, std::int64_t count) {
  ASSAY_TELL_READ(b, count * sizeof(double));
  return OneDot(a, b, count);
}
ASSAY_UNINSTRUMENTED float Dot(const float* a, const float* b, std::int64_t count) {
  ASSAY_TELL_READ(b, count * sizeof(float));
  return OneDot(a, b, count);
}

template <class Real>
std::vector<Real> Multiply(const Matrix& w, const std::vector<Real>& x, std::int64_t expert) {
  std::vector<Real> out(w.rows);
  const float* first = w.Row(expert * w.rows);
  // Ranges of whole groups of four, so that a row's sum never depends on the number of threads; of some 2^18 products,
  // because less is done sooner than a second thread wakes up.
  const std::int64_t groups = (w.rows + 3) / 4, grain = (std::int64_t{1} << 16) / std::max<std::int64_t>(1, w.cols);
  ParallelFor(groups, std::max<std::int64_t>(1, grain), [&](std::int64_t begin, std::int64_t end) {
    ASSAY_TELL_READ(x.data(), x.size() * sizeof(Real));
    ASSAY_TELL_WRITE(out.data() + 4 * begin, (std::min(4 * end, w.rows) - 4 * begin) * sizeof(Real));
    (HasWide() ? WideRows<Real> : PlainRows<Real>)(out.data(), first, w.cols, x.data(), 4 * begin,
                                                   std::min(4 * end, w.rows));
  });
  return out;
}

template std::vector<double> Multiply(const Matrix&, const std::vector<double>&, std::int64_t);
template std::vector<float> Multiply(const Matrix&, const std::vector<float>&, std::int64_t);

std::vector<float> LoadVector(const WeightStore& store, TensorKey key) { return ToFloats(store.Load(key)); }

Table::Table(const WeightStore& store, TensorKey key) : tensor_(store.Load(key)) {}

std::vector<float> Table::Row(std::int64_t row) const {
  Require(row >= 0 && row < tensor_.rows, "{}: row {} of {}", tensor_.where, row, tensor_.rows);
  HostTensor one = tensor_;
  one.rows = 1;
  one.bytes = StoredBytes(tensor_.type, 1, tensor_.cols);
  one.data = std::shared_ptr<const std::byte>(tensor_.data, tensor_.data.get() + row * one.bytes);
  one.fill.reset();  // a recipe counts elements from the table's start; the bytes are at hand
  return ToFloats(one);
}

}  // namespace assay
