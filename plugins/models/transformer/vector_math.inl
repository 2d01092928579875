// Vectors of LANES floats and what the kernels compute with them. Included into an anonymous namespace by
// vector_kernels.inl, which is compiled once for each instruction set.

constexpr std::int64_t lanes = FEDMPI_LANES;
typedef float Floats __attribute__((vector_size(4 * FEDMPI_LANES)));
typedef std::int32_t Ints __attribute__((vector_size(4 * FEDMPI_LANES)));
typedef std::uint32_t Words __attribute__((vector_size(4 * FEDMPI_LANES)));
typedef std::uint16_t Halves __attribute__((vector_size(2 * FEDMPI_LANES)));

#define INLINE static inline __attribute__((always_inline))

template <class To, class From>
INLINE To bits_of(From from) {
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
INLINE Floats all(float value) { return value - Floats{}; }
INLINE Floats load(const float* p) {
  Floats v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
INLINE Words widen(const std::uint16_t* p) {
  Halves h;
  __builtin_memcpy(&h, p, sizeof h);
  return __builtin_convertvector(h, Words);
}
INLINE Floats load(const Bf16* p) { return bits_of<Floats>(widen(&p->bits) << 16); }
INLINE void store(float* p, Floats v) { __builtin_memcpy(p, &v, sizeof v); }
INLINE void store(Bf16* p, Floats v) {
#if defined(__AVX512BF16__)
  const __m256bh h = _mm512_cvtneps_pbh(v);
  __builtin_memcpy(p, &h, sizeof h);
#else
  Words w = bits_of<Words>(v);
  w += 0x7fffU + ((w >> 16) & 1U);
  const Halves h = __builtin_convertvector(w >> 16, Halves);
  __builtin_memcpy(p, &h, sizeof h);
#endif
}
INLINE float to_float(float x) { return x; }
INLINE float to_float(Bf16 x) { return bits_of<float>(static_cast<std::uint32_t>(x.bits) << 16); }
INLINE void set(float& to, float x) { to = x; }
INLINE void set(Bf16& to, float x) {
  const auto w = bits_of<std::uint32_t>(x);
  to.bits = static_cast<std::uint16_t>((w + 0x7fffU + ((w >> 16) & 1U)) >> 16);
}
INLINE float sum(Floats v) {
  float s[lanes];
  __builtin_memcpy(s, &v, sizeof s);
  for (std::int64_t half = lanes / 2; half > 0; half /= 2)
    for (std::int64_t i = 0; i < half; ++i) s[i] += s[i + half];
  return s[0];
}
INLINE float largest(Floats v) {
  float s[lanes];
  __builtin_memcpy(s, &v, sizeof s);
  for (std::int64_t half = lanes / 2; half > 0; half /= 2)
    for (std::int64_t i = 0; i < half; ++i) s[i] = s[i] > s[i + half] ? s[i] : s[i + half];
  return s[0];
}
INLINE Floats maximum(Floats a, Floats b) { return a > b ? a : b; }
INLINE Floats minimum(Floats a, Floats b) { return a < b ? a : b; }

// exp by Cody and Waite's reduction and a polynomial; within 2 ulp, 0 below -87.3. x at most 88.
INLINE Floats exponential(Floats x) {
  const Floats magic = all(12582912.0F);  // adding it rounds to an integer
  const Ints underflow = x < all(-87.3F);
  x = maximum(x, all(-87.3F));
  const Floats shifted = x * 1.44269504F + magic;
  const Floats n = shifted - magic;
  Floats r = x - n * 0.693359375F;
  r = r + n * 2.12194440e-4F;
  Floats p = all(1.9875691500e-4F);
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  const Ints power = (bits_of<Ints>(shifted) - 0x4B400000 + 127) << 23;
  const Floats result = p * bits_of<Floats>(power);
  return underflow ? Floats{} : result;
}

// erf as an odd rational function on [-4, 4], where it becomes +-1 in float.
INLINE Floats error_function(Floats x) {
  x = minimum(maximum(x, all(-4.0F)), all(4.0F));
  const Floats s = x * x;
  Floats p = all(-2.72614225801306e-10F);
  p = p * s + 2.77068142495902e-08F;
  p = p * s + -2.10102402082508e-06F;
  p = p * s + -5.69250639462346e-05F;
  p = p * s + -7.34990630326855e-04F;
  p = p * s + -2.95459980854025e-03F;
  p = p * s + -1.60960333262415e-02F;
  Floats q = all(-1.45660718464996e-05F);
  q = q * s + -2.13374055278905e-04F;
  q = q * s + -1.68282697438203e-03F;
  q = q * s + -7.37332916720468e-03F;
  q = q * s + -1.42647390514189e-02F;
  return x * p / q;
}

// The high and low words of x * m.
INLINE void multiply(Words x, std::uint32_t m, Words& high, Words& low) {
#if defined(__AVX512F__)
  const __m512i a = bits_of<__m512i>(x), b = _mm512_set1_epi32(static_cast<int>(m));
  const __m512i even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), b);
  high = bits_of<Words>(_mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd));
  low = bits_of<Words>(_mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32)));
