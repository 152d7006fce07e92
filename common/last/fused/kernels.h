#pragma once

#include "common/last/fused/module_view.h"
#include "common/last/fused/shape.h"

// The kernels of the fused engine: one image, one network. Each is compiled for several instruction
// sets from one source (kernels/), into a table of its own; kernels() picks the best table that the
// processor runs. Pointers are to fp32 unless said otherwise. Terms, for module j of a network:
//   P     sum of backbone maps (prefix), constant; D  sum of the attention branches (branch)
//   x     P + D, the module's input; mu, rstd  its LayerNorm statistics per token
//   Wc    diag(gamma) [A_Q|A_K|A_V] minus its mean over D; as its columns sum to zero,
//         x Wc = (x - mu) Wc
//   y     [Q K V] = rstd (x Wc) + shift,  shift = beta^T [A_Q|A_K|A_V] + bias
//   G     d loss / d D, the stream's gradient;  E = rstd * d loss / d y
// What the crossed form of the backward pass is, and its terms, stand in crossed.h.
namespace last::fused {

// Forward through one strip of module j's input:
//   D += O_{j-1} A_{j-1} + up_bias;  x = P + D - mu;  squares += x^2;  qkv += x Wc
struct ForwardStrip {
  int width, dims;      // columns with and without padding
  const float* prefix;  // P [rows, width]
  float* branch;        // D [rows, width]
  const float* means;   // mu [rows]
  // Of module j - 1; attended == nullptr for the first module, where D is zero (and not read).
  const float* attended;  // O [rows, rank_stride]
  const float* up;        // A [r, D] from the strip's first column on
  const float* up_bias;   // the strip's, or nullptr
  bool branch_is_zero;    // D is zero so far, its memory undefined
  // Of module j.
  const float* qkv_weight;    // [A_Q|A_K|A_V] [D, 3r] from the strip's first row on
  const float* norm_weight;   // gamma, the strip's
  const float* column_means;  // [3r] mean over D of diag(gamma) [A_Q|A_K|A_V]
  bool first;                 // first strip: squares and qkv are overwritten
  float* squares;             // [rows, lanes of a vector], to be summed over the second axis
  float* qkv;                 // x Wc [lanes, qkv_stride]
};

// Backward through one strip of module j's input, then of module j-1's output:
//   D -= O_j A_j + up_bias;  x = P + D - mu;  d_qkv_weight = x^T E;  G += E Wc^T - c x
//   d_up = O_{j-1}^T G;  d_attended += G A_{j-1}^T
struct BackwardStrip {
  int width, dims;
  const float* prefix;
  float* branch;
  const float* means;
  enum class Branch { kZero, kKeep, kRebuild } branch_mode;  // kKeep: D is the input's already
  const float* attended;
  const float* up;
  const float* up_bias;
  const float* qkv_weight;
  const float* norm_weight;
  const float* column_means;
  const float* d_qkv;          // E [rows, qkv_stride]
  const float* input_factors;  // c [rows] = rstd <E, y - shift> / D
  bool crossed;                // not with bf16 products: mu is P's mean, D and E Wc^T are left out
  bool first;                  // first strip of the module
  void* scratch;               // backward_scratch() bytes, kept between the strips of a module
  float* d_qkv_weight;         // out [width, qkv_stride]: d loss / d (diag(gamma) A)
  // From here on only if there is a module j - 1 (previous_attended != nullptr).
  float* stream_gradient;      // G [rows, width]
  const float* pool_weights;   // [rows]: G so far is pool_weights (x) pool_gradient, its memory
  const float* pool_gradient;  //   undefined; nullptr: G is in memory
  const float* previous_attended;
  const float* previous_up;
  float* d_attended;  // d loss / d O_{j-1} [lanes, rank_stride]; the first strip overwrites it
  float* d_up;        // out [rank_stride, 48]
  float* d_up_bias;   // out [48] or nullptr
};

// One of the products that make up d_attended in the crossed form.
struct CrossedTerm {
  const float* rows;  // [rows, stride]
  int stride, depth;
  const float* weights;  // [depth, rank_stride]
};

struct AttentionForward {
  const float* qkv;  // y [lanes, qkv_stride], and 64 floats more that may be read
  int query_rows;    // queries 0 .. query_rows-1 are wanted
  float* attended;   // O [lanes, rank_stride]
  float* log_sum;    // [heads, lanes] log2 of the sum of exponentials
  float* scratch;    // attention_scratch() floats
};

struct AttentionBackward {
  const float* qkv;
  const float* attended;
  const float* log_sum;
  const float* d_attended;  // [lanes, rank_stride]; zero beyond n
  int query_rows;           // d_attended is zero from this row on
  float* d_qkv;             // d loss / d y [lanes, qkv_stride], and 64 floats more
  float* scratch;
};

struct Kernels {
  const char* name;
  // sum = previous + map (previous may be nullptr), in strips; means [rows] of sum over D.
  //   map [n, D] of `type`
  void (*add_map)(const Shape&, const void* map, FeatureType type, const float* previous,
                  float* sum, float* means);
  // pooled [padded_dim] += mean of the map's rows begin..end-1
  void (*pool_map)(const Shape&, const void* map, FeatureType type, int begin, int end,
                   float* pooled);
  // pooled += mean of the tile's rows begin..end-1
  void (*pool_tile)(const Shape&, const float* tile, int begin, int end, float* pooled);
  // column_means and shift [3r] of one module, means [r] of the rows of `up`
  void (*prepare_module)(const Shape&, const float* norm_weight, const float* norm_bias,
                         const float* qkv_weight, const float* qkv_bias, const float* up,
                         float* column_means, float* shift, float* up_means);
  void (*forward_strip)(const Shape&, const ForwardStrip&);
  // rstd = 1 / sqrt(sum(squares) / D + eps);  qkv = rstd qkv + shift
  void (*normalize)(const Shape&, const float* squares, float eps, const float* shift, float* rstd,
                    float* qkv);
  void (*attention_forward)(const Shape&, const AttentionForward&);
  // means += O up_means + bias_mean: what O A_up adds to the mean over D
  void (*advance_means)(const Shape&, const float* attended, const float* up_means, float bias_mean,
                        float* means);
  void (*attention_backward)(const Shape&, const AttentionBackward&);
  // d_shift [3r] = sum over tokens of d_qkv;  input_factors;  d_qkv *= rstd;  zero beyond n
  void (*normalize_backward)(const Shape&, const float* qkv, const float* shift, const float* rstd,
                             float* d_qkv, float* input_factors, float* d_shift);
  void (*backward_strip)(const Shape&, const BackwardStrip&);
  // The crossed form (crossed.h), once per batch for a pair of modules:
  //   out [3r rounded up to 4, rank_stride] = Wc^T A^T, Wc of `module`
  void (*cross_qkv)(const Shape&, const ModuleView& module, const float* up, float* out);
  //   out [up_rank rounded up to 4, rank_stride] = - Abar A^T, Abar of `module`
  void (*cross_up)(const Shape&, const ModuleView& module, const float* up, float* out);
  // For an image:
  //   out [rows, rank_stride] = or += factors o in, for factors [rows]
  void (*scale_rows)(const Shape&, const float* in, const float* factors, bool overwrite,
                     float* out);
  //   out [count, up_rank rounded up to 4, stride] = attended[i]^T right, right [rows, columns]
  void (*cross_tokens)(const Shape&, const float* const* attended, int count, const float* right,
                       int right_stride, int columns, float* out, int stride);
  //   out [rows, r] = or += sum over the terms of rows weights; rows of rank_stride
  void (*add_crossed)(const Shape&, const CrossedTerm* terms, int count, bool overwrite,
                      float* out);
  // After the batch, for the first `count` modules of a network and one strip: adds what the pairs'
  // sums mean for the gradients of A_up, its bias and diag(gamma) [A_Q|A_K|A_V].
  void (*add_crossed_gradients)(const Shape&, const ModuleView* modules, int count,
                                const float* sums, int strip, const ModuleGradients* gradients);
  // target [rows, cols] (row length stride) = or += source (row length source_stride)
  void (*add_block)(const float* source, int source_stride, int rows, int cols, bool overwrite,
                    float* target, int stride);
  // Of the last module's output only the pooled row is needed: sum [rank_stride] = w^T O;
  // pooled += sum A + up_bias;  and back, for the gradient g [padded_dim] of `pooled`:
  // d_attended = w (x) (A g), d_up = sum (x) g (add_outer: target [rows, cols] = or += ..).
  void (*pool_attended)(const Shape&, const float* attended, const float* weights, float* sum);
  void (*add_pooled_branch)(const Shape&, const float* sum, const float* up, const float* up_bias,
                            float* pooled);
  void (*pooled_backward)(const Shape&, const float* weights, const float* up,
                          const float* gradient, float* d_attended);
  void (*add_outer)(const float* left, int rows, const float* right, int cols, bool overwrite,
                    float* target);
  // dot products with the rows of weight [classes, D], and their gradient
  void (*head_logits)(const Shape&, const float* input, const float* weight, const float* bias,
                      int classes, float* logits);
  void (*head_backward)(const Shape&, const float* d_logits, const float* weight, int classes,
                        float* d_input);
  // d_weight [classes, D] = d_logits^T input over `batch` rows of length classes_stride (a multiple
  // of 16) and padded_dim
  void (*head_weight_gradient)(const Shape&, const float* d_logits, int classes_stride,
                               const float* input, int batch, int classes, float* d_weight);
  // In place, d_weight: gradient of diag(gamma) A -> gradient of A; and those of gamma and beta.
  void (*finish_module)(const Shape&, const float* norm_weight, const float* norm_bias,
                        const float* qkv_weight, const float* d_shift, float* d_weight,
                        float* d_norm_weight, float* d_norm_bias);
};

// Floats of scratch that the attention kernels need.
long attention_scratch(const Shape& shape);

// Bytes of BackwardStrip::scratch.
long backward_scratch(const Shape& shape);

// The best table with fp32 products for this processor; and with bf16 products (fp32 sums,
// statistics and softmax), nullptr if the processor has no unit for them.
const Kernels& kernels();
const Kernels* bf16_kernels();
// By name ("amx_bf16", "avx512", "avx2", "generic"); nullptr if the processor lacks it.
const Kernels* find_kernels(const char* name);

}  // namespace last::fused
