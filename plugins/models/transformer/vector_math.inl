// Vectors of LANES floats and what the kernels compute with them. Included into an anonymous namespace by
// vector_kernels.inl, which is compiled once for each instruction set.

constexpr std::int64_t lanes = FEDMPI_LANES;
typedef float Floats __attribute__((vector_size(4 * FEDMPI_LANES)));
typedef std::int32_t Ints __attribute__((vector_size(4 * FEDMPI_LANES)));
typedef std::uint32_t Words __attribute__((vector_size(4 * FEDMPI_LANES)));
typedef std::uint64_t Longs __attribute__((vector_size(4 * FEDMPI_LANES)));
typedef std::uint16_t Halves __attribute__((vector_size(2 * FEDMPI_LANES)));

#define INLINE static inline __attribute__((always_inline))

template <class To, class From>
INLINE To bits_of(From from) {
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
INLINE Floats all(float value) {
  return value - Floats{};
}
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
INLINE Floats load(const Bf16* p) {
  return bits_of<Floats>(widen(&p->bits) << 16);
}
INLINE void store(float* p, Floats v) {
  __builtin_memcpy(p, &v, sizeof v);
}
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
// Two vectors, past the caches; p is aligned to 64 bytes.
INLINE void stream(float* p, Floats first, Floats second) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, bits_of<__m512>(first));
  _mm512_stream_ps(p + lanes, bits_of<__m512>(second));
#elif defined(__AVX2__)
  _mm256_stream_ps(p, bits_of<__m256>(first));
  _mm256_stream_ps(p + lanes, bits_of<__m256>(second));
#else
  store(p, first);
  store(p + lanes, second);
#endif
}
INLINE void stream(Bf16* p, Floats first, Floats second) {
#if defined(__AVX512BF16__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p),
                      bits_of<__m512i>(_mm512_cvtne2ps_pbh(bits_of<__m512>(second), bits_of<__m512>(first))));
#elif defined(__AVX2__)
  Bf16 both[2 * lanes];
  store(both, first);
  store(both + lanes, second);
  __m256i whole;
  __builtin_memcpy(&whole, both, sizeof whole);
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), whole);
#else
  store(p, first);
  store(p + lanes, second);
#endif
}
// What has been streamed is seen by other threads that are told of it after this.
INLINE void end_streams() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}
INLINE float to_float(float x) {
  return x;
}
INLINE float to_float(Bf16 x) {
  return bits_of<float>(static_cast<std::uint32_t>(x.bits) << 16);
}
INLINE void set(float& to, float x) {
  to = x;
}
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
INLINE Floats maximum(Floats a, Floats b) {
  return a > b ? a : b;
}
INLINE Floats minimum(Floats a, Floats b) {
  return a < b ? a : b;
}

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

// The products of the low words of x by m.
INLINE Longs multiply_low_words(Longs x, std::uint32_t m) {
#if defined(__AVX512F__)
  return bits_of<Longs>(_mm512_mul_epu32(bits_of<__m512i>(x), _mm512_set1_epi32(static_cast<int>(m))));
#elif defined(__AVX2__)
  return bits_of<Longs>(_mm256_mul_epu32(bits_of<__m256i>(x), _mm256_set1_epi32(static_cast<int>(m))));
#else
  return (x & 0xffffffffU) * m;
#endif
}

// The low words of each array element are the words of Philox4x32-10 at the counters {first + step * i, row, plane};
// what is above them is of no meaning.
struct PhiloxWords {
  Longs words[4];
};
INLINE PhiloxWords philox_words(std::uint64_t key, std::uint64_t row, std::uint32_t plane, std::uint32_t first,
                                std::uint32_t step) {
  Longs c0{};
  for (std::int64_t i = 0; i < lanes / 2; ++i) c0[i] = first + step * static_cast<std::uint32_t>(i);
  Longs c1 = Longs{} + row, c2 = Longs{} + (row >> 32), c3 = Longs{} + plane;
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9U, k1 += 0xBB67AE85U) {
    const Longs product0 = multiply_low_words(c0, 0xD2511F53U), product1 = multiply_low_words(c2, 0xCD9E8D57U);
    c0 = (product1 >> 32) ^ c1 ^ k0;
    c1 = product1;
    c2 = (product0 >> 32) ^ c3 ^ k1;
    c3 = product0;
  }
  return {{c0, c1, c2, c3}};
}

constexpr std::int64_t chunk_size = 128;

// 128 random numbers of 16 bits: the words of Philox4x32-10 at 16 counters, low halves first.
INLINE void random_chunk(std::uint64_t key, std::uint64_t row, std::uint32_t plane, std::int64_t chunk,
                         std::uint16_t* out) {
  for (std::int64_t first = 0; first < 16; first += lanes) {
    const auto counter = static_cast<std::uint32_t>(chunk * 16 + first);
    const PhiloxWords even = philox_words(key, row, plane, counter, 2);
    const PhiloxWords odd = philox_words(key, row, plane, counter + 1, 2);
    for (int k = 0; k < 4; ++k) {
      const Words word = bits_of<Words>((even.words[k] & 0xffffffffU) | odd.words[k] << 32);
      const Halves low = __builtin_convertvector(word & 0xffffU, Halves);
      const Halves high = __builtin_convertvector(word >> 16, Halves);
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
