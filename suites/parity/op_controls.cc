#include "suites/parity/op_controls.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "oracles/probes/checking_ops.h"
#include "suites/faults/hooked_ops.h"
#include "suites/parity/parity.h"

namespace assay {
namespace {

using Floats = std::vector<float>;
using Ints = std::vector<std::int32_t>;

// Moves the last of `values` by so many times the largest of them.
auto Moved(double relative) {
  return [relative](Floats& values) {
    float largest = 0;
    for (const float value : values) largest = std::max(largest, std::abs(value));
    values.back() += static_cast<float>(relative) * largest;
  };
}
void Next(Ints& values) { ++values.back(); }

void MoveRow(const float* data, std::int64_t rows, std::int64_t width, double relative, Edit& edit) {
  edit.Values(data + (rows - 1) * width, width, Moved(relative));
}
void MoveOperand(void* data, std::int64_t rows, std::int64_t width, double relative, Edit& edit) {
  edit.Operand(data, (rows - 1) * width, width, Moved(relative));
}

// The key or value that the last row has written.
void MoveCached(const Ops::QkvArgs& a, void* cache, double relative, Edit& edit) {
  if (a.kv == nullptr) return;
  Ints session(static_cast<std::size_t>(a.rows->count)), position = session;
  edit.ops().memory().CopyOut(session.data(), a.rows->session, session.size() * sizeof(std::int32_t));
  edit.ops().memory().CopyOut(position.data(), a.rows->position, position.size() * sizeof(std::int32_t));
  if (session.back() < 0) return;
  edit.Cached(cache, a.kv->Offset(session.back(), a.kv_heads - 1, position.back()), a.head_dim, Moved(relative));
}

struct OpControl {
  const char* output;  // as the check of ops names it
  const char* model;
  Hooks hooks;
};

constexpr const char *kPle = "tiny-gemma4-ple", *kMoe = "tiny-gemma4-moe";
constexpr double kLittle = 2e-5, kSome = 2e-4;  // of long sums and of exponentials rounding explains more

// Everything that CheckingOps judges, but for AddBias, which no preset has.
std::vector<OpControl> Controls() {
  return {
      {"Embed", kPle, {.embed_out = [](auto& a, Edit& e) { MoveRow(a.x, a.rows->count, a.table->cols, kLittle, e); }}},
      {"Embed operand",
       kPle,
       {.embed_out = [](auto& a, Edit& e) { MoveOperand(a.operand, a.rows->count, a.table->cols, kLittle, e); }}},
      {"PleInput",
       kPle,
       {.ple_input_out = [](auto& a,
                            Edit& e) { MoveRow(a.ple, a.rows->count, std::int64_t{a.layers} * a.width, kLittle, e); }}},
      {"Norm", kPle, {.norm_out = [](auto& a, Edit& e) { MoveOperand(a.operand, a.rows, a.width, kLittle, e); }}},
      {"Residual", kPle, {.residual_out = [](auto& a, Edit& e) { MoveRow(a.x, a.rows, a.width, kLittle, e); }}},
      {"Residual operand",
       kPle,
       {.residual_out = [](auto& a, Edit& e) { MoveOperand(a.operand, a.rows, a.width, kLittle, e); }}},
      {"Join", kMoe, {.join_out = [](auto& a, Edit& e) { MoveRow(a.sum, a.rows, a.width, kLittle, e); }}},
      {"MatMul", kPle, {.matmul_out = [](auto& a, Edit& e) { MoveRow(a.out, a.rows, a.w->rows, kSome, e); }}},
      {"GatedMatMul",
       kPle,
       {.gated_out = [](auto& a, Edit& e) { MoveOperand(a.operand, a.rows, a.w->rows / 2, kSome, e); }}},
      {"PleGate",
       kPle,
       {.ple_gate_out = [](auto& a, Edit& e) { MoveOperand(a.operand, a.rows, a.w->rows, kSome, e); }}},
      {"Qkv queries",
       kPle,
       {.qkv_out = [](auto& a,
                      Edit& e) { MoveOperand(a.q, a.rows->count, std::int64_t{a.heads} * a.head_dim, kLittle, e); }}},
      {"Qkv keys", kPle, {.qkv_out = [](auto& a, Edit& e) { MoveCached(a, a.kv ? a.kv->keys : nullptr, kLittle, e); }}},
      {"Qkv values",
       kPle,
       {.qkv_out = [](auto& a, Edit& e) { MoveCached(a, a.kv ? a.kv->values : nullptr, kLittle, e); }}},
      {"Attention",
       kPle,
       {.attention_out =
            [](auto& a, Edit& e) {
              MoveOperand(a.out, a.rows->count, std::int64_t{a.heads} * a.kv->head_dim, kSome, e);
            }}},
      {"Route choice",
       kMoe,
       {.route_out =
            [](auto& a, Edit& e) {
              e.Numbers(a.expert, std::int64_t{a.rows} * a.top_k,
                        [](Ints& x) { std::swap(x.back(), x[x.size() - 2]); });
            }}},
      {"Route weight", kMoe, {.route_out = [](auto& a, Edit& e) { MoveRow(a.weight, a.rows, a.top_k, kSome, e); }}},
      {"ExpertGated",
       kMoe,
       {.expert_gated_out = [](auto& a,
                               Edit& e) { MoveOperand(a.operand, a.rows, a.top_k * a.w->rows / 2, kSome, e); }}},
      {"ExpertDown", kMoe, {.expert_down_out = [](auto& a, Edit& e) { MoveRow(a.out, a.rows, a.w->rows, kSome, e); }}},
      {"Logits",
       kPle,
       {.logits_out =
            [](auto& a, Edit& e) {
              if (a.capped != nullptr) MoveRow(a.capped, a.rows, a.vocab, kLittle, e);
            }}},
      {"Logits best", kPle, {.logits_out = [](auto& a, Edit& e) { e.Numbers(a.best, a.rows, Next); }}},
      {"GatherRows",
       kPle,
       {.gather_out =
            [](auto& a, Edit& e) { MoveRow(static_cast<const float*>(a.out), a.count, a.row_bytes / 4, kLittle, e); }}},
      {"Advance token", kPle, {.advance_out = [](auto& a, Edit& e) { e.Numbers(a.token, a.rows, Next); }}},
      {"Advance position", kPle, {.advance_out = [](auto& a, Edit& e) { e.Numbers(a.position, a.rows, Next); }}},
      {"Advance segment",
       kPle,
       {.advance_out =
            [](auto& a, Edit& e) {
              e.Numbers(&a.segment[a.rows - 1].first_position, 1, Next);  // an address, not a value
            }}},
      {"Advance history",
       kPle,
       {.advance_out =
            [](auto& a, Edit& e) {
              Ints step(1);
              e.ops().memory().CopyOut(step.data(), a.step, sizeof(std::int32_t));
              e.Numbers(a.history + std::int64_t{step[0] - 1} * a.rows, a.rows, Next);
            }}},
      {"Advance step", kPle, {.advance_out = [](auto& a, Edit& e) { e.Numbers(a.step, 1, Next); }}},
  };
}

// The outputs that are called wrong in a prefill, a mixed step and, where they can be looked at, recorded steps.
std::set<std::string> Wrong(CaseState& state, const char* model, const Hooks& hooks) {
  Target target = state.target;
  target.model = model;
  target.label.clear();
  const auto engaged = std::make_shared<bool>(false);
  const std::unique_ptr<Ops> plain = state.bench.MakeOps(target);
  HookedOps hooked(*plain, hooks, engaged);
  std::set<std::string> wrong;
  CheckingOps checking(hooked, [&](const Judgement& judgement) {
    if (judgement.verdict != Verdict::kWrong) return;
    const std::string place = judgement.worst.ToString();
    const std::size_t first = place.find(": ") + 2;
    wrong.insert(place.substr(first, place.rfind(" step ") - first));
  });
  const ModelSpec& spec = state.bench.Spec(target);
  const auto system = state.bench.OpenEngine(target, SmallOptions(spec, 2, 24), checking);
  const SessionId a = system->Open(), b = system->Open();
  const Tokens first = RandomTokens(target.seed, 7800, 5, spec.vocab),
               second = RandomTokens(target.seed, 7801, 3, spec.vocab);
  system->Step(std::vector<Feed>{{a, first, Want::kLast}, {b, second, Want::kAll}});
  if (state.target.exact()) system->Decode(std::vector{a, b}, Tokens{first[0], second[0]}, 1);
  return wrong;
}

void BiasThatIsOff(CaseState& state) {
  const std::unique_ptr<Ops> plain = state.bench.MakeOps(state.target);
  for (const bool off : {false, true}) {
    Hooks hooks;
    if (off) hooks.bias_out = [](auto& a, Edit& e) { MoveRow(a.x, a.rows, a.width, kLittle, e); };
    HookedOps hooked(*plain, hooks, std::make_shared<bool>(false));
    bool wrong = false;
    CheckingOps checking(hooked, [&](const Judgement& j) { wrong = wrong || j.verdict == Verdict::kWrong; });
    const Floats x{1, 2, 3, 4, 5, 6}, bias{0.5f, 0.25f, 3};
    const Buffer at(plain->memory(), sizeof(float) * x.size(), "x"),
        of(plain->memory(), sizeof(float) * bias.size(), "bias");
    plain->memory().CopyIn(at.data(), x.data(), at.bytes());
    plain->memory().CopyIn(of.data(), bias.data(), of.bytes());
    checking.AddBias(at.as<float>(), of.as<float>(), 2, 3);
    state.check.True(wrong == off, "controls", off ? "AddBias" : "right AddBias");
  }
}

}  // namespace

void OpsThatAreOff(CaseState& state) {
  const std::vector<OpControl> controls = Controls();
  const auto seen = [&](const OpControl& control) {
    return state.target.exact() || !std::string_view(control.output).starts_with("Advance");
  };
  state.check.AtLeast("controls", std::ranges::count_if(controls, seen) + 3);
  for (const char* model : {kPle, kMoe}) {
    const std::set<std::string> wrong = Wrong(state, model, {});
    state.check.True(wrong.empty(), "controls", {"right ops", {}}, fmt::format("found [{}]", fmt::join(wrong, ", ")));
  }
  for (const OpControl& control : controls) {
    if (!seen(control)) continue;
    const std::set<std::string> wrong = Wrong(state, control.model, control.hooks);
    state.check.True(wrong.contains(control.output), "controls", Place(control.output, {}),
                     fmt::format("found [{}]", fmt::join(wrong, ", ")));
  }
  BiasThatIsOff(state);
}

}  // namespace assay
