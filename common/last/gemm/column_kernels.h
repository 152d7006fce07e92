#pragma once

// What the modules do to one column, that is one token of one image in one network, between the
// large products and the attention: modules.h has the equations. Compiled twice from this one text:
// with the library for CPUs, and at run time for the GPU at hand (cuda_kernels.h), where nothing
// can be included. Letters as in shape.h; `before` is i * s, the rows of all modules before this
// one. Matrices [rows, L] are row-major, so that neighbouring columns are neighbours in memory.

#ifdef __CUDACC_RTC__
#define LAST_DEVICE __device__ __forceinline__
#define LAST_UNROLL _Pragma("unroll 8")
LAST_DEVICE float last_from_bits(unsigned bits) { return __uint_as_float(bits); }
LAST_DEVICE unsigned last_to_bits(float x) { return __float_as_uint(x); }
LAST_DEVICE float last_square_root(float x) { return sqrtf(x); }
#else
#define LAST_DEVICE inline
#define LAST_UNROLL
LAST_DEVICE float last_from_bits(unsigned bits) { return __builtin_bit_cast(float, bits); }
LAST_DEVICE unsigned last_to_bits(float x) { return __builtin_bit_cast(unsigned, x); }
LAST_DEVICE float last_square_root(float x) { return __builtin_sqrtf(x); }
#endif

namespace last::gemm::columns {

struct Bf16 {
  unsigned short bits;
};

LAST_DEVICE float widen(float x) { return x; }
LAST_DEVICE float widen(Bf16 x) { return last_from_bits(static_cast<unsigned>(x.bits) << 16); }

LAST_DEVICE void set(float& out, float x) { out = x; }
// To the nearest, ties to even.
LAST_DEVICE void set(Bf16& out, float x) {
  const unsigned bits = last_to_bits(x);
  const unsigned rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  out.bits = static_cast<unsigned short>(x == x ? rounded : 0x7fc0);
}

// 16 bytes that are loaded and stored at once.
template <class T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / static_cast<int>(sizeof(T));
  T values[kSize];
};

// r rows of numbers per column, in the order of the attention's operands.
template <class T>
struct Rows {
  T* data;
  long long network, image, token, row;  // strides
  int packed;                            // whether a column's rows are whole, aligned packs
};

template <class T>
LAST_DEVICE T* column_of(const Rows<T>& rows, long long network, long long image, long long token) {
  return rows.data + network * rows.network + image * rows.image + token * rows.token;
}

// Stores value(e) in rows e = 0 .. count - 1.
template <class T, class Value>
LAST_DEVICE void store_rows(const Rows<T>& rows, T* column, int count, const Value& value) {
  if (rows.packed) {
    for (int first = 0; first < count; first += Pack<T>::kSize) {
      Pack<T> pack;
      for (int e = 0; e < Pack<T>::kSize; ++e) set(pack.values[e], value(first + e));
      *reinterpret_cast<Pack<T>*>(column + first) = pack;
    }
  } else {
    for (int e = 0; e < count; ++e) set(column[e * rows.row], value(e));
  }
}

// Calls use(e, number) for rows e = 0 .. count - 1.
template <class T, class Use>
LAST_DEVICE void load_rows(const Rows<T>& rows, const T* column, int count, const Use& use) {
  if (rows.packed) {
    for (int first = 0; first < count; first += Pack<T>::kSize) {
      const Pack<T> pack = *reinterpret_cast<const Pack<T>*>(column + first);
      for (int e = 0; e < Pack<T>::kSize; ++e) use(first + e, widen(pack.values[e]));
    }
  } else {
    for (int e = 0; e < count; ++e) use(e, widen(column[e * rows.row]));
  }
}

// Where the variance was clamped, alpha^2 tau^2 eps is one, but for rounding.
constexpr float kBelowOne = 1 - 1e-5F;

struct Sizes {
  long long columns;  // L
  int tokens;         // n
  int rank;           // r
  int up_rows;        // s
  int before;         // i s
  int all_up_rows;    // M s
  float dim;          // D
  float eps;          // of the modules' norm
};

