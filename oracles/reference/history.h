// Keys and values of one layer by absolute position. It only grows; what a query may not see is masked, never dropped.
#pragma once

#include <cassert>
#include <cstddef>
#include <vector>

namespace assay {

template <class Real>
class History {
 public:
  // Stores what the token at `position` contributes and forgets later positions. Positions are written without gaps.
  void Write(int position, const std::vector<Real>& key, const std::vector<Real>& value) {
    Put(keys_, position, key);
    Put(values_, position, value);
  }
  // [kv_heads * head_dim] of the token at `position`.
  const Real* Key(int position) const { return keys_.data() + Offset(position, keys_); }
  const Real* Value(int position) const { return values_.data() + Offset(position, values_); }

 private:
  void Put(std::vector<Real>& store, int position, const std::vector<Real>& row) {
    width_ = row.size();
    assert(store.size() >= position * width_);
    store.resize(position * width_);
    store.insert(store.end(), row.begin(), row.end());
  }
  std::size_t Offset(int position, [[maybe_unused]] const std::vector<Real>& store) const {
    const std::size_t offset = position * width_;
    assert(offset + width_ <= store.size());
    return offset;
  }

  std::size_t width_ = 0;
  std::vector<Real> keys_, values_;
};

}  // namespace assay
