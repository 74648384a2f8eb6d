// What is right for a target: the float64 reference's rows, and the tolerance that follows from the twin of the mode.
//
// The host answers for models that it can; on a CUDA device the single-user CUDA reference answers for larger ones.
// That one occupies the memory an engine may need, so what a case will ask is worked out before its engine exists:
// Prepare.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "oracles/compare/tolerance.h"
#include "oracles/reference/decoder.h"
#include "suites/support/target.h"

namespace assay {

class CudaReferenceWeights;
class Workbench;
struct RoutingTolerance;

// The float64 reference's logits before the softcap after every token of a session from position `first` on.
struct ReferenceSession {
  Tokens tokens;
  int first = 0;
  std::vector<std::vector<double>> rows;
  const std::vector<double>& Raw(int position) const { return rows.at(position - first); }
};

// A session of which rows from position `first` on will be asked.
struct ReferenceRequest {
  Tokens tokens;
  int first = 0;
};

class ReferenceAnswers {
 public:
  explicit ReferenceAnswers(Workbench& bench);
  ~ReferenceAnswers();

  // A fresh reference or twin of the target's model where it can be had: on the target's device if that is CUDA and
  // the model is large, else on the host.
  std::unique_ptr<ReferenceDecoder> MakeDecoder(const Target& target, const ReferenceOptions& options = {});

  // Computed when first asked for. Neighbouring questions share their common prefix. Valid until the reference of
  // another large model is asked.
  const ReferenceSession& Rows(const Target& target, const Tokens& tokens, int first = 0);

  // How much further from the reference the target's twin is after token `position` of a session than `tolerance`
  // found it to be, at least 1 (LogitTolerance::At). 1 for models whose reference is on a device: it gave way to the
  // engine.
  double TwinErrorRatio(const Target& target, const LogitTolerance& tolerance, const Tokens& tokens, int position,
                        int first = 0);
  // The largest over twins that add in other orders (TwinArithmetic::order) as well: where rounding decides much, one
  // twin may be near the reference by chance. Computes the session a dozen times and keeps none of it.
  double WorstTwinErrorRatio(const Target& target, const LogitTolerance& tolerance, const Tokens& tokens, int position,
                             int first = 0);
  // The largest error of the twin's logits there; not for models whose reference is on a device.
  double TwinError(const Target& target, const Tokens& tokens, int position, int first = 0);

  // Tolerance of the target's mode: its twin against the reference over a calibration set of made-up sessions.
  // Calibrated when first asked for: a case asks before it opens a system (CaseState::tolerance).
  const LogitTolerance& Tolerance(const Target& target);

  // Of a model with experts: that of logits under the same choices of experts, and of the choices. Calibrated as above.
  const RoutingTolerance& Routing(const Target& target);

  // Whether the reference's logits bound this target's: not for experts in a 16-bit mode, where rounding alone changes
  // which experts a row is sent to and the error of one row is then as large as the logits. Such targets are held to
  // equality between batched and alone, to the reference under their own routing (suites/parity/experts.h), and to the
  // reference in fp32.
  bool Bounds(const Target& target);

  // Computes the tolerance and these rows, then frees what the reference holds on a device. Rows and tolerance stay on
  // the host.
  void Prepare(const Target& target, const std::vector<ReferenceRequest>& requests);
  void ReleaseDevice();  // a later question uploads again
  void ForgetRows();     // of sessions; tolerances and what computes them stay
  void Forget();

 private:
  using Key =
      std::tuple<std::string, std::uint64_t, bool, std::optional<TwinArithmetic>>;  // model, seed, on CUDA, twin
  struct Reference {
    std::shared_ptr<const CudaReferenceWeights> uploaded;  // on CUDA: for the reference and its twins
    std::unique_ptr<ReferenceDecoder> decoder;
    Tokens fed;  // what the decoder has seen
    std::vector<std::unique_ptr<ReferenceSession>> sessions;
  };

  bool OnCuda(const Target& target);
  Key KeyOf(const Target& target, std::optional<TwinArithmetic> twin = {});
  Reference& ReferenceOf(const Target& target, std::optional<TwinArithmetic> twin = {});
  const ReferenceSession& RowsOf(const Target& target, std::optional<TwinArithmetic> twin, const Tokens& tokens,
                                 int first);

  Workbench& bench_;
  std::map<Key, Reference> references_;
  std::map<Key, LogitTolerance> tolerances_;
  std::map<std::tuple<Key, Precision>, std::unique_ptr<RoutingTolerance>> routings_;
};

}  // namespace assay