// kRank: the rank where it is known when this is compiled, else 0.
template <int kRank>
LAST_DEVICE int rank_of(const Sizes& sizes) {
  return kRank > 0 ? kRank : sizes.rank;
}

// kappa, alpha, and [Q K V] = alpha S + c.
//   T: products, branches;  A: the attention's operands
template <class T, class A>
struct Project {
  Sizes sizes;
  T* products;            // [K, 3r + before, L]  W P_hat^T, which becomes S; G
  const T* cross;         // [K, 3r + s, L]  sum_j (W bar(A_j)^T) O_j^T, u; only where before > 0
  const T* branches;      // [K, M s, L]
  const float* q;         // [K, L]
  const float* tau;       // [L]
  const float* constant;  // [K] rows of 3r, constant_stride apart
  long long constant_stride;
  float* alpha;  // [K, L]; only where before > 0
  Rows<A> qkv[3];
};

template <class T, class A, int kRank>
LAST_DEVICE void project(const Project<T, A>& a, long long k, long long l) {
  const int rank = rank_of<kRank>(a.sizes), before = a.sizes.before;
  const long long columns = a.sizes.columns;
  T* s = a.products + k * (3 * rank + before) * columns + l;
  const T* cross = nullptr;
  float alpha = 1, tau = 0;
  if (before > 0) {
    cross = a.cross + k * (3 * rank + a.sizes.up_rows) * columns + l;
    const T* __restrict__ g = s + 3 * rank * columns;
    const T* __restrict__ o = a.branches + k * a.sizes.all_up_rows * columns + l;
    float sum = 0;
    LAST_UNROLL
    for (int j = 0; j < before; ++j) sum += widen(g[j * columns]) * widen(o[j * columns]);
    // kappa = (2 tau sum_j <O_j, G_j> + tau^2 q) / D
    tau = a.tau[l];
    const float kappa = tau * (2 * sum + tau * a.q[k * columns + l]) / a.sizes.dim;
    // The variance is not negative. (A comparison that NaN passes through.)
    const float least = a.sizes.eps * tau * tau;
    alpha = 1 / last_square_root(1 + kappa < least ? least : 1 + kappa);
    a.alpha[k * columns + l] = alpha;
  }
  const long long image = l / a.sizes.tokens, token = l % a.sizes.tokens;
  for (int part = 0; part < 3; ++part) {
    const float* c = a.constant + k * a.constant_stride + part * rank;
    const auto value = [&](int e) {
      const long long at = (part * rank + e) * columns;
      float x = widen(s[at]);
      if (before > 0) {
        x += tau * widen(cross[at]);
        set(s[at], x);
      }
      return alpha * x + c[e];
    };
    store_rows(a.qkv[part], column_of(a.qkv[part], k, image, token), rank, value);
  }
}

// O_i from the attention's order into the branches, and q_{i+1} = q_i + <O_i, 2 u + H_ii O_i>.
template <class T, class A>
struct AddBranch {
  Sizes sizes;
  Rows<A> attended;
  const T* u;  // [K] of [s, L], u_network apart; null where before = 0: u = 0
  long long u_network;
  const float* gram;  // H_ii [K, s, s]; null for the last module, where q is not needed
  long long gram_network, gram_row;
  T* branches;   // [K, M s, L], of which rows `before` on are written
  T* gram_sums;  // [K, s, L]  u + H_ii O_i; null where the backward pass is not wanted
  float* q;      // [K, L]
};

