#include "matrix_units.hpp"

#include <algorithm>

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fedmpi {
namespace {

// A tile has 16 rows of 64 bytes: 16 x 32 of a left operand, 16 pairs of rows x 16 of a panel, 16 x 16 sums.
constexpr std::int64_t rows_of_tile = 16, depth_of_tile = 32;

struct alignas(64) TileConfiguration {
  std::uint8_t palette = 1, first_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);
// Not on the stack: the compiler is not told that all of it is read.
constexpr TileConfiguration configuration;

// Sums of up to 2 x 2 tiles, in tiles 0 to 3; 4 and 5 are of the left operand, which stays in the first cache for all
// panels, 6 and 7 of the panel, which is streamed past it.
template <int ROWS, int COLUMNS>
void product_block(std::int64_t k, const Bf16* left, std::int64_t left_stride, const Bf16* panel, float* out,
                   std::int64_t out_stride, bool add) {
  const auto left_bytes = left_stride * 2, panel_bytes = panel_width * 4, out_bytes = out_stride * 4;
  float* second = out + rows_of_tile * out_stride;
  if (add) {
    _tile_loadd(0, out, out_bytes);
    if constexpr (COLUMNS == 2) _tile_loadd(1, out + 16, out_bytes);
    if constexpr (ROWS == 2) _tile_loadd(2, second, out_bytes);
    if constexpr (ROWS == 2 && COLUMNS == 2) _tile_loadd(3, second + 16, out_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t j = 0; j < k; j += depth_of_tile, left += depth_of_tile, panel += depth_of_tile * panel_width) {
    _tile_stream_loadd(6, panel, panel_bytes);
    _tile_loadd(4, left, left_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (COLUMNS == 2) {
      _tile_stream_loadd(7, panel + 32, panel_bytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (ROWS == 2) {
      _tile_loadd(5, left + rows_of_tile * left_stride, left_bytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (COLUMNS == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, out, out_bytes);
  if constexpr (COLUMNS == 2) _tile_stored(1, out + 16, out_bytes);
  if constexpr (ROWS == 2) _tile_stored(2, second, out_bytes);
  if constexpr (ROWS == 2 && COLUMNS == 2) _tile_stored(3, second + 16, out_bytes);
}

template <int ROWS>
void product_rows(std::int64_t n, std::int64_t k, const Bf16* left, std::int64_t left_stride, const Bf16* panel,
                  float* out, std::int64_t out_stride, bool add) {
  std::int64_t column = 0;
  for (; column + 32 <= n; column += 32)
    product_block<ROWS, 2>(k, left, left_stride, panel + column * 2, out + column, out_stride, add);
  if (column < n) product_block<ROWS, 1>(k, left, left_stride, panel + column * 2, out + column, out_stride, add);
}

// Columns beyond a panel's last whole tile are left out.
void product_of_tiles(std::int64_t m, std::int64_t n, std::int64_t k, const Bf16* left, std::int64_t left_stride,
                      const Bf16* panels, std::int64_t panel_size, float* out, std::int64_t out_stride, bool add) {
  _tile_loadconfig(&configuration);
  for (std::int64_t row = 0; row < m; row += 2 * rows_of_tile) {
    const auto product_of_rows = row + rows_of_tile < m ? product_rows<2> : product_rows<1>;
    for (std::int64_t first = 0; first < n; first += panel_width)
      product_of_rows(std::min(panel_width, n - first) / 16 * 16, k, left + row * left_stride, left_stride,
                      panels + first / panel_width * panel_size, out + row * out_stride + first, out_stride, add);
  }
  _tile_release();
}

}  // namespace

bool has_matrix_units() {
  constexpr unsigned bf16_bit = 1U << 22U, tile_bit = 1U << 24U;
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM of asm/prctl.h
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & bf16_bit) != 0 && (d & tile_bit) != 0 &&
         syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

void product_by_matrix_units(std::int64_t m, std::int64_t n, std::int64_t k, const Bf16* left, std::int64_t left_stride,
                             const Bf16* panels, float* out, std::int64_t out_stride, bool add) {
  const auto by_vectors = kernels_avx512.bf16.product;
  const std::int64_t whole_m = m / rows_of_tile * rows_of_tile, whole_k = k / depth_of_tile * depth_of_tile;
  if (whole_k > 0)
    product_of_tiles(whole_m, n, whole_k, left, left_stride, panels, panel_width * k, out, out_stride, add);
  for (std::int64_t first = 0; first < n; first += panel_width, panels += panel_width * k, out += panel_width) {
    const std::int64_t width = std::min(panel_width, n - first), whole_n = width / 16 * 16;
    if (whole_k < k)
      by_vectors(whole_m, whole_n, k - whole_k, left + whole_k, left_stride, panels + whole_k * panel_width, out,
                 out_stride, add || whole_k > 0);
    if (whole_n < width)
      by_vectors(whole_m, width - whole_n, k, left, left_stride, panels + whole_n * 2, out + whole_n, out_stride, add);
    if (whole_m < m)
      by_vectors(m - whole_m, width, k, left + whole_m * left_stride, left_stride, panels, out + whole_m * out_stride,
                 out_stride, add);
  }
}

}  // namespace fedmpi
