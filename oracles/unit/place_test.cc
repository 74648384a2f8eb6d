// Places are data: what is printed of them is for people.
#include "oracles/verdict/place.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(Place, PrintsItsNoteAndThenItsCoordinatesInOrder) {
  EXPECT_EQ((Place{{"session", 3}, {"step", 7}}.ToString()), "session 3 step 7");
  EXPECT_EQ((Place{"after its origin closed", {{"session", 1}}}.ToString()), "after its origin closed session 1");
  EXPECT_EQ(Place("as one piece").ToString(), "as one piece");
  EXPECT_EQ(Place().ToString(), "");
}

TEST(Place, OnlyOneWithoutNoteAndCoordinatesIsEmpty) {
  EXPECT_TRUE(Place().empty());
  EXPECT_FALSE(Place("forked").empty());
  EXPECT_FALSE((Place{{"row", 0}}.empty()));
}

TEST(Place, WithAddsACoordinateBehindTheOthersAndLeavesTheOriginalAlone) {
  const Place session{{"session", 3}};
  const Place step = session.With("step", 7).With("element", -1);
  EXPECT_EQ(step.ToString(), "session 3 step 7 element -1");
  EXPECT_EQ(session.ToString(), "session 3");
  EXPECT_EQ(step.coordinates().at(1), (Place::Coordinate{"step", 7}));
}

TEST(Place, EqualityIsOfNoteNamesValuesAndOrder) {
  const Place place{"packed", {{"session", 3}, {"step", 7}}};
  EXPECT_EQ(place, (Place{"packed", {{"session", 3}, {"step", 7}}}));
  EXPECT_NE(place, (Place{"", {{"session", 3}, {"step", 7}}}));
  EXPECT_NE(place, (Place{"packed", {{"session", 3}, {"step", 8}}}));
  EXPECT_NE(place, (Place{"packed", {{"session", 3}, {"row", 7}}}));
  EXPECT_NE(place, (Place{"packed", {{"step", 7}, {"session", 3}}}));
}

}  // namespace
}  // namespace assay