#elif defined(__AVX2__)
  const __m256i a = bits_of<__m256i>(x), b = _mm256_set1_epi32(static_cast<int>(m));
  const __m256i even = _mm256_mul_epu32(a, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);
  high = bits_of<Words>(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA));
  low = bits_of<Words>(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA));
#else
  for (std::int64_t i = 0; i < lanes; ++i) {
    const std::uint64_t product = static_cast<std::uint64_t>(x[i]) * m;
    high[i] = static_cast<std::uint32_t>(product >> 32);
    low[i] = static_cast<std::uint32_t>(product);
  }
#endif
}

constexpr std::int64_t chunk_size = 128;

// 128 random numbers of 16 bits: the words of Philox4x32-10 at 16 counters, low halves first.
INLINE void random_chunk(std::uint64_t key, std::uint64_t row, std::uint32_t plane, std::int64_t chunk,
                         std::uint16_t* out) {
  for (std::int64_t first = 0; first < 16; first += lanes) {
    Words c0{};
    for (std::int64_t i = 0; i < lanes; ++i) c0[i] = static_cast<std::uint32_t>(chunk * 16 + first + i);
    Words c1 = Words{} + static_cast<std::uint32_t>(row), c2 = Words{} + static_cast<std::uint32_t>(row >> 32);
    Words c3 = Words{} + plane;
    auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9U, k1 += 0xBB67AE85U) {
      Words high0, low0, high1, low1;
      multiply(c0, 0xD2511F53U, high0, low0);
      multiply(c2, 0xCD9E8D57U, high1, low1);
      c0 = high1 ^ c1 ^ k0;
      c1 = low1;
      c2 = high0 ^ c3 ^ k1;
      c3 = low0;
    }
    const Words words[4] = {c0, c1, c2, c3};
    for (int k = 0; k < 4; ++k) {
      const Halves low = __builtin_convertvector(words[k] & 0xffffU, Halves);
      const Halves high = __builtin_convertvector(words[k] >> 16, Halves);
      __builtin_memcpy(out + k * 16 + first, &low, sizeof low);
      __builtin_memcpy(out + 64 + k * 16 + first, &high, sizeof high);
    }
  }
}

// Dropout's factors for the columns of a row, in order.
struct Mask {
  Dropout dropout;
  std::uint64_t row;
  std::uint32_t plane;
  alignas(64) std::uint16_t numbers[chunk_size];
};
INLINE Floats mask_at(Mask& mask, std::int64_t column) {
  const std::int64_t within = column % chunk_size;
  if (within == 0) random_chunk(mask.dropout.key, mask.row, mask.plane, column / chunk_size, mask.numbers);
  const Words numbers = widen(mask.numbers + within);
  const Ints kept = bits_of<Ints>(numbers) >= static_cast<std::int32_t>(mask.dropout.threshold);
  return kept ? all(mask.dropout.scale) : Floats{};
}
