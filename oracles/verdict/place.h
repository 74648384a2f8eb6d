// Where in a case something was compared, as data: named coordinates in order, printed as "session 3 step 7".
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace assay {

class Place {
 public:
  using Coordinate = std::pair<std::string, std::int64_t>;

  Place() = default;
  Place(std::initializer_list<Coordinate> coordinates) : coordinates_(coordinates) {}
  // What no number says: "after its origin closed". Printed first.
  Place(const char* note, std::initializer_list<Coordinate> coordinates = {})
      : note_(note), coordinates_(coordinates) {}
  Place(std::string note, std::vector<Coordinate> coordinates)
      : note_(std::move(note)), coordinates_(std::move(coordinates)) {}

  // This place and one coordinate more.
  Place With(std::string name, std::int64_t value) const {
    Place place = *this;
    place.coordinates_.emplace_back(std::move(name), value);
    return place;
  }
  const std::string& note() const { return note_; }
  const std::vector<Coordinate>& coordinates() const { return coordinates_; }
  bool empty() const { return note_.empty() && coordinates_.empty(); }
  std::string ToString() const;  // empty for an empty place
  friend bool operator==(const Place&, const Place&) = default;

 private:
  std::string note_;
  std::vector<Coordinate> coordinates_;
};

}  // namespace assay
