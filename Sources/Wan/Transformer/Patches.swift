import Sampling

/// Latents `[channels, F, H, W]` <-> tokens of 1x2x2 patches.
///
/// Going in, a token's values are ordered (channel, row, column); coming out, (row, column, channel).
/// Source: Wan2.1 wan/modules/model.py `patch_embedding`, `unpatchify`.
enum Patches {
    /// Writes `latents` into columns `firstChannel * 4...` of `tokens` `[tokens, width]`.
    static func pack(
        _ latents: [Float], geometry: LatentGeometry, firstChannel: Int, width: Int, into tokens: inout [Float]
    ) {
        let (frames, height, latentWidth) = (geometry.latentFrames, geometry.latentHeight, geometry.latentWidth)
        let (rows, columns) = (height / 2, latentWidth / 2)
        let channels = latents.count / geometry.latentFrames / geometry.latentArea
        precondition(latents.count == channels * frames * geometry.latentArea, "latents do not fit \(geometry)")
        latents.withUnsafeBufferPointer { source in
            tokens.withUnsafeMutableBufferPointer { target in
                for channel in 0..<channels {
                    for frame in 0..<frames {
                        for row in 0..<rows {
                            let line = ((channel * frames + frame) * height + 2 * row) * latentWidth
                            var at = (frame * rows + row) * columns * width + (firstChannel + channel) * 4
                            for column in 0..<columns {
                                let pair = line + 2 * column
                                target[at] = source[pair]
                                target[at + 1] = source[pair + 1]
                                target[at + 2] = source[pair + latentWidth]
                                target[at + 3] = source[pair + latentWidth + 1]
                                at += width
                            }
                        }
                    }
                }
            }
        }
    }

    /// Tokens `[tokens, 4 * channels]` -> `[channels, F, H, W]`.
    static func unpack(_ tokens: [Float], geometry: LatentGeometry) -> [Float] {
        let (frames, height, latentWidth) = (geometry.latentFrames, geometry.latentHeight, geometry.latentWidth)
        let (rows, columns) = (height / 2, latentWidth / 2)
        let channels = tokens.count / geometry.tokenCount / 4
        return [Float](unsafeUninitializedCapacity: tokens.count) { target, count in
            tokens.withUnsafeBufferPointer { source in
                for channel in 0..<channels {
                    for frame in 0..<frames {
                        for row in 0..<rows {
                            let line = ((channel * frames + frame) * height + 2 * row) * latentWidth
                            var at = (frame * rows + row) * columns * 4 * channels + channel
                            for column in 0..<columns {
                                let pair = line + 2 * column
                                target[pair] = source[at]
                                target[pair + 1] = source[at + channels]
                                target[pair + latentWidth] = source[at + 2 * channels]
                                target[pair + latentWidth + 1] = source[at + 3 * channels]
                                at += 4 * channels
                            }
                        }
                    }
                }
            }
            count = tokens.count
        }
    }
}