template <class T, class A, int kRank>
LAST_DEVICE void add_branch(const AddBranch<T, A>& a, long long k, long long l) {
  const int rank = rank_of<kRank>(a.sizes), up_rows = a.sizes.up_rows;
  const long long columns = a.sizes.columns;
  T* __restrict__ o = a.branches + (k * a.sizes.all_up_rows + a.sizes.before) * columns + l;
  const A* attended = column_of(a.attended, k, l / a.sizes.tokens, l % a.sizes.tokens);
  load_rows(a.attended, attended, rank, [&](int e, float x) { set(o[e * columns], x); });
  if (up_rows > rank) set(o[rank * columns], 1);
  if (a.gram == nullptr) return;
  const float* __restrict__ gram = a.gram + k * a.gram_network;
  float q = 0;
  for (int c = 0; c < up_rows; ++c) {
    float own = up_rows > rank ? gram[c * a.gram_row + rank] : 0;
    LAST_UNROLL
    for (int e = 0; e < rank; ++e) own += gram[c * a.gram_row + e] * widen(o[e * columns]);
    const float u = a.u == nullptr ? 0 : widen(a.u[k * a.u_network + c * columns + l]);
    if (a.gram_sums != nullptr) set(a.gram_sums[(k * up_rows + c) * columns + l], u + own);
    q += widen(o[c * columns]) * (2 * u + own);
  }
  a.q[k * columns + l] += q;
}

// The gradient that reaches the attention: dO_i + 2 dq (u + H_ii O_i).
template <class T, class A>
struct AttendedGradient {
  Sizes sizes;
  const float* d_branches;  // [K, M s, L]
  const T* gram_sums;       // [K, s, L]  u + H_ii O_i; null for the last module
  const float* d_q;         // [K, L]
  Rows<A> d_attended;
};

template <class T, class A, int kRank>
LAST_DEVICE void attended_gradient(const AttendedGradient<T, A>& a, long long k, long long l) {
  const int rank = rank_of<kRank>(a.sizes);
  const long long columns = a.sizes.columns;
  const float* d_o = a.d_branches + (k * a.sizes.all_up_rows + a.sizes.before) * columns + l;
  const long long first = k * a.sizes.up_rows * columns + l;
  const float d_q = 2 * a.d_q[k * columns + l];
  const auto value = [&](int e) {
    const float x = d_o[e * columns];
    return a.gram_sums == nullptr ? x : x + d_q * widen(a.gram_sums[first + e * columns]);
  };
  store_rows(a.d_attended, column_of(a.d_attended, k, l / a.sizes.tokens, l % a.sizes.tokens), rank,
             value);
}

// Back from [Q K V] to S, G, q and, through S and u, to the cross terms.
template <class T, class A>
struct ProjectBackward {
  Sizes sizes;
  Rows<A> d_qkv[3];
  const T* products;   // [K, 3r + before, L]  S, G
  const T* branches;   // [K, M s, L]
  const float* alpha;  // [K, L]; only where before > 0
  const float* tau;    // [L]
  float* d_q;          // [K, L]  of q_{i+1}, which becomes that of q_i
  float* d_inner;      // [K, L]  of sum_j <O_j, G_j>; only where before > 0
  T* d_products;       // [K, 3r + before, L]  dS, dG
  T* d_cross;          // [K, c + s, L]  tau dS (c = 3r rows; none where before = 0), 2 dq O_i
};

template <class T, class A, int kRank>
LAST_DEVICE void project_backward(const ProjectBackward<T, A>& a, long long k, long long l) {
  const int rank = rank_of<kRank>(a.sizes), before = a.sizes.before, up_rows = a.sizes.up_rows;
  const long long columns = a.sizes.columns;
  const int cross_rows = before > 0 ? 3 * rank : 0;
  const T* __restrict__ s = a.products + k * (3 * rank + before) * columns + l;
  const T* __restrict__ o = a.branches + k * a.sizes.all_up_rows * columns + l;
  T* __restrict__ d_s = a.d_products + k * (3 * rank + before) * columns + l;
  T* __restrict__ d_cross = a.d_cross + k * (cross_rows + up_rows) * columns + l;
  const float alpha = before > 0 ? a.alpha[k * columns + l] : 1;
  const float tau = before > 0 ? a.tau[l] : 0;
  const long long image = l / a.sizes.tokens, token = l % a.sizes.tokens;

  // dS = alpha d[Q K V],  dalpha = sum over rows (d[Q K V] * S)
  float d_alpha = 0;
  for (int part = 0; part < 3; ++part) {
    const auto use = [&](int e, float x) {
      const long long at = (part * rank + e) * columns;
      set(d_s[at], alpha * x);
      if (before > 0) {
        d_alpha += x * widen(s[at]);
        set(d_cross[at], tau * alpha * x);
      }
    };
    load_rows(a.d_qkv[part], column_of(a.d_qkv[part], k, image, token), rank, use);
  }
  // du = 2 dq O_i
  const float d_q = a.d_q[k * columns + l];
  for (int c = 0; c < up_rows; ++c) {
    set(d_cross[(cross_rows + c) * columns], 2 * d_q * widen(o[(before + c) * columns]));
  }
  if (before == 0) return;

  // dkappa = -alpha^3 dalpha / 2, and 0 where the variance was clamped
  const bool unclamped = alpha * alpha * tau * tau * a.sizes.eps < kBelowOne;
  const float d_kappa = unclamped ? -0.5F * alpha * alpha * alpha * d_alpha : 0;
  // kappa = (2 tau sum_j <O_j, G_j> + tau^2 q) / D:  dG_j = d<,> O_j
  const float d_inner = 2 * d_kappa * tau / a.sizes.dim;
  T* __restrict__ d_g = d_s + 3 * rank * columns;
  LAST_UNROLL
  for (int j = 0; j < before; ++j) set(d_g[j * columns], d_inner * widen(o[j * columns]));
  a.d_inner[k * columns + l] = d_inner;
  a.d_q[k * columns + l] = d_q + d_kappa * tau * tau / a.sizes.dim;
}

