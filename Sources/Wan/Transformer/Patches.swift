import Sampling
import Tensors

/// Latents `[channels, F, H, W]` <-> tokens of 1x2x2 patches.
///
/// Going in, a token's values are ordered (channel, row, column); coming out, (row, column, channel).
/// Source: Wan2.1 wan/modules/model.py `patch_embedding`, `unpatchify`.
enum Patches {
    /// `planes` `[channels, F * H * W]` -> `tokens` `[tokens, 4 * channels]`.
    static func pack(_ planes: Tensor, geometry: LatentGeometry, into tokens: Tensor, _ backend: any Backend) {
        let (channels, s) = (planes.shape[0], split(geometry))
        backend.permute(
            planes.reshaped([channels, s.frames, s.rows, 2, s.columns, 2]), axes: [1, 2, 4, 0, 3, 5],
            into: tokens.reshaped([s.frames, s.rows, s.columns, channels, 2, 2]))
    }

    /// `tokens` `[tokens, 4 * channels]` -> `planes` `[channels, F * H * W]`.
    static func unpack(_ tokens: Tensor, geometry: LatentGeometry, into planes: Tensor, _ backend: any Backend) {
        let (channels, s) = (planes.shape[0], split(geometry))
        backend.permute(
            tokens.reshaped([s.frames, s.rows, s.columns, 2, 2, channels]), axes: [5, 0, 1, 3, 2, 4],
            into: planes.reshaped([channels, s.frames, s.rows, 2, s.columns, 2]))
    }

    private static func split(_ geometry: LatentGeometry) -> (frames: Int, rows: Int, columns: Int) {
        (geometry.latentFrames, geometry.latentHeight / 2, geometry.latentWidth / 2)
    }
}
