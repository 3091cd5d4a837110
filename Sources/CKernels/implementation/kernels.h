// All kernels, for the vector width VW (floats) and the tile height MR that the including file chose.

#define NR (2 * VW)
#ifndef DK_DOT_BYTES
#define DK_DOT_BYTES 2
#endif

#include "vector.h"
#include "pack.h"
#include "gemm.h"
#include "int8.h"
#include "elements.h"
#include "rows.h"
#include "linear.h"
#include "attention.h"
#include "branch.h"
#include "choice.h"
#include "convolution.h"

const struct dk_kernels DK_NAME = {
    .name = DK_LEVEL_NAME,
    .mr = MR,
    .nr = NR,
    .vw = VW,
    .code_bytes = DK_DOT_BYTES,
    .panel_floats = panel_floats,
    .pack_f32 = pack_f32,
    .pack_bf16 = pack_bf16,
    .pack_rows = pack_rows,
    .gemm = gemm,
    .linear_scratch = linear_scratch,
    .linear = linear,
    .quantize_blocks = quantize_blocks,
    .pack_codes = pack_codes,
    .attention_scratch = attention_scratch,
    .attend = attend,
    .block_means = block_means,
    .block_scores = block_scores,
    .branch_scratch = branch_scratch,
    .branch_state = branch_state,
    .branch = branch,
    .layer_norm = layer_norm,
    .rms_norm = rms_norm,
    .channel_norm = channel_norm,
    .rotate = rotate,
    .add = add,
    .multiply = multiply,
    .add_gated = add_gated,
    .activate = activate,
    .fill = fill,
    .f32_to_bf16 = f32_to_bf16,
    .bf16_to_f32 = bf16_to_f32,
    .f32_to_f16 = f32_to_f16,
    .f16_to_f32 = f16_to_f32,
    .round_e4m3 = round_e4m3,
    .quantize_frames = quantize_frames,
    .exponentials = exponentials,
    .convolution_scratch = convolution_scratch,
    .convolve = convolve,
};