// dO_j += d<,> G_j + (X_ij^T dZ)_j for all j < i.
template <class T>
struct AddToBranches {
  Sizes sizes;
  const T* products;     // [K, 3r + before, L]  S, G
  const T* through;      // [K, before, L]  X_ij^T dZ
  const float* d_inner;  // [K, L]
  float* d_branches;     // [K, M s, L]
};

template <class T, int kRank>
LAST_DEVICE void add_to_branches(const AddToBranches<T>& a, long long k, long long l) {
  const int rank = rank_of<kRank>(a.sizes), before = a.sizes.before;
  const long long columns = a.sizes.columns;
  const T* __restrict__ g = a.products + (k * (3 * rank + before) + 3 * rank) * columns + l;
  const T* __restrict__ through = a.through + k * before * columns + l;
  float* __restrict__ d_o = a.d_branches + k * a.sizes.all_up_rows * columns + l;
  const float d_inner = a.d_inner[k * columns + l];
  LAST_UNROLL
  for (int j = 0; j < before; ++j) {
    d_o[j * columns] += d_inner * widen(g[j * columns]) + widen(through[j * columns]);
  }
}

}  // namespace last::gemm::columns

#ifdef __CUDACC_RTC__

// One thread per column. LAST_PRODUCT, LAST_ATTENTION, LAST_RANK and LAST_THREADS (of a block)
// are given to the compiler.
#define LAST_KERNEL(name, Arguments, call)                                             \
  extern "C" __global__ void __launch_bounds__(LAST_THREADS) name(const Arguments a) { \
    const long long l = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; \
    if (l < a.sizes.columns) call(a, blockIdx.y, l);                                   \
  }

namespace last::gemm::columns {

using T = LAST_PRODUCT;
using A = LAST_ATTENTION;
using ProjectArguments = Project<T, A>;
using AddBranchArguments = AddBranch<T, A>;
using AttendedGradientArguments = AttendedGradient<T, A>;
using ProjectBackwardArguments = ProjectBackward<T, A>;
using AddToBranchesArguments = AddToBranches<T>;

LAST_KERNEL(project_kernel, ProjectArguments, (project<T, A, LAST_RANK>))
LAST_KERNEL(add_branch_kernel, AddBranchArguments, (add_branch<T, A, LAST_RANK>))
LAST_KERNEL(attended_gradient_kernel, AttendedGradientArguments,
            (attended_gradient<T, A, LAST_RANK>))
LAST_KERNEL(project_backward_kernel, ProjectBackwardArguments, (project_backward<T, A, LAST_RANK>))
LAST_KERNEL(add_to_branches_kernel, AddToBranchesArguments, (add_to_branches<T, LAST_RANK>))

}  // namespace last::gemm::columns

#endif
