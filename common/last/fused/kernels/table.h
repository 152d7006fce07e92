#pragma once

#include "common/last/fused/kernels.h"

// The kernels of one instruction set; contracts in kernels.h.
namespace last::fused::LAST_ISA_NAMESPACE {

void add_map(const Shape&, const void* map, FeatureType type, const float* previous, float* sum,
             float* means);
void pool_map(const Shape&, const void* map, FeatureType type, int begin, int end, float* pooled);
void pool_tile(const Shape&, const float* tile, int begin, int end, float* pooled);
void prepare_module(const Shape&, const float* norm_weight, const float* norm_bias,
                    const float* qkv_weight, const float* qkv_bias, const float* up,
                    float* column_means, float* shift, float* up_means);
void forward_strip(const Shape&, const ForwardStrip&);
void normalize(const Shape&, const float* squares, float eps, const float* shift, float* rstd,
               float* qkv);
void attention_forward(const Shape&, const AttentionForward&);
void advance_means(const Shape&, const float* attended, const float* up_means, float bias_mean,
                   float* means);
void attention_backward(const Shape&, const AttentionBackward&);
void normalize_backward(const Shape&, const float* qkv, const float* shift, const float* rstd,
                        float* d_qkv, float* input_factors, float* d_shift);
void backward_strip(const Shape&, const BackwardStrip&);
void cross_qkv(const Shape&, const ModuleView& module, const float* up, float* out);
void cross_up(const Shape&, const ModuleView& module, const float* up, float* out);
void scale_rows(const Shape&, const float* in, const float* factors, bool overwrite, float* out);
void cross_tokens(const Shape&, const float* const* attended, int count, const float* right,
                  int right_stride, int columns, float* out, int stride);
void add_crossed(const Shape&, const CrossedTerm* terms, int count, bool overwrite, float* out);
void add_crossed_gradients(const Shape&, const ModuleView* modules, int count, const float* sums,
                           int strip, const ModuleGradients* gradients);
void add_block(const float* source, int source_stride, int rows, int cols, bool overwrite,
               float* target, int stride);
void pool_attended(const Shape&, const float* attended, const float* weights, float* sum);
void add_pooled_branch(const Shape&, const float* sum, const float* up, const float* up_bias,
                       float* pooled);
void pooled_backward(const Shape&, const float* weights, const float* up, const float* gradient,
                     float* d_attended);
void add_outer(const float* left, int rows, const float* right, int cols, bool overwrite,
               float* target);
void head_logits(const Shape&, const float* input, const float* weight, const float* bias,
                 int classes, float* logits);
void head_backward(const Shape&, const float* d_logits, const float* weight, int classes,
                   float* d_input);
void head_weight_gradient(const Shape&, const float* d_logits, int classes_stride,
                          const float* input, int batch, int classes, float* d_weight);
void finish_module(const Shape&, const float* norm_weight, const float* norm_bias,
                   const float* qkv_weight, const float* d_shift, float* d_weight,
                   float* d_norm_weight, float* d_norm_bias);

}  // namespace last::fused::LAST_ISA_NAMESPACE
